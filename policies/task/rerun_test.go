package task

import (
	"testing"

	"github.com/interlock-run/interlock/policies/policytest"
)

func flowRun(count, state string) string {
	return `{"flow_run":{"id":"` + policytest.RunID + `","found":true,"run_count":` + count + `,"state":` + state + `}}`
}

const (
	ofFlow   = `"flow_run_id":"` + policytest.RunID + `"`
	flowGone = `{"flow_run":{"id":"` + policytest.RunID + `","found":false}}`
	noFlow   = `{"flow_run":null}`
)

func TestHandleTaskTerminalStateTransitions(t *testing.T) {
	const (
		kept    = `{"decision":"REJECT","state":null,"reason":"The run is COMPLETED and its result is kept"}`
		ended   = `{"decision":"ABORT","reason":"The run has ended as FAILED already"}`
		again   = `{"decision":"ACCEPT","run":{"run_count":0}}`
		retries = `{"decision":"ACCEPT","state":{"name":"Retrying"},"run":{"run_count":0}}`
	)
	first := `{` + ofFlow + `,"flow_run_run_count":1}`
	running := flowRun("2", `{"type":"RUNNING","name":"Running","state_details":{}}`)
	run(t, "HandleTaskTerminalStateTransitions", []policytest.Case{
		{Name: "crashed", Initial: "FAILED", Proposed: "CRASHED", Want: ended},
		{Name: "paused", Initial: "FAILED", Proposed: "PAUSED", Want: ended},
		{Name: "cancelling", Initial: "FAILED", Proposed: "CANCELLING", Want: ended},
		{Name: "a result is kept", Initial: `{"type":"COMPLETED","result":"object"}`, Proposed: "RUNNING", Want: kept},
		{Name: "a result is kept from failing", Initial: `{"type":"COMPLETED","result":"object"}`, Proposed: "FAILED", Want: kept},
		{Name: "any data is a result", Initial: `{"type":"COMPLETED","result":"other"}`, Proposed: "RUNNING", Want: kept},
		{Name: "a result that is gone", Initial: `{"type":"COMPLETED","result":"unpersisted"}`, Proposed: "RUNNING", Facts: noFlow, Want: again},
		{Name: "failed, completed", Initial: "FAILED", Proposed: "COMPLETED", Want: accepted},
		{Name: "failed, pending", Initial: "FAILED", Proposed: "PENDING", Want: again},
		{Name: "the flow run tries again", Initial: "FAILED", Proposed: "RUNNING", Run: first, Facts: running, Want: retries},
		{Name: "pending while the flow run tries again", Initial: "FAILED", Proposed: "PENDING", Run: first, Facts: running, Want: again},
		{Name: "the same attempt", Initial: "FAILED", Proposed: "RUNNING", Run: `{` + ofFlow + `,"flow_run_run_count":2}`, Facts: running, Want: again},
		{Name: "the flow run is gone", Initial: "FAILED", Proposed: "RUNNING", Run: first, Facts: flowGone, Want: again},
		{Name: "running", Initial: "RUNNING", Proposed: "COMPLETED", Want: "-"},
	})
}

func TestRenameReruns(t *testing.T) {
	named := func(name string) string { return `{"decision":"ACCEPT","state":{"name":"` + name + `"}}` }
	run(t, "RenameReruns", []policytest.Case{
		{Name: "first run", Initial: "PENDING", Proposed: "RUNNING", Run: `{"run_count":0}`, Want: accepted},
		{Name: "rerun", Initial: "PENDING", Proposed: "RUNNING", Run: `{"run_count":1}`, Want: named("Rerunning")},
		{Name: "retry", Initial: `{"type":"SCHEDULED","name":"AwaitingRetry"}`, Proposed: `{"type":"RUNNING","name":"Mine"}`, Run: `{"run_count":1}`, Want: named("Retrying")},
		{Name: "no state", Proposed: "RUNNING", Run: `{"run_count":1}`, Want: accepted},
		{Name: "pending", Initial: "SCHEDULED", Proposed: "PENDING", Want: "-"},
	})
}

func TestUpdateFlowRunTrackerOnTasks(t *testing.T) {
	run(t, "UpdateFlowRunTrackerOnTasks", []policytest.Case{
		{Name: "noted", Initial: "PENDING", Proposed: "RUNNING", Run: `{` + ofFlow + `}`, Facts: flowRun("3", "null"), Want: `{"decision":"ACCEPT","run":{"flow_run_run_count":3}}`},
		{Name: "no flow run", Initial: "PENDING", Proposed: "RUNNING", Facts: noFlow, Want: accepted},
		{Name: "a flow run that is gone", Initial: "PENDING", Proposed: "RUNNING", Run: `{` + ofFlow + `}`, Facts: flowGone, Want: accepted},
	})
}

func TestPreventRunningTasksFromStoppedFlows(t *testing.T) {
	const stopped = `{"decision":"ABORT","reason":"The flow run of this task is not running"}`
	paused := func(details, state string) policytest.Case {
		return policytest.Case{
			Initial: "PENDING", Proposed: "RUNNING", Facts: flowRun("1", `{"type":"PAUSED","name":"Paused","state_details":`+details+`}`),
			Want: `{"decision":"REJECT","reason":"The flow run ` + policytest.RunID + ` is paused; its tasks run once it is resumed",
				"state":{"type":"PAUSED","name":"NotReady","state_details":` + state + `}}`,
		}
	}
	pausing := paused(`{"pause_timeout":"`+policytest.Later+`","pause_reschedule":false}`, `{"pause_timeout":"`+policytest.Later+`","pause_reschedule":false}`)
	pausing.Name = "paused"
	suspended := paused(`{"pause_timeout":null,"pause_reschedule":true}`, `{"pause_reschedule":true}`)
	suspended.Name = "suspended"
	run(t, "PreventRunningTasksFromStoppedFlows", []policytest.Case{
		pausing, suspended,
		{Name: "running", Initial: "PENDING", Proposed: "RUNNING", Facts: flowRun("1", `{"type":"RUNNING","name":"Running","state_details":{}}`), Want: accepted},
		{Name: "at creation", Proposed: "RUNNING", Facts: flowRun("1", `{"type":"PENDING","name":"Pending","state_details":{}}`), Want: stopped},
		{Name: "ended", Initial: "PENDING", Proposed: "RUNNING", Facts: flowRun("1", `{"type":"FAILED","name":"Failed","state_details":{}}`), Want: stopped},
		{Name: "without a state", Initial: "PENDING", Proposed: "RUNNING", Facts: flowRun("1", "null"), Want: stopped},
		{Name: "no flow run", Initial: "PENDING", Proposed: "RUNNING", Facts: noFlow, Want: accepted},
		{Name: "a flow run that is gone", Initial: "PENDING", Proposed: "RUNNING", Facts: flowGone, Want: accepted},
	})
}
