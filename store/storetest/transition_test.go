package storetest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store"
	"github.com/interlock-run/interlock/store/storetest"
)

func TestACommitWritesWhatChanged(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		run := newFlowRun(t, db, prefect.FlowRun{Name: "r"}, newState(prefect.Scheduled, at(0)))
		for i, s := range []*prefect.State{newState(prefect.Running, at(1)), newState(prefect.Failed, at(2)), newState(prefect.Scheduled, at(3))} {
			next := *run
			enter(&next.RunTimes, s)
			next.NextScheduledStartTime, next.StartTime, next.EndTime = nil, ptr(at(1)), nil
			next.TotalRunTime += 1.5
			switch s.Type {
			case prefect.Running:
				next.RunCount++
			case prefect.Failed:
				next.EndTime = ptr(at(2))
			default:
				next.NextScheduledStartTime = ptr(at(9))
			}
			c := &orchestrate.Commit{FlowRun: &next, State: s, ExpectStateID: run.StateID, ExpectUpdated: run.Updated, Was: &run.RunTimes, Unanswered: ptr(uuid.New())}
			check(t, db.Commit(ctx, c))
			run = must(db.ReadFlowRun(ctx, run.ID))(t)
			wantJSON(t, fmt.Sprintf("the times after step %d", i), run.RunTimes, next.RunTimes)
		}
	})
}

func TestCommit(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		run := newFlowRun(t, db, prefect.FlowRun{Name: "r"}, newState(prefect.Pending, at(0)))
		s := newState(prefect.Running, at(1))
		s.Data = json.RawMessage(`{"type":"reference","x":[1,"é/\u007f"]}`)
		s.Message = ptr("it's %running_ — ü")
		s.Details.TransitionID = ptr(uuid.New())
		next := *run
		enter(&next.RunTimes, s)
		next.RunCount, next.TotalRunTime, next.StartTime = 1, 12.000345, ptr(at(1))
		next.Policy.Retries, next.Policy.PauseKeys = ptr(3), []string{"k"}
		d := &prefect.Decision{ID: uuid.New(), Created: at(1), RunType: prefect.FlowRunType, RunID: run.ID, TransitionID: s.Details.TransitionID,
			Policy: prefect.CoreFlowPolicy, ProposedType: prefect.Running, ProposedName: "Running", Status: prefect.Accept, StateID: &s.ID, Tries: 1}
		c := &orchestrate.Commit{FlowRun: &next, State: s, ExpectStateID: run.StateID, ExpectUpdated: run.Updated, Decision: d,
			Outbox: []orchestrate.OutboxItem{{Kind: "event", Key: "a", Payload: json.RawMessage(`{"n":1}`)}, {Kind: "event", Key: "b"}}}
		check(t, db.Commit(ctx, c))
		if !next.Updated.After(run.Updated.Time) {
			t.Errorf("updated did not grow: %v then %v", run.Updated, next.Updated)
		}
		got := must(db.ReadFlowRun(ctx, run.ID))(t)
		if !got.Updated.Equal(next.Updated.Time) || got.RunCount != 1 || got.TotalRunTime != 12.000345 || !got.StartTime.Equal(at(1).Time) {
			t.Errorf("the run is %+v", got)
		}
		wantJSON(t, "policy", got.Policy, next.Policy)
		wantJSON(t, "state", got.State, s)

		found, state, err := db.FindDecision(ctx, prefect.FlowRunType, run.ID, *s.Details.TransitionID)
		check(t, err)
		wantJSON(t, "decision", found, d)
		wantJSON(t, "state of the decision", state, s)
		rows := must(db.ReadOutbox(ctx, 10, "event"))(t)
		if len(rows) != 2 || rows[0].Key != "a" || string(rows[0].Payload) != `{"n":1}` || rows[1].Key != "b" {
			t.Errorf("the outbox has %+v", rows)
		}
		check(t, db.DeleteOutbox(ctx, []int64{rows[0].Seq, 12345}))
		if rows := must(db.ReadOutbox(ctx, 10, "event"))(t); len(rows) != 1 {
			t.Errorf("after a delete the outbox has %+v", rows)
		}

		// What was expected before no longer holds.
		again := newState(prefect.Completed, at(2))
		if err := transition(db, run, again); !errors.Is(err, orchestrate.ErrLostRace) {
			t.Errorf("a stale commit: got %v, want ErrLostRace", err)
		}
		stale := *got
		stale.State, stale.StateID = nil, nil
		if err := transition(db, &stale, again); !errors.Is(err, orchestrate.ErrLostRace) {
			t.Errorf("a commit that expects no state: got %v, want ErrLostRace", err)
		}
		if err := transition(db, run, s); !errors.Is(err, orchestrate.ErrLostRace) {
			t.Errorf("the same commit again: got %v, want ErrLostRace", err)
		}
		answered := *got
		c = &orchestrate.Commit{FlowRun: &answered, State: again, ExpectStateID: got.StateID, ExpectUpdated: got.Updated, Unanswered: s.Details.TransitionID}
		if err := db.Commit(ctx, c); !errors.Is(err, orchestrate.ErrLostRace) {
			t.Errorf("a commit for a transition id that was answered: got %v, want ErrLostRace", err)
		}
		if states := must(db.ReadFlowRunStates(ctx, run.ID))(t); len(states) != 2 {
			t.Errorf("the run has %d states, want 2", len(states))
		}
		for limit, want := range map[int]int{-1: 0, 0: 0, 1: 1} {
			if list := must(db.FilterDecisions(ctx, prefect.DecisionFilter{RunID: &run.ID, Limit: limit}))(t); len(list) != want {
				t.Errorf("limit %d: %d decisions", limit, len(list))
			}
		}
		check(t, db.DeleteFlowRun(ctx, run.ID))
		wantCode(t, transition(db, got, again), prefect.NotFound)
		if left := must(db.FilterDecisions(ctx, prefect.DecisionFilter{RunID: &run.ID, Limit: 10}))(t); len(left) != 0 {
			t.Errorf("%d decisions are left of a deleted run", len(left))
		}
	})
}

func TestCommitMovesTimestamp(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		run := newFlowRun(t, db, prefect.FlowRun{RunTimes: prefect.RunTimes{ExpectedStartTime: ptr(at(0))}}, newState(prefect.Pending, at(0)))
		s := newState(prefect.Running, at(0))
		next := *run
		enter(&next.RunTimes, s)
		next.StartTime = ptr(at(0))
		check(t, db.Commit(ctx, &orchestrate.Commit{FlowRun: &next, State: s, ExpectStateID: run.StateID, ExpectUpdated: run.Updated}))
		moved := at(0).Add(1000)
		got := must(db.ReadFlowRun(ctx, run.ID))(t)
		for name, v := range map[string]prefect.Time{"given back": s.Timestamp, "state": got.State.Timestamp,
			"state_timestamp": *got.StateTimestamp, "start_time": *got.StartTime} {
			if !v.Equal(moved.Time) {
				t.Errorf("%s is %v, want %v", name, v, moved)
			}
		}
		if !got.ExpectedStartTime.Equal(at(0).Time) {
			t.Errorf("expected_start_time moved to %v", got.ExpectedStartTime)
		}
	})
}

func TestCommitCreate(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		flow := newFlow(t, db, prefect.Flow{})
		first := newFlowRun(t, db, prefect.FlowRun{FlowID: flow.ID, IdempotencyKey: ptr("k"), Tags: []string{"a"}}, newState(prefect.Scheduled, at(0)))
		s := newState(prefect.Pending, at(1))
		c := &orchestrate.Commit{FlowRun: &prefect.FlowRun{ID: uuid.New(), FlowID: flow.ID, IdempotencyKey: ptr("k")}, Create: true, State: s,
			Outbox: []orchestrate.OutboxItem{{Kind: "event", Key: "no"}}}
		check(t, db.Commit(ctx, c))
		if c.Existing == nil || *c.Existing != first.ID {
			t.Fatalf("existing is %v, want %v", c.Existing, first.ID)
		}
		_, err := db.ReadFlowRunState(ctx, s.ID)
		wantCode(t, err, prefect.NotFound)
		if rows := must(db.ReadOutbox(ctx, 10, "event"))(t); len(rows) != 0 {
			t.Errorf("the outbox has %+v", rows)
		}
		wantCode(t, db.Commit(ctx, &orchestrate.Commit{FlowRun: &prefect.FlowRun{ID: uuid.New(), FlowID: uuid.New()}, Create: true}), prefect.Conflict)

		for name, flowRun := range map[string]*uuid.UUID{"in a flow run": &first.ID, "alone": nil} {
			task := newTaskRun(t, db, prefect.TaskRun{FlowRunID: flowRun, TaskKey: "t", DynamicKey: "0"}, newState(prefect.Pending, at(0)))
			c := &orchestrate.Commit{TaskRun: &prefect.TaskRun{ID: uuid.New(), FlowRunID: flowRun, TaskKey: "t", DynamicKey: "0"}, Create: true}
			check(t, db.Commit(ctx, c))
			if c.Existing == nil || *c.Existing != task.ID {
				t.Errorf("task run %s: existing is %v, want %v", name, c.Existing, task.ID)
			}
		}
	})
}

func TestCommitNested(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		outer := newFlowRun(t, db, prefect.FlowRun{}, nil)
		parent := newTaskRun(t, db, prefect.TaskRun{FlowRunID: &outer.ID}, newState(prefect.Pending, at(0)))
		child := newFlowRun(t, db, prefect.FlowRun{ParentTaskRunID: &parent.ID}, newState(prefect.Pending, at(0)))
		data := json.RawMessage(`{"artifact_key": "k", "artifact_description": "d", "v": 1}`)
		s := newState(prefect.Completed, at(1))
		s.Data = data
		copied := newState(prefect.Completed, at(1))
		copied.Data = data
		nextChild, nextParent := *child, *parent
		enter(&nextChild.RunTimes, s)
		enter(&nextParent.RunTimes, copied)
		c := &orchestrate.Commit{FlowRun: &nextChild, State: s, ExpectStateID: child.StateID, ExpectUpdated: child.Updated,
			Nested: []*orchestrate.Commit{{TaskRun: &nextParent, State: copied, ExpectStateID: parent.StateID, ExpectUpdated: start}}}
		if err := db.Commit(ctx, c); !errors.Is(err, orchestrate.ErrLostRace) {
			t.Fatalf("a nested commit that is stale: got %v, want ErrLostRace", err)
		}
		if got := must(db.ReadFlowRun(ctx, child.ID))(t); got.State.Type != prefect.Pending {
			t.Errorf("the outer commit stands: %v", got.State.Type)
		}
		c.Nested[0].ExpectUpdated = parent.Updated
		check(t, db.Commit(ctx, c))
		for _, got := range []*prefect.State{must(db.ReadFlowRun(ctx, child.ID))(t).State, must(db.ReadTaskRun(ctx, parent.ID))(t).State} {
			if got.Type != prefect.Completed {
				t.Errorf("a state is %v", got.Type)
			}
			wantJSON(t, "data", got.Data, json.RawMessage(`{"v":1}`))
		}
	})
}

func TestCommitRaces(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		run := newFlowRun(t, db, prefect.FlowRun{}, newState(prefect.Pending, at(0)))
		const racers = 16
		errs := make([]error, racers)
		var wg sync.WaitGroup
		for i := range racers {
			wg.Add(1)
			go func() {
				defer wg.Done()
				errs[i] = transition(db, run, newState(prefect.Running, at(1)))
			}()
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			switch {
			case err == nil:
				won++
			case !errors.Is(err, orchestrate.ErrLostRace):
				t.Errorf("got %v, want ErrLostRace", err)
			}
		}
		if states := must(db.ReadFlowRunStates(ctx, run.ID))(t); won != 1 || len(states) != 2 {
			t.Errorf("%d racers won and there are %d states, want 1 and 2", won, len(states))
		}
	})
}

func TestExclusive(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		run := newFlowRun(t, db, prefect.FlowRun{}, newState(prefect.Pending, at(0)))
		const racers = 8
		var wg sync.WaitGroup
		errs := make([]error, racers)
		for i := range racers {
			wg.Add(1)
			go func() {
				defer wg.Done()
				errs[i] = db.Exclusive(ctx, prefect.FlowRunType, run.ID, func(s orchestrate.Store) error {
					r, err := s.ReadFlowRun(ctx, run.ID)
					if err != nil {
						return err
					}
					state := newState(prefect.Running, at(1))
					next := *r
					enter(&next.RunTimes, state)
					next.RunCount++
					return s.Commit(ctx, &orchestrate.Commit{FlowRun: &next, State: state, ExpectStateID: r.StateID, ExpectUpdated: r.Updated})
				})
			}()
		}
		wg.Wait()
		check(t, errors.Join(errs...))
		if got := must(db.ReadFlowRun(ctx, run.ID))(t); got.RunCount != racers {
			t.Errorf("run count is %d, want %d", got.RunCount, racers)
		}
		failed := errors.New("no")
		err := db.Exclusive(ctx, prefect.FlowRunType, run.ID, func(s orchestrate.Store) error {
			r, err := s.ReadFlowRun(ctx, run.ID)
			if err != nil {
				return err
			}
			state := newState(prefect.Completed, at(9))
			enter(&r.RunTimes, state)
			if err := s.Commit(ctx, &orchestrate.Commit{FlowRun: r, State: state, ExpectStateID: &r.State.ID, ExpectUpdated: r.Updated}); err != nil {
				return err
			}
			return failed
		})
		if !errors.Is(err, failed) {
			t.Errorf("got %v, want fn's error", err)
		}
		if got := must(db.ReadFlowRun(ctx, run.ID))(t); got.State.Type != prefect.Running {
			t.Errorf("what a failed fn committed stands: %v", got.State.Type)
		}
		unknown := uuid.New()
		wantCode(t, db.Exclusive(ctx, prefect.FlowRunType, unknown, func(s orchestrate.Store) error {
			_, err := s.ReadFlowRun(ctx, unknown)
			return err
		}), prefect.NotFound)
	})
}

func TestCommitWithNUL(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		run := newFlowRun(t, db, prefect.FlowRun{}, newState(prefect.Running, at(0)))
		s := newState(prefect.Failed, at(1))
		s.Name, s.Message, s.Data = "Fai\x00led", ptr("a\x00b"), json.RawMessage(`{"x":"a\u0000b"}`)
		next := *run
		enter(&next.RunTimes, s)
		check(t, db.Commit(ctx, &orchestrate.Commit{FlowRun: &next, State: s, ExpectStateID: run.StateID, ExpectUpdated: run.Updated,
			Outbox: []orchestrate.OutboxItem{{Kind: "event", Key: "a\x00", Payload: json.RawMessage(`{"m":"\u0000"}`)}}}))
		if got := must(db.ReadFlowRun(ctx, run.ID))(t); got.State.Type != prefect.Failed {
			t.Errorf("the state is %v", got.State.Type)
		}
		check(t, db.WriteEvents(ctx, []*prefect.Event{{ID: id(1), Occurred: at(1), Received: at(1), Event: "e\x00",
			Resource: prefect.NewResource("r", "l", "a\x00b"), Payload: json.RawMessage(`{"m":"\u0000"}`)}}))
	})
}
