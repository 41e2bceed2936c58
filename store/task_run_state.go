package store

import (
	"context"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// ReadTaskRunState returns a state of a task run by its id, with its data.
// Errors: NotFound.
func (db *DB) ReadTaskRunState(ctx context.Context, id uuid.UUID) (*prefect.State, error) {
	return db.readState(ctx, tablesOf(prefect.TaskRunType), id)
}

// ReadTaskRunStates returns all states of a task run, oldest first; none for a
// run that does not exist.
func (db *DB) ReadTaskRunStates(ctx context.Context, taskRunID uuid.UUID) ([]*prefect.State, error) {
	return db.readStates(ctx, tablesOf(prefect.TaskRunType), taskRunID)
}
