package orchestrate

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// cancellingTimeout is how long a flow run may be CANCELLING before it is
// CANCELLED by the server.
const cancellingTimeout = 300 * time.Second

// The kinds of outbox items that come from effects.
const (
	outboxEnqueueTaskRun = "enqueue_task_run"
	outboxEmitEvent      = "emit_event"
)

// promises reports whether a commit has outbox items, its own or nested ones.
func promises(c *Commit) bool {
	for _, nested := range c.Nested {
		if promises(nested) {
			return true
		}
	}
	return len(c.Outbox) > 0
}

// announce returns the outbox items of a flow run's new state.
func (o *Orchestrator) announce(run *prefect.FlowRun, t *Transition, outcome *Outcome) ([]OutboxItem, error) {
	change := prefect.NewFlowRunStateChange(run, t.Initial, outcome.State)
	event, err := outboxItem(prefect.OutboxEvent, change.EventName(), change)
	if err != nil {
		return nil, err
	}
	items := []OutboxItem{event}
	if outcome.Status == prefect.Accept && outcome.State.Type == prefect.Cancelling && t.Initial != nil {
		timeout, err := outboxItem(prefect.OutboxCancellingTimeout, run.ID.String(), prefect.CancellingTimeout{
			FlowRunID: run.ID, StateID: outcome.State.ID, CancelledID: o.NewID(),
			Due: outcome.State.Timestamp.Add(cancellingTimeout),
		})
		if err != nil {
			return nil, err
		}
		items = append(items, timeout)
	}
	return items, nil
}

func outboxItem(kind, key string, payload any) (OutboxItem, error) {
	text, err := json.Marshal(payload)
	if err != nil {
		return OutboxItem{}, fmt.Errorf("outbox item %s: %w", kind, err)
	}
	return OutboxItem{Kind: kind, Key: key, Payload: text}, nil
}

// effectWork is the payload of an outbox item that an effect asked for.
type effectWork struct {
	ID      uuid.UUID       `json:"id"`
	RunType prefect.RunType `json:"run_type"`
	RunID   uuid.UUID       `json:"run_id"`
	At      prefect.Time    `json:"at"`
	Effect  json.RawMessage `json:"effect"`
}

// afterCommit returns the outbox item of an effect that is done after the
// commit; later is false for one that belongs in it.
func (o *Orchestrator) afterCommit(e Effect, t *Transition) (item OutboxItem, later bool, err error) {
	switch string(e.Type) {
	case outboxEnqueueTaskRun, outboxEmitEvent:
	default:
		return OutboxItem{}, false, nil
	}
	work := effectWork{ID: o.NewID(), RunType: t.RunType, RunID: t.RunID(), At: t.Now, Effect: e.Payload}
	item, err = outboxItem(string(e.Type), work.RunID.String(), work)
	return item, true, err
}
