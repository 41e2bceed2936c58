package prefect

import (
	"encoding/json"

	"github.com/google/uuid"
)

// Deployment is a row of deployment with its schedules, its concurrency limit and
// the names of its work queue and work pool.
type Deployment struct {
	ID      uuid.UUID
	Created Time
	Updated Time
	Name    string
	FlowID  uuid.UUID

	Version     *string
	Description *string
	Tags        []string
	Labels      json.RawMessage // object or nil
	Paused      bool
	Schedules   []*DeploymentSchedule // the last written first

	Parameters      json.RawMessage // object
	ParameterSchema json.RawMessage // JSON Schema of Parameters, or nil
	EnforceSchema   bool

	ConcurrencyLimitID *uuid.UUID          // the limit that runs take slots of
	Limit              *ConcurrencyLimit   // the row of that id
	OwnLimit           Optional[*int]      // asked of a write: the slots of a limit of its own, nil for none
	ConcurrencyOptions *ConcurrencyOptions // nil: as the server's settings say

	AskedQueue    *QueueName // asked of a write: the queue that WorkQueueID becomes the id of, made if it is not there
	WorkQueueID   *uuid.UUID
	WorkQueueName *string    // as it was written; QueueName stands for it while there is a queue
	QueueName     *string    // by way of WorkQueueID
	WorkPoolID    *uuid.UUID // by way of the queue
	WorkPoolName  *string    // by way of the queue
	JobVariables  json.RawMessage

	Path       *string
	Entrypoint *string
	PullSteps  json.RawMessage // list or nil

	StorageDocumentID        *uuid.UUID
	InfrastructureDocumentID *uuid.UUID
	CreatedBy                *CreatedBy
	UpdatedBy                *CreatedBy
	LastPolled               *Time
	Status                   ReadyStatus
}

// ReadyStatus says whether something asks for the work of a deployment, a work
// queue or a work pool.
type ReadyStatus string

// The statuses; deployments are never Paused.
const (
	Ready        ReadyStatus = "READY"
	NotReady     ReadyStatus = "NOT_READY"
	PausedStatus ReadyStatus = "PAUSED"
)

// NewDeployment returns a deployment with what a row has whose fields nobody set.
func NewDeployment(flowID uuid.UUID, name string) *Deployment {
	empty := json.RawMessage("{}")
	return &Deployment{FlowID: flowID, Name: name, Tags: []string{}, Parameters: empty, ParameterSchema: empty, EnforceSchema: true,
		JobVariables: empty, PullSteps: json.RawMessage("[]"), Status: NotReady}
}

// DeploymentLimitName is the name of the concurrency limit that is a deployment's
// own.
func DeploymentLimitName(id uuid.UUID) string { return "deployment:" + id.String() }

// ConcurrencyOptions say what happens to a run when all slots are taken.
type ConcurrencyOptions struct {
	CollisionStrategy  string `json:"collision_strategy"`   // ENQUEUE or CANCEL_NEW
	GracePeriodSeconds *int   `json:"grace_period_seconds"` // how long a run may take to start and keep its slot; nil: the server's setting
}

// DeploymentSchedule is a row of deployment_schedule.
type DeploymentSchedule struct {
	ID               uuid.UUID       `json:"id"`
	Created          Time            `json:"created"`
	Updated          Time            `json:"updated"`
	DeploymentID     uuid.UUID       `json:"deployment_id"`
	Schedule         json.RawMessage `json:"schedule"` // an interval, cron or rrule schedule
	Active           bool            `json:"active"`
	MaxScheduledRuns *int            `json:"max_scheduled_runs"`
	Parameters       json.RawMessage `json:"parameters"` // object, over the deployment's
	Slug             *string         `json:"slug"`       // unique within the deployment
}

// StaleRuns are the runs of a deployment that a change makes obsolete: those that
// are SCHEDULED, have not run yet and do not wait for a slot.
type StaleRuns int

// The kinds of stale runs.
const (
	NoStaleRuns         StaleRuns = iota
	FutureScheduledRuns           // that a schedule made, for a time to come
	AutoScheduledRuns             // that a schedule made
	AllScheduledRuns              // that anybody made
)

// QueueName names a work queue. Without a pool it is one of the default agent pool,
// without a name the default one of its pool.
type QueueName struct{ Pool, Name string }
