package store

import (
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store/query"
)

const workerColumns = "worker.id, worker.created, worker.updated, worker.name, worker.work_pool_id, worker.last_heartbeat_time, worker.heartbeat_interval_seconds"

// WorkerHeartbeat notes that a worker of a pool is online; the first one makes the
// pool ready. Errors: NotFound for a pool that is not there.
func (db *DB) WorkerHeartbeat(ctx context.Context, pool, name string, intervalSeconds *int) error {
	err := db.write(ctx, func(tx *tx) error {
		p, err := readPool(ctx, tx, tx.d, pool, tx.d.lock("work_pool"))
		if err != nil {
			return err
		}
		now := tx.now()
		_, err = tx.ExecContext(ctx, insertInto("worker", "id, created, updated, work_pool_id, name, last_heartbeat_time, heartbeat_interval_seconds, status")+`
			ON CONFLICT (work_pool_id, name) DO UPDATE SET last_heartbeat_time = excluded.last_heartbeat_time, status = excluded.status,
				heartbeat_interval_seconds = coalesce(excluded.heartbeat_interval_seconds, worker.heartbeat_interval_seconds)`,
			tx.d.args(prefect.NewID(), now, now, p.ID, name, now, intervalSeconds, string(prefect.Online))...)
		if err != nil || p.Status != prefect.NotReady {
			return err
		}
		before := *p
		p.Status = prefect.Ready
		return savePool(ctx, tx, &before, p)
	})
	return named(err, "work_pool", pool)
}

// FilterWorkers returns the workers of a pool that f selects, those first that were
// seen last. Errors: Invalid.
func (db *DB) FilterWorkers(ctx context.Context, pool uuid.UUID, f *prefect.WorkerFilter, p prefect.Page) (list []*prefect.Worker, err error) {
	c, err := query.Filter(db.d.query(), query.Worker, f)
	if err != nil {
		return nil, err
	}
	c = query.And(c, query.Condition{SQL: "worker.work_pool_id = ?", Args: []any{db.d.arg(pool)}})
	now := db.now()
	err = db.read(ctx, func(q querier) error {
		list, err = all(ctx, q, func(row scanner) (*prefect.Worker, error) {
			w := &prefect.Worker{}
			if err := row.Scan(into(&w.ID), into(&w.Created), into(&w.Updated), &w.Name, into(&w.WorkPoolID), into(&w.LastHeartbeatTime), &w.HeartbeatIntervalSeconds); err != nil {
				return nil, err
			}
			w.Status = w.StatusAt(now)
			return w, nil
		}, "SELECT "+workerColumns+" FROM worker"+c.Where()+" ORDER BY worker.last_heartbeat_time DESC, worker.id LIMIT ? OFFSET ?", append(c.Args, p.Limit, p.Offset)...)
		return err
	})
	return list, err
}

// DeleteWorker deletes a worker of a pool. Errors: NotFound.
func (db *DB) DeleteWorker(ctx context.Context, pool uuid.UUID, name string) error {
	err := db.write(ctx, func(tx *tx) error {
		return deleteWhere(ctx, tx, "worker", "work_pool_id = ? AND name = ?", pool, name)
	})
	return named(err, "worker", name)
}

// WorkPoolRuns returns the runs that workers of the pool may start, by the priority
// of their queues and the times that they are due.
func (db *DB) WorkPoolRuns(ctx context.Context, pool *prefect.WorkPool, q prefect.WorkQuery) ([]*prefect.FlowRun, error) {
	limit := q.Limit
	if pool.ConcurrencyLimit != nil && pool.ActiveSlots != nil {
		limit = min(limit, max(0, *pool.ConcurrencyLimit-*pool.ActiveSlots))
	}
	if pool.IsPaused || limit == 0 {
		return []*prefect.FlowRun{}, nil
	}
	queues := query.Condition{SQL: "w.work_pool_id = ?", Args: []any{db.d.arg(pool.ID)}}
	if q.Queues != nil {
		which, arg := db.d.anyOf("w.id", q.Queues)
		queues = query.And(queues, query.Condition{SQL: which, Args: []any{arg}})
	}
	q.Limit = limit
	return db.workRuns(ctx, work{
		queues: queues, belongs: "r.work_queue_id = w.id AND coalesce(r.empirical_policy ->> 'retry_type', '') <> 'in_process'",
		active: "a.work_queue_id = w.id AND a.state_type IN ('PENDING', 'RUNNING')", order: "q.priority, ",
	}, q)
}

// WorkQueueRuns returns the runs that agents of the queue may start, by the times
// that they are due. Agents know queues by their names. Errors: NotFound.
func (db *DB) WorkQueueRuns(ctx context.Context, id uuid.UUID, q prefect.WorkQuery) ([]*prefect.FlowRun, error) {
	if _, err := db.ReadWorkQueueByID(ctx, id); err != nil {
		return nil, err
	}
	return db.workRuns(ctx, work{
		queues: query.Condition{SQL: "w.id = ?", Args: []any{db.d.arg(id)}}, belongs: "r.work_queue_name = w.name",
		active: "a.work_queue_name = w.name AND a.state_type IN ('PENDING', 'RUNNING', 'CANCELLING')",
	}, q)
}

// work is which runs r of which queues w somebody may start, beside those runs a
// that are active. order goes before the times.
type work struct {
	queues                 query.Condition
	belongs, active, order string
}

// sql selects the ids of scheduled runs, of each queue as many as its limit leaves
// and as are asked for. What the limit leaves is counted once for each queue.
func (w work) sql(d *dialect, q prefect.WorkQuery) query.Condition {
	due := query.Condition{SQL: "r.state_type = 'SCHEDULED'"}
	if q.Before != nil {
		due = query.And(due, query.Condition{SQL: "r.next_scheduled_start_time <= ?", Args: []any{d.arg(*q.Before)}})
	}
	if q.After != nil {
		due = query.And(due, query.Condition{SQL: "r.next_scheduled_start_time >= ?", Args: []any{d.arg(*q.After)}})
	}
	sql := `WITH w AS MATERIALIZED (SELECT w.id, w.name,
			CASE WHEN w.concurrency_limit IS NOT NULL THEN w.concurrency_limit - (SELECT count(*) FROM flow_run a WHERE ` + w.active + `) END AS free
		FROM work_queue w WHERE w.is_paused = ` + d.pick("0", "false") + ` AND (` + w.queues.SQL + `))
		SELECT id FROM (SELECT r.id, w.free, row_number() OVER (PARTITION BY w.id ORDER BY r.next_scheduled_start_time, r.id) AS place
			FROM w JOIN flow_run r ON ` + w.belongs + ` WHERE ` + due.SQL + `) due WHERE place <= ? AND (free IS NULL OR place <= free)`
	return query.Condition{SQL: sql, Args: append(slices.Concat(w.queues.Args, due.Args), q.Limit)}
}

func (db *DB) workRuns(ctx context.Context, w work, q prefect.WorkQuery) (list []*prefect.FlowRun, err error) {
	due := w.sql(db.d, q)
	err = db.read(ctx, func(reader querier) error {
		list, err = all(ctx, reader, scanFlowRun, "SELECT "+db.d.columns(flowRunColumns)+" FROM flow_run"+flowRunJoins(db.d)+" WHERE flow_run.id IN ("+due.SQL+
			") ORDER BY "+w.order+"flow_run.next_scheduled_start_time, flow_run.id LIMIT ?", append(due.Args, q.Limit)...)
		return err
	})
	return list, err
}

// Polled notes that the work of deployments and queues was asked for now: it makes
// them ready, and the deployments of the queues as well. Their stamps stay, as they
// have not changed.
func (db *DB) Polled(ctx context.Context, deployments, queues []uuid.UUID) error {
	note := func(table, column string, ids []uuid.UUID, status string) error {
		if len(ids) == 0 {
			return nil
		}
		return db.write(ctx, func(tx *tx) error {
			which, arg := tx.d.anyOf(column, ids)
			// In the order of their ids, as others lock them.
			rows := "SELECT id FROM " + table + " WHERE " + which + " ORDER BY id" + tx.d.lock(table)
			_, err := tx.ExecContext(ctx, "UPDATE "+table+" SET last_polled = ?, status = "+status+" WHERE id IN ("+rows+")", tx.d.arg(tx.now()), arg)
			return err
		})
	}
	// A paused queue stays so.
	ready := "CASE WHEN status = 'NOT_READY' THEN 'READY' ELSE status END"
	return wrapf(errors.Join(
		note("work_queue", "id", queues, ready),
		note("deployment", "id", deployments, "'READY'"),
		note("deployment", "work_queue_id", queues, "'READY'"),
	), "note a poll")
}
