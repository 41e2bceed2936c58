package orchestrate

import (
	"context"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// Evaluator is what a transition needs of the policies.
type Evaluator interface {
	// Plan chooses the entries of a policy that are asked about t, whose facts are
	// not read yet. This is done once a try: by the type of the initial state and
	// the one that the client proposed, and by what rules need to be there. A policy
	// that nobody knows has no entries. The plan must be released.
	Plan(policy string, t *Transition) Plan
}

// Plan is the entries that are asked about a transition, as they were when it
// was made: a swap of policies does not touch it.
type Plan interface {
	// Version is that of the policy, 0 for an unknown one.
	Version() int
	// Facts lists what the entries declared, each once, in the form of the
	// manifest.
	Facts() []string
	// Before asks the entries of phase before, in order. An error is not a
	// policy's but the host's (too busy, the caller gone): nothing was decided.
	Before(ctx context.Context, t *Transition) (*Outcome, error)
	// After asks the entries of phase after about the state that is to be
	// written, with t's run as it is going to be, and adds what they decide to o.
	// One that fails closed turns o into an ABORT.
	After(ctx context.Context, t *Transition, o *Outcome) error
	// Release lets go of the modules. Nothing of the plan may be called after it.
	Release()
}

// Transition is what is being decided. Policies must not change what it points
// to.
type Transition struct {
	RunType  prefect.RunType
	FlowRun  *prefect.FlowRun // exactly one of FlowRun and TaskRun is set
	TaskRun  *prefect.TaskRun
	Initial  *prefect.State // nil for a run without a state
	Proposed *prefect.State // sanitized and normalized
	Force    bool
	Client   Version
	API      Version
	Now      prefect.Time
	Facts    Facts // those that the plan asked for
}

// RunID returns the id of the run.
func (t *Transition) RunID() uuid.UUID {
	if t.FlowRun != nil {
		return t.FlowRun.ID
	}
	return t.TaskRun.ID
}

// NoPolicies is an [Evaluator] without any: every proposal is accepted.
type NoPolicies struct{}

// Plan returns a plan that asks nobody.
func (NoPolicies) Plan(string, *Transition) Plan {
	return emptyPlan{}
}

type emptyPlan struct{}

func (emptyPlan) Version() int    { return 0 }
func (emptyPlan) Facts() []string { return nil }
func (emptyPlan) Release()        {}

func (emptyPlan) Before(_ context.Context, t *Transition) (*Outcome, error) {
	return &Outcome{Status: prefect.Accept, State: t.Proposed.Copy()}, nil
}

func (emptyPlan) After(context.Context, *Transition, *Outcome) error { return nil }

// Outcome is what the policies made of a proposal. Patches and effects are
// those of decisions that stand: what a rule asked for is dropped when a later
// one changed the type or nulled the proposal.
type Outcome struct {
	Status       prefect.Status
	State        *prefect.State // to be written; nil for none
	Reason       string
	DelaySeconds int // of a WAIT
	Patches      []RunPatch
	Effects      []Effect
	Rules        []prefect.RuleDecision
}

// RunPatch is a policy's change of a run's row. Nil leaves a column alone.
type RunPatch struct {
	// Of a flow run's empirical_policy:
	Resuming       *bool
	RetryType      *string // "" is null
	ClearPauseKeys bool
	AddPauseKeys   []string
	// Of a task run:
	RunCount        *int
	FlowRunRunCount *int
}

// ApplyFlowRun applies the patch to a flow run, whose slices it replaces, never
// changes.
func (p *RunPatch) ApplyFlowRun(run *prefect.FlowRun) {
	policy := &run.Policy
	if p.Resuming != nil {
		resuming := *p.Resuming
		policy.Resuming = &resuming
	}
	if p.RetryType != nil {
		policy.RetryType = nil
		if kind := *p.RetryType; kind != "" {
			policy.RetryType = &kind
		}
	}
	if p.ClearPauseKeys {
		policy.PauseKeys = []string{}
	}
	policy.PauseKeys = union(policy.PauseKeys, p.AddPauseKeys)
}

// ApplyTaskRun applies the patch to a task run.
func (p *RunPatch) ApplyTaskRun(run *prefect.TaskRun) {
	if p.RunCount != nil {
		run.RunCount = *p.RunCount
	}
	if p.FlowRunRunCount != nil {
		run.FlowRunRunCount = *p.FlowRunRunCount
	}
}

// union returns set with what it lacks of more, in a new slice if anything.
func union(set, more []string) []string {
	merged := set[:len(set):len(set)]
	for _, key := range more {
		found := false
		for _, have := range merged {
			found = found || have == key
		}
		if !found {
			merged = append(merged, key)
		}
	}
	return merged
}
