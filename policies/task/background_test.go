package task

import (
	"testing"

	"github.com/interlock-run/interlock/policies/policytest"
)

func TestCopyTaskParametersID(t *testing.T) {
	const with = `"state_details":{"task_parameters_id":"` + policytest.RunID + `"}}`
	run(t, "CopyTaskParametersID", []policytest.Case{
		{Name: "to pending", Initial: `{"type":"SCHEDULED",` + with, Proposed: "PENDING", Want: `{"decision":"ACCEPT","state":{` + with + `}`},
		{Name: "to running", Initial: `{"type":"PENDING",` + with, Proposed: "RUNNING", Want: `{"decision":"ACCEPT","state":{` + with + `}`},
		{Name: "its own", Initial: `{"type":"PENDING",` + with, Proposed: `{"type":"RUNNING","state_details":{"task_parameters_id":"` + policytest.LeaseID + `"}}`, Want: accepted},
		{Name: "nothing to copy", Initial: "PENDING", Proposed: "RUNNING", Want: accepted},
		{Name: "from running", Initial: "RUNNING", Proposed: "RUNNING", Want: "-"},
	})
}

func TestEnqueueScheduledTasks(t *testing.T) {
	queued := func(queue string) string {
		return `{"decision":"ACCEPT","effects":[{"type":"enqueue_task_run","queue":"` + queue + `"}]}`
	}
	run(t, "EnqueueScheduledTasks", []policytest.Case{
		{Name: "at creation", Proposed: `{"type":"SCHEDULED","state_details":{"deferred":true}}`, Want: queued("scheduled")},
		{Name: "a retry", Initial: "RUNNING", Proposed: `{"type":"SCHEDULED","name":"AwaitingRetry","state_details":{"deferred":true}}`, Want: queued("retry")},
		{Name: "not a background task", Proposed: "SCHEDULED", Want: accepted},
		{Name: "running", Initial: "PENDING", Proposed: "RUNNING", Want: "-"},
	})
}
