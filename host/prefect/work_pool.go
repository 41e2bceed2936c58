package prefect

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// The work pool that holds the queues of those who name none.
const (
	DefaultAgentPool = "default-agent-pool"
	AgentPoolType    = "prefect-agent" // pools of this type have no status
	DefaultQueue     = "default"       // the queue that every pool begins with
)

// WorkPool is a row of work_pool.
type WorkPool struct {
	ID                   uuid.UUID
	Created              Time
	Updated              Time
	Name                 string
	Description          *string
	Type                 string
	BaseJobTemplate      json.RawMessage // object
	IsPaused             bool
	ConcurrencyLimit     *int // nil: no limit
	Status               ReadyStatus
	DefaultQueueID       *uuid.UUID // nil only while the pool is being made
	StorageConfiguration json.RawMessage
	ActiveSlots          *int // runs that are PENDING or RUNNING, nil without a limit
}

// WorkQueue is a row of work_queue.
type WorkQueue struct {
	ID               uuid.UUID
	Created          Time
	Updated          Time
	Name             string
	Description      string
	IsPaused         bool
	ConcurrencyLimit *int            // nil: no limit
	Priority         int             // from 1, which is first; 0 asks a write for the first that is free
	Filter           json.RawMessage // deprecated; nil: none
	LastPolled       *Time
	Status           ReadyStatus
	WorkPoolID       uuid.UUID
	WorkPoolName     string // by way of WorkPoolID
	ActiveSlots      *int   // nil without a limit
}

// Worker is a row of worker.
type Worker struct {
	ID                       uuid.UUID    `json:"id"`
	Created                  Time         `json:"created"`
	Updated                  Time         `json:"updated"`
	Name                     string       `json:"name"`
	WorkPoolID               uuid.UUID    `json:"work_pool_id"`
	LastHeartbeatTime        Time         `json:"last_heartbeat_time"`
	HeartbeatIntervalSeconds *int         `json:"heartbeat_interval_seconds"`
	Status                   WorkerStatus `json:"status"` // as of the last heartbeat and now
}

// WorkerStatus says whether a worker sends heartbeats.
type WorkerStatus string

// The worker statuses.
const (
	Online  WorkerStatus = "ONLINE"
	Offline WorkerStatus = "OFFLINE"
)

// A worker that names no interval sends a heartbeat every so many seconds, and is
// offline after so many intervals without one.
const (
	defaultHeartbeat = 30
	missedHeartbeats = 3
)

// StatusAt returns whether the worker is online at an instant.
func (w *Worker) StatusAt(now Time) WorkerStatus {
	interval := defaultHeartbeat
	if w.HeartbeatIntervalSeconds != nil && *w.HeartbeatIntervalSeconds != 0 {
		interval = *w.HeartbeatIntervalSeconds
	}
	if now.Sub(w.LastHeartbeatTime.Time) < time.Duration(interval)*missedHeartbeats*time.Second {
		return Online
	}
	return Offline
}

// WorkQuery selects the scheduled runs that a worker may start now: no more than
// the limits of their queue and of its pool leave free. Runs that their own process
// will start again are not among them.
type WorkQuery struct {
	Queues []uuid.UUID // of those that are not paused; nil is all of the pool
	Before *Time       // scheduled until then
	After  *Time       // scheduled from then on
	Limit  int
}
