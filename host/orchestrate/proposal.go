package orchestrate

import (
	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// Proposal is a state that somebody wants a run to enter.
type Proposal struct {
	// State is as the client sent it; it is not changed. Its id and timestamp are
	// the host's to give. When a run is created, nil stands for PENDING.
	State *prefect.State
	// Force has all rules but those of the minimal policy left out.
	Force  bool
	Client Client

	// For callers inside the host only:

	// Policy names the policy that decides; "" is the one that
	// the run's type, Force and a deferred state call for.
	Policy string
	// StateID is the id of the state if it is accepted, so that a service can
	// repeat its proposal; nil is a new one.
	StateID *uuid.UUID
	// ExpectStateID is the current state's id that the caller saw. If the run has
	// moved on, the answer is ABORT and nothing is written.
	ExpectStateID *uuid.UUID
}

// sanitized returns a copy of the client's state as a proposal of this host: the
// ids that a client cannot be trusted with are taken out and the blanks are filled
// in.
func sanitized(p Proposal, now prefect.Time, id uuid.UUID) *prefect.State {
	s := p.State.Copy()
	s.ID, s.Timestamp = id, now
	if p.StateID != nil {
		s.ID = *p.StateID
	}
	d := &s.Details
	d.FlowRunID, d.TaskRunID, d.ChildFlowRunID, d.DeploymentConcurrencyLeaseID = nil, nil, nil, nil
	s.Normalize(now)
	return s
}

// policyFor names the policy that decides a proposal, create when it is the
// first state of a run being made.
func policyFor(run prefect.RunType, p Proposal, create bool) string {
	forced := p.Force || create
	switch {
	case p.Policy != "":
		return p.Policy
	case run == prefect.TaskRunType && deferred(p.State):
		return prefect.BackgroundTaskPolicy
	case run == prefect.TaskRunType && forced:
		return prefect.MinimalTaskPolicy
	case run == prefect.TaskRunType:
		return prefect.CoreTaskPolicy
	case forced:
		return prefect.MinimalFlowPolicy
	}
	return prefect.CoreFlowPolicy
}

func deferred(s *prefect.State) bool {
	return s != nil && s.Details.Deferred != nil && *s.Details.Deferred
}
