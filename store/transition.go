package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
)

var _ orchestrate.Store = (*DB)(nil)

// Commit applies c and everything under it, or nothing. The run and the state of
// c carry their final stamps afterwards: updated, and a timestamp that no other
// state of the run has. Errors: orchestrate.ErrLostRace, NotFound, Conflict.
func (db *DB) Commit(ctx context.Context, c *orchestrate.Commit) error {
	err := db.write(ctx, func(tx *tx) error { return commit(ctx, tx, c) })
	if prefect.CodeOf(err) != prefect.Conflict || c.Create {
		return err
	}
	// A state refers to its run, so a run that is gone shows as a broken reference.
	run := runOf(c)
	var n int
	gone := db.read(ctx, func(q querier) error {
		return q.QueryRowContext(ctx, "SELECT count(*) FROM "+run.run+" WHERE id = ?", db.d.arg(run.id)).Scan(&n)
	})
	if gone == nil && n == 0 {
		return named(errNoRow, run.run, run.id)
	}
	return err
}

func commit(ctx context.Context, tx *tx, c *orchestrate.Commit) error {
	if err := lockRuns(ctx, tx, c); err != nil {
		return err
	}
	return commitOne(ctx, tx, c, false)
}

// committed is the run of a commit, of either kind.
type committed struct {
	runTables
	id      uuid.UUID
	times   *prefect.RunTimes
	created *prefect.Time
	updated *prefect.Time
	flowRun *uuid.UUID // of the artifact of its data
	taskRun *uuid.UUID
}

func runOf(c *orchestrate.Commit) committed {
	if r := c.TaskRun; r != nil {
		return committed{tablesOf(prefect.TaskRunType), r.ID, &r.RunTimes, &r.Created, &r.Updated, r.FlowRunID, &r.ID}
	}
	r := c.FlowRun
	return committed{tablesOf(prefect.FlowRunType), r.ID, &r.RunTimes, &r.Created, &r.Updated, &r.ID, nil}
}

// lockRuns locks the rows of a commit with nested ones in the order of their ids,
// so that two commits which share runs wait for each other instead of both
// failing. A commit of one run locks it by writing it.
func lockRuns(ctx context.Context, tx *tx, c *orchestrate.Commit) error {
	if len(c.Nested) == 0 || !tx.d.postgres {
		return nil
	}
	var runs []committed
	var collect func(c *orchestrate.Commit)
	collect = func(c *orchestrate.Commit) {
		if !c.Create {
			runs = append(runs, runOf(c))
		}
		for _, n := range c.Nested {
			collect(n)
		}
	}
	collect(c)
	slices.SortFunc(runs, func(a, b committed) int { return bytes.Compare(a.id[:], b.id[:]) })
	for _, r := range runs {
		var id string
		err := tx.QueryRowContext(ctx, "SELECT id FROM "+r.run+" WHERE id = ? FOR UPDATE", tx.d.arg(r.id)).Scan(&id)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
	}
	return nil
}

func commitOne(ctx context.Context, tx *tx, c *orchestrate.Commit, nested bool) error {
	run := runOf(c)
	if c.Create {
		existing, err := insertRun(ctx, tx, c)
		if c.Existing = existing; err != nil || existing != nil {
			return err
		}
	}
	if c.State != nil {
		if err := writeState(ctx, tx, c, run, nested); err != nil {
			return err
		}
	}
	if err := applyEffects(ctx, tx, c); err != nil {
		return err
	}
	for _, n := range c.Nested {
		if err := commitOne(ctx, tx, n, true); err != nil {
			return err
		}
	}
	if c.Decision != nil {
		if err := insertDecision(ctx, tx, c.Decision); err != nil {
			return err
		}
	}
	return insertOutbox(ctx, tx, c.Outbox)
}

// writeState inserts the state with its data and makes it the run's.
func writeState(ctx context.Context, tx *tx, c *orchestrate.Commit, run committed, nested bool) error {
	var artifactID *uuid.UUID
	a, err := artifactOf(c.State.Data)
	if err != nil {
		return err
	}
	if a != nil {
		a.id = newID()
		a.flowRunID, a.taskRunID = run.flowRun, run.taskRun
		if nested { // what describes it belongs to the run that brought it
			a.key, a.kind, a.description = nil, nil, nil
		}
		if err := insertArtifact(ctx, tx, a); err != nil {
			return err
		}
		c.State.Data, artifactID = a.data, &a.id
	}
	details, err := marshal(c.State.Details)
	if err != nil {
		return err
	}
	now := tx.now()
	for {
		s := c.State
		n, err := affected(tx.ExecContext(ctx, insertInto(run.state,
			"id, created, updated, "+run.runID+", type, timestamp, name, message, state_details, result_artifact_id")+" ON CONFLICT DO NOTHING",
			tx.d.args(s.ID, now, now, run.id, s.Type, s.Timestamp, s.Name, s.Message, details, artifactID)...))
		if err != nil {
			return wrapf(err, "insert state")
		}
		if n > 0 {
			return updateRun(ctx, tx, c, run, now)
		}
		if err := nextTimestamp(ctx, tx, c, run); err != nil {
			return err
		}
	}
}

// nextTimestamp moves the state, which was not inserted, one microsecond on, with
// the columns of the run that are this state's time and no older one's.
func nextTimestamp(ctx context.Context, tx *tx, c *orchestrate.Commit, run committed) error {
	if !c.Create {
		if err := checkRun(ctx, tx, c, run); err != nil {
			return err
		}
	}
	var taken int
	err := tx.QueryRowContext(ctx, "SELECT count(*) FROM "+run.state+" WHERE id = ?", tx.d.arg(c.State.ID)).Scan(&taken)
	if err != nil {
		return err
	}
	if taken > 0 {
		return prefect.Errorf(prefect.Conflict, "there is a state %s already", c.State.ID)
	}
	var old prefect.RunTimes
	if err := tx.QueryRowContext(ctx, "SELECT "+runTimesColumns+" FROM "+run.run+" WHERE id = ?", tx.d.arg(run.id)).Scan(runTimesInto(&old)...); err != nil {
		return err
	}
	was := c.State.Timestamp
	c.State.Timestamp = was.Add(time.Microsecond)
	move := func(t **prefect.Time, old *prefect.Time) {
		if *t != nil && (*t).Equal(was.Time) && (c.Create || old == nil || !old.Equal(was.Time)) {
			*t = c.State.Timestamp.Ptr()
		}
	}
	run.times.StateTimestamp = c.State.Timestamp.Ptr()
	move(&run.times.StartTime, old.StartTime)
	move(&run.times.EndTime, old.EndTime)
	move(&run.times.ExpectedStartTime, old.ExpectedStartTime)
	return nil
}

// checkRun says whether the run is still as expected. Errors: errNoRow,
// orchestrate.ErrLostRace.
func checkRun(ctx context.Context, tx *tx, c *orchestrate.Commit, run committed) error {
	var stateID *uuid.UUID
	var updated prefect.Time
	err := tx.QueryRowContext(ctx, "SELECT state_id, updated FROM "+run.run+" WHERE id = ?", tx.d.arg(run.id)).Scan(into(&stateID), into(&updated))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return errNoRow
	case err != nil:
		return err
	case !updated.Equal(c.ExpectUpdated.Time), (stateID == nil) != (c.ExpectStateID == nil), stateID != nil && *stateID != *c.ExpectStateID:
		return orchestrate.ErrLostRace
	}
	return nil
}

// updateRun writes the columns that a transition changes, if the run is still as
// the rules saw it.
func updateRun(ctx context.Context, tx *tx, c *orchestrate.Commit, run committed, now prefect.Time) error {
	updated := later(now, c.ExpectUpdated)
	run.times.StateID = &c.State.ID
	args := append([]any{updated}, runTimesArgs(run.times)...)
	set := "updated, " + runTimesColumns
	if r := c.FlowRun; r != nil {
		policy, err := marshal(r.Policy)
		if err != nil {
			return err
		}
		set += ", empirical_policy"
		args = append(args, policy)
	} else {
		set += ", flow_run_run_count"
		args = append(args, c.TaskRun.FlowRunRunCount)
	}
	where := " WHERE id = ?"
	args = append(args, run.id)
	if !c.Create {
		where += " AND updated = ? AND state_id"
		args = append(args, c.ExpectUpdated)
		if c.ExpectStateID == nil {
			where += " IS NULL"
		} else {
			where += " = ?"
			args = append(args, c.ExpectStateID)
		}
	}
	n, err := affected(tx.ExecContext(ctx, "UPDATE "+run.run+" SET "+assign(set)+where, tx.d.args(args...)...))
	if err != nil {
		return wrapf(err, "update run")
	}
	if n == 0 {
		if err := checkRun(ctx, tx, c, run); errors.Is(err, errNoRow) {
			return named(errNoRow, run.run, run.id)
		}
		return orchestrate.ErrLostRace
	}
	*run.updated = updated
	return nil
}

// insertRun inserts the run of c without its state, which refers to the run in
// turn, or returns the id of the run that is there already.
func insertRun(ctx context.Context, tx *tx, c *orchestrate.Commit) (existing *uuid.UUID, err error) {
	now := tx.now()
	run := runOf(c)
	*run.created, *run.updated = now, now
	c.ExpectUpdated = now
	times := *run.times
	times.StateID = nil
	var own []any
	var insert, conflict string
	var key []any
	if r := c.TaskRun; r != nil {
		insert, conflict, key = taskRunInsert, "flow_run_id, task_key, dynamic_key", []any{r.FlowRunID, r.TaskKey, r.DynamicKey}
		if own, err = taskRunOwnArgs(r); err != nil {
			return nil, err
		}
		own = append(own, r.FlowRunRunCount)
		if r.FlowRunID == nil { // the index takes nulls for different
			id, err := findRun(ctx, tx, run, "flow_run_id IS NULL AND task_key = ? AND dynamic_key = ?", key[1:])
			if !errors.Is(err, errNoRow) {
				return id, err
			}
		}
	} else {
		insert, conflict, key = flowRunInsert, "flow_id, idempotency_key", []any{c.FlowRun.FlowID, c.FlowRun.IdempotencyKey}
		if own, err = flowRunOwnArgs(c.FlowRun); err != nil {
			return nil, err
		}
	}
	args := append(append([]any{run.id, now, now}, own...), runTimesArgs(&times)...)
	n, err := affected(tx.ExecContext(ctx, insert+" ON CONFLICT ("+conflict+") DO NOTHING", tx.d.args(args...)...))
	if err != nil || n > 0 {
		return nil, wrapf(err, "insert run")
	}
	return findRun(ctx, tx, run, strings.Join(splitColumns(conflict), " = ? AND ")+" = ?", key)
}

// findRun returns the id of the run that a key names. Errors: errNoRow.
func findRun(ctx context.Context, tx *tx, run committed, where string, key []any) (*uuid.UUID, error) {
	return one(func(row scanner) (id *uuid.UUID, err error) {
		err = row.Scan(into(&id))
		return id, err
	}, tx.QueryRowContext(ctx, "SELECT id FROM "+run.run+" WHERE "+where+" LIMIT 1", tx.d.args(key...)...))
}
