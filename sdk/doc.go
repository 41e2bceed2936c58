// Package sdk is for writing policy modules in Go: WebAssembly modules whose
// rules decide what becomes of a state that a client proposes for a flow run or
// a task run.
//
//	package main
//
//	import "github.com/interlock-run/interlock/sdk"
//
//	var module = sdk.Serve(sdk.Module{
//		Name: "acme-curfew", Version: "1.0.0",
//		Rules: []sdk.Rule{{
//			Name: "Curfew", RunType: sdk.FlowRun, From: sdk.Pending, To: sdk.Running,
//			Evaluate: func(c *sdk.Context) sdk.Decision {
//				if c.Run().HasTag("night-only") && c.Config().Bool("day", true) {
//					return sdk.Wait(3600, "It is day")
//				}
//				return sdk.Accept()
//			},
//		}},
//	})
//
//	func main() {}
//
// It is built with
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -trimpath -ldflags="-s -w" -o curfew.wasm .
//
// and tested natively: module.Evaluate takes the JSON of a context and returns
// that of a verdict, as the host sees it. Package sdk/tck checks the built module
// against the contract, which is package sdk/abi.
//
// # What a rule can do
//
// A rule is a pure function: the clock is [Context.Now], chance is
// [Context.Chance], settings are [Context.Config], and what else it needs to know
// it declares as facts. It cannot remember anything between calls: a host resets
// the memory of a guest.
//
//	Accept      the proposed state stands, as far as this rule is concerned
//	AcceptWith  the same, with a name, a message or details patched
//	Reject      another state is written instead
//	RejectKeep  nothing is written, the client is told the current state
//	Wait        nothing is written, the client proposes again after a delay
//	Abort       nothing is written, the client gives up
//
// Rules are chosen once, by the initial type and the type that the client
// proposed. The first rule that changes the type or nulls the proposal decides:
// the rules after it are skipped, and no rule is chosen by the new type. So a
// rule for SCHEDULED does not see the AwaitingRetry that RetryFailedFlows made
// of a FAILED. A [Transform] is never skipped; it can only accept.
//
// A rule that has nothing to say about most runs should declare what it needs
// ([Rule.Needs]): where that is missing it is not asked.
//
// Do not answer PENDING to RUNNING with RejectKeep: a client that is starting
// would propose again without end. Use Wait.
//
// # What makes a guest big or slow
//
// encoding/json, fmt, reflect and regexp. This package needs none of them.
package sdk
