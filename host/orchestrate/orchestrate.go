package orchestrate

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// maxTries is how often a transition is decided without a lock.
const maxTries = 3

// Orchestrator carries transitions. Its fields are set once, before first use;
// then it is safe for concurrent use.
type Orchestrator struct {
	Store    Store
	Policies Evaluator // [NoPolicies] for none
	Now      func() prefect.Time
	NewID    func() uuid.UUID // time-ordered, version 7
	Notify   func()           // called after a commit that leaves work for later; nil if nobody waits for it

	Decided  func(*prefect.Decision) // called with each decision that was stored; nil: nobody counts them
	LostRace func(prefect.RunType)   // called for each lost race; likewise

	recent recent
}

// SetFlowRunState decides a proposal for a flow run and writes what was decided.
// Errors: NotFound, Invalid (no state, an unknown type), Conflict (a state id
// that is taken), Unavailable (worth repeating). A proposal that is turned down
// is no error but a result.
func (o *Orchestrator) SetFlowRunState(ctx context.Context, id uuid.UUID, p Proposal) (*prefect.OrchestrationResult, error) {
	return o.set(ctx, prefect.FlowRunType, id, p)
}

// SetTaskRunState is SetFlowRunState for a task run.
func (o *Orchestrator) SetTaskRunState(ctx context.Context, id uuid.UUID, p Proposal) (*prefect.OrchestrationResult, error) {
	return o.set(ctx, prefect.TaskRunType, id, p)
}

func (o *Orchestrator) set(ctx context.Context, kind prefect.RunType, id uuid.UUID, p Proposal) (*prefect.OrchestrationResult, error) {
	if p.State == nil || !p.State.Type.Valid() {
		return nil, prefect.Errorf(prefect.Invalid, "a proposal needs a state with a known type")
	}
	if result := o.setRecent(ctx, kind, id, p); result != nil {
		return result, nil
	}
	var result *prefect.OrchestrationResult
	err := o.settle(ctx, kind, id, func(store Store, try int) (*Commit, error) {
		run, err := readSubject(ctx, store, kind, id)
		if err != nil {
			return nil, err
		}
		if result, err = answered(ctx, store, run, p); result != nil || err != nil {
			return nil, err
		}
		var c *Commit
		c, result, err = o.decide(ctx, store, run, request{Proposal: p, try: try})
		return c, err
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

// setRecent is a try at a transition of a run that is remembered. It returns nil
// for whatever the run has to be read for and decided on anew: one that moved on, a
// proposal that was answered before, any error.
func (o *Orchestrator) setRecent(ctx context.Context, kind prefect.RunType, id uuid.UUID, p Proposal) *prefect.OrchestrationResult {
	if p.StateID != nil || p.ExpectStateID != nil {
		return nil
	}
	run, found := o.recent.recall(kind, id)
	if !found {
		return nil
	}
	c, result, err := o.decide(ctx, o.Store, run, request{Proposal: p, try: 1})
	if err != nil || c.State == nil && !o.stands(ctx, run, p) {
		return nil
	}
	c.Unanswered = p.State.Details.TransitionID
	if err := o.Store.Commit(ctx, c); err != nil {
		return nil
	}
	o.committed(c)
	return result
}

// stands says that a run is still as it is remembered and the proposal not yet
// answered. A commit finds that out by itself, but a refusal writes no state.
func (o *Orchestrator) stands(ctx context.Context, run subject, p Proposal) bool {
	now, err := readSubject(ctx, o.Store, run.kind(), run.id())
	if err != nil || !now.updated().Equal(run.updated().Time) || now.state() == nil || now.state().ID != run.state().ID {
		return false
	}
	before, err := answered(ctx, o.Store, now, p)
	return err == nil && before == nil
}

// committed is called after a commit.
func (o *Orchestrator) committed(c *Commit) {
	if c.Existing != nil {
		return
	}
	o.recent.remember(c)
	if o.Decided != nil && c.Decision != nil {
		o.Decided(c.Decision)
	}
	if o.Notify != nil && promises(c) {
		o.Notify()
	}
}

// CreateFlowRun inserts run with its first state, PENDING unless p has another,
// in one commit. What the state implies (state, times, run count) is filled in,
// and so are an absent id and creation time. If a run with the same flow and
// idempotency key is there already, *run becomes that one and created is false.
// Errors: NotFound (the parent task run), Conflict, Unavailable.
func (o *Orchestrator) CreateFlowRun(ctx context.Context, run *prefect.FlowRun, p Proposal) (created bool, err error) {
	draft := *run
	o.newborn(&draft.ID, &draft.Created, &draft.Updated)
	draft.State, draft.StateID = nil, nil
	kind, locked := prefect.FlowRunType, draft.ID
	if draft.ParentTaskRunID != nil {
		kind, locked = prefect.TaskRunType, *draft.ParentTaskRunID // what others can race for
	}
	c, err := o.create(ctx, kind, locked, subject{flow: &draft}, p)
	if err != nil {
		return false, err
	}
	if c.Existing != nil {
		there, err := o.Store.ReadFlowRun(ctx, *c.Existing)
		if err != nil {
			return false, err
		}
		*run = *there
		return false, nil
	}
	*run = *c.FlowRun
	return true, nil
}

// CreateTaskRun is CreateFlowRun for a task run; the one that may be there
// already has the same flow run, task key and dynamic key.
func (o *Orchestrator) CreateTaskRun(ctx context.Context, run *prefect.TaskRun, p Proposal) (created bool, err error) {
	draft := *run
	o.newborn(&draft.ID, &draft.Created, &draft.Updated)
	draft.State, draft.StateID = nil, nil
	c, err := o.create(ctx, prefect.TaskRunType, draft.ID, subject{task: &draft}, p)
	if err != nil {
		return false, err
	}
	if c.Existing != nil {
		there, err := o.Store.ReadTaskRun(ctx, *c.Existing)
		if err != nil {
			return false, err
		}
		*run = *there
		return false, nil
	}
	*run = *c.TaskRun
	return true, nil
}

// newborn gives a run what it lacks of an id and stamps.
func (o *Orchestrator) newborn(id *uuid.UUID, created, updated *prefect.Time) {
	if *id == uuid.Nil {
		*id = o.NewID()
	}
	if created.IsZero() {
		*created = o.Now()
	}
	*updated = *created
}

func (o *Orchestrator) create(ctx context.Context, kind prefect.RunType, locked uuid.UUID, run subject, p Proposal) (*Commit, error) {
	if p.State != nil && !p.State.Type.Valid() {
		return nil, prefect.Errorf(prefect.Invalid, "a run's first state needs a known type")
	}
	if p.State == nil {
		p.State = &prefect.State{Type: prefect.Pending, Details: prefect.NewStateDetails()}
	}
	run.fill()
	var done *Commit
	err := o.settle(ctx, kind, locked, func(store Store, try int) (*Commit, error) {
		c, _, err := o.decide(ctx, store, run, request{Proposal: p, try: try, create: true})
		done = c
		return c, err
	})
	return done, err
}

// settle has decide make a commit and applies it, afresh for each lost race.
// After maxTries the run is locked for a last one. decide returns nil when there
// is nothing to write.
func (o *Orchestrator) settle(ctx context.Context, kind prefect.RunType, id uuid.UUID, decide func(store Store, try int) (*Commit, error)) error {
	var done *Commit
	once := func(store Store, try int) error {
		c, err := decide(store, try)
		if err != nil || c == nil {
			return err
		}
		err = store.Commit(ctx, c)
		if errors.Is(err, ErrLostRace) && o.LostRace != nil {
			o.LostRace(kind)
		}
		if err != nil {
			return err
		}
		done = c
		return nil
	}
	err := ErrLostRace
	for try := 1; try <= maxTries && errors.Is(err, ErrLostRace); try++ {
		err = once(o.Store, try)
	}
	if errors.Is(err, ErrLostRace) {
		err = o.Store.Exclusive(ctx, kind, id, func(store Store) error { return once(store, maxTries+1) })
	}
	if errors.Is(err, ErrLostRace) {
		return prefect.Errorf(prefect.Unavailable, "too many changes of the run at the same time: %w", err)
	}
	if err == nil && done != nil {
		o.committed(done)
	}
	return err
}
