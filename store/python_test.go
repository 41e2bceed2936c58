package store_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store"
	"github.com/interlock-run/interlock/store/storetest"
)

// orm runs testdata/orm.py on the database at url and returns what it prints as
// its last line.
func orm(t *testing.T, url string, args ...string) map[string]any {
	t.Helper()
	out := reference(t, alchemy(url), append([]string{"python", "testdata/orm.py"}, args...)...)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var v map[string]any
	for _, line := range slices.Backward(lines) {
		if strings.HasPrefix(line, "{") {
			if err := json.Unmarshal([]byte(line), &v); err != nil {
				t.Fatalf("%v in %s", err, line)
			}
			return v
		}
	}
	t.Fatalf("orm.py printed %s", out)
	return nil
}

// ormTime is a time as orm.py prints it.
func ormTime(t *prefect.Time) any {
	if t == nil {
		return nil
	}
	return t.Format("2006-01-02T15:04:05.000000Z")
}

// summary describes a flow run in the terms of orm.py.
func summary(t *testing.T, db *store.DB, id uuid.UUID) map[string]any {
	t.Helper()
	ctx := context.Background()
	run, err := db.ReadFlowRun(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	flow, err := db.ReadFlow(ctx, run.FlowID)
	if err != nil {
		t.Fatal(err)
	}
	states, err := db.ReadFlowRunStates(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	runs := &prefect.FlowRunFilter{ID: &prefect.AnyNotAny[uuid.UUID]{Any: []uuid.UUID{id}}}
	tasks, err := db.FilterTaskRuns(ctx, prefect.Filters{FlowRuns: runs}, prefect.Page{Sort: "ID_DESC", Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	logs, err := db.FilterLogs(ctx, &prefect.LogFilter{FlowRunID: &prefect.Any[uuid.UUID]{Any: []uuid.UUID{id}}}, prefect.Page{Sort: "TIMESTAMP_ASC", Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	s := map[string]any{
		"flow":   map[string]any{"id": flow.ID, "name": flow.Name, "tags": flow.Tags},
		"run":    summaryOfRun(run),
		"state":  summaryOfState(run.State),
		"states": []any{}, "task_runs": []any{}, "logs": []any{},
	}
	for _, st := range states {
		s["states"] = append(s["states"].([]any), st.Name)
	}
	for _, task := range tasks {
		s["task_runs"] = append(s["task_runs"].([]any), map[string]any{
			"id": task.ID, "task_key": task.TaskKey, "dynamic_key": task.DynamicKey, "inputs": task.TaskInputs,
			"retry_delay": task.Policy.RetryDelay, "state_name": task.StateName, "total_run_time": task.TotalRunTime,
		})
	}
	for _, l := range logs {
		s["logs"] = append(s["logs"].([]any), map[string]any{"name": l.Name, "level": l.Level, "message": l.Message, "timestamp": ormTime(&l.Timestamp)})
	}
	return s
}

func summaryOfRun(r *prefect.FlowRun) map[string]any {
	keys := slices.Sorted(slices.Values(r.Policy.PauseKeys))
	if keys == nil {
		keys = []string{}
	}
	return map[string]any{
		"id": r.ID, "created": ormTime(&r.Created), "updated": ormTime(&r.Updated), "name": r.Name, "tags": r.Tags,
		"parameters": r.Parameters, "idempotency_key": r.IdempotencyKey, "retries": r.Policy.Retries, "pause_keys": keys,
		"state_type": r.StateType, "state_name": r.StateName, "run_count": r.RunCount,
		"expected_start_time": ormTime(r.ExpectedStartTime), "start_time": ormTime(r.StartTime), "end_time": ormTime(r.EndTime),
		"total_run_time": r.TotalRunTime, "auto_scheduled": r.AutoScheduled,
	}
}

func summaryOfState(s *prefect.State) map[string]any {
	return map[string]any{
		"id": s.ID, "type": s.Type, "name": s.Name, "message": s.Message, "timestamp": ormTime(&s.Timestamp),
		"transition_id": s.Details.TransitionID, "data": s.Data,
	}
}

// sameSummary compares the parts by their JSON, each named.
func sameSummary(t *testing.T, ours, theirs map[string]any) {
	t.Helper()
	if len(ours) != len(theirs) {
		t.Errorf("%d parts on our side, %d on theirs", len(ours), len(theirs))
	}
	for part, value := range ours {
		if a, b := canonical(t, value), canonical(t, theirs[part]); a != b {
			t.Errorf("%s:\nours   %s\ntheirs %s", part, a, b)
		}
	}
}

// canonical is v as JSON with its keys sorted.
func canonical(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var plain any
	if err := json.Unmarshal(b, &plain); err != nil {
		t.Fatal(err)
	}
	if b, err = json.Marshal(plain); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestWhatTheReferenceWroteIsRead(t *testing.T) {
	for kind, url := range storetest.URLs(t) {
		t.Run(kind, func(t *testing.T) {
			theirs := orm(t, url, "write")
			before := factsOf(t, kind, url)
			id := uuid.MustParse(theirs["run"].(map[string]any)["id"].(string))
			sameSummary(t, summary(t, storetest.Open(t, url), id), theirs)
			sameFacts(t, factsOf(t, kind, url), before) // our own tables aside
			if ours := rowsOf(t, url, "SELECT count(*) FROM interlock_meta"); ours[0] == "0" {
				t.Error("our own tables were not made")
			}
		})
	}
}

func TestTheReferenceReadsAndContinuesWhatWeWrote(t *testing.T) {
	for kind, url := range storetest.URLs(t) {
		t.Run(kind, func(t *testing.T) {
			db := storetest.Open(t, url)
			id := writeRun(t, db)
			sameSummary(t, summary(t, db, id), orm(t, url, "read", id.String()))
			run, err := db.ReadFlowRun(context.Background(), id)
			if err != nil {
				t.Fatal(err)
			}
			if run.State.Type != prefect.Completed || run.StateType == nil || *run.StateType != prefect.Completed {
				t.Errorf("the reference completed the run, and it is %s", run.State.Type)
			}
		})
	}
}

// writeRun makes a flow run with a history, a task run and a log.
func writeRun(t *testing.T, db *store.DB) uuid.UUID {
	t.Helper()
	ctx := context.Background()
	start := prefect.NewTime(time.Date(2026, 11, 23, 18, 0, 0, 123456000, time.UTC))
	fatal := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	flow := &prefect.Flow{Name: "from-interlock", Tags: []string{"a", "ü"}}
	_, err := db.CreateFlow(ctx, flow)
	fatal(err)
	key, retries := "once", 2
	run := &prefect.FlowRun{
		ID: uuid.New(), FlowID: flow.ID, Name: "über-run", Tags: []string{"x", "y"}, IdempotencyKey: &key,
		Parameters: json.RawMessage(`{"n":1.5,"text":"quote \" and \u2028 ä"}`),
		Policy:     prefect.FlowRunPolicy{Retries: &retries, PauseKeys: []string{"k2", "k1"}},
	}
	run.ExpectedStartTime = &start
	enter(&run.RunTimes, prefect.Pending, start)
	fatal(db.Commit(ctx, &orchestrate.Commit{FlowRun: run, Create: true, State: stateOf(run.RunTimes, nil)}))
	run, err = db.ReadFlowRun(ctx, run.ID)
	fatal(err)
	expect, message := run.StateID, "broke: ä"
	enter(&run.RunTimes, prefect.Failed, start.Add(2250*time.Millisecond))
	run.RunCount, run.TotalRunTime = 1, 1.25
	run.StartTime, run.EndTime = start.Add(time.Second).Ptr(), run.StateTimestamp
	failed := stateOf(run.RunTimes, &message)
	failed.Data = json.RawMessage(`{"type":"reference","storage_key":"ä"}`)
	fatal(db.Commit(ctx, &orchestrate.Commit{FlowRun: run, State: failed, ExpectStateID: expect, ExpectUpdated: run.Updated}))
	task := &prefect.TaskRun{
		ID: uuid.New(), FlowRunID: &run.ID, Name: "t-0", TaskKey: "t", DynamicKey: "0",
		TaskInputs: json.RawMessage(`{"x":[{"input_type":"parameter","name":"p"}]}`),
		Policy:     prefect.TaskRunPolicy{Retries: &retries, RetryDelay: json.RawMessage("[1,2]")},
	}
	enter(&task.RunTimes, prefect.Completed, start)
	task.TotalRunTime = 2.5
	fatal(db.Commit(ctx, &orchestrate.Commit{TaskRun: task, Create: true, State: stateOf(task.RunTimes, nil)}))
	fatal(db.CreateLogs(ctx, []*prefect.Log{{ID: uuid.New(), Name: "prefect", Level: 20, Message: "done ✓", Timestamp: start, FlowRunID: &run.ID}}))
	return run.ID
}

// enter gives the run the columns of a new state.
func enter(r *prefect.RunTimes, kind prefect.StateType, at prefect.Time) {
	id, name := uuid.New(), kind.DefaultName()
	r.StateID, r.StateType, r.StateName, r.StateTimestamp = &id, &kind, &name, &at
}

// stateOf is the state that the columns of a run name.
func stateOf(r prefect.RunTimes, message *string) *prefect.State {
	s := &prefect.State{ID: *r.StateID, Type: *r.StateType, Name: *r.StateName, Timestamp: *r.StateTimestamp, Message: message, Details: prefect.NewStateDetails()}
	transition := uuid.New()
	s.Details.TransitionID = &transition
	return s
}
