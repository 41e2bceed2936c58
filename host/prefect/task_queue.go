package prefect

import "github.com/google/uuid"

// TaskClaim is a background task run that was taken off its queue for one
// worker: nobody else gets it until the claim is settled or has expired.
type TaskClaim struct {
	ID  uuid.UUID
	Run *TaskRun // with its state
}

// TaskWorker is a worker that is subscribed to runs of background tasks.
type TaskWorker struct {
	Identifier string   `json:"identifier"` // what the worker calls itself
	TaskKeys   []string `json:"task_keys"`
	Timestamp  Time     `json:"timestamp"` // when it was last seen
}
