package store

import (
	"context"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store/query"
)

const flowColumns = "flow.id, flow.created, flow.updated, flow.name, flow.tags, flow.labels"

func scanFlow(row scanner) (*prefect.Flow, error) {
	f := &prefect.Flow{}
	err := row.Scan(into(&f.ID), into(&f.Created), into(&f.Updated), &f.Name, into(&f.Tags), into(&f.Labels))
	return f, err
}

// CreateFlow inserts f, whose id is chosen if it is zero, or finds the flow of
// that name; either way f is the stored row afterwards.
func (db *DB) CreateFlow(ctx context.Context, f *prefect.Flow) (created bool, err error) {
	stored, err := db.ReadFlowByName(ctx, f.Name)
	if err == nil {
		*f = *stored
		return false, nil
	}
	if prefect.CodeOf(err) != prefect.NotFound {
		return false, err
	}
	if f.ID == uuid.Nil {
		f.ID = prefect.NewID()
	}
	err = db.write(ctx, func(tx *tx) error {
		now := tx.now()
		n, err := affected(tx.ExecContext(ctx, `INSERT INTO flow (id, created, updated, name, tags, labels)
			VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING`,
			tx.d.args(f.ID, now, now, f.Name, f.Tags, f.Labels)...))
		if err != nil {
			return err
		}
		created = n > 0
		stored, err = one(scanFlow, tx.QueryRowContext(ctx, "SELECT "+flowColumns+" FROM flow WHERE flow.name = ?", tx.d.arg(f.Name)))
		return err
	})
	if err != nil {
		return false, err
	}
	*f = *stored
	return created, nil
}

// ReadFlow returns a flow by id. Errors: NotFound.
func (db *DB) ReadFlow(ctx context.Context, id uuid.UUID) (*prefect.Flow, error) {
	return db.readFlow(ctx, "flow.id = ?", id)
}

// ReadFlowByName returns a flow by name. Errors: NotFound.
func (db *DB) ReadFlowByName(ctx context.Context, name string) (*prefect.Flow, error) {
	return db.readFlow(ctx, "flow.name = ?", name)
}

func (db *DB) readFlow(ctx context.Context, where string, key any) (f *prefect.Flow, err error) {
	err = db.read(ctx, func(q querier) error {
		f, err = one(scanFlow, q.QueryRowContext(ctx, "SELECT "+flowColumns+" FROM flow WHERE "+where, db.d.arg(key)))
		return err
	})
	return f, named(err, "flow", key)
}

// UpdateFlow calls fn with the stored flow and stores tags and labels as fn left
// them. Errors: NotFound, fn's own.
func (db *DB) UpdateFlow(ctx context.Context, id uuid.UUID, fn func(*prefect.Flow) error) error {
	err := db.write(ctx, func(tx *tx) error {
		f, err := one(scanFlow, tx.QueryRowContext(ctx, "SELECT "+flowColumns+" FROM flow WHERE flow.id = ?"+tx.d.lock("flow"), tx.d.arg(id)))
		if err != nil {
			return err
		}
		if err := fn(f); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE flow SET updated = ?, tags = ?, labels = ? WHERE id = ?",
			tx.d.args(later(tx.now(), f.Updated), f.Tags, f.Labels, id)...)
		return err
	})
	return named(err, "flow", id)
}

// DeleteFlow deletes a flow and, by the schema's cascades, its runs with their
// states, task runs and inputs, and its deployments with the limits of their own;
// slots that the runs hold are given back. Errors: NotFound.
func (db *DB) DeleteFlow(ctx context.Context, id uuid.UUID) error {
	err := db.write(ctx, func(tx *tx) error {
		// The lock keeps others from giving the flow a deployment meanwhile.
		if _, err := one(scanID, tx.QueryRowContext(ctx, "SELECT id FROM flow WHERE id = ?"+tx.d.lock("flow"), tx.d.arg(id))); err != nil {
			return err
		}
		limits, err := all(ctx, tx, func(row scanner) (string, error) {
			id, err := scanID(row)
			return prefect.DeploymentLimitName(id), err
		}, "SELECT id FROM deployment WHERE flow_id = ?", tx.d.arg(id))
		if err != nil {
			return err
		}
		if err := deleteWithRuns(ctx, tx, "flow", "SELECT id FROM flow_run WHERE flow_id = ?", id); err != nil {
			return err
		}
		return deleteLimitsNamed(ctx, tx, limits...)
	})
	return named(err, "flow", id)
}

// FilterFlows returns the flows that f selects. Errors: Invalid.
func (db *DB) FilterFlows(ctx context.Context, f prefect.Filters, p prefect.Page) ([]*prefect.Flow, error) {
	from, order, args, err := db.selection(query.Flow, f, p)
	if err != nil {
		return nil, err
	}
	var list []*prefect.Flow
	err = db.read(ctx, func(q querier) (err error) {
		list, err = all(ctx, q, scanFlow, "SELECT "+flowColumns+" FROM "+from+order, args...)
		return err
	})
	return list, err
}

// CountFlows returns how many flows f selects. Errors: Invalid.
func (db *DB) CountFlows(ctx context.Context, f prefect.Filters) (int, error) {
	return db.count(ctx, query.Flow, f)
}
