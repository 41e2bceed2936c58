package orchestrate

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// memory is a Store in maps. lose is how many commits lose their race.
type memory struct {
	mu        sync.Mutex
	flows     map[uuid.UUID]*prefect.FlowRun
	tasks     map[uuid.UUID]*prefect.TaskRun
	decisions []*prefect.Decision
	written   map[uuid.UUID]*prefect.State
	commits   []*Commit
	asked     []FactKeys
	facts     Facts
	existing  *uuid.UUID // what a Create finds
	lose      int
	exclusive int
	reads     int // of runs
}

func newMemory() *memory {
	return &memory{flows: map[uuid.UUID]*prefect.FlowRun{}, tasks: map[uuid.UUID]*prefect.TaskRun{}, written: map[uuid.UUID]*prefect.State{}}
}

func (m *memory) ReadFlowRun(_ context.Context, id uuid.UUID) (*prefect.FlowRun, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	if r := m.flows[id]; r != nil {
		run := *r
		run.State = r.State.Copy()
		return &run, nil
	}
	return nil, prefect.Errorf(prefect.NotFound, "no such flow run")
}

func (m *memory) ReadTaskRun(_ context.Context, id uuid.UUID) (*prefect.TaskRun, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.tasks[id]; r != nil {
		run := *r
		run.State = r.State.Copy()
		return &run, nil
	}
	return nil, prefect.Errorf(prefect.NotFound, "no such task run")
}

func (m *memory) Facts(_ context.Context, keys FactKeys) (Facts, error) {
	m.asked = append(m.asked, keys)
	return m.facts, nil
}

func (m *memory) FindDecision(_ context.Context, run prefect.RunType, runID, transitionID uuid.UUID) (*prefect.Decision, *prefect.State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.decisions {
		if d.RunType == run && d.RunID == runID && d.TransitionID != nil && *d.TransitionID == transitionID && d.StateID != nil {
			return d, m.written[*d.StateID], nil
		}
	}
	return nil, nil, nil
}

func (m *memory) Commit(_ context.Context, c *Commit) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.State != nil && m.lose > 0 {
		m.lose--
		return ErrLostRace
	}
	if r := c.FlowRun; r != nil && c.State != nil && !c.Create && m.flows[r.ID] != nil && !m.flows[r.ID].Updated.Equal(c.ExpectUpdated.Time) {
		return ErrLostRace
	}
	for _, d := range m.decisions {
		if c.Unanswered != nil && d.TransitionID != nil && *d.TransitionID == *c.Unanswered && d.StateID != nil {
			return ErrLostRace
		}
	}
	if c.Create && m.existing != nil {
		c.Existing = m.existing
		return nil
	}
	m.apply(c)
	return nil
}

func (m *memory) apply(c *Commit) {
	m.commits = append(m.commits, c)
	if c.State != nil || c.Create {
		if c.FlowRun != nil {
			m.flows[c.FlowRun.ID] = c.FlowRun
		} else {
			m.tasks[c.TaskRun.ID] = c.TaskRun
		}
	}
	if c.State != nil {
		m.written[c.State.ID] = c.State
	}
	if c.Decision != nil {
		m.decisions = append(m.decisions, c.Decision)
	}
	for _, n := range c.Nested {
		m.apply(n)
	}
}

func (m *memory) Exclusive(_ context.Context, _ prefect.RunType, _ uuid.UUID, fn func(Store) error) error {
	m.exclusive++
	return fn(m)
}

// script is an Evaluator of Go functions. A nil one accepts.
type script struct {
	facts  []string
	before func(t *Transition) *Outcome
	after  func(t *Transition, o *Outcome)
	seen   []*Transition
	policy []string
}

func (s *script) Plan(policy string, _ *Transition) Plan {
	s.policy = append(s.policy, policy)
	return scripted{s}
}

type scripted struct{ *script }

func (s scripted) Version() int    { return 7 }
func (s scripted) Facts() []string { return s.facts }
func (s scripted) Release()        {}

func (s scripted) Before(ctx context.Context, t *Transition) (*Outcome, error) {
	s.seen = append(s.seen, t)
	s.script.seen = s.seen
	if s.before == nil {
		return emptyPlan{}.Before(ctx, t)
	}
	return s.before(t), nil
}

func (s scripted) After(_ context.Context, t *Transition, o *Outcome) error {
	if s.after != nil {
		s.after(t, o)
	}
	return nil
}

// bench is an Orchestrator on fakes; its clock moves by a second a reading.
type bench struct {
	*Orchestrator
	store    *memory
	policies *script
	notified int
}

func newBench() *bench {
	b := &bench{store: newMemory(), policies: &script{}}
	now := t1
	b.Orchestrator = &Orchestrator{
		Store: b.store, Policies: b.policies,
		Now:    func() prefect.Time { now = now.Add(time.Second); return now },
		NewID:  func() uuid.UUID { return uuid.Must(uuid.NewV7()) },
		Notify: func() { b.notified++ },
	}
	return b
}

func (b *bench) flow(state prefect.StateType) *prefect.FlowRun {
	run := &prefect.FlowRun{ID: uuid.New(), FlowID: uuid.New(), Name: "otter", Updated: t0}
	run.State = stateAt(state, t0)
	if run.State != nil {
		setRunState(&run.RunTimes, run.State)
	}
	b.store.flows[run.ID] = run
	return run
}

func (b *bench) task(state prefect.StateType) *prefect.TaskRun {
	run := &prefect.TaskRun{ID: uuid.New(), Name: "t", TaskKey: "k", Updated: t0, State: stateAt(state, t0)}
	b.store.tasks[run.ID] = run
	return run
}

func propose(t prefect.StateType) Proposal {
	return Proposal{State: &prefect.State{Type: t, Details: prefect.NewStateDetails()}}
}

func (p Proposal) transition(id uuid.UUID) Proposal {
	p.State.Details.TransitionID = &id
	return p
}

func mustSet(t *testing.T, b *bench, run *prefect.FlowRun, p Proposal) *prefect.OrchestrationResult {
	t.Helper()
	r, err := b.SetFlowRunState(context.Background(), run.ID, p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func payload[T any](t *testing.T, item OutboxItem) (v T) {
	t.Helper()
	if err := json.Unmarshal(item.Payload, &v); err != nil {
		t.Fatal(err)
	}
	return v
}
