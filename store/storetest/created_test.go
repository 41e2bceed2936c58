package storetest_test

import (
	"encoding/json"
	"testing"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store"
)

// The orchestrator proposes the next transition of a run that it made from what it
// wrote, so that has to be what the database would tell it. It leaves nothing nil
// that the database has empty.
func TestARunThatWasMadeIsWhatIsRead(t *testing.T) {
	eachURL(t, func(t *testing.T, db *store.DB, exec func(string)) {
		w := newWorld(t, db, exec)
		s := newState(prefect.Pending, at(1))
		s.Message = ptr("soon")
		s.Details.TransitionID = ptr(uuid.New())
		full := &prefect.FlowRun{ID: uuid.New(), Name: "full", FlowID: w.flow, DeploymentID: &w.deployment, DeploymentVersion: ptr("v"), WorkQueueID: &w.queue,
			WorkQueueName: ptr("default"), QueueName: ptr("default"), WorkPoolID: &w.pool, WorkPoolName: ptr("pool"), FlowVersion: ptr("1"),
			Parameters: json.RawMessage(`{"b":[1,2.50],"a":"é"}`), IdempotencyKey: ptr("key"), Context: json.RawMessage(`{"x":1}`), Tags: []string{"b", "a"},
			Labels: json.RawMessage(`{"l":1}`), AutoScheduled: true, InfrastructurePID: ptr("host:1"),
			CreatedBy: &prefect.CreatedBy{ID: ptr(uuid.New()), Type: ptr("DEPLOYMENT"), DisplayValue: ptr("d")}, JobVariables: json.RawMessage(`{"j":1}`)}
		full.Policy.Retries, full.Policy.PauseKeys = ptr(3), []string{"k"}
		full.RunCount, full.ExpectedStartTime = 1, ptr(at(1))
		bare := &prefect.FlowRun{ID: uuid.New(), Name: "bare", FlowID: w.flow, Parameters: json.RawMessage("{}"), Context: json.RawMessage("{}"), Tags: []string{}}
		for _, run := range []*prefect.FlowRun{full, bare} {
			state := *s
			state.ID = uuid.New()
			enter(&run.RunTimes, &state)
			check(t, db.Commit(ctx, &orchestrate.Commit{FlowRun: run, Create: true, State: &state}))
			run.State = &state
			wantJSON(t, run.Name, run, must(db.ReadFlowRun(ctx, run.ID))(t))
		}
		task := &prefect.TaskRun{ID: uuid.New(), Name: "task", FlowRunID: &full.ID, TaskKey: "t", DynamicKey: "0", Tags: []string{"b", "a"},
			TaskInputs: json.RawMessage("{}")}
		state := *s
		state.ID = uuid.New()
		enter(&task.RunTimes, &state)
		check(t, db.Commit(ctx, &orchestrate.Commit{TaskRun: task, Create: true, State: &state}))
		task.State = &state
		wantJSON(t, "task", task, must(db.ReadTaskRun(ctx, task.ID))(t))
	})
}
