package flow

import (
	"testing"

	"github.com/interlock-run/interlock/policies/policytest"
	"github.com/interlock-run/interlock/sdk/abi"
)

const (
	kept       = `{"type":"COMPLETED","result":"object"}`
	losesState = `{"decision":"REJECT","state":null,"reason":"` + reasonLosesResult + `"}`
)

func TestHandleFlowTerminalStateTransitions(t *testing.T) {
	const (
		accept    = `{"decision":"ACCEPT"}`
		completed = `{"decision":"REJECT","state":null,"reason":"The run is COMPLETED and its result is kept"}`
		undeploy  = `{"decision":"ABORT","reason":"A run without a deployment cannot be scheduled again"}`
		deployed  = `{"deployment_id":"` + policytest.RunID + `"}`
		again     = `{"decision":"ACCEPT","run":{"empirical_policy":{"resuming":false,"retry_type":null,"pause_keys":{"clear":true}}}}`
		scheduled = `{"decision":"ACCEPT","run":{"empirical_policy":{"resuming":false,"retry_type":"reschedule","pause_keys":{"clear":true}}}}`
	)
	ended := func(typ string) string {
		return `{"decision":"ABORT","reason":"The run has ended as ` + typ + ` already"}`
	}
	cases := []policytest.Case{
		{Name: "completed, crashed", Initial: "COMPLETED", Proposed: "CRASHED", Want: ended("COMPLETED")},
		{Name: "completed with a result, running", Initial: kept, Proposed: "RUNNING", Want: completed},
		{Name: "completed with a result, pending", Initial: kept, Proposed: "PENDING", Want: completed},
		{Name: "completed with a result, scheduled", Initial: kept, Proposed: "SCHEDULED", Run: deployed, Want: completed},
		{Name: "completed with a result, completed without", Initial: kept, Proposed: "COMPLETED", Want: losesState},
		{Name: "completed with a result, unpersisted", Initial: kept, Proposed: `{"type":"COMPLETED","result":"unpersisted"}`, Want: losesState},
		{Name: "completed with a result, something else", Initial: kept, Proposed: `{"type":"COMPLETED","result":"other"}`, Want: losesState},
		{Name: "completed with a result, another", Initial: kept, Proposed: kept, Want: accept},
		{Name: "completed with a result, an empty object", Initial: kept, Proposed: `{"type":"COMPLETED","result":"empty"}`, Want: accept},
		{Name: "completed with a result, failed", Initial: kept, Proposed: "FAILED", Want: accept},
		{Name: "completed unpersisted, running", Initial: `{"type":"COMPLETED","result":"unpersisted"}`, Proposed: "RUNNING", Want: again},
		{Name: "completed with an empty object, running", Initial: `{"type":"COMPLETED","result":"empty"}`, Proposed: "RUNNING", Want: again},
		{Name: "completed with something else, completed", Initial: `{"type":"COMPLETED","result":"other"}`, Proposed: "COMPLETED", Want: accept},
		{Name: "failed, completed", Initial: "FAILED", Proposed: "COMPLETED", Want: accept},
		{Name: "failed with a result, running", Initial: `{"type":"FAILED","result":"object"}`, Proposed: "RUNNING", Want: again},
		{Name: "failed, scheduled", Initial: "FAILED", Proposed: "SCHEDULED", Want: undeploy},
		{Name: "failed, scheduled, deployed", Initial: "FAILED", Proposed: "SCHEDULED", Run: deployed, Want: scheduled},
		{Name: "crashed, pending", Initial: "CRASHED", Proposed: "PENDING", Want: again},
		{Name: "old client", Initial: "FAILED", Proposed: "RUNNING", Client: `{"api_release":[0,8,3]}`, Want: accept},
		{Name: "newer client", Initial: "FAILED", Proposed: "RUNNING", Client: `{"api_release":[0,9]}`, Want: again},
		{Name: "running", Initial: "RUNNING", Proposed: "COMPLETED", Want: "-"},
		{Name: "no state", Proposed: "RUNNING", Want: "-"},
	}
	for _, initial := range []string{"FAILED", "CANCELLED"} {
		for _, proposed := range []string{"CANCELLING", "PAUSED", "CRASHED"} {
			cases = append(cases, policytest.Case{Name: initial + ", " + proposed, Initial: initial, Proposed: proposed, Want: ended(initial)})
		}
	}
	suite.Run(t, "HandleFlowTerminalStateTransitions", abi.RunTypeFlow, cases)
}

func TestPreventResultDataLoss(t *testing.T) {
	suite.Run(t, "PreventResultDataLoss", abi.RunTypeFlow, []policytest.Case{
		{Name: "lost", Initial: kept, Proposed: "COMPLETED", Want: losesState},
		{Name: "replaced", Initial: kept, Proposed: kept, Want: `{"decision":"ACCEPT"}`},
		{Name: "failed", Initial: kept, Proposed: "FAILED", Want: `{"decision":"ACCEPT"}`},
		{Name: "nothing to lose", Initial: "COMPLETED", Proposed: "COMPLETED", Want: `{"decision":"ACCEPT"}`},
		{Name: "running", Initial: kept, Proposed: "RUNNING", Want: "-"},
	})
}

func TestEnforceCancellingToCancelledTransition(t *testing.T) {
	refused := `{"decision":"REJECT","state":null,"reason":"A run that is being cancelled can only become CANCELLED"}`
	cases := []policytest.Case{
		{Name: "CANCELLED", Initial: "CANCELLING", Proposed: "CANCELLED", Want: "-"},
		{Name: "from running", Initial: "RUNNING", Proposed: "COMPLETED", Want: "-"},
	}
	for _, typ := range abi.StateTypes() {
		if typ != abi.Cancelled {
			cases = append(cases, policytest.Case{Name: typ, Initial: "CANCELLING", Proposed: typ, Want: refused})
		}
	}
	suite.Run(t, "EnforceCancellingToCancelledTransition", abi.RunTypeFlow, cases)
}

func TestBypassCancellingFlowRunsWithNoInfra(t *testing.T) {
	cancelled := func(kind string) string {
		return `{"decision":"REJECT","state":{"type":"CANCELLED"},"reason":"The ` + kind + ` run has no infrastructure to stop"}`
	}
	const (
		started   = `{"infrastructure_pid":"host:42"}`
		suspended = `{"type":"PAUSED","name":"Suspended","state_details":{"pause_reschedule":true}}`
	)
	suite.Run(t, "BypassCancellingFlowRunsWithNoInfra", abi.RunTypeFlow, []policytest.Case{
		{Name: "not started", Initial: "SCHEDULED", Proposed: "CANCELLING", Want: cancelled("scheduled")},
		{Name: "an empty process id", Initial: "SCHEDULED", Proposed: "CANCELLING", Run: `{"infrastructure_pid":""}`, Want: cancelled("scheduled")},
		{Name: "waiting for a retry", Initial: `{"type":"SCHEDULED","name":"AwaitingRetry"}`, Proposed: "CANCELLING", Run: started, Want: `{"decision":"ACCEPT"}`},
		{Name: "about to resume", Initial: `{"type":"SCHEDULED","name":"Resuming"}`, Proposed: "CANCELLING", Run: started, Want: cancelled("scheduled")},
		{Name: "suspended", Initial: suspended, Proposed: "CANCELLING", Run: started, Want: cancelled("suspended")},
		{Name: "paused", Initial: "PAUSED", Proposed: "CANCELLING", Run: started, Want: `{"decision":"ACCEPT"}`},
		{Name: "running", Initial: "RUNNING", Proposed: "CANCELLING", Want: "-"},
	})
}
