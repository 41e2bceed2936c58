package store

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
)

// Exclusive calls fn within one transaction that holds the run's row: on SQLite
// the only writer, on Postgres under FOR UPDATE. What fn commits is durable when
// Exclusive returns nil, and undone if fn fails. fn may be called again.
func (db *DB) Exclusive(ctx context.Context, run prefect.RunType, id uuid.UUID, fn func(orchestrate.Store) error) error {
	t := tablesOf(run)
	return db.write(ctx, func(tx *tx) error {
		_, err := one(scanText, tx.QueryRowContext(ctx, "SELECT id FROM "+t.run+" WHERE id = ?"+tx.d.lock(t.run), tx.d.arg(id)))
		if err != nil && !errors.Is(err, errNoRow) { // fn makes the run, or finds out
			return err
		}
		return fn(exclusive{tx})
	})
}

// exclusive is the Store within the transaction of Exclusive.
type exclusive struct{ tx *tx }

func (e exclusive) ReadFlowRun(ctx context.Context, id uuid.UUID) (*prefect.FlowRun, error) {
	r, err := readFlowRun(ctx, e.tx, e.tx.d, id, "")
	return r, named(err, "flow_run", id)
}

func (e exclusive) ReadTaskRun(ctx context.Context, id uuid.UUID) (*prefect.TaskRun, error) {
	r, err := readTaskRun(ctx, e.tx, e.tx.d, id, "")
	return r, named(err, "task_run", id)
}

func (e exclusive) Facts(ctx context.Context, keys orchestrate.FactKeys) (orchestrate.Facts, error) {
	if err := lockFacts(ctx, e.tx, keys); err != nil {
		return nil, err
	}
	return readFacts(ctx, e.tx, e.tx.d, keys)
}

func (e exclusive) FindDecision(ctx context.Context, run prefect.RunType, runID, transitionID uuid.UUID) (*prefect.Decision, *prefect.State, error) {
	return findDecision(ctx, e.tx, e.tx.d, run, runID, transitionID)
}

func (e exclusive) Commit(ctx context.Context, c *orchestrate.Commit) error {
	return commit(ctx, e.tx, c, true)
}

func (e exclusive) Exclusive(_ context.Context, _ prefect.RunType, _ uuid.UUID, fn func(orchestrate.Store) error) error {
	return fn(e)
}
