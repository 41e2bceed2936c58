package flow

import (
	"testing"

	"github.com/interlock-run/interlock/policies/policytest"
	"github.com/interlock-run/interlock/sdk/abi"
)

const deployed = `{"deployment_id":"` + policytest.RunID + `"}`

func TestHandlePausingFlows(t *testing.T) {
	const (
		keyed   = `{"type":"PAUSED","state_details":{"pause_key":"1"}}`
		suspend = `{"type":"PAUSED","name":"Suspended","state_details":{"pause_key":"1","pause_reschedule":true}}`
		pauses  = `{"decision":"ACCEPT","run":{"empirical_policy":{"pause_keys":{"clear":false,"add":["1"]}}}}`
	)
	keep := func(reason string) string { return `{"decision":"REJECT","state":null,"reason":"` + reason + `"}` }
	abort := func(reason string) string { return `{"decision":"ABORT","reason":"` + reason + `"}` }
	cases := []policytest.Case{
		{Name: "running", Initial: "RUNNING", Proposed: keyed, Want: pauses},
		{Name: "without a key", Initial: "RUNNING", Proposed: "PAUSED", Want: `{"decision":"ACCEPT"}`},
		{Name: "another key", Initial: "RUNNING", Proposed: keyed, Run: `{"empirical_policy":{"pause_keys":["0","11"]}}`, Want: pauses},
		{Name: "no keys at all", Initial: "RUNNING", Proposed: keyed, Run: `{"empirical_policy":{"pause_keys":null}}`, Want: pauses},
		{Name: "fired", Initial: "RUNNING", Proposed: keyed, Run: `{"empirical_policy":{"pause_keys":["0","1"]}}`, Want: keep("This pause has fired already")},
		{Name: "suspended before", Initial: "RUNNING", Proposed: suspend, Run: `{"empirical_policy":{"pause_keys":["1"]}}`, Want: keep("This suspend has fired already")},
		{Name: "a subflow pauses", Initial: "RUNNING", Proposed: keyed, Run: `{"parent_task_run_id":"` + policytest.RunID + `"}`, Want: pauses},
		{Name: "a subflow suspends", Initial: "RUNNING", Proposed: suspend, Run: `{"parent_task_run_id":"` + policytest.RunID + `","deployment_id":"` + policytest.RunID + `"}`, Want: abort("A subflow cannot suspend")},
		{Name: "suspends without a deployment", Initial: "RUNNING", Proposed: suspend, Want: abort("A run without a deployment cannot suspend")},
		{Name: "suspends", Initial: "RUNNING", Proposed: suspend, Run: deployed, Want: pauses},
		{Name: "no state", Proposed: "PAUSED", Want: abort("A run without a state cannot pause")},
		{Name: "to running", Initial: "RUNNING", Proposed: "RUNNING", Want: "-"},
	}
	for _, typ := range abi.StateTypes() {
		if typ != abi.Running {
			cases = append(cases, policytest.Case{Name: "from " + typ, Initial: typ, Proposed: keyed, Want: keep("Only a running flow can pause")})
		}
	}
	suite.Run(t, "HandlePausingFlows", abi.RunTypeFlow, cases)
}

func TestHandleResumingPausedFlows(t *testing.T) {
	const (
		accept   = `{"decision":"ACCEPT"}`
		resumes  = `{"decision":"ACCEPT","run":{"empirical_policy":{"resuming":true}}}`
		timedOut = `{"decision":"REJECT","reason":"The pause has timed out and cannot be left any more",
			"state":{"type":"FAILED","message":"The flow run was paused and not resumed in time."}}`
		expired   = `{"type":"PAUSED","state_details":{"pause_timeout":"` + policytest.Earlier + `"}}`
		running   = `{"type":"PAUSED","state_details":{"pause_timeout":"` + policytest.Later + `"}}`
		justNow   = `{"type":"PAUSED","state_details":{"pause_timeout":"` + policytest.Now + `"}}`
		suspended = `{"type":"PAUSED","name":"Suspended","state_details":{"pause_timeout":"` + policytest.Later + `","pause_reschedule":true}}`
		homeless  = `{"decision":"REJECT","state":null,"reason":"A suspended run without a deployment cannot go on"}`
	)
	refused := func(typ string) string {
		return `{"decision":"REJECT","state":null,"reason":"A paused run cannot become ` + typ + `"}`
	}
	suite.Run(t, "HandleResumingPausedFlows", abi.RunTypeFlow, []policytest.Case{
		{Name: "resumes", Initial: running, Proposed: "RUNNING", Want: resumes},
		{Name: "resumes without a deadline", Initial: "PAUSED", Proposed: "RUNNING", Want: resumes},
		{Name: "resumes at the deadline", Initial: justNow, Proposed: "RUNNING", Want: resumes},
		{Name: "resumes by a worker", Initial: suspended, Proposed: `{"type":"SCHEDULED","name":"Resuming"}`, Run: deployed, Want: resumes},
		{Name: "suspended without a deployment", Initial: suspended, Proposed: "SCHEDULED", Want: homeless},
		{Name: "suspended without a deployment, cancelled", Initial: suspended, Proposed: "CANCELLED", Want: homeless},
		{Name: "too late", Initial: expired, Proposed: "RUNNING", Want: timedOut},
		{Name: "too late to complete", Initial: expired, Proposed: "COMPLETED", Want: timedOut},
		{Name: "never too late to cancel", Initial: expired, Proposed: "CANCELLING", Want: accept},
		{Name: "cancelled", Initial: running, Proposed: "CANCELLED", Want: accept},
		{Name: "fails", Initial: running, Proposed: "FAILED", Want: accept},
		{Name: "pending", Initial: running, Proposed: "PENDING", Want: refused("PENDING")},
		{Name: "paused", Initial: running, Proposed: "PAUSED", Want: refused("PAUSED")},
		{Name: "from running", Initial: "RUNNING", Proposed: "COMPLETED", Want: "-"},
	})
}
