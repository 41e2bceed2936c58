package store

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store/query"
)

const (
	poolOwn     = "name, description, type, base_job_template, is_paused, concurrency_limit, status, storage_configuration"
	poolColumns = "work_pool.id, work_pool.created, work_pool.updated, work_pool.name, work_pool.description, work_pool.type, work_pool.base_job_template, " +
		"work_pool.is_paused, work_pool.concurrency_limit, work_pool.status, work_pool.storage_configuration, work_pool.default_queue_id, " +
		`CASE WHEN work_pool.concurrency_limit IS NOT NULL THEN (SELECT count(*) FROM flow_run r JOIN work_queue q ON q.id = r.work_queue_id
			WHERE q.work_pool_id = work_pool.id AND r.state_type IN ('PENDING', 'RUNNING')) END`
)

func scanPool(row scanner) (*prefect.WorkPool, error) {
	p := &prefect.WorkPool{}
	var status string
	err := row.Scan(into(&p.ID), into(&p.Created), into(&p.Updated), &p.Name, &p.Description, &p.Type, into(&p.BaseJobTemplate),
		&p.IsPaused, &p.ConcurrencyLimit, &status, into(&p.StorageConfiguration), into(&p.DefaultQueueID), &p.ActiveSlots)
	p.Status = prefect.ReadyStatus(status)
	return p, err
}

func poolOwnArgs(p *prefect.WorkPool) []any {
	return []any{p.Name, p.Description, p.Type, object(p.BaseJobTemplate), p.IsPaused, p.ConcurrencyLimit, string(p.Status), object(p.StorageConfiguration)}
}

// CreateWorkPool inserts p, whose id is chosen if it is zero, with its default
// queue. p is the stored row afterwards. Errors: Conflict for a name that is taken.
func (db *DB) CreateWorkPool(ctx context.Context, p *prefect.WorkPool) error {
	var stored *prefect.WorkPool
	err := db.write(ctx, func(tx *tx) (err error) {
		stored, err = createPool(ctx, tx, *p)
		return err
	})
	if err == nil {
		*p = *stored
	}
	return err
}

func createPool(ctx context.Context, tx *tx, p prefect.WorkPool) (*prefect.WorkPool, error) {
	if p.ID == uuid.Nil {
		p.ID = prefect.NewID()
	}
	now := tx.now()
	_, err := tx.ExecContext(ctx, insertInto("work_pool", "id, created, updated, "+poolOwn), tx.d.args(append([]any{p.ID, now, now}, poolOwnArgs(&p)...)...)...)
	if err != nil {
		return nil, err
	}
	q, err := createQueue(ctx, tx, prefect.WorkQueue{Name: prefect.DefaultQueue, Description: "The work pool's default queue.", WorkPoolID: p.ID})
	if err != nil {
		return nil, err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE work_pool SET default_queue_id = ? WHERE id = ?", tx.d.args(q.ID, p.ID)...); err != nil {
		return nil, err
	}
	return readPool(ctx, tx, tx.d, p.Name, "")
}

func readPool(ctx context.Context, q querier, d *dialect, name, lock string) (*prefect.WorkPool, error) {
	return one(scanPool, q.QueryRowContext(ctx, "SELECT "+poolColumns+" FROM work_pool WHERE work_pool.name = ?"+lock, d.arg(name)))
}

// ReadWorkPool returns a work pool by name. Errors: NotFound.
func (db *DB) ReadWorkPool(ctx context.Context, name string) (p *prefect.WorkPool, err error) {
	err = db.read(ctx, func(q querier) error {
		p, err = readPool(ctx, q, db.d, name, "")
		return err
	})
	return p, named(err, "work_pool", name)
}

// FilterWorkPools returns the pools that f selects, by name. Errors: Invalid.
func (db *DB) FilterWorkPools(ctx context.Context, f *prefect.WorkPoolFilter, p prefect.Page) (list []*prefect.WorkPool, err error) {
	c, err := query.Filter(db.d.query(), query.WorkPool, f)
	if err != nil {
		return nil, err
	}
	err = db.read(ctx, func(q querier) error {
		list, err = all(ctx, q, scanPool, "SELECT "+poolColumns+" FROM work_pool"+c.Where()+" ORDER BY work_pool.name LIMIT ? OFFSET ?", append(c.Args, p.Limit, p.Offset)...)
		return err
	})
	return list, err
}

// CountWorkPools returns how many pools f selects. Errors: Invalid.
func (db *DB) CountWorkPools(ctx context.Context, f *prefect.WorkPoolFilter) (int, error) {
	return db.count(ctx, query.WorkPool, prefect.Filters{WorkPools: f})
}

// UpdateWorkPool calls fn with the stored pool and whether it has workers that are
// online, and stores what fn left. Errors: NotFound, fn's own.
func (db *DB) UpdateWorkPool(ctx context.Context, name string, fn func(p *prefect.WorkPool, online bool) error) error {
	err := db.write(ctx, func(tx *tx) error {
		p, err := readPool(ctx, tx, tx.d, name, tx.d.lock("work_pool"))
		if err != nil {
			return err
		}
		var online bool
		if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM worker WHERE work_pool_id = ? AND status = 'ONLINE')", tx.d.arg(p.ID)).Scan(&online); err != nil {
			return err
		}
		before := *p
		if err := fn(p, online); err != nil {
			return err
		}
		return savePool(ctx, tx, &before, p)
	})
	return named(err, "work_pool", name)
}

func savePool(ctx context.Context, tx *tx, before, p *prefect.WorkPool) error {
	now := tx.now()
	args := append([]any{later(now, p.Updated)}, poolOwnArgs(p)...)
	if _, err := tx.ExecContext(ctx, "UPDATE work_pool SET "+assign("updated, "+poolOwn)+" WHERE id = ?", tx.d.args(append(args, p.ID)...)...); err != nil {
		return err
	}
	if before.Status == p.Status {
		return nil
	}
	_, err := tx.ExecContext(ctx, "UPDATE work_pool SET last_transitioned_status_at = ?, last_status_event_id = ? WHERE id = ?",
		tx.d.args(now, prefect.NewID(), p.ID)...)
	return err
}

// DeleteWorkPool deletes a pool with its queues and workers. Errors: NotFound.
func (db *DB) DeleteWorkPool(ctx context.Context, name string) error {
	err := db.write(ctx, func(tx *tx) error {
		p, err := readPool(ctx, tx, tx.d, name, tx.d.lock("work_pool"))
		if err != nil {
			return err
		}
		// The pool refers to its default queue, which its own cascade deletes.
		if _, err := tx.ExecContext(ctx, "UPDATE work_pool SET default_queue_id = NULL WHERE id = ?", tx.d.arg(p.ID)); err != nil {
			return err
		}
		return deleteOne(ctx, tx, "work_pool", p.ID)
	})
	return named(err, "work_pool", name)
}

// defaultAgentPool returns the pool of queues that are made without one, and makes
// it if it is not there.
func defaultAgentPool(ctx context.Context, tx *tx) (*prefect.WorkPool, error) {
	p, err := readPool(ctx, tx, tx.d, prefect.DefaultAgentPool, "")
	if errors.Is(err, errNoRow) {
		return createPool(ctx, tx, prefect.WorkPool{Name: prefect.DefaultAgentPool, Type: prefect.AgentPoolType, Status: prefect.NotReady})
	}
	return p, err
}
