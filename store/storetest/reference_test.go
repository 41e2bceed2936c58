package storetest_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store"
)

// reference runs testdata/rows.py with the reference's own models on the database
// at url and returns the rows as they see them, by noun.
func reference(t *testing.T, url, what string) map[string][]any {
	t.Helper()
	python, err := filepath.Abs("../../.build/venv/bin/python")
	check(t, err)
	if _, err := os.Stat(python); err != nil {
		t.Fatal("the reference is not installed: run 'make venv'")
	}
	cmd := exec.Command(python, "testdata/rows.py", what)
	cmd.Env = append(os.Environ(), "PREFECT_HOME="+t.TempDir(), "PREFECT_SERVER_ANALYTICS_ENABLED=false",
		"PREFECT_API_DATABASE_CONNECTION_URL="+strings.Replace(url, "postgresql://", "postgresql+asyncpg://", 1))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("rows.py %s: %v\n%s", what, err, stderr.String())
	}
	var rows map[string][]any
	check(t, json.Unmarshal(stdout.Bytes(), &rows))
	return rows
}

func runTimesOf(r *prefect.RunTimes) map[string]any {
	return map[string]any{
		"state_id": r.StateID, "state_type": r.StateType, "state_name": r.StateName, "state_timestamp": r.StateTimestamp,
		"run_count": r.RunCount, "expected_start_time": r.ExpectedStartTime, "next_scheduled_start_time": r.NextScheduledStartTime,
		"start_time": r.StartTime, "end_time": r.EndTime, "total_run_time": r.TotalRunTime,
	}
}

// ours returns the rows as the store reads them, in the shape of reference.
func ours(t *testing.T, db *store.DB) map[string][]any {
	t.Helper()
	rows := map[string][]any{"Flow": {}, "FlowRun": {}, "TaskRun": {}, "Log": {}}
	all := prefect.Page{Sort: "ID_DESC", Limit: 1000}
	for _, f := range must(db.FilterFlows(ctx, prefect.Filters{}, prefect.Page{Sort: "NAME_ASC", Limit: 1000}))(t) {
		rows["Flow"] = append(rows["Flow"], f)
	}
	for _, r := range must(db.FilterFlowRuns(ctx, prefect.Filters{}, all))(t) {
		d := runTimesOf(&r.RunTimes)
		for k, v := range map[string]any{
			"id": r.ID, "created": r.Created, "updated": r.Updated, "name": r.Name, "flow_id": r.FlowID, "deployment_id": r.DeploymentID,
			"deployment_version": r.DeploymentVersion, "work_queue_id": r.WorkQueueID, "work_queue_name": r.WorkQueueName,
			"flow_version": r.FlowVersion, "parameters": r.Parameters, "idempotency_key": r.IdempotencyKey, "context": r.Context,
			"empirical_policy": r.Policy, "tags": r.Tags, "labels": r.Labels, "parent_task_run_id": r.ParentTaskRunID,
			"auto_scheduled": r.AutoScheduled, "infrastructure_document_id": r.InfrastructureDocumentID,
			"infrastructure_pid": r.InfrastructurePID, "created_by": r.CreatedBy, "job_variables": r.JobVariables, "state": r.State,
		} {
			d[k] = v
		}
		rows["FlowRun"] = append(rows["FlowRun"], d)
	}
	for _, r := range must(db.FilterTaskRuns(ctx, prefect.Filters{}, all))(t) {
		d := runTimesOf(&r.RunTimes)
		for k, v := range map[string]any{
			"id": r.ID, "created": r.Created, "updated": r.Updated, "name": r.Name, "flow_run_id": r.FlowRunID, "task_key": r.TaskKey,
			"dynamic_key": r.DynamicKey, "cache_key": r.CacheKey, "cache_expiration": r.CacheExpiration, "task_version": r.TaskVersion,
			"flow_run_run_count": r.FlowRunRunCount, "empirical_policy": r.Policy, "tags": r.Tags, "labels": r.Labels,
			"task_inputs": r.TaskInputs, "state": r.State,
		} {
			d[k] = v
		}
		rows["TaskRun"] = append(rows["TaskRun"], d)
	}
	for _, l := range must(db.FilterLogs(ctx, nil, prefect.Page{Sort: "TIMESTAMP_ASC", Limit: 1000}))(t) {
		rows["Log"] = append(rows["Log"], l)
	}
	return rows
}

// wantRows compares noun by noun, each by id.
func wantRows(t *testing.T, got, want map[string][]any) {
	t.Helper()
	for noun := range want {
		byID := func(rows []any) []string {
			list := make([]string, len(rows))
			for i, r := range rows {
				var plain map[string]any
				check(t, json.Unmarshal(must(json.Marshal(r))(t), &plain))
				list[i] = plain["id"].(string) + " " + string(must(json.Marshal(plain))(t))
			}
			slices.Sort(list)
			return list
		}
		g, w := byID(got[noun]), byID(want[noun])
		if len(w) == 0 {
			t.Errorf("no row of %s to compare", noun)
		}
		for i := range max(len(g), len(w)) {
			if i >= len(g) || i >= len(w) || g[i] != w[i] {
				t.Errorf("%s:\nstore     %s\nreference %s", noun, g[min(i, len(g)):], w[min(i, len(w)):])
				break
			}
		}
	}
}

func TestTheReferenceReadsWhatTheStoreWrites(t *testing.T) {
	eachURLAt(t, func(t *testing.T, db *store.DB, url string, exec func(string)) {
		newWorld(t, db, exec)
		run := must(db.ReadFlowRun(ctx, id(51)))(t)
		s := newState(prefect.Completed, at(70))
		s.Data = json.RawMessage(`{"type":"reference","artifact_key":"key","expiration":null,"v":["ü",1.5,{"é":"\u001f\u2028</x>"}]}`)
		s.Message = ptr("dône %_ \U0001f600")
		s.Details.ScheduledTime, s.Details.RunInputKeyset = ptr(at(1)), map[string]string{"a": "b"}
		check(t, transition(db, run, s))
		check(t, db.UpdateFlowRun(ctx, run.ID, func(r *prefect.FlowRun) error {
			r.Parameters = json.RawMessage(`{"x":[1,null,"é",1e3,-0.5],"empty":{},"nested":{"a":[[]]}}`)
			r.Labels, r.JobVariables, r.InfrastructurePID = json.RawMessage(`{"l":1}`), json.RawMessage(`{"env":{"A":"b"}}`), ptr("pid")
			r.Policy.Retries, r.Policy.RetryDelay, r.Policy.PauseKeys = ptr(2), ptr(5), []string{"k"}
			return nil
		}))
		check(t, db.UpdateTaskRun(ctx, id(62), func(r *prefect.TaskRun) error {
			r.TaskInputs = json.RawMessage(`{"x":[{"input_type":"task_run","id":"` + id(61).String() + `"}]}`)
			r.Policy.Retries, r.Policy.RetryDelay, r.CacheExpiration = ptr(1), json.RawMessage(`[1,2]`), ptr(at(9))
			return nil
		}))
		task := &prefect.TaskRun{ID: id(64), FlowRunID: ptr(id(53)), TaskKey: "recorded", DynamicKey: "0", Name: "recorded"}
		ts := newState(prefect.Completed, at(50))
		ts.Data = json.RawMessage(`{"type":"unpersisted"}`)
		enter(&task.RunTimes, ts)
		check(t, db.RecordTaskRuns(ctx, []*prefect.TaskRunRecord{{Run: task, State: ts}}))
		check(t, db.CreateLogs(ctx, []*prefect.Log{
			{Name: "n", Level: 20, Message: "m ü\x00 '", Timestamp: at(3), FlowRunID: ptr(id(51))},
			{ID: uuid.New(), Name: "o", Level: 40, Message: "", Timestamp: at(4), TaskRunID: ptr(id(61))},
		}))
		wantRows(t, ours(t, db), reference(t, url, "read"))
	})
}

func TestTheStoreReadsWhatTheReferenceWrites(t *testing.T) {
	eachURLAt(t, func(t *testing.T, db *store.DB, url string, _ func(string)) {
		want := reference(t, url, "write")
		wantRows(t, ours(t, db), want)
	})
}
