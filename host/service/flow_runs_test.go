package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
)

var noon = prefect.NewTime(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC))

// fakeHost is a store and an orchestrator: it compares the expected state, writes
// the proposed one and remembers the proposals.
type fakeHost struct {
	rows      []orchestrate.OutboxRow
	runs      []*prefect.FlowRun
	proposals []orchestrate.Proposal
	fail      func(id uuid.UUID) error
	pages     []prefect.Page
}

func (f *fakeHost) ReadOutbox(_ context.Context, limit int, kinds ...string) (rows []orchestrate.OutboxRow, err error) {
	for _, row := range f.rows {
		if slices.Contains(kinds, row.Kind) && len(rows) < limit {
			rows = append(rows, row)
		}
	}
	return rows, nil
}

func (f *fakeHost) DeleteOutbox(_ context.Context, seqs []int64) error {
	f.rows = slices.DeleteFunc(f.rows, func(r orchestrate.OutboxRow) bool { return slices.Contains(seqs, r.Seq) })
	return nil
}

func (f *fakeHost) FilterFlowRuns(_ context.Context, filter prefect.Filters, p prefect.Page) ([]*prefect.FlowRun, error) {
	f.pages = append(f.pages, p)
	var runs []*prefect.FlowRun
	for _, run := range f.runs {
		if slices.Contains(filter.FlowRuns.State.Type.Any, run.State.Type) {
			c := *run
			runs = append(runs, &c)
		}
	}
	return runs[min(p.Offset, len(runs)):min(p.Offset+p.Limit, len(runs))], nil
}

func (f *fakeHost) SetFlowRunState(_ context.Context, id uuid.UUID, p orchestrate.Proposal) (*prefect.OrchestrationResult, error) {
	f.proposals = append(f.proposals, p)
	if f.fail != nil {
		if err := f.fail(id); err != nil {
			return nil, err
		}
	}
	for _, run := range f.runs {
		if run.ID != id {
			continue
		}
		if p.ExpectStateID != nil && run.State.ID != *p.ExpectStateID {
			return &prefect.OrchestrationResult{State: run.State, Status: prefect.Abort}, nil
		}
		run.State = p.State.Copy()
		run.State.ID = uuid.New()
		if p.StateID != nil {
			run.State.ID = *p.StateID
		}
		return &prefect.OrchestrationResult{State: run.State, Status: prefect.Accept, Written: true}, nil
	}
	return nil, prefect.Errorf(prefect.NotFound, "no such run")
}

// add adds a run in a state and returns it.
func (f *fakeHost) add(state prefect.StateType, details prefect.StateDetails) *prefect.FlowRun {
	run := &prefect.FlowRun{ID: uuid.New(), State: &prefect.State{ID: uuid.New(), Type: state, Details: details}}
	f.runs = append(f.runs, run)
	return run
}

// cancelling adds a run in CANCELLING and the timer that its transition left.
func (f *fakeHost) cancelling(t *testing.T, due prefect.Time) (*prefect.FlowRun, prefect.CancellingTimeout) {
	t.Helper()
	run := f.add(prefect.Cancelling, prefect.StateDetails{})
	timeout := prefect.CancellingTimeout{FlowRunID: run.ID, StateID: run.State.ID, CancelledID: uuid.New(), Due: due}
	payload, err := json.Marshal(timeout)
	if err != nil {
		t.Fatal(err)
	}
	f.row(prefect.OutboxCancellingTimeout, payload)
	return run, timeout
}

func (f *fakeHost) row(kind string, payload []byte) {
	f.rows = append(f.rows, orchestrate.OutboxRow{Seq: int64(len(f.rows) + 1), OutboxItem: orchestrate.OutboxItem{Kind: kind, Payload: payload}})
}

func (f *fakeHost) timeouts(now prefect.Time) *CancellingTimeout {
	return NewCancellingTimeout(f, f, func() prefect.Time { return now }, quiet())
}

func TestCancellingTimeout(t *testing.T) {
	f := new(fakeHost)
	f.row(prefect.OutboxEvent, []byte(`{}`)) // not its own
	due, timeout := f.cancelling(t, noon)
	moved, _ := f.cancelling(t, noon)
	moved.State = &prefect.State{ID: uuid.New(), Type: prefect.Cancelled}
	was := moved.State
	gone, _ := f.cancelling(t, noon)
	f.runs = slices.DeleteFunc(f.runs, func(r *prefect.FlowRun) bool { return r == gone })
	f.row(prefect.OutboxCancellingTimeout, []byte(`[]`))
	later, _ := f.cancelling(t, noon.Add(3*time.Second))

	next, err := f.timeouts(noon).pass(context.Background())
	if err != nil || next != 3*time.Second {
		t.Fatalf("next in %s, %v", next, err)
	}
	if due.State.Type != prefect.Cancelled || due.State.ID != timeout.CancelledID || due.State.Message == nil {
		t.Errorf("the run is in %+v", due.State)
	}
	if p := f.proposals[0]; p.Force || p.Policy != "" {
		t.Errorf("proposed %+v", p)
	}
	if moved.State != was {
		t.Errorf("the run that moved on is in %+v", moved.State)
	}
	if later.State.Type != prefect.Cancelling {
		t.Errorf("the run whose time is not up is in %+v", later.State)
	}
	if len(f.rows) != 2 || f.rows[0].Kind != prefect.OutboxEvent {
		t.Errorf("left are %+v", f.rows)
	}
}

func TestCancellingTimeoutTriesAgainAndLetsOthersPass(t *testing.T) {
	f := new(fakeHost)
	stuck, _ := f.cancelling(t, noon)
	f.fail = func(id uuid.UUID) error {
		if id == stuck.ID {
			return errors.New("a bug")
		}
		return nil
	}
	for range 2*timeoutBatch + 10 {
		f.cancelling(t, noon)
	}
	s := f.timeouts(noon)
	if next, err := s.pass(context.Background()); err != nil || next != time.Second {
		t.Fatalf("next in %s, %v", next, err)
	}
	for _, run := range f.runs {
		if (run.State.Type == prefect.Cancelled) == (run == stuck) {
			t.Fatalf("a run is in %s", run.State.Type)
		}
	}
	if len(f.rows) != 1 {
		t.Fatalf("%d rows are left", len(f.rows))
	}
	for range timeoutAttempts {
		if _, err := s.pass(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if len(f.rows) != 0 {
		t.Error("the row that cannot be acted on is never given up")
	}
}

func TestCancellingTimeoutOutlastsAnOutage(t *testing.T) {
	f := new(fakeHost)
	run, _ := f.cancelling(t, noon)
	f.fail = func(uuid.UUID) error { return prefect.Errorf(prefect.Unavailable, "down") }
	s := f.timeouts(noon)
	for range 3 * timeoutAttempts {
		if _, err := s.pass(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	f.fail = nil
	if _, err := s.pass(context.Background()); err != nil || run.State.Type != prefect.Cancelled {
		t.Errorf("the run is in %s, %v", run.State.Type, err)
	}
}

func TestPauseExpirations(t *testing.T) {
	past, future := noon.Add(-time.Microsecond), noon.Add(time.Second)
	f := new(fakeHost)
	var expired []*prefect.FlowRun
	for range pausesPage + 5 {
		expired = append(expired, f.add(prefect.Paused, prefect.StateDetails{PauseTimeout: &past}))
	}
	waiting := f.add(prefect.Paused, prefect.StateDetails{PauseTimeout: &future})
	endless := f.add(prefect.Paused, prefect.StateDetails{})
	running := f.add(prefect.Running, prefect.StateDetails{PauseTimeout: &past})
	resumed, broken := expired[3], expired[4]
	f.fail = func(id uuid.UUID) error {
		switch id {
		case resumed.ID: // between the read and the proposal
			resumed.State = &prefect.State{ID: uuid.New(), Type: prefect.Running}
		case broken.ID:
			return errors.New("a bug")
		}
		return nil
	}
	s := NewPauseExpirations(f, f, 0, func() prefect.Time { return noon }, quiet())
	if _, err := s.pass(context.Background()); err != nil {
		t.Fatal(err)
	}
	want := map[*prefect.FlowRun]prefect.StateType{
		waiting: prefect.Paused, endless: prefect.Paused, running: prefect.Running,
		resumed: prefect.Running, broken: prefect.Paused,
	}
	for _, run := range f.runs {
		if _, ok := want[run]; !ok {
			want[run] = prefect.Failed
		}
		if run.State.Type != want[run] {
			t.Fatalf("a run is in %s, want %s", run.State.Type, want[run])
		}
	}
	for _, p := range f.proposals {
		if !p.Force || p.ExpectStateID == nil || p.State.Message == nil {
			t.Fatalf("proposed %+v", p)
		}
	}
	if got := fmt.Sprint(f.pages); got != "[{ID_DESC 200 0} {ID_DESC 200 200}]" {
		t.Errorf("read the pages %s", got)
	}
}

func TestServicesStartAndStop(t *testing.T) {
	f := new(fakeHost)
	run, _ := f.cancelling(t, noon)
	past := noon.Add(-time.Second)
	paused := &fakeHost{}
	pausedRun := paused.add(prefect.Paused, prefect.StateDetails{PauseTimeout: &past})
	acted := make(chan uuid.UUID, 2)
	f.fail = func(id uuid.UUID) error { acted <- id; return nil }
	paused.fail = f.fail
	now := func() prefect.Time { return noon }
	timeouts := f.timeouts(noon)
	pauses := NewPauseExpirations(paused, paused, time.Hour, now, quiet())
	timeouts.Start(context.Background())
	if got := receive(t, acted); got != run.ID {
		t.Errorf("acted on %s", got)
	}
	pauses.Start(context.Background())
	if got := receive(t, acted); got != pausedRun.ID {
		t.Errorf("acted on %s", got)
	}
	for range 2 {
		timeouts.Stop()
		pauses.Stop()
	}
	if run.State.Type != prefect.Cancelled || pausedRun.State.Type != prefect.Failed {
		t.Errorf("the runs are in %s and %s", run.State.Type, pausedRun.State.Type)
	}
}
