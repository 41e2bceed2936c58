package prefect

import (
	"encoding/json"

	"github.com/google/uuid"
)

// PolicyEvent is the payload of an outbox item of kind [OutboxPolicyEvent]: an
// event that a rule asked for. The rule gives its name and payload; the rest is
// the host's. One of FlowRun and TaskRun is set, for what it is about.
type PolicyEvent struct {
	ID       uuid.UUID           `json:"id"`
	Occurred Time                `json:"occurred"`
	Event    string              `json:"event"`
	Payload  json.RawMessage     `json:"payload"` // object
	FlowRun  *FlowRunStateChange `json:"flow_run,omitempty"`
	TaskRun  *EventTaskRun       `json:"task_run,omitempty"`
}

// EventTaskRun is the part of a task run that goes into an event about it.
type EventTaskRun struct {
	ID        uuid.UUID  `json:"id"`
	Name      string     `json:"name"`
	FlowRunID *uuid.UUID `json:"flow_run_id,omitempty"`
	Tags      []string   `json:"tags"`
}
