package flow

import (
	"testing"

	"github.com/interlock-run/interlock/policies/policytest"
	"github.com/interlock-run/interlock/sdk/abi"
)

func TestPreventPendingTransitions(t *testing.T) {
	abort := func(typ string) string {
		return `{"decision":"ABORT","reason":"A run in state ` + typ + ` cannot become PENDING"}`
	}
	submitting := `{"type":"PENDING","name":"Submitting"}`
	held := `{"type":"PENDING","state_details":{"scheduled_time":"` + policytest.Earlier + `","deployment_concurrency_lease_id":"` + policytest.LeaseID + `"}}`
	cases := []policytest.Case{
		{Name: "submitted twice", Initial: "PENDING", Proposed: "PENDING", Want: abort("PENDING")},
		{Name: "a named step", Initial: "PENDING", Proposed: submitting, Want: `{"decision":"ACCEPT","state":{"state_details":{"scheduled_time":null,"deployment_concurrency_lease_id":null}}}`},
		{Name: "a named step keeps time and slot", Initial: held, Proposed: `{"type":"PENDING","name":"Submitting","state_details":{"scheduled_time":"` + policytest.Later + `"}}`,
			Want: `{"decision":"ACCEPT","state":{"state_details":{"scheduled_time":"` + policytest.Earlier + `","deployment_concurrency_lease_id":"` + policytest.LeaseID + `"}}}`},
		{Name: "the same named step", Initial: submitting, Proposed: submitting, Want: abort("PENDING")},
		{Name: "back to the plain one", Initial: submitting, Proposed: "PENDING", Want: abort("PENDING")},
		{Name: "running", Initial: "RUNNING", Proposed: submitting, Want: abort("RUNNING")},
		{Name: "cancelling", Initial: "CANCELLING", Proposed: "PENDING", Want: abort("CANCELLING")},
		{Name: "cancelled", Initial: "CANCELLED", Proposed: "PENDING", Want: abort("CANCELLED")},
		{Name: "failed", Initial: "FAILED", Proposed: "PENDING", Want: "-"},
		{Name: "scheduled", Initial: "SCHEDULED", Proposed: "PENDING", Want: "-"},
		{Name: "no state", Proposed: "PENDING", Want: "-"},
	}
	suite.Run(t, "PreventPendingTransitions", abi.RunTypeFlow, cases)
	suite.Run(t, "PreventPendingTransitions", abi.RunTypeTask, cases)
}

func TestPreventDuplicateTransitions(t *testing.T) {
	one := `"state_details":{"transition_id":"8a3e6f5c-1111-4000-8000-00000000000a"}`
	two := `"state_details":{"transition_id":"8a3e6f5c-1111-4000-8000-00000000000b"}`
	suite.Run(t, "PreventDuplicateTransitions", abi.RunTypeFlow, []policytest.Case{
		{Name: "the same", Initial: `{"type":"RUNNING",` + one + `}`, Proposed: `{"type":"RUNNING",` + one + `}`, Want: `{"decision":"REJECT","state":null,"reason":"This transition has been made already"}`},
		{Name: "another", Initial: `{"type":"RUNNING",` + one + `}`, Proposed: `{"type":"COMPLETED",` + two + `}`, Want: "-"},
		{Name: "the proposal has none", Initial: `{"type":"RUNNING",` + one + `}`, Proposed: "COMPLETED", Want: "-"},
		{Name: "none at all", Initial: "PENDING", Proposed: "RUNNING", Want: "-"},
		{Name: "no state", Proposed: `{"type":"PENDING",` + one + `}`, Want: "-"},
	})
}

func TestEnsureOnlyScheduledFlowsMarkedLate(t *testing.T) {
	late := `{"type":"SCHEDULED","name":"Late"}`
	suite.Run(t, "EnsureOnlyScheduledFlowsMarkedLate", abi.RunTypeFlow, []policytest.Case{
		{Name: "scheduled", Initial: "SCHEDULED", Proposed: late, Want: `{"decision":"ACCEPT"}`},
		{Name: "late already", Initial: late, Proposed: late, Want: `{"decision":"REJECT","state":null,"reason":"The run is marked late already"}`},
		{Name: "pending", Initial: "PENDING", Proposed: late, Want: `{"decision":"REJECT","state":null,"reason":"Only a scheduled run can be late"}`},
		{Name: "not late", Initial: "RUNNING", Proposed: "SCHEDULED", Want: `{"decision":"ACCEPT"}`},
		{Name: "no state", Proposed: late, Want: `{"decision":"ACCEPT"}`},
		{Name: "to pending", Initial: "SCHEDULED", Proposed: "PENDING", Want: "-"},
	})
}
