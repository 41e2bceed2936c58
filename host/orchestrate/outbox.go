package orchestrate

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/interlock-run/interlock/host/prefect"
)

// cancellingTimeout is how long a flow run may be CANCELLING before it is
// CANCELLED by the server.
const cancellingTimeout = 300 * time.Second

// promises reports whether a commit, or one nested in it, leaves work for after
// it: outbox items, or a task run on its queue.
func promises(c *Commit) bool {
	queues := func(e Effect) bool { return e.Type == EnqueueTaskRun }
	return len(c.Outbox) > 0 || slices.ContainsFunc(c.Effects, queues) || slices.ContainsFunc(c.Nested, promises)
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

// emitEvent is the effect by which a rule has an event emitted.
const emitEvent EffectType = "emit_event"

// policyEvent returns the outbox item of an event that a rule asked for, about
// the run of c as it was written.
func (o *Orchestrator) policyEvent(e Effect, c *Commit, t *Transition) (OutboxItem, error) {
	event := prefect.PolicyEvent{ID: o.NewID(), Occurred: t.Now}
	if err := json.Unmarshal(e.Payload, &event); err != nil {
		return OutboxItem{}, fmt.Errorf("effect %s: %w", e.Type, err)
	}
	if run := c.TaskRun; run != nil {
		event.TaskRun = &prefect.EventTaskRun{ID: run.ID, Name: run.Name, FlowRunID: run.FlowRunID, Tags: run.Tags}
	} else {
		event.FlowRun = prefect.NewFlowRunStateChange(c.FlowRun, t.Initial, c.State)
	}
	return outboxItem(prefect.OutboxPolicyEvent, event.Event, event)
}
