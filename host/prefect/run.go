package prefect

import (
	"encoding/json"

	"github.com/google/uuid"
)

// RunType tells the two kinds of run apart, as the policy contract names them.
type RunType string

// The run types.
const (
	FlowRunType RunType = "flow_run"
	TaskRunType RunType = "task_run"
)

// CreatedBy says who made an object.
type CreatedBy struct {
	ID           *uuid.UUID `json:"id"`
	Type         *string    `json:"type"`
	DisplayValue *string    `json:"display_value"`
}

// RunTimes are the columns that the bookkeeping of a transition keeps true, on
// flow runs and task runs alike.
type RunTimes struct {
	StateID                *uuid.UUID
	StateType              *StateType
	StateName              *string
	StateTimestamp         *Time
	RunCount               int
	ExpectedStartTime      *Time
	NextScheduledStartTime *Time
	StartTime              *Time
	EndTime                *Time
	TotalRunTime           float64 // seconds in RUNNING, finished stretches only
}

// MaxTotalRunTime bounds what a client says of a run's TotalRunTime, either way. In
// SQLite it is a date, that long after 1970, and has to be one that can be read.
const MaxTotalRunTime = 60e9

// EstimatedRunTime returns TotalRunTime plus, for a run that is RUNNING, the
// time since it entered that state, in seconds.
func (r *RunTimes) EstimatedRunTime(now Time) float64 {
	if r.StateType != nil && *r.StateType == Running && r.StateTimestamp != nil {
		return r.TotalRunTime + now.Sub(r.StateTimestamp.Time).Seconds()
	}
	return r.TotalRunTime
}

// EstimatedStartTimeDelta returns how late the run started, or is by now, in
// seconds: 0 before the expected time, and 0 for a run that ended unstarted.
func (r *RunTimes) EstimatedStartTimeDelta(now Time) float64 {
	switch {
	case r.ExpectedStartTime == nil:
		return 0
	case r.StartTime != nil && r.StartTime.After(r.ExpectedStartTime.Time):
		return r.StartTime.Sub(r.ExpectedStartTime.Time).Seconds()
	case r.StartTime == nil && now.After(r.ExpectedStartTime.Time) && (r.StateType == nil || !r.StateType.Terminal()):
		return now.Sub(r.ExpectedStartTime.Time).Seconds()
	}
	return 0
}

// FlowRun is a row of flow_run with its current state.
type FlowRun struct {
	ID      uuid.UUID
	Created Time
	Updated Time // strictly grows with each write of the row: the compare-and-set stamp of transitions
	Name    string
	FlowID  uuid.UUID
	RunTimes
	DeploymentID             *uuid.UUID
	DeploymentVersion        *string
	WorkQueueID              *uuid.UUID
	WorkQueueName            *string    // as it was written
	QueueName                *string    // by way of the work queue; it stands for WorkQueueName in replies
	WorkPoolID               *uuid.UUID // by way of the work queue
	WorkPoolName             *string    // by way of the work queue
	FlowVersion              *string
	Parameters               json.RawMessage // object
	IdempotencyKey           *string
	Context                  json.RawMessage // object
	Policy                   FlowRunPolicy
	Tags                     []string
	Labels                   json.RawMessage // object or nil
	ParentTaskRunID          *uuid.UUID
	AutoScheduled            bool
	InfrastructureDocumentID *uuid.UUID
	InfrastructurePID        *string
	CreatedBy                *CreatedBy
	JobVariables             json.RawMessage // object or nil
	State                    *State
}

// FlowRunPolicy is empirical_policy of a flow run.
type FlowRunPolicy struct {
	MaxRetries        int      `json:"max_retries"`         // deprecated twin of Retries
	RetryDelaySeconds float64  `json:"retry_delay_seconds"` // deprecated twin of RetryDelay
	Retries           *int     `json:"retries"`
	RetryDelay        *int     `json:"retry_delay"` // seconds
	PauseKeys         []string `json:"pause_keys"`  // a set; nil is null
	Resuming          *bool    `json:"resuming"`
	RetryType         *string  `json:"retry_type"` // in_process, reschedule or null
}

// TaskRun is a row of task_run with its current state.
type TaskRun struct {
	ID        uuid.UUID
	Created   Time
	Updated   Time // see FlowRun.Updated
	Name      string
	FlowRunID *uuid.UUID
	RunTimes
	TaskKey         string
	DynamicKey      string
	CacheKey        *string
	CacheExpiration *Time
	TaskVersion     *string
	FlowRunRunCount int
	Policy          TaskRunPolicy
	Tags            []string
	Labels          json.RawMessage // object or nil
	TaskInputs      json.RawMessage // object
	State           *State
}

// TaskRunPolicy is empirical_policy of a task run.
type TaskRunPolicy struct {
	MaxRetries        int             `json:"max_retries"`
	RetryDelaySeconds float64         `json:"retry_delay_seconds"`
	Retries           *int            `json:"retries"`
	RetryDelay        json.RawMessage `json:"retry_delay"` // null, a number, or a list of at most 50 numbers; seconds
	RetryJitterFactor *float64        `json:"retry_jitter_factor"`
}

// Flow is a row of flow.
type Flow struct {
	ID      uuid.UUID       `json:"id"`
	Created Time            `json:"created"`
	Updated Time            `json:"updated"`
	Name    string          `json:"name"`
	Tags    []string        `json:"tags"`
	Labels  json.RawMessage `json:"labels"` // object or nil
}

// Log is a row of log.
type Log struct {
	ID        uuid.UUID  `json:"id"`
	Created   Time       `json:"created"`
	Updated   Time       `json:"updated"`
	Name      string     `json:"name"`
	Level     int        `json:"level"`
	Message   string     `json:"message"`
	Timestamp Time       `json:"timestamp"`
	FlowRunID *uuid.UUID `json:"flow_run_id"`
	TaskRunID *uuid.UUID `json:"task_run_id"`
}

// Page bounds and orders a filtered read. Sort is one of the noun's sort names
// ("ID_DESC", ...); an unknown one is refused by the store with Invalid.
type Page struct {
	Sort   string
	Limit  int
	Offset int
}
