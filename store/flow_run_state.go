package store

import (
	"context"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// ReadFlowRunState returns a state of a flow run by its id, with its data.
// Errors: NotFound.
func (db *DB) ReadFlowRunState(ctx context.Context, id uuid.UUID) (*prefect.State, error) {
	return db.readState(ctx, tablesOf(prefect.FlowRunType), id)
}

// ReadFlowRunStates returns all states of a flow run, oldest first; none for a
// run that does not exist.
func (db *DB) ReadFlowRunStates(ctx context.Context, flowRunID uuid.UUID) ([]*prefect.State, error) {
	return db.readStates(ctx, tablesOf(prefect.FlowRunType), flowRunID)
}
