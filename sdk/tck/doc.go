// Package tck checks that a policy module, written in whatever language, keeps
// to the contract of package abi: it says what it is, answers each rule of a call
// in order, answers the same thing to the same context, ignores what it does not
// know, and survives contexts that no host would make.
//
// The kit calls the module through [Caller], which a test makes of the sandbox
// that it uses:
//
//	func TestContract(t *testing.T) {
//		tck.Run(t, caller, tck.Options{Configs: map[string]string{"BackoffRetry": `{"base_seconds":1}`}})
//	}
package tck
