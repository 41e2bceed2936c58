package storetest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store"
	"github.com/interlock-run/interlock/store/storetest"
)

func TestFlows(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := &prefect.Flow{Name: "Flöw", Tags: []string{"a"}, Labels: json.RawMessage(`{"k":"v"}`)}
		if created := must(db.CreateFlow(ctx, f))(t); !created || f.ID == uuid.Nil || f.Created.IsZero() {
			t.Errorf("created %v, %+v", created, f)
		}
		again := &prefect.Flow{Name: "Flöw", Tags: []string{"b"}}
		if created := must(db.CreateFlow(ctx, again))(t); created {
			t.Error("a flow of that name was made twice")
		}
		wantJSON(t, "the flow found", again, f)
		check(t, db.UpdateFlow(ctx, f.ID, func(f *prefect.Flow) error { f.Tags = nil; return nil }))
		got := must(db.ReadFlowByName(ctx, f.Name))(t)
		if len(got.Tags) != 0 || got.Tags == nil || !got.Updated.After(f.Updated.Time) {
			t.Errorf("after the update: %+v", got)
		}
		no := errors.New("no")
		if err := db.UpdateFlow(ctx, f.ID, func(f *prefect.Flow) error { f.Tags = []string{"x"}; return no }); !errors.Is(err, no) {
			t.Errorf("got %v, want fn's error", err)
		}
		if got := must(db.ReadFlow(ctx, f.ID))(t); len(got.Tags) != 0 {
			t.Errorf("a failed update stands: %+v", got)
		}
		run := newFlowRun(t, db, prefect.FlowRun{FlowID: f.ID}, newState(prefect.Pending, at(0)))
		task := newTaskRun(t, db, prefect.TaskRun{FlowRunID: &run.ID}, newState(prefect.Pending, at(0)))
		check(t, db.DeleteFlow(ctx, f.ID))
		_, err := db.ReadTaskRun(ctx, task.ID)
		wantCode(t, err, prefect.NotFound)
		wantCode(t, db.DeleteFlow(ctx, f.ID), prefect.NotFound)
		wantCode(t, db.UpdateFlow(ctx, f.ID, nil), prefect.NotFound)
		_, err = db.ReadFlow(ctx, f.ID)
		wantCode(t, err, prefect.NotFound)
	})
}

func TestUpdateRuns(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		run := newFlowRun(t, db, prefect.FlowRun{Name: "a"}, newState(prefect.Pending, at(0)))
		check(t, db.UpdateFlowRun(ctx, run.ID, func(r *prefect.FlowRun) error {
			r.Name, r.Tags, r.StateName, r.RunCount = "b", []string{"t"}, ptr("ignored"), 9
			return nil
		}))
		got := must(db.ReadFlowRun(ctx, run.ID))(t)
		if got.Name != "b" || got.RunCount != 0 || *got.StateName != "Pending" || !got.Updated.After(run.Updated.Time) {
			t.Errorf("after the update: %+v", got)
		}
		if err := transition(db, run, newState(prefect.Running, at(1))); !errors.Is(err, orchestrate.ErrLostRace) {
			t.Errorf("a transition decided before the update: got %v, want ErrLostRace", err)
		}
		wantCode(t, db.UpdateFlowRun(ctx, run.ID, func(r *prefect.FlowRun) error { r.FlowID = uuid.New(); return nil }), prefect.Conflict)
		task := newTaskRun(t, db, prefect.TaskRun{FlowRunID: &run.ID, Name: "a"}, nil)
		check(t, db.UpdateTaskRun(ctx, task.ID, func(r *prefect.TaskRun) error { r.Name = "b"; return nil }))
		if got := must(db.ReadTaskRun(ctx, task.ID))(t); got.Name != "b" || got.State != nil {
			t.Errorf("after the update: %+v", got)
		}
		check(t, db.CreateLogs(ctx, []*prefect.Log{{Message: "m", Timestamp: at(0), FlowRunID: &run.ID, TaskRunID: &task.ID}}))
		check(t, db.DeleteTaskRun(ctx, task.ID))
		wantCode(t, db.DeleteTaskRun(ctx, task.ID), prefect.NotFound)
		if logs := must(db.FilterLogs(ctx, nil, prefect.Page{Sort: "TIMESTAMP_ASC", Limit: 9}))(t); len(logs) != 0 {
			t.Errorf("%d logs of a deleted run are left", len(logs))
		}
		check(t, db.DeleteFlowRun(ctx, run.ID))
		if states := must(db.ReadFlowRunStates(ctx, run.ID))(t); len(states) != 0 {
			t.Errorf("%d states of a deleted run are left", len(states))
		}
	})
}

func TestLogs(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		check(t, db.CreateLogs(ctx, nil))
		logs := make([]*prefect.Log, 450)
		for i := range logs {
			logs[i] = &prefect.Log{ID: id(i), Name: "log", Level: i % 50, Message: fmt.Sprintf("line %d", i), Timestamp: at(i), FlowRunID: ptr(id(1000 + i%2))}
		}
		logs[7].Message, logs[8].Message, logs[9].TaskRunID = "100% Failed / done_", "failed badly", ptr(id(5))
		check(t, db.CreateLogs(ctx, logs))
		asc := prefect.Page{Sort: "TIMESTAMP_ASC", Limit: 1000}
		if got := must(db.FilterLogs(ctx, nil, asc))(t); len(got) != len(logs) || got[0].ID != logs[0].ID || got[449].ID != logs[449].ID {
			t.Errorf("%d logs, want %d in order", len(got), len(logs))
		}
		for filter, want := range map[string][]int{
			`{"level":{"ge_":49}}`: {49, 99, 149, 199, 249, 299, 349, 399, 449},
			`{"level":{"le_":0},"timestamp":{"before_":"2026-11-23T18:01:40.123456Z"}}`:        {0, 50, 100},
			`{"timestamp":{"after_":"2026-11-23T18:07:29.123456Z"}}`:                           {449},
			`{"task_run_id":{"any_":["` + id(5).String() + `"]}}`:                              {9},
			`{"task_run_id":{"is_null_":false}}`:                                               {9},
			`{"flow_run_id":{"any_":["` + id(1001).String() + `"]},"text":{"query":"failed"}}`: {7},
			`{"text":{"query":"FAILED"}}`:                                                      {7, 8},
			`{"text":{"query":"failed -badly"}}`:                                               {7},
			`{"text":{"query":"+failed +badly"}}`:                                              {8},
			`{"text":{"query":"100% /"}}`:                                                      {7},
			`{"text":{"query":"\"done_ log\""}}`:                                               {7},
			`{"text":{"query":"line_1"}}`:                                                      nil,
			`{"operator":"or_","task_run_id":{"is_null_":false},"text":{"query":"badly"}}`:     {8, 9},
		} {
			var f prefect.LogFilter
			check(t, json.Unmarshal([]byte(filter), &f))
			var got []int
			for _, l := range must(db.FilterLogs(ctx, &f, asc))(t) {
				got = append(got, slices.IndexFunc(logs, func(x *prefect.Log) bool { return x.ID == l.ID }))
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: got %v, want %v", filter, got, want)
			}
		}
		wantCode(t, db.CreateLogs(ctx, []*prefect.Log{{Message: "new", Timestamp: at(0)}, logs[0]}), prefect.Conflict)
		if got := must(db.FilterLogs(ctx, nil, asc))(t); len(got) != len(logs) {
			t.Errorf("part of a refused batch stands: %d logs", len(got))
		}
	})
}

func TestSmallNouns(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		run := newFlowRun(t, db, prefect.FlowRun{}, nil)
		for i, key := range []string{"a-1", "a_2", "b-1", "a-3"} {
			check(t, db.CreateFlowRunInput(ctx, &prefect.FlowRunInput{ID: id(i), FlowRunID: run.ID, Key: key, Value: key}))
		}
		wantCode(t, db.CreateFlowRunInput(ctx, &prefect.FlowRunInput{FlowRunID: run.ID, Key: "a-1"}), prefect.Conflict)
		keys := func(list []*prefect.FlowRunInput) (keys []string) {
			for _, in := range list {
				keys = append(keys, in.Key)
			}
			return keys
		}
		if got := keys(must(db.FilterFlowRunInput(ctx, run.ID, "a-", 10, []string{"a-3", "x"}))(t)); !slices.Equal(got, []string{"a-1"}) {
			t.Errorf("inputs: %v", got)
		}
		if got := keys(must(db.FilterFlowRunInput(ctx, run.ID, "a", 2, nil))(t)); !slices.Equal(got, []string{"a-1", "a_2"}) {
			t.Errorf("inputs: %v", got)
		}
		check(t, db.DeleteFlowRunInput(ctx, run.ID, "a-1"))
		wantCode(t, db.DeleteFlowRunInput(ctx, run.ID, "a-1"), prefect.NotFound)
		_, err := db.ReadFlowRunInput(ctx, run.ID, "a-1")
		wantCode(t, err, prefect.NotFound)
		if in := must(db.ReadFlowRunInput(ctx, run.ID, "b-1"))(t); in.Value != "b-1" {
			t.Errorf("input %+v", in)
		}

		_, err = db.ReadConfiguration(ctx, "k")
		wantCode(t, err, prefect.NotFound)
		check(t, db.WriteConfiguration(ctx, "k", json.RawMessage(`{"a":1}`)))
		check(t, db.WriteConfiguration(ctx, "k", json.RawMessage(`{"a":2}`)))
		wantJSON(t, "configuration", must(db.ReadConfiguration(ctx, "k"))(t), json.RawMessage(`{"a":2}`))

		_, _, err = db.ReadCSRFToken(ctx, "c")
		wantCode(t, err, prefect.NotFound)
		check(t, db.CreateOrUpdateCSRFToken(ctx, "c", "one", at(0)))
		check(t, db.CreateOrUpdateCSRFToken(ctx, "c", "two", at(1)))
		if token, expiration, err := db.ReadCSRFToken(ctx, "c"); err != nil || token != "two" || !expiration.Equal(at(1).Time) {
			t.Errorf("token %q until %v, %v", token, expiration, err)
		}
		check(t, db.CreateOrUpdateCSRFToken(ctx, "old", "x", prefect.NewTime(at(0).AddDate(-100, 0, 0))))
		check(t, db.DeleteExpiredCSRFTokens(ctx))
		_, _, err = db.ReadCSRFToken(ctx, "old")
		wantCode(t, err, prefect.NotFound)
	})
}

func TestPolicies(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		audit := func(outcome string) *prefect.PolicyAudit {
			return &prefect.PolicyAudit{ID: uuid.New(), Created: at(2), Action: prefect.AuditPut, Outcome: outcome, Policy: "P", Modules: []string{}}
		}
		revision := must(db.PolicyRevision(ctx))(t)
		m := &prefect.PolicyModule{Digest: "sha256:a", Created: at(0), Size: 3, Manifest: json.RawMessage(`{"abi":1}`), Wasm: []byte{0, 'a', 255}}
		for i, want := range []bool{true, false} {
			if created := must(db.SaveModule(ctx, m, nil))(t); created != want {
				t.Errorf("save %d: created %v", i, created)
			}
		}
		must(db.SaveModule(ctx, &prefect.PolicyModule{Digest: "sha256:b", Created: at(1), Wasm: []byte{1}}, nil))(t)
		if got := must(db.ReadModule(ctx, m.Digest))(t); string(got.Wasm) != string(m.Wasm) || got.Size != 3 {
			t.Errorf("module %+v", got)
		}
		if list := must(db.ListModules(ctx))(t); len(list) != 2 || list[0].Digest != "sha256:b" || list[0].Wasm != nil {
			t.Errorf("modules %+v", list)
		}
		entries := []prefect.PolicyEntry{{Name: "R", Module: m.Digest, Rule: "r", Config: json.RawMessage(`{"x":1}`), OnError: prefect.Fallback},
			{Name: "S", Module: prefect.BuiltinModule, Rule: "s", OnError: prefect.Closed}}
		v := &prefect.PolicyVersion{Name: "P", Created: at(0), Reason: "put", Entries: entries}
		check(t, db.SavePolicyVersion(ctx, v, 0, audit(prefect.AuditDone)))
		wantCode(t, db.SavePolicyVersion(ctx, &prefect.PolicyVersion{Name: "P"}, 0, audit(prefect.AuditDone)), prefect.Conflict)
		wantCode(t, db.SavePolicyVersion(ctx, &prefect.PolicyVersion{Name: "P"}, 2, nil), prefect.Conflict)
		wantCode(t, db.SavePolicyVersion(ctx, &prefect.PolicyVersion{Name: "P", Entries: []prefect.PolicyEntry{{Module: "sha256:z"}}}, 1, nil), prefect.Conflict)
		wantCode(t, db.DeleteModule(ctx, m.Digest, nil), prefect.Conflict)
		check(t, db.SavePolicyVersion(ctx, &prefect.PolicyVersion{Name: "P", Created: at(1), Reason: "rollback", Entries: entries[1:]}, 1, nil))
		active := must(db.ActivePolicies(ctx))(t)
		if len(active) != 1 || active[0].Version != 2 || active[0].Entries[0].Name != "S" {
			t.Errorf("active: %+v", active)
		}
		all := must(db.ReadPolicyVersions(ctx, "P"))(t)
		if len(all) != 2 || all[0].Version != 2 {
			t.Errorf("versions: %+v", all)
		}
		wantJSON(t, "version 1", all[1], v)
		check(t, db.DeleteModule(ctx, m.Digest, nil))
		wantCode(t, db.DeleteModule(ctx, m.Digest, nil), prefect.NotFound)
		_, err := db.ReadModule(ctx, m.Digest)
		wantCode(t, err, prefect.NotFound)
		if now := must(db.PolicyRevision(ctx))(t); now != revision+3 {
			t.Errorf("the revision went from %d to %d in 3 changes", revision, now)
		}
		refused := audit(prefect.AuditRefused)
		check(t, db.AddPolicyAudit(ctx, refused))
		check(t, db.AddPolicyAudit(ctx, &prefect.PolicyAudit{ID: uuid.New(), Created: at(3), Action: prefect.AuditPush, Outcome: prefect.AuditRefused}))
		rows := must(db.FilterPolicyAudit(ctx, prefect.PolicyAuditFilter{Policy: "P", Limit: 10}))(t)
		if len(rows) != 2 || rows[1].Version != 1 || rows[1].Outcome != prefect.AuditDone {
			t.Errorf("audit of P: %+v", rows)
		}
		wantJSON(t, "refused", rows[0], refused)
		if rows = must(db.FilterPolicyAudit(ctx, prefect.PolicyAuditFilter{Outcome: prefect.AuditRefused, Limit: 10, Offset: 1}))(t); len(rows) != 1 || rows[0].ID != refused.ID {
			t.Errorf("audit of what was refused: %+v", rows)
		}
		for limit, want := range map[int]int{-1: 0, 0: 0, 1: 1} {
			if rows = must(db.FilterPolicyAudit(ctx, prefect.PolicyAuditFilter{Policy: "P", Limit: limit}))(t); len(rows) != want {
				t.Errorf("limit %d: %d rows", limit, len(rows))
			}
		}
	})
}

func TestRecordTaskRuns(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		run := newFlowRun(t, db, prefect.FlowRun{}, nil)
		record := func(n int, flowRun *uuid.UUID, key string, s *prefect.State, change func(*prefect.TaskRun)) *prefect.TaskRunRecord {
			r := &prefect.TaskRun{ID: id(n), FlowRunID: flowRun, TaskKey: "t", DynamicKey: key, Name: "t-" + key}
			enter(&r.RunTimes, s)
			if change != nil {
				change(r)
			}
			return &prefect.TaskRunRecord{Run: r, State: s}
		}
		pending, running, done := newState(prefect.Pending, at(1)), newState(prefect.Running, at(2)), newState(prefect.Completed, at(3))
		done.Data = json.RawMessage(`{"type":"reference"}`)
		sameInstant := newState(prefect.Failed, at(3))
		batch := []*prefect.TaskRunRecord{
			record(1, &run.ID, "0", pending, func(r *prefect.TaskRun) { r.Tags = []string{"a"}; r.CacheKey = ptr("c") }),
			record(1, &run.ID, "0", done, func(r *prefect.TaskRun) { r.RunCount = 1; r.EndTime = ptr(at(3)) }),
			record(1, &run.ID, "0", running, func(r *prefect.TaskRun) { r.RunCount = 7 }), // late: older than what is there
			record(2, &run.ID, "0", sameInstant, nil),                                     // another id, the same run
			record(3, nil, "9", newState(prefect.Running, at(1)), nil),
			record(4, ptr(uuid.New()), "0", newState(prefect.Running, at(1)), nil), // of a flow run that is gone
		}
		check(t, db.RecordTaskRuns(ctx, batch))
		check(t, db.RecordTaskRuns(ctx, batch)) // delivered twice
		for n, most := range []float64{prefect.MaxTotalRunTime, -prefect.MaxTotalRunTime} {
			check(t, db.RecordTaskRuns(ctx, []*prefect.TaskRunRecord{record(3, nil, "9", newState(prefect.Running, at(2+n)), func(r *prefect.TaskRun) { r.TotalRunTime = most })}))
			if got := must(db.ReadTaskRun(ctx, id(3)))(t); got.TotalRunTime != most {
				t.Errorf("a run time of %v became %v", most, got.TotalRunTime)
			}
		}
		got := must(db.ReadTaskRun(ctx, id(1)))(t)
		if *got.StateID != done.ID || got.RunCount != 1 || *got.CacheKey != "c" || !slices.Equal(got.Tags, []string{"a"}) || *got.State.Details.TaskRunID != id(1) {
			t.Errorf("the run is %+v", got)
		}
		wantJSON(t, "data", got.State.Data, done.Data)
		var types []prefect.StateType
		for _, s := range must(db.ReadTaskRunStates(ctx, id(1)))(t) {
			types = append(types, s.Type)
		}
		if want := []prefect.StateType{prefect.Pending, prefect.Running, prefect.Completed}; !slices.Equal(types, want) {
			t.Errorf("states %v, want %v", types, want)
		}
		if n := must(db.CountTaskRuns(ctx, prefect.Filters{}))(t); n != 2 {
			t.Errorf("there are %d task runs, want 2", n)
		}
		if s := must(db.ReadTaskRunState(ctx, running.ID))(t); s.Type != prefect.Running {
			t.Errorf("state %+v", s)
		}
	})
}

func TestFacts(t *testing.T) {
	eachURL(t, func(t *testing.T, db *store.DB, exec func(string)) {
		w := newWorld(t, db, exec)
		exec(fmt.Sprintf(`INSERT INTO concurrency_limit_v2 (id, updated, active, name, "limit", active_slots, denied_slots, slot_decay_per_second, avg_slot_occupancy_seconds)
			VALUES ('%s', '2026-11-23 18:00:00.123456', true, 'deployment:x', 5, 4, 0, 0.5, 2.0), ('%s', '2026-11-23 18:00:00.123456', true, 'tag:z', 2, 1, 0, 0, 2.5)`, id(81), id(82)))
		exec(fmt.Sprintf("UPDATE deployment SET concurrency_limit_id = '%s', concurrency_options = '{\"collision_strategy\": \"CANCEL_NEW\"}' WHERE id = '%s'", id(81), w.deployment))
		run := must(db.ReadFlowRun(ctx, id(51)))(t)
		retry := newState(prefect.Scheduled, at(20))
		retry.Name, retry.Message = "AwaitingRetry", ptr("boom")
		check(t, transition(db, run, retry))
		run = must(db.ReadFlowRun(ctx, id(51)))(t)
		check(t, transition(db, run, newState(prefect.Running, at(30))))
		cached := newState(prefect.Completed, at(60))
		cached.Data = json.RawMessage(`{"v":1}`)
		task := must(db.ReadTaskRun(ctx, w.task))(t)
		next := *task
		enter(&next.RunTimes, cached)
		check(t, db.Commit(ctx, &orchestrate.Commit{TaskRun: &next, State: cached, ExpectStateID: task.StateID, ExpectUpdated: task.Updated,
			Effects: []orchestrate.Effect{{Type: orchestrate.WriteCache, Payload: json.RawMessage(`{"cache_key":"ck","cache_expiration":null}`)}}}))

		keys := orchestrate.FactKeys{Attempts: &orchestrate.AttemptsKey{RunType: prefect.FlowRunType, RunID: id(51)}, FlowRun: ptr(id(52)),
			ParentTaskRun: ptr(id(62)), DeploymentID: &w.deployment, WorkQueueID: &w.queue, FlowID: ptr(id(12)), TaskKey: "none", Tags: []string{"z", "no"},
			CacheKey: ptr("ck"), RunID: id(51), RunType: prefect.FlowRunType, Now: at(43),
			Names: []string{"attempts", "flow_run", "parent_task_run", "deployment", "work_queue", "tag_limits", "cached_state", "recent_outcomes:10"}}
		facts := must(db.Facts(ctx, keys))(t)
		for name, want := range map[string]string{
			"attempts": `[{"number":1,"started":"2026-11-23T18:00:10.123456Z","ended":"2026-11-23T18:00:20.123456Z","type":"SCHEDULED","name":"AwaitingRetry","message":"boom"},
				{"number":2,"started":"2026-11-23T18:00:30.123456Z","ended":null,"type":null,"name":null,"message":null}]`,
			"flow_run":        `{"id":` + q(52) + `,"found":true,"run_count":0,"state":{"type":"SCHEDULED","name":"Late","state_details":{"pause_timeout":null,"pause_reschedule":false}}}`,
			"parent_task_run": `{"id":` + q(62) + `,"found":true,"name":"task-2","flow_run_id":` + q(53) + `,"run_count":0,"tags":["z"],"state":{"type":"COMPLETED","name":"Completed"}}`,
			"deployment":      `{"id":` + q(41) + `,"found":true,"limit":{"id":` + q(81) + `,"limit":5,"active":true,"used":0,"mine":0},"collision_strategy":"CANCEL_NEW","grace_period_seconds":null}`,
			"work_queue":      `{"id":` + q(31) + `,"found":true,"name":"default","work_pool_name":"pool","status":"NOT_READY","is_paused":false,"concurrency_limit":null,"priority":1}`,
			"tag_limits":      `[{"id":` + q(82) + `,"tag":"z","limit":2,"active":true,"used":1,"mine":0,"avg_slot_occupancy_seconds":2.5}]`,
			"recent_outcomes:10": `{"window_seconds":10,"flow":{"COMPLETED":1,"FAILED":0,"CANCELLED":0,"CRASHED":0},
				"deployment":{"COMPLETED":0,"FAILED":0,"CANCELLED":0,"CRASHED":0},"task":{"COMPLETED":0,"FAILED":0,"CANCELLED":0,"CRASHED":0}}`,
		} {
			wantJSON(t, name, facts[name], json.RawMessage(want))
		}
		var hit struct{ ID, Result string }
		check(t, json.Unmarshal(facts["cached_state"], &hit))
		if hit.ID != cached.ID.String() || hit.Result != "object" {
			t.Errorf("cached state: %s", facts["cached_state"])
		}
		var full prefect.State
		check(t, json.Unmarshal(facts[orchestrate.CachedStateFull], &full))
		wantJSON(t, "the whole cached state", full, cached)

		keys.Now = at(5)
		keys.Names = []string{"deployment"}
		wantJSON(t, "used after 5 s", must(db.Facts(ctx, keys))(t)["deployment"], json.RawMessage(`{"id":`+q(41)+
			`,"found":true,"limit":{"id":`+q(81)+`,"limit":5,"active":true,"used":2,"mine":0},"collision_strategy":"CANCEL_NEW","grace_period_seconds":null}`))
		keys.DeploymentID = ptr(id(99))
		wantJSON(t, "a row that is gone", must(db.Facts(ctx, keys))(t), json.RawMessage(`{"deployment":{"id":`+q(99)+`,"found":false}}`))
		keys.DeploymentID = nil
		wantJSON(t, "no key", must(db.Facts(ctx, keys))(t), json.RawMessage(`{"deployment":null}`))
		keys.Names = []string{"weather"}
		if _, err := db.Facts(ctx, keys); err == nil {
			t.Error("an unknown fact is no error")
		}
	})
}

func TestUnsupportedEffect(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		run := newFlowRun(t, db, prefect.FlowRun{}, newState(prefect.Pending, at(0)))
		next, s := *run, newState(prefect.Running, at(1))
		enter(&next.RunTimes, s)
		err := db.Commit(ctx, &orchestrate.Commit{FlowRun: &next, State: s, ExpectStateID: run.StateID, ExpectUpdated: run.Updated,
			Effects: []orchestrate.Effect{{Type: orchestrate.AcquireSlots}}})
		if err == nil || must(db.ReadFlowRun(ctx, run.ID))(t).State.Type != prefect.Pending {
			t.Errorf("an effect that is not supported: got %v and the state was written", err)
		}
	})
}

func TestLateness(t *testing.T) {
	eachURL(t, func(t *testing.T, db *store.DB, exec func(string)) {
		if average := must(db.AverageFlowRunLateness(ctx, prefect.Filters{}))(t); average != nil {
			t.Errorf("the lateness of no runs is %v", *average)
		}
		newWorld(t, db, exec)
		started := prefect.Filters{FlowRuns: &prefect.FlowRunFilter{StartTime: &prefect.TimeOrNullCriteria{IsNull: ptr(false)}}}
		if average := must(db.AverageFlowRunLateness(ctx, started))(t); average == nil || *average < 2.999 || *average > 3.001 {
			t.Errorf("the lateness is %v, want 3", average)
		}
	})
}
