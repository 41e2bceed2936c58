package store

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
)

// The ranks of queued runs: those whose retry has come, or whose worker went away
// before it had them, go first.
const (
	rankRetry = iota
	rankScheduled
)

// enqueueTaskRun queues the run for the task workers, from the scheduled time of
// the written state on. A run is queued once: one that is there already keeps its
// place, and the worker that it may be on its way to. That worker may have begun
// it before, in the state that this one follows, so under an open claim the row
// says that the run is due again, and the end of the claim does not take it off.
func enqueueTaskRun(ctx context.Context, tx *tx, c *orchestrate.Commit, e *orchestrate.Effect) (bool, error) {
	var p struct {
		Queue string `json:"queue"`
	}
	if err := json.Unmarshal(e.Payload, &p); err != nil {
		return false, err
	}
	if c.TaskRun == nil || c.State == nil || c.State.Type != prefect.Scheduled {
		return true, nil // nothing that a worker could run
	}
	rank := rankScheduled
	if p.Queue == "retry" {
		rank = rankRetry
	}
	due := tx.now()
	if t := c.State.Details.ScheduledTime; t != nil && t.After(due.Time) {
		due = *t
	}
	_, err := tx.ExecContext(ctx, insertInto("interlock_task_queue", "run_id, task_key, rank, due")+`
		ON CONFLICT (run_id) DO UPDATE SET rank = excluded.rank,
			due = CASE WHEN interlock_task_queue.claim IS NULL THEN excluded.due ELSE `+tx.d.pick("max", "greatest")+`(interlock_task_queue.due, excluded.due) END,
			again = CASE WHEN interlock_task_queue.claim IS NULL THEN NULL ELSE excluded.due END`,
		tx.d.args(c.TaskRun.ID, c.TaskRun.TaskKey, rank, due)...)
	return true, err
}

// queued is a run that waits for a worker.
type queued struct {
	seq int64
	run uuid.UUID
	due prefect.Time
}

// ClaimTaskRun takes the next due run of the task keys for one worker and returns
// it, nil if there is none. Until the claim is settled by FinishTaskClaim or
// ReturnTaskClaim, or patience is over, nobody else gets the run. Runs that are
// no longer SCHEDULED are taken off the queue on the way: a run that was
// cancelled, or that a worker began whose receipt was lost, is not delivered.
func (db *DB) ClaimTaskRun(ctx context.Context, keys []string, patience time.Duration) (claim *prefect.TaskClaim, err error) {
	for claim == nil {
		next, err := db.nextQueued(ctx, keys)
		if errors.Is(err, errNoRow) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		err = db.write(ctx, func(tx *tx) error {
			claim, err = claimQueued(ctx, tx, next, patience)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return claim, nil
}

// nextQueued finds the run that is to go next. Errors: errNoRow.
func (db *DB) nextQueued(ctx context.Context, keys []string) (next queued, err error) {
	list, arg := "json_each(?) k", any(string(stringList(keys)))
	if db.d.postgres {
		list, arg = "unnest(CAST(? AS text[])) AS k(value)", withoutNULs(keys)
	}
	scan := func(row scanner) (q queued, err error) {
		err = row.Scan(&q.seq, into(&q.run), into(&q.due))
		return q, err
	}
	err = db.read(ctx, func(q querier) error {
		next, err = one(scan, q.QueryRowContext(ctx, `SELECT q.seq, q.run_id, q.due FROM `+list+`
			JOIN interlock_task_queue q ON q.seq = (SELECT seq FROM interlock_task_queue
				WHERE task_key = k.value AND due <= ? ORDER BY rank, seq LIMIT 1)
			ORDER BY q.rank, q.seq LIMIT 1`, arg, db.d.arg(db.now())))
		return err
	})
	return next, err
}

// claimQueued claims a run, nil if another was faster or there is nothing to
// run any more.
func claimQueued(ctx context.Context, tx *tx, next queued, patience time.Duration) (*prefect.TaskClaim, error) {
	claim := &prefect.TaskClaim{ID: prefect.NewID()}
	n, err := affected(tx.ExecContext(ctx, "UPDATE interlock_task_queue SET claim = ?, due = ?, again = NULL WHERE seq = ? AND due = ?",
		tx.d.args(claim.ID, tx.now().Add(patience), next.seq, next.due)...))
	if err != nil || n == 0 {
		return nil, err
	}
	claim.Run, err = readTaskRun(ctx, tx, tx.d, next.run, "")
	gone := errors.Is(err, errNoRow)
	if err != nil && !gone {
		return nil, err
	}
	if gone || claim.Run.State == nil || claim.Run.State.Type != prefect.Scheduled {
		_, err = tx.ExecContext(ctx, "DELETE FROM interlock_task_queue WHERE seq = ?", next.seq)
		return nil, err
	}
	return claim, nil
}

// FinishTaskClaim takes the run off the queue: its worker has it. If it was queued
// again meanwhile it stays, free to be claimed when it is due. A claim that has
// expired and went to another worker is left alone.
func (db *DB) FinishTaskClaim(ctx context.Context, c *prefect.TaskClaim) error {
	return db.write(ctx, func(tx *tx) error {
		key := tx.d.args(c.Run.ID, c.ID)
		n, err := affected(tx.ExecContext(ctx, "DELETE FROM interlock_task_queue WHERE run_id = ? AND claim = ? AND again IS NULL", key...))
		if err != nil || n > 0 {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE interlock_task_queue SET claim = NULL, due = again, again = NULL WHERE run_id = ? AND claim = ?", key...)
		return err
	})
}

// ReturnTaskClaim puts the run back, to go before those that are scheduled: its
// worker did not get it. One that was queued again meanwhile goes as that says. An
// expired claim is left alone, as by FinishTaskClaim.
func (db *DB) ReturnTaskClaim(ctx context.Context, c *prefect.TaskClaim) error {
	return db.write(ctx, func(tx *tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE interlock_task_queue SET claim = NULL, again = NULL,
			due = CASE WHEN again IS NULL THEN ? ELSE again END, rank = CASE WHEN again IS NULL THEN ? ELSE rank END
			WHERE run_id = ? AND claim = ?`, tx.d.args(tx.now(), rankRetry, c.Run.ID, c.ID)...)
		return err
	})
}

// SweepTaskQueue takes at most limit runs off the queue that are gone or no longer
// SCHEDULED, and returns how many they were: those whose task key has no worker
// any more, since a claim drops what it comes across. While there are none it
// writes nothing.
func (db *DB) SweepTaskQueue(ctx context.Context, limit int) (n int, err error) {
	var runs []uuid.UUID
	err = db.read(ctx, func(q querier) error {
		runs, err = all(ctx, q, scanID, `SELECT q.run_id FROM interlock_task_queue q LEFT JOIN task_run t ON t.id = q.run_id
			WHERE t.state_type IS NULL OR t.state_type != 'SCHEDULED' LIMIT ?`, limit)
		return err
	})
	if err != nil || len(runs) == 0 {
		return 0, err
	}
	err = db.write(ctx, func(tx *tx) error {
		n, err = dequeue(ctx, tx, runs)
		return err
	})
	return n, err
}

// dequeue takes those of the runs off the queue that are gone or not SCHEDULED,
// and returns how many they were. On Postgres the rows are locked first, so that
// the states are read when nobody can queue a run in between: whoever is about to
// waits and inserts it anew, and whoever just did keeps the row, which is passed
// over.
func dequeue(ctx context.Context, tx *tx, runs []uuid.UUID) (int, error) {
	which, list := tx.d.anyOf("run_id", runs)
	if tx.d.postgres {
		free, err := all(ctx, tx, scanID, "SELECT run_id FROM interlock_task_queue WHERE "+which+" FOR UPDATE SKIP LOCKED", list)
		if err != nil || len(free) == 0 {
			return 0, err
		}
		which, list = tx.d.anyOf("run_id", free)
	}
	n, err := affected(tx.ExecContext(ctx, "DELETE FROM interlock_task_queue WHERE "+which+` AND NOT EXISTS
		(SELECT 1 FROM task_run t WHERE t.id = interlock_task_queue.run_id AND t.state_type = 'SCHEDULED')`, list))
	return int(n), wrapf(err, "take runs off the task queue")
}
