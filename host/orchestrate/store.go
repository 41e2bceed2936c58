package orchestrate

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// Store is what a transition needs of the database.
type Store interface {
	// ReadFlowRun returns the run with its current state and that state's data.
	// Errors: NotFound.
	ReadFlowRun(ctx context.Context, id uuid.UUID) (*prefect.FlowRun, error)
	// ReadTaskRun is ReadFlowRun for a task run.
	ReadTaskRun(ctx context.Context, id uuid.UUID) (*prefect.TaskRun, error)
	// Facts reads what keys name, each fact once, and nothing for an empty set.
	Facts(ctx context.Context, keys FactKeys) (Facts, error)
	// FindDecision returns the decision that answered this transition id of the
	// run and wrote a state, and that state; nil, nil, nil if there is none.
	FindDecision(ctx context.Context, run prefect.RunType, runID, transitionID uuid.UUID) (*prefect.Decision, *prefect.State, error)
	// Commit applies c and everything under it in one durable transaction, or
	// nothing. Errors: ErrLostRace when an expectation or a condition of an effect
	// no longer holds, NotFound when the run is gone, Conflict for a uniqueness or
	// foreign key violation.
	Commit(ctx context.Context, c *Commit) error
	// Exclusive calls fn with a Store that no other writer of this run can get
	// between: reads see the last commit and Commit cannot lose a race. fn must
	// be quick. It is the last resort of a transition that lost too many races.
	Exclusive(ctx context.Context, run prefect.RunType, id uuid.UUID, fn func(Store) error) error
}

// ErrLostRace is returned by Store.Commit when what the rules decided on has
// changed since it was read.
var ErrLostRace = errors.New("the run changed while its transition was being decided")

// Commit is everything that one transition writes. Exactly one of FlowRun and
// TaskRun is set: the run with the columns as they shall be.
type Commit struct {
	FlowRun *prefect.FlowRun
	TaskRun *prefect.TaskRun
	// Create inserts the run instead of comparing: a flow run's conflict on
	// (flow_id, idempotency_key) or a task run's on (flow_run_id, task_key,
	// dynamic_key) writes nothing at all and is reported by Existing.
	Create   bool
	Existing *uuid.UUID // set by Commit: the id of the run that was there already

	// ExpectStateID and ExpectUpdated are compared with the row (nil state id:
	// IS NULL) unless Create is set. Since every write of a run row moves its
	// updated stamp, this covers all that rules may have read of it. A Commit
	// with no State writes the decision record alone, compares nothing and leaves
	// the run's row as it is; should it have Effects (renew_lease is the one that
	// can be there), those whose condition fails are passed over. With Create, the
	// run is inserted with or without a State.
	ExpectStateID *uuid.UUID
	ExpectUpdated prefect.Time
	// Was are the run's columns as they were read: what did not change need not be
	// written. nil writes them all.
	Was *prefect.RunTimes

	// Unanswered is the transition id that no decision which wrote a state of this
	// run may have answered yet, else the race is lost; nil makes no such condition.
	Unanswered *uuid.UUID

	// State is the state to write, nil for none. Its data, if it is not null and
	// not an object of type "unpersisted", becomes an artifact
	// that the state refers to; the store takes the artifact keys out of an object.
	State *prefect.State

	Effects  []Effect          // applied in order, in the same transaction
	Nested   []*Commit         // transitions of other runs that go with this one (a subflow's parent task run)
	Outbox   []OutboxItem      // acted on after the commit
	Decision *prefect.Decision // nil for nested transitions
}

// OutboxItem is work that a commit promises and that is done after it.
type OutboxItem struct {
	Kind    string          // "event", "policy_event", "cancelling_timeout"
	Key     string          // what the work is about, for a person: an event name, a run id
	Payload json.RawMessage // the consumer's own shape
}

// OutboxRow is a stored [OutboxItem].
type OutboxRow struct {
	Seq int64 // grows in the order of commits of one run
	OutboxItem
}

// EffectType is one of the closed list of effects of the policy contract.
type EffectType string

// The effects that are applied in the commit. What is done after it (emit_event)
// reaches the store as an outbox item.
const (
	AcquireSlots   EffectType = "acquire_slots"
	ReleaseSlots   EffectType = "release_slots"
	RenewLease     EffectType = "renew_lease"
	DetachLease    EffectType = "detach_lease"
	WriteCache     EffectType = "write_cache"
	EnqueueTaskRun EffectType = "enqueue_task_run"
)

// Effect is one effect of a verdict, ready for the store.
type Effect struct {
	Type    EffectType
	Payload json.RawMessage // as in the contract, checked by the policy package
	// LeaseID is the id of the lease that acquire_slots makes, given by the host.
	LeaseID *uuid.UUID
	// Bind says that LeaseID goes into the details of the state written: it is
	// there already when the store gets to see it.
	Bind bool
}

// FactKeys says which facts to read and by which key. A nil key is a null fact
// that costs no read.
type FactKeys struct {
	Attempts      *AttemptsKey
	FlowRun       *uuid.UUID // of a task run
	ParentTaskRun *uuid.UUID
	DeploymentID  *uuid.UUID
	WorkQueueID   *uuid.UUID
	FlowID        *uuid.UUID // of a flow run
	TaskKey       string     // of a task run
	Tags          []string   // of a task run
	CacheKey      *string    // of the proposed state, unless it says refresh_cache
	LeaseID       *uuid.UUID // the lease that the initial state names
	RunID         uuid.UUID
	RunType       prefect.RunType
	Now           prefect.Time // where windows end and expiries are judged
	Names         []string     // the facts asked for, as the manifest has them: recent_outcomes comes with its window, "recent_outcomes:3600"
}

// AttemptsKey asks for the past attempts of a run.
type AttemptsKey struct {
	RunType prefect.RunType
	RunID   uuid.UUID
}

// Facts maps a fact, as it was asked for in [FactKeys.Names], to its JSON.
type Facts map[string]json.RawMessage

// CachedStateFull is a key in [Facts] that comes with the fact cached_state: the
// whole prefect.State as JSON, its data included. No module gets to see it; it is
// there for a rule that has the host carry a cached state's data on.
const CachedStateFull = "cached_state.full"
