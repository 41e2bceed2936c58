package storetest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store"
)

var ctx = context.Background()

// start is a fixed instant that fixtures count from.
var start = prefect.NewTime(time.Date(2026, 11, 23, 18, 0, 0, 123456000, time.UTC))

func ptr[T any](v T) *T { return &v }

func at(seconds int) prefect.Time { return start.Add(time.Duration(seconds) * time.Second) }

// id is the n-th of a fixed series of ids, which sort as n does.
func id(n int) uuid.UUID { return uuid.MustParse(fmt.Sprintf("00000000-0000-4000-8000-%012x", n)) }

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, code prefect.Code) {
	t.Helper()
	if prefect.CodeOf(err) != code {
		t.Fatalf("got error %v of code %q, want code %q", err, prefect.CodeOf(err), code)
	}
}

// wantJSON compares values by their JSON.
func wantJSON(t *testing.T, what string, got, want any) {
	t.Helper()
	canonical := func(v any) []byte {
		var plain any
		check(t, json.Unmarshal(must(json.Marshal(v))(t), &plain))
		return must(json.Marshal(plain))(t)
	}
	g, w := canonical(got), canonical(want)
	if string(g) != string(w) {
		t.Errorf("%s:\ngot  %s\nwant %s", what, g, w)
	}
}

func newFlow(t *testing.T, db *store.DB, f prefect.Flow) *prefect.Flow {
	t.Helper()
	if f.Name == "" {
		f.Name = "flow-" + uuid.NewString()
	}
	must(db.CreateFlow(ctx, &f))(t)
	return &f
}

func newState(t prefect.StateType, at prefect.Time) *prefect.State {
	s := &prefect.State{ID: uuid.New(), Type: t, Name: t.DefaultName(), Timestamp: at, Details: prefect.NewStateDetails()}
	s.Normalize(at)
	return s
}

// enter sets the columns of a run that name its state.
func enter(r *prefect.RunTimes, s *prefect.State) {
	r.StateID, r.StateType, r.StateName, r.StateTimestamp = &s.ID, &s.Type, &s.Name, &s.Timestamp
}

// newFlowRun creates the run with s as its first state, without any for nil.
func newFlowRun(t *testing.T, db *store.DB, r prefect.FlowRun, s *prefect.State) *prefect.FlowRun {
	t.Helper()
	if r.ID == uuid.Nil {
		r.ID = uuid.New()
	}
	if r.FlowID == uuid.Nil {
		r.FlowID = newFlow(t, db, prefect.Flow{}).ID
	}
	c := &orchestrate.Commit{FlowRun: &r, Create: true, State: s}
	if s != nil {
		enter(&r.RunTimes, s)
	}
	check(t, db.Commit(ctx, c))
	if c.Existing != nil {
		t.Fatalf("the run is there already: %v", *c.Existing)
	}
	return must(db.ReadFlowRun(ctx, r.ID))(t)
}

func newTaskRun(t *testing.T, db *store.DB, r prefect.TaskRun, s *prefect.State) *prefect.TaskRun {
	t.Helper()
	if r.ID == uuid.Nil {
		r.ID = uuid.New()
	}
	if r.TaskKey == "" {
		r.TaskKey = "task-" + r.ID.String()
	}
	c := &orchestrate.Commit{TaskRun: &r, Create: true, State: s}
	if s != nil {
		enter(&r.RunTimes, s)
	}
	check(t, db.Commit(ctx, c))
	return must(db.ReadTaskRun(ctx, r.ID))(t)
}

// transition commits s as the next state of the flow run.
func transition(db *store.DB, r *prefect.FlowRun, s *prefect.State) error {
	next := *r
	enter(&next.RunTimes, s)
	return db.Commit(ctx, &orchestrate.Commit{FlowRun: &next, State: s, ExpectStateID: r.StateID, ExpectUpdated: r.Updated})
}
