package orchestrate

import (
	"context"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// request is a proposal and how it came about.
type request struct {
	Proposal
	try    int        // 1 for the first
	create bool       // the run does not exist yet
	child  *uuid.UUID // the subflow whose state the run (its parent task run) follows
}

// answered returns the reply to a proposal that needs no deciding, nil if it
// does: one that was answered before by a state that was written, and those of
// host callers whose run has moved on.
func answered(ctx context.Context, store Store, run subject, p Proposal) (*prefect.OrchestrationResult, error) {
	current := run.state()
	if p.StateID != nil && current != nil && current.ID == *p.StateID {
		return reply(&Outcome{Status: prefect.Accept, State: current}, current), nil
	}
	if p.ExpectStateID != nil && (current == nil || current.ID != *p.ExpectStateID) {
		return reply(&Outcome{Status: prefect.Abort, Reason: "The run is in another state by now."}, current), nil
	}
	if p.State.Details.TransitionID == nil {
		return nil, nil
	}
	d, state, err := store.FindDecision(ctx, run.kind(), run.id(), *p.State.Details.TransitionID)
	if d == nil || err != nil {
		return nil, err
	}
	o := &Outcome{Status: d.Status, State: state, DelaySeconds: d.DelaySeconds}
	if d.Reason != nil {
		o.Reason = *d.Reason
	}
	return reply(o, current), nil
}

// decide is one try at a transition, as far as the commit: nothing is written.
func (o *Orchestrator) decide(ctx context.Context, store Store, run subject, q request) (*Commit, *prefect.OrchestrationResult, error) {
	now := o.Now()
	t := &Transition{
		RunType: run.kind(), FlowRun: run.flow, TaskRun: run.task,
		Initial: run.state(), Proposed: sanitized(q.Proposal, now, o.NewID()),
		Force: q.Force || q.create, Client: ParseVersion(q.Client.Version), API: ParseVersion(q.Client.APIVersion), Now: now,
	}
	t.Proposed.Details.ChildFlowRunID = q.child

	policy := policyFor(t.RunType, q.Proposal, q.create)
	plan := o.Policies.Plan(policy, t)
	defer plan.Release()
	facts, err := gather(ctx, store, plan.Facts(), t)
	if err != nil {
		return nil, nil, err
	}
	t.Facts = facts
	outcome, err := plan.Before(ctx, t)
	if err != nil {
		return nil, nil, err
	}

	written := run.copied()
	if outcome.State != nil {
		if err := o.write(ctx, plan, t, outcome, written); err != nil {
			return nil, nil, err
		}
	}
	c := &Commit{FlowRun: run.flow, TaskRun: run.task, Create: q.create, ExpectUpdated: run.updated(), Effects: outcome.Effects}
	if t.Initial != nil {
		c.ExpectStateID = &t.Initial.ID
	}
	if !q.create {
		c.Was = run.times()
	}
	if outcome.State != nil {
		c.FlowRun, c.TaskRun, c.State = written.flow, written.task, outcome.State
		if err := o.follow(ctx, store, c, t, outcome); err != nil {
			return nil, nil, err
		}
	}
	if q.child == nil {
		c.Decision = o.record(t, plan, policy, outcome, q.try)
	}
	return c, reply(outcome, t.Initial), nil
}

// write settles the state and the run as they are going to be written: patches,
// the bookkeeping, what the policies say to it, and their patches.
func (o *Orchestrator) write(ctx context.Context, plan Plan, t *Transition, outcome *Outcome, run subject) error {
	if outcome.State.ID == uuid.Nil {
		outcome.State.ID = o.NewID()
	}
	run.patch(outcome.Patches)
	o.bindLeases(outcome)
	run.bookkeep(t.Initial, outcome.State, t.API.Before(0, 8, 4))

	before := len(outcome.Patches)
	after := *t
	after.FlowRun, after.TaskRun = run.flow, run.task
	if err := plan.After(ctx, &after, outcome); err != nil {
		return err
	}
	if outcome.State != nil {
		run.patch(outcome.Patches[before:])
		o.bindLeases(outcome)
		keepLease(t.Initial, outcome)
	}
	return nil
}

// keepLease has the state that is written name the lease that the run holds, also
// where no rule carried it: until slots are given back, whoever keeps the lease
// or gives it back later has to find it.
func keepLease(initial *prefect.State, outcome *Outcome) {
	d := &outcome.State.Details
	if initial == nil || d.DeploymentConcurrencyLeaseID != nil {
		return
	}
	for i := range outcome.Effects {
		if outcome.Effects[i].Type == ReleaseSlots {
			return
		}
	}
	d.DeploymentConcurrencyLeaseID = initial.Details.DeploymentConcurrencyLeaseID
}

// bindLeases gives each lease that is to be made its id, and the state the one
// that is bound to it.
func (o *Orchestrator) bindLeases(outcome *Outcome) {
	for i := range outcome.Effects {
		e := &outcome.Effects[i]
		if e.Type != AcquireSlots || e.LeaseID != nil {
			continue
		}
		id := o.NewID()
		e.LeaseID = &id
		if e.Bind {
			outcome.State.Details.DeploymentConcurrencyLeaseID = &id
		}
	}
}

// follow adds to a commit what follows from the state that it writes: the
// transition of a subflow's parent task run, and the outbox.
func (o *Orchestrator) follow(ctx context.Context, store Store, c *Commit, t *Transition, outcome *Outcome) error {
	if run := c.FlowRun; run != nil {
		items, err := o.announce(run, t, outcome)
		if err != nil {
			return err
		}
		c.Outbox = append(c.Outbox, items...)
		if run.ParentTaskRunID != nil {
			parent, err := o.parentTransition(ctx, store, run, c.State)
			if err != nil {
				return err
			}
			if parent != nil {
				c.Nested = append(c.Nested, parent)
			}
		}
	}
	c.Effects = nil
	for _, e := range outcome.Effects {
		if e.Type != emitEvent {
			c.Effects = append(c.Effects, e)
			continue
		}
		item, err := o.policyEvent(e, c, t)
		if err != nil {
			return err
		}
		c.Outbox = append(c.Outbox, item)
	}
	return nil
}

// parentTransition is the transition of the task run that stands for a subflow
// in its parent: it enters each state that the subflow enters. nil when its
// policy keeps it from that.
func (o *Orchestrator) parentTransition(ctx context.Context, store Store, flow *prefect.FlowRun, state *prefect.State) (*Commit, error) {
	parent, err := store.ReadTaskRun(ctx, *flow.ParentTaskRunID)
	if err != nil {
		return nil, err
	}
	p := Proposal{State: state, Force: true}
	c, _, err := o.decide(ctx, store, subject{task: parent}, request{Proposal: p, try: 1, child: &flow.ID})
	if err != nil || c.State == nil {
		return nil, err
	}
	return c, nil
}

// reply is the answer that an outcome gives, current the state of a run that
// keeps it.
func reply(o *Outcome, current *prefect.State) *prefect.OrchestrationResult {
	r := &prefect.OrchestrationResult{
		State: current, Status: o.Status, Details: prefect.DetailsFor(o.Status, o.Reason, o.DelaySeconds),
	}
	if o.State != nil {
		r.State, r.Written = o.State, true
	}
	return r
}

// record is the decision record of an outcome.
func (o *Orchestrator) record(t *Transition, plan Plan, policy string, outcome *Outcome, try int) *prefect.Decision {
	d := &prefect.Decision{
		ID: o.NewID(), Created: t.Now, RunType: t.RunType, RunID: t.RunID(), TransitionID: t.Proposed.Details.TransitionID,
		Policy: policy, PolicyVersion: plan.Version(),
		ProposedType: t.Proposed.Type, ProposedName: t.Proposed.Name,
		Status: outcome.Status, DelaySeconds: outcome.DelaySeconds, Tries: try,
		Rules: prefect.OrEmpty(outcome.Rules), FactsRead: prefect.OrEmpty(plan.Facts()),
	}
	if outcome.Reason != "" {
		d.Reason = &outcome.Reason
	}
	if t.Initial != nil {
		d.InitialType, d.InitialName = &t.Initial.Type, &t.Initial.Name
	}
	for i := range outcome.Effects {
		e := &outcome.Effects[i]
		d.Effects = append(d.Effects, prefect.AppliedEffect{Effect: e.Payload, LeaseID: e.LeaseID})
	}
	if s := outcome.State; s != nil {
		d.StateID, d.FinalType, d.FinalName = &s.ID, &s.Type, &s.Name
	}
	return d
}
