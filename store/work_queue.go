package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store/query"
)

const (
	queueOwn     = "name, description, is_paused, concurrency_limit, priority, filter, last_polled, status, work_pool_id"
	queueColumns = `work_queue.id, work_queue.created, work_queue.updated, work_queue.name, work_queue.description, work_queue.is_paused,
		work_queue.concurrency_limit, work_queue.priority, work_queue.filter, work_queue.last_polled, work_queue.status, work_queue.work_pool_id, p.name,
		CASE WHEN work_queue.concurrency_limit IS NOT NULL THEN (SELECT count(*) FROM flow_run r
			WHERE r.work_queue_id = work_queue.id AND r.state_type IN ('PENDING', 'RUNNING')) END`
	queueFrom = " FROM work_queue JOIN work_pool p ON p.id = work_queue.work_pool_id"
)

func scanQueue(row scanner) (*prefect.WorkQueue, error) {
	q := &prefect.WorkQueue{}
	var status string
	err := row.Scan(into(&q.ID), into(&q.Created), into(&q.Updated), &q.Name, &q.Description, &q.IsPaused, &q.ConcurrencyLimit, &q.Priority,
		into(&q.Filter), into(&q.LastPolled), &status, into(&q.WorkPoolID), &q.WorkPoolName, &q.ActiveSlots)
	q.Status = prefect.ReadyStatus(status)
	return q, err
}

func queueOwnArgs(q *prefect.WorkQueue) []any {
	return []any{q.Name, q.Description, q.IsPaused, q.ConcurrencyLimit, q.Priority, q.Filter, q.LastPolled, string(q.Status), q.WorkPoolID}
}

func readQueue(ctx context.Context, q querier, d *dialect, lock, where string, keys ...any) (*prefect.WorkQueue, error) {
	return one(scanQueue, q.QueryRowContext(ctx, "SELECT "+queueColumns+queueFrom+" WHERE "+where+lock, d.args(keys...)...))
}

const queueInPool = "work_queue.name = ? AND p.name = ?"

// CreateWorkQueue inserts q into its pool, the default agent pool if it has none.
// q is the stored row afterwards. Errors: Conflict for a name that is taken.
func (db *DB) CreateWorkQueue(ctx context.Context, q *prefect.WorkQueue) error {
	var stored *prefect.WorkQueue
	err := db.write(ctx, func(tx *tx) (err error) {
		draft := *q
		if draft.WorkPoolID == uuid.Nil {
			p, err := readPool(ctx, tx, tx.d, prefect.DefaultAgentPool, "")
			if errors.Is(err, errNoRow) {
				if p, err = defaultAgentPool(ctx, tx); err == nil && draft.Name == prefect.DefaultQueue {
					stored, err = readQueue(ctx, tx, tx.d, "", "work_queue.id = ?", p.DefaultQueueID) // made with its pool
					return err
				}
			}
			if err != nil {
				return err
			}
			draft.WorkPoolID = p.ID
		}
		stored, err = createQueue(ctx, tx, draft)
		return err
	})
	if err == nil {
		*q = *stored
	}
	return err
}

// createQueue inserts a queue with the priority that it asks for, those behind it
// moving back, or with the first that is free.
func createQueue(ctx context.Context, tx *tx, q prefect.WorkQueue) (*prefect.WorkQueue, error) {
	q.ID = prefect.NewID()
	if q.Status == "" {
		q.Status = prefect.NotReady
	}
	ranks, err := readRanks(ctx, tx, q.WorkPoolID)
	if err != nil {
		return nil, err
	}
	asked := q.Priority
	if asked == 0 {
		q.Priority = firstFree(ranks)
	}
	now := tx.now()
	if _, err := tx.ExecContext(ctx, insertInto("work_queue", "id, created, updated, "+queueOwn), tx.d.args(append([]any{q.ID, now, now}, queueOwnArgs(&q)...)...)...); err != nil {
		return nil, err
	}
	if asked != 0 {
		if err := rerank(ctx, tx, append(ranks, rank{q.ID, asked}), q.ID); err != nil {
			return nil, err
		}
	}
	return readQueue(ctx, tx, tx.d, "", "work_queue.id = ?", q.ID)
}

// rank is the priority of a queue.
type rank struct {
	id       uuid.UUID
	priority int
}

// readRanks returns the priorities of a pool's queues, in order.
func readRanks(ctx context.Context, tx *tx, pool uuid.UUID) ([]rank, error) {
	return all(ctx, tx, func(row scanner) (r rank, err error) {
		err = row.Scan(into(&r.id), &r.priority)
		return r, err
	}, "SELECT id, priority FROM work_queue WHERE work_pool_id = ? ORDER BY priority, id"+tx.d.lock("work_queue"), tx.d.arg(pool))
}

func firstFree(ranks []rank) int {
	for i, r := range ranks {
		if r.priority != i+1 {
			return i + 1
		}
	}
	if len(ranks) == 0 {
		return 1
	}
	return ranks[len(ranks)-1].priority + 1
}

// rerank makes priorities unique with as few changes as possible; favoured goes
// before others of its own.
func rerank(ctx context.Context, tx *tx, ranks []rank, favoured uuid.UUID) error {
	slices.SortStableFunc(ranks, func(a, b rank) int {
		if a.priority != b.priority || (a.id != favoured && b.id != favoured) {
			return a.priority - b.priority
		}
		if a.id == favoured {
			return -1
		}
		return 1
	})
	last := 0
	for _, r := range ranks {
		if r.priority > last {
			last = r.priority
			continue
		}
		last++
		if _, err := tx.ExecContext(ctx, "UPDATE work_queue SET priority = ?, updated = ? WHERE id = ?", tx.d.args(last, tx.now(), r.id)...); err != nil {
			return wrapf(err, "rank work queues")
		}
	}
	return nil
}

// EnsureWorkQueue returns the queue of that name in a pool, "" for the default
// agent pool, and makes it if it is not there. Errors: NotFound for a pool that is
// not there.
func (db *DB) EnsureWorkQueue(ctx context.Context, pool, name string) (q *prefect.WorkQueue, err error) {
	err = db.write(ctx, func(tx *tx) (err error) {
		q, err = ensureQueue(ctx, tx, pool, name)
		return err
	})
	return q, err
}

func ensureQueue(ctx context.Context, tx *tx, pool, name string) (*prefect.WorkQueue, error) {
	p, priority, err := (*prefect.WorkPool)(nil), 0, error(nil)
	if pool == "" {
		p, err = defaultAgentPool(ctx, tx)
		priority = 1 // as the reference has it: what agents poll for comes first
	} else {
		p, err = readPool(ctx, tx, tx.d, pool, "")
	}
	if err != nil {
		return nil, named(err, "work_pool", pool)
	}
	q, err := readQueue(ctx, tx, tx.d, "", queueInPool, name, p.Name)
	if !errors.Is(err, errNoRow) {
		return q, err
	}
	return createQueue(ctx, tx, prefect.WorkQueue{Name: name, WorkPoolID: p.ID, Priority: priority})
}

// saveAskedQueue gives d the queue that AskedQueue asks for. Errors: NotFound for a
// pool that is not there.
func saveAskedQueue(ctx context.Context, tx *tx, d *prefect.Deployment) error {
	asked := d.AskedQueue
	switch {
	case asked == nil || *asked == (prefect.QueueName{}):
		return nil
	case asked.Name == "":
		p, err := readPool(ctx, tx, tx.d, asked.Pool, "")
		if err != nil {
			return named(err, "work_pool", asked.Pool)
		}
		d.WorkQueueID = p.DefaultQueueID
		return nil
	}
	q, err := ensureQueue(ctx, tx, asked.Pool, asked.Name)
	if err != nil {
		return err
	}
	d.WorkQueueID = &q.ID
	return nil
}

// ReadWorkQueue returns a queue by its pool's name and its own; without a pool it
// is one of the default agent pool. Errors: NotFound.
func (db *DB) ReadWorkQueue(ctx context.Context, pool, name string) (q *prefect.WorkQueue, err error) {
	if pool == "" {
		pool = prefect.DefaultAgentPool
	}
	err = db.read(ctx, func(r querier) error {
		q, err = readQueue(ctx, r, db.d, "", queueInPool, name, pool)
		return err
	})
	return q, named(err, "work_queue", pool+"/"+name)
}

// ReadWorkQueueByID returns a queue. Errors: NotFound.
func (db *DB) ReadWorkQueueByID(ctx context.Context, id uuid.UUID) (q *prefect.WorkQueue, err error) {
	err = db.read(ctx, func(r querier) error {
		q, err = readQueue(ctx, r, db.d, "", "work_queue.id = ?", id)
		return err
	})
	return q, named(err, "work_queue", id)
}

// FilterWorkQueues returns the queues that f selects: those of a pool by priority,
// those of all pools, for nil, by name. Errors: Invalid.
func (db *DB) FilterWorkQueues(ctx context.Context, pool *uuid.UUID, f *prefect.WorkQueueFilter, p prefect.Page) (list []*prefect.WorkQueue, err error) {
	c, err := query.Filter(db.d.query(), query.WorkQueue, f)
	if err != nil {
		return nil, err
	}
	order := "work_queue.name, work_queue.id"
	if pool != nil {
		order = "work_queue.priority, work_queue.id"
		c = query.And(c, query.Condition{SQL: "work_queue.work_pool_id = ?", Args: []any{db.d.arg(*pool)}})
	}
	err = db.read(ctx, func(q querier) error {
		list, err = all(ctx, q, scanQueue, fmt.Sprintf("SELECT %s%s%s ORDER BY %s LIMIT ? OFFSET ?", queueColumns, queueFrom, c.Where(), order),
			append(c.Args, p.Limit, p.Offset)...)
		return err
	})
	return list, err
}

// UpdateWorkQueue calls fn with the stored queue and stores what fn left. Errors:
// NotFound, Conflict for a name that is taken, fn's own.
func (db *DB) UpdateWorkQueue(ctx context.Context, id uuid.UUID, fn func(*prefect.WorkQueue) error) error {
	err := db.write(ctx, func(tx *tx) error {
		q, err := readQueue(ctx, tx, tx.d, tx.d.lock("work_queue"), "work_queue.id = ?", id)
		if err != nil {
			return err
		}
		priority := q.Priority
		if err := fn(q); err != nil {
			return err
		}
		args := append([]any{later(tx.now(), q.Updated)}, queueOwnArgs(q)...)
		if _, err := tx.ExecContext(ctx, "UPDATE work_queue SET "+assign("updated, "+queueOwn)+" WHERE id = ?", tx.d.args(append(args, id)...)...); err != nil {
			return err
		}
		if q.Priority == priority {
			return nil
		}
		ranks, err := readRanks(ctx, tx, q.WorkPoolID)
		if err != nil {
			return err
		}
		return rerank(ctx, tx, ranks, id)
	})
	return named(err, "work_queue", id)
}

// DeleteWorkQueue deletes a queue. Errors: NotFound, Conflict for the default queue
// of a pool.
func (db *DB) DeleteWorkQueue(ctx context.Context, id uuid.UUID) error {
	err := db.write(ctx, func(tx *tx) error {
		var isDefault bool
		if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM work_pool WHERE default_queue_id = ?)", tx.d.arg(id)).Scan(&isDefault); err != nil {
			return err
		}
		if isDefault {
			return prefect.Errorf(prefect.Conflict, "The queue is the default one of its pool, which needs it.")
		}
		return deleteOne(ctx, tx, "work_queue", id)
	})
	return named(err, "work_queue", id)
}
