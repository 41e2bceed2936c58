package prefect

import (
	"encoding/json"
	"strings"

	"github.com/google/uuid"
)

// StateType is the closed set of kinds of state; names are free.
type StateType string

// The state types, in the reference's order.
const (
	Scheduled  StateType = "SCHEDULED"
	Pending    StateType = "PENDING"
	Running    StateType = "RUNNING"
	Completed  StateType = "COMPLETED"
	Failed     StateType = "FAILED"
	Cancelled  StateType = "CANCELLED"
	Crashed    StateType = "CRASHED"
	Paused     StateType = "PAUSED"
	Cancelling StateType = "CANCELLING"
)

// StateTypes lists every state type in the reference's order.
func StateTypes() []StateType {
	return []StateType{Scheduled, Pending, Running, Completed, Failed, Cancelled, Crashed, Paused, Cancelling}
}

// Valid reports whether t is one of [StateTypes].
func (t StateType) Valid() bool {
	switch t {
	case Scheduled, Pending, Running, Completed, Failed, Cancelled, Crashed, Paused, Cancelling:
		return true
	}
	return false
}

// Terminal reports whether a run in a state of this type has ended.
func (t StateType) Terminal() bool {
	return t == Completed || t == Failed || t == Cancelled || t == Crashed
}

// DefaultName returns the name of a state that was given none: the type with
// one capital.
func (t StateType) DefaultName() string {
	if t == "" {
		return ""
	}
	return string(t[:1]) + strings.ToLower(string(t[1:]))
}

// State is a state of a flow run or a task run.
type State struct {
	ID        uuid.UUID       `json:"id"`
	Type      StateType       `json:"type"`
	Name      string          `json:"name"`
	Timestamp Time            `json:"timestamp"`
	Message   *string         `json:"message"`
	Data      json.RawMessage `json:"data"` // opaque JSON; nil means null
	Details   StateDetails    `json:"state_details"`
}

// StateDetails is the orchestration data of a state.
type StateDetails struct {
	FlowRunID                    *uuid.UUID        `json:"flow_run_id"`
	TaskRunID                    *uuid.UUID        `json:"task_run_id"`
	ChildFlowRunID               *uuid.UUID        `json:"child_flow_run_id"` // on the task run that stands for a subflow
	ScheduledTime                *Time             `json:"scheduled_time"`
	CacheKey                     *string           `json:"cache_key"`
	CacheExpiration              *Time             `json:"cache_expiration"`
	Deferred                     *bool             `json:"deferred"` // a background task, run by a task worker
	UntrackableResult            bool              `json:"untrackable_result"`
	PauseTimeout                 *Time             `json:"pause_timeout"`
	PauseReschedule              bool              `json:"pause_reschedule"` // suspended: the process ends while paused
	PauseKey                     *string           `json:"pause_key"`
	RunInputKeyset               map[string]string `json:"run_input_keyset"`
	RefreshCache                 *bool             `json:"refresh_cache"`
	Retriable                    *bool             `json:"retriable"`
	TransitionID                 *uuid.UUID        `json:"transition_id"` // chosen by the client, one a proposal; HTTP retries repeat it
	TaskParametersID             *uuid.UUID        `json:"task_parameters_id"`
	Traceparent                  *string           `json:"traceparent"`
	DeploymentConcurrencyLeaseID *uuid.UUID        `json:"deployment_concurrency_lease_id"`
}

// NewStateDetails returns the details of a state that was given none.
func NewStateDetails() StateDetails {
	no := false
	return StateDetails{Deferred: &no}
}

// Normalize fills what the reference fills on every state: a missing name, and
// now as the scheduled time of a SCHEDULED state without one.
func (s *State) Normalize(now Time) {
	if s.Name == "" {
		s.Name = s.Type.DefaultName()
	}
	if s.Type == Scheduled && s.Details.ScheduledTime == nil {
		s.Details.ScheduledTime = now.Ptr()
	}
}

// Copy returns a deep copy: changing its details leaves s alone. Data is shared,
// as nothing changes it in place.
func (s *State) Copy() *State {
	if s == nil {
		return nil
	}
	c := *s
	if s.Details.RunInputKeyset != nil {
		c.Details.RunInputKeyset = make(map[string]string, len(s.Details.RunInputKeyset))
		for k, v := range s.Details.RunInputKeyset {
			c.Details.RunInputKeyset[k] = v
		}
	}
	return &c
}

// TypeOf returns the type of s, "" for no state.
func TypeOf(s *State) StateType {
	if s == nil {
		return ""
	}
	return s.Type
}
