package event

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

const (
	taskRunID = "6f7c0a51-8d2c-4c0a-9a64-0d9b3f3c1b01"
	flowRunID = "6f7c0a51-8d2c-4c0a-9a64-0d9b3f3c1b02"
)

const taskRunPayloadJSON = `{
 "intended": {"from": "PENDING", "to": "RUNNING"},
 "initial_state": {"type": "PENDING", "name": "Pending", "message": "", "state_details": {}},
 "validated_state": {"type": "RUNNING", "name": "Running", "message": "on it",
   "state_details": {"cache_key": "k", "untrackable_result": true}, "data": {"storage_key": "s"}},
 "task_run": {"name": "hello-0", "task_key": "hello-abc", "dynamic_key": "0", "cache_key": "k",
   "empirical_policy": {"max_retries": 0, "retry_delay_seconds": 0.0, "retries": 2, "retry_delay": [1, 2]},
   "tags": ["a", "b"], "labels": {"l": 1}, "task_inputs": {"x": []}, "run_count": 1, "flow_run_run_count": 2,
   "expected_start_time": "2026-11-24T00:28:04.311285Z", "start_time": "2026-11-24T00:28:05Z", "total_run_time": 90.5}
}`

// taskRunEvent is newEvent(n) with what a client says of its task run.
func taskRunEvent(t *testing.T, n int, payload string) *prefect.Event {
	t.Helper()
	e := newEvent(n)
	e.Event = "prefect.task-run.Running"
	e.Resource = prefect.NewResource("prefect.task-run."+taskRunID, prefect.LabelOrchestration, "client")
	e.Related = []prefect.Resource{
		prefect.NewResource("prefect.tag.a", prefect.LabelRole, "tag"),
		prefect.NewResource("prefect.flow-run."+flowRunID, prefect.LabelRole, "flow-run"),
	}
	e.Payload = json.RawMessage(payload)
	return e
}

func TestTaskRunRecord(t *testing.T) {
	e := taskRunEvent(t, 7, taskRunPayloadJSON)
	record, err := taskRunRecord(e)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	flowRun, details := uuid.MustParse(flowRunID), prefect.NewStateDetails()
	taskRun := uuid.MustParse(taskRunID)
	key, message, retries := "k", "on it", 2
	details.FlowRunID, details.TaskRunID, details.CacheKey, details.UntrackableResult = &flowRun, &taskRun, &key, true
	state := &prefect.State{ID: e.ID, Type: prefect.Running, Name: "Running", Timestamp: e.Occurred, Message: &message,
		Data: json.RawMessage(`{"storage_key": "s"}`), Details: details}
	expected, _ := prefect.ParseTime("2026-11-24T00:28:04.311285Z")
	started, _ := prefect.ParseTime("2026-11-24T00:28:05Z")
	want, err := json.Marshal(&prefect.TaskRunRecord{State: state, Run: &prefect.TaskRun{
		ID: taskRun, Created: e.Received, Updated: e.Received, Name: "hello-0", FlowRunID: &flowRun,
		TaskKey: "hello-abc", DynamicKey: "0", CacheKey: &key, FlowRunRunCount: 2, Tags: []string{"a", "b"},
		Labels: json.RawMessage(`{"l": 1}`), TaskInputs: json.RawMessage(`{"x": []}`),
		Policy: prefect.TaskRunPolicy{Retries: &retries, RetryDelay: json.RawMessage(`[1, 2]`)},
		RunTimes: prefect.RunTimes{StateID: &state.ID, StateType: &state.Type, StateName: &state.Name,
			StateTimestamp: &state.Timestamp, RunCount: 1, ExpectedStartTime: &expected, StartTime: &started, TotalRunTime: 90.5},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestTaskRunRecordOfLittle(t *testing.T) {
	e := taskRunEvent(t, 0, `{"validated_state":{"type":"SCHEDULED","data":null},"task_run":{"task_key":"k","dynamic_key":"d","labels":null}}`)
	e.Related = nil
	record, err := taskRunRecord(e)
	if err != nil {
		t.Fatal(err)
	}
	run, state := record.Run, record.State
	if run.FlowRunID != nil || run.Labels != nil || run.Tags != nil || run.CacheKey != nil || run.Name != "k" {
		t.Errorf("what was not sent is set: %+v", run)
	}
	if state.Data != nil || state.Name != "Scheduled" || *state.Details.ScheduledTime != e.Received {
		t.Errorf("the state is not normalized: %+v", state)
	}
}

func TestTaskRunRecordRefuses(t *testing.T) {
	for name, change := range map[string]func(*prefect.Event){
		"another kind of resource": func(e *prefect.Event) { e.Resource = prefect.NewResource("prefect.flow." + taskRunID) },
		"a resource without UUID":  func(e *prefect.Event) { e.Resource = prefect.NewResource("prefect.task-run.x") },
		"a flow run without UUID": func(e *prefect.Event) {
			e.Related = []prefect.Resource{prefect.NewResource("prefect.flow-run.x", prefect.LabelRole, "flow-run")}
		},
		"an empty payload": func(e *prefect.Event) { e.Payload = json.RawMessage(`{}`) },
		"no task run":      func(e *prefect.Event) { e.Payload = json.RawMessage(`{"validated_state":{"type":"RUNNING"}}`) },
		"no task key": func(e *prefect.Event) {
			e.Payload = json.RawMessage(`{"validated_state":{"type":"RUNNING"},"task_run":{"dynamic_key":"d"}}`)
		},
		"a wrong type": func(e *prefect.Event) {
			e.Payload = json.RawMessage(strings.Replace(taskRunPayloadJSON, `"run_count": 1`, `"run_count": "many"`, 1))
		},
		"a run time that no column holds": func(e *prefect.Event) {
			e.Payload = json.RawMessage(strings.Replace(taskRunPayloadJSON, `"total_run_time": 90.5`, `"total_run_time": -1e300`, 1))
		},
		"a state type that does not exist": func(e *prefect.Event) {
			e.Payload = json.RawMessage(strings.Replace(taskRunPayloadJSON, `"type": "RUNNING", "name"`, `"type": "running", "name"`, 1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := taskRunEvent(t, 0, taskRunPayloadJSON)
			change(e)
			if record, err := taskRunRecord(e); err == nil {
				t.Errorf("recorded %+v", record.Run)
			}
		})
	}
}
