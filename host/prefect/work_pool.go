package prefect

import (
	"encoding/json"

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
	ID                       uuid.UUID `json:"id"`
	Created                  Time      `json:"created"`
	Updated                  Time      `json:"updated"`
	Name                     string    `json:"name"`
	WorkPoolID               uuid.UUID `json:"work_pool_id"`
	LastHeartbeatTime        Time      `json:"last_heartbeat_time"`
	HeartbeatIntervalSeconds *int      `json:"heartbeat_interval_seconds"`
	Status                   string    `json:"status"` // ONLINE or OFFLINE
}
