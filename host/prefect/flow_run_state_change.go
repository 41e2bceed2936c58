package prefect

import (
	"fmt"
	"unicode/utf8"

	"github.com/google/uuid"
)

// The kinds of outbox items.
const (
	OutboxEvent             = "event"              // payload: FlowRunStateChange
	OutboxPolicyEvent       = "policy_event"       // payload: PolicyEvent
	OutboxCancellingTimeout = "cancelling_timeout" // payload: CancellingTimeout
)

// FlowRunStateChange is the payload of an outbox item of kind [OutboxEvent]:
// what the event of a flow run's transition needs and that may have changed by
// the time the event is made. Names of related objects are looked up then.
type FlowRunStateChange struct {
	FlowRunID       uuid.UUID   `json:"flow_run_id"`
	Name            string      `json:"name"`
	RunCount        int         `json:"run_count"` // after the transition
	Tags            []string    `json:"tags"`
	FlowID          uuid.UUID   `json:"flow_id"`
	DeploymentID    *uuid.UUID  `json:"deployment_id,omitempty"`
	WorkQueueID     *uuid.UUID  `json:"work_queue_id,omitempty"`
	ParentTaskRunID *uuid.UUID  `json:"parent_task_run_id,omitempty"`
	CreatedBy       *CreatedBy  `json:"created_by,omitempty"`
	Initial         *EventState `json:"initial,omitempty"`
	Written         EventState  `json:"written"`
}

// EventState is the part of a state that goes into an event.
type EventState struct {
	ID              uuid.UUID `json:"id"`
	Type            StateType `json:"type"`
	Name            string    `json:"name"`
	Message         string    `json:"message,omitempty"` // cut, see maxEventMessage
	Timestamp       Time      `json:"timestamp"`
	PauseReschedule bool      `json:"pause_reschedule,omitempty"`
}

// NewFlowRunStateChange describes the transition of run, as it is after it, from
// initial (nil for the first state) to written.
func NewFlowRunStateChange(run *FlowRun, initial, written *State) *FlowRunStateChange {
	c := &FlowRunStateChange{
		FlowRunID: run.ID, Name: run.Name, RunCount: run.RunCount, Tags: run.Tags,
		FlowID: run.FlowID, DeploymentID: run.DeploymentID, WorkQueueID: run.WorkQueueID,
		ParentTaskRunID: run.ParentTaskRunID, CreatedBy: run.CreatedBy,
		Written: newEventState(written),
	}
	if initial != nil {
		s := newEventState(initial)
		c.Initial = &s
	}
	return c
}

// EventName returns the name of the event, which is also the outbox item's key.
func (c *FlowRunStateChange) EventName() string { return "prefect.flow-run." + c.Written.Name }

func newEventState(s *State) EventState {
	e := EventState{ID: s.ID, Type: s.Type, Name: s.Name, Timestamp: s.Timestamp,
		PauseReschedule: s.Details.PauseReschedule}
	if s.Message != nil {
		e.Message = cutMiddle(*s.Message, maxEventMessage)
	}
	return e
}

// CancellingTimeout is the payload of an outbox item of kind
// [OutboxCancellingTimeout]: at Due, the run is CANCELLED if StateID is still
// its state. CancelledID is the id of that state, fixed here so that a repeated
// attempt writes the same one.
type CancellingTimeout struct {
	FlowRunID   uuid.UUID `json:"flow_run_id"`
	StateID     uuid.UUID `json:"state_id"`
	CancelledID uuid.UUID `json:"cancelled_id"`
	Due         Time      `json:"due"`
}

// RelatedKeys names the rows whose names and tags go into the related resources
// of events.
type RelatedKeys struct {
	Flows, Deployments, WorkQueues, TaskRuns []uuid.UUID
}

// RelatedRow is one row that [RelatedKeys] asked for, or the work pool of a work
// queue that was asked for. Rows that are gone are left out.
type RelatedRow struct {
	Kind       string // flow, deployment, work-queue, work-pool, task-run
	ID         uuid.UUID
	Name       string
	Tags       []string
	WorkPoolID *uuid.UUID // of a work queue
	Type       string     // of a work pool
}

// maxEventMessage bounds the message of a state in an event, in characters.
const maxEventMessage = 100_000

// cutMiddle returns s with what is over max characters taken out of its middle.
func cutMiddle(s string, max int) string {
	if len(s) <= max {
		return s
	}
	n := utf8.RuneCountInString(s)
	if n <= max {
		return s
	}
	half := max / 2
	head, tail := runeOffset(s, half), runeOffset(s, n-half)
	cut := fmt.Sprintf("%s... %d characters left out ...%s", s[:head], n-2*half, s[tail:])
	if len(cut) >= len(s) {
		return s
	}
	return cut
}

// runeOffset returns where the n-th character of s begins.
func runeOffset(s string, n int) int {
	for i := range s {
		if n == 0 {
			return i
		}
		n--
	}
	return len(s)
}
