package prefect

import "github.com/google/uuid"

// FlowRunInput is a row of flow_run_input: a value that somebody sent to a run.
type FlowRunInput struct {
	ID        uuid.UUID `json:"id"`
	Created   Time      `json:"created"`
	Updated   Time      `json:"updated"`
	FlowRunID uuid.UUID `json:"flow_run_id"`
	Key       string    `json:"key"` // unique in the run
	Value     string    `json:"value"`
	Sender    *string   `json:"sender"`
}
