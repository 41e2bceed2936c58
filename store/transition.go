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
	if db.d.postgres {
		if done, err := db.commitAtOnce(ctx, c); done || err != nil {
			return err
		}
	}
	brought := dataOf(c)
	err := db.write(ctx, func(tx *tx) error {
		brought.restore()
		return commit(ctx, tx, c, false)
	})
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

// commit applies c. last says that nobody can get in between: see applyEffects.
func commit(ctx context.Context, tx *tx, c *orchestrate.Commit, last bool) error {
	if err := lockRuns(ctx, tx, c); err != nil {
		return err
	}
	if err := lockEffects(ctx, tx, c); err != nil {
		return err
	}
	return commitOne(ctx, tx, c, how{last: last})
}

// how a commit is applied.
type how struct {
	nested bool // with the commit of another run
	last   bool // under the lock of the run and of the limits that it needs
}

// committed is the run of a commit, of either kind.
type committed struct {
	runTables
	holder  string // the type of it as the holder of slots
	id      uuid.UUID
	times   *prefect.RunTimes
	was     *prefect.RunTimes // what the row has of times; nil if nobody knows
	created *prefect.Time
	updated *prefect.Time
	flowRun *uuid.UUID // of the artifact of its data
	taskRun *uuid.UUID
}

func runOf(c *orchestrate.Commit) committed {
	if r := c.TaskRun; r != nil {
		return committed{tablesOf(prefect.TaskRunType), string(prefect.TaskRunType), r.ID, &r.RunTimes, c.Was, &r.Created, &r.Updated, r.FlowRunID, &r.ID}
	}
	r := c.FlowRun
	return committed{tablesOf(prefect.FlowRunType), string(prefect.FlowRunType), r.ID, &r.RunTimes, c.Was, &r.Created, &r.Updated, &r.ID, nil}
}

// lockRuns locks the rows of a commit with nested ones in the order of their ids,
// so that two commits which share runs wait for each other instead of both
// failing. A commit of one run locks it by writing it.
func lockRuns(ctx context.Context, tx *tx, c *orchestrate.Commit) error {
	if len(c.Nested) == 0 && !severalLimits(c) || !tx.d.postgres {
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

func commitOne(ctx context.Context, tx *tx, c *orchestrate.Commit, how how) error {
	run := runOf(c)
	if c.Create {
		inserted := *run.times
		inserted.StateID = nil
		run.was = &inserted
		existing, err := insertRun(ctx, tx, c)
		if c.Existing = existing; err != nil || existing != nil {
			return err
		}
	}
	if c.State != nil {
		if err := writeState(ctx, tx, c, run, how.nested); err != nil {
			return err
		}
	}
	if err := applyEffects(ctx, tx, c, how.last); err != nil {
		return err
	}
	for _, n := range c.Nested {
		how.nested = true
		if err := commitOne(ctx, tx, n, how); err != nil {
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
	a, err := artifactFor(c, run, nested)
	if err != nil {
		return err
	}
	if a != nil {
		if err := insertArtifact(ctx, tx, a); err != nil {
			return err
		}
		c.State.Data = a.data
	}
	now := tx.now()
	for {
		insert, err := insertState(tx.d, c.State, run, a, now)
		if err != nil {
			return err
		}
		n, err := affected(tx.ExecContext(ctx, insert.sql+" ON CONFLICT DO NOTHING", insert.args...))
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

// artifactFor returns the artifact of the commit's state, nil for none. What
// describes it belongs to the run that brought it, not to nested ones.
func artifactFor(c *orchestrate.Commit, run committed, nested bool) (*artifact, error) {
	a, err := artifactOf(c.State.Data)
	if err != nil || a == nil {
		return nil, err
	}
	a.id = prefect.NewID()
	a.flowRunID, a.taskRunID = run.flowRun, run.taskRun
	if nested {
		a.key, a.kind, a.description = nil, nil, nil
	}
	return a, nil
}

// statement is SQL with its arguments, bound already.
type statement struct {
	sql  string
	args []any
}

func insertState(d *dialect, s *prefect.State, run committed, a *artifact, now prefect.Time) (statement, error) {
	details, err := marshal(s.Details)
	if err != nil {
		return statement{}, err
	}
	var artifactID *uuid.UUID
	if a != nil {
		artifactID = &a.id
	}
	return statement{
		sql:  insertInto(run.state, "id, created, updated, "+run.runID+", type, timestamp, name, message, state_details, result_artifact_id"),
		args: d.args(s.ID, now, now, run.id, s.Type, s.Timestamp, s.Name, s.Message, details, artifactID),
	}, nil
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
	if c.Create {
		updated = *run.updated
	}
	run.times.StateID = &c.State.ID
	update, err := updateOf(tx.d, c, run, updated)
	if err != nil {
		return err
	}
	n, err := affected(tx.ExecContext(ctx, update.sql, update.args...))
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

// updateOf is the UPDATE of the run of c. It sets no column to what it is
// already: both databases would write the indexes of such a column again.
func updateOf(d *dialect, c *orchestrate.Commit, run committed, updated prefect.Time) (statement, error) {
	var set []string
	var args []any
	assign := func(column string, value any) {
		set = append(set, column+" = ?")
		args = append(args, value)
	}
	if !c.Create {
		assign("updated", updated)
	}
	was := changes{d: d, was: run.was}
	for i, value := range runTimesArgs(run.times) {
		if was.differs(i, value) {
			assign(runTimesColumnList[i], value)
		}
	}
	switch r := c.FlowRun; {
	case c.Create:
	case r != nil:
		policy, err := marshal(r.Policy)
		if err != nil {
			return statement{}, err
		}
		assign("empirical_policy", policy)
	default:
		assign("flow_run_run_count", c.TaskRun.FlowRunRunCount)
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
		if c.Unanswered != nil {
			where += " AND NOT EXISTS (SELECT 1 FROM interlock_policy_decision WHERE run_id = ? AND transition_id = ? AND written)"
			args = append(args, run.id, c.Unanswered)
		}
	}
	return statement{"UPDATE " + run.run + " SET " + strings.Join(set, ", ") + where, d.args(args...)}, nil
}

// insertRun inserts the run of c without its state, which refers to the run in
// turn, or returns the id of the run that is there already.
func insertRun(ctx context.Context, tx *tx, c *orchestrate.Commit) (existing *uuid.UUID, err error) {
	now := tx.now()
	run := runOf(c)
	conflict, key := "flow_id, idempotency_key", []any{}
	if r := c.TaskRun; r != nil {
		conflict, key = "flow_run_id, task_key, dynamic_key", append(key, r.FlowRunID, r.TaskKey, r.DynamicKey)
		if r.FlowRunID == nil { // the index takes nulls for different
			id, err := findRun(ctx, tx, run, "flow_run_id IS NULL AND task_key = ? AND dynamic_key = ?", key[1:])
			if !errors.Is(err, errNoRow) {
				return id, err
			}
		}
	} else {
		key = append(key, c.FlowRun.FlowID, c.FlowRun.IdempotencyKey)
	}
	insert, err := insertOf(tx.d, c, now, nil)
	if err != nil {
		return nil, err
	}
	n, err := affected(tx.ExecContext(ctx, insert.sql+" ON CONFLICT ("+conflict+") DO NOTHING", insert.args...))
	if err != nil {
		return nil, wrapf(err, "insert run")
	}
	if n > 0 {
		*run.created, *run.updated, c.ExpectUpdated = now, now, now
		return nil, nil
	}
	return findRun(ctx, tx, run, strings.Join(splitColumns(conflict), " = ? AND ")+" = ?", key)
}

// insertOf is the INSERT of the run of c with that state id.
func insertOf(d *dialect, c *orchestrate.Commit, now prefect.Time, stateID *uuid.UUID) (statement, error) {
	run := runOf(c)
	times := *run.times
	times.StateID = stateID
	var own []any
	var err error
	sql := flowRunInsert
	if r := c.TaskRun; r != nil {
		sql = taskRunInsert
		if own, err = taskRunOwnArgs(r); err == nil {
			own = append(own, r.FlowRunRunCount)
		}
	} else {
		own, err = flowRunOwnArgs(c.FlowRun)
	}
	args := append(append([]any{run.id, now, now}, own...), runTimesArgs(&times)...)
	return statement{sql, d.args(args...)}, err
}

// findRun returns the id of the run that a key names. Errors: errNoRow.
func findRun(ctx context.Context, tx *tx, run committed, where string, key []any) (*uuid.UUID, error) {
	return one(func(row scanner) (id *uuid.UUID, err error) {
		err = row.Scan(into(&id))
		return id, err
	}, tx.QueryRowContext(ctx, "SELECT id FROM "+run.run+" WHERE "+where+" LIMIT 1", tx.d.args(key...)...))
}
