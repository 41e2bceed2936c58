package store

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// recordedColumns are those that a record may leave alone, in the order of
// recordedArgs: null means not sent.
var recordedColumns = splitColumns(`flow_run_id, cache_key, cache_expiration, task_version, tags, labels, task_inputs, state_id, state_type,
	state_name, state_timestamp, expected_start_time, next_scheduled_start_time, start_time, end_time`)

func recordedArgs(r *prefect.TaskRun) []any {
	var tags any
	if r.Tags != nil {
		tags = r.Tags
	}
	return []any{r.FlowRunID, r.CacheKey, r.CacheExpiration, r.TaskVersion, tags, r.Labels, r.TaskInputs, r.StateID, r.StateType,
		r.StateName, r.StateTimestamp, r.ExpectedStartTime, r.NextScheduledStartTime, r.StartTime, r.EndTime}
}

// recordedUpdate sets the columns that every record has, then those of
// recordedColumns that were sent.
var recordedUpdate = func() string {
	set := assign("updated, name, task_key, dynamic_key, run_count, flow_run_run_count, total_run_time, empirical_policy")
	for _, c := range recordedColumns {
		set += ", " + c + " = coalesce(?, " + c + ")"
	}
	return "UPDATE task_run SET " + set + " WHERE id = ?"
}()

// RecordTaskRuns stores the records in one transaction, as
// [prefect.TaskRunRecord] says. A record of a flow run that does not exist, or
// no longer, is left out.
func (db *DB) RecordTaskRuns(ctx context.Context, records []*prefect.TaskRunRecord) error {
	// The records of one run stay in their order; the runs go in one order
	// everywhere, so that two recorders do not wait for each other in a circle.
	ordered := slices.Clone(records)
	slices.SortStableFunc(ordered, func(a, b *prefect.TaskRunRecord) int {
		return cmp.Or(cmp.Compare(idText(a.Run.FlowRunID), idText(b.Run.FlowRunID)), cmp.Compare(a.Run.TaskKey, b.Run.TaskKey),
			cmp.Compare(a.Run.DynamicKey, b.Run.DynamicKey))
	})
	return db.write(ctx, func(tx *tx) error {
		for _, r := range ordered {
			if err := recordTaskRun(ctx, tx, r); err != nil {
				return err
			}
		}
		return nil
	})
}

func idText(id *uuid.UUID) string {
	if id == nil {
		return ""
	}
	return id.String()
}

// recordedRow is what is stored of a run that a record is about.
type recordedRow struct {
	id             uuid.UUID
	updated        prefect.Time
	stateTimestamp *prefect.Time
}

func recordTaskRun(ctx context.Context, tx *tx, record *prefect.TaskRunRecord) error {
	run := *record.Run
	row, err := findRecorded(ctx, tx, &run)
	switch {
	case errors.Is(err, errNoRow):
		if known, err := flowRunExists(ctx, tx, run.FlowRunID); err != nil || !known {
			return err
		}
		if err := insertRecorded(ctx, tx, &run); err != nil {
			return wrapf(err, "insert recorded task run")
		}
		row.id = run.ID
	case err != nil:
		return err
	case row.stateTimestamp == nil || row.stateTimestamp.Before(record.State.Timestamp.Time):
		policy, err := marshal(run.Policy)
		if err != nil {
			return err
		}
		args := append([]any{later(tx.now(), row.updated), run.Name, run.TaskKey, run.DynamicKey, run.RunCount, run.FlowRunRunCount,
			seconds(run.TotalRunTime), policy}, recordedArgs(&run)...)
		if _, err := tx.ExecContext(ctx, recordedUpdate, tx.d.args(append(args, row.id)...)...); err != nil {
			return wrapf(err, "update recorded task run")
		}
	}
	return insertRecordedState(ctx, tx, row.id, run.FlowRunID, record.State)
}

// findRecorded finds the run by its natural key, or else by id. Errors: errNoRow.
func findRecorded(ctx context.Context, tx *tx, run *prefect.TaskRun) (recordedRow, error) {
	scan := func(row scanner) (r recordedRow, err error) {
		err = row.Scan(into(&r.id), into(&r.updated), into(&r.stateTimestamp))
		return r, err
	}
	const columns = "SELECT id, updated, state_timestamp FROM task_run WHERE "
	if run.FlowRunID != nil {
		r, err := one(scan, tx.QueryRowContext(ctx, columns+"flow_run_id = ? AND task_key = ? AND dynamic_key = ?"+tx.d.lock("task_run"),
			tx.d.args(run.FlowRunID, run.TaskKey, run.DynamicKey)...))
		if !errors.Is(err, errNoRow) {
			return r, err
		}
	}
	return one(scan, tx.QueryRowContext(ctx, columns+"id = ?"+tx.d.lock("task_run"), tx.d.arg(run.ID)))
}

func flowRunExists(ctx context.Context, tx *tx, id *uuid.UUID) (bool, error) {
	if id == nil {
		return true, nil
	}
	var n int
	err := tx.QueryRowContext(ctx, "SELECT count(*) FROM flow_run WHERE id = ?", tx.d.arg(id)).Scan(&n)
	return n > 0, err
}

func insertRecorded(ctx context.Context, tx *tx, run *prefect.TaskRun) error {
	own, err := taskRunOwnArgs(run)
	if err != nil {
		return err
	}
	now := tx.now()
	args := append(append([]any{run.ID, now, now}, append(own, run.FlowRunRunCount)...), runTimesArgs(&run.RunTimes)...)
	_, err = tx.ExecContext(ctx, taskRunInsert, tx.d.args(args...)...)
	return err
}

// insertRecordedState inserts the state unless it, or one of the same instant, is
// there. The reference keeps the data of these states in the state.
func insertRecordedState(ctx context.Context, tx *tx, taskRunID uuid.UUID, flowRunID *uuid.UUID, s *prefect.State) error {
	details := s.Details
	details.TaskRunID, details.FlowRunID = &taskRunID, flowRunID
	b, err := marshal(details)
	if err != nil {
		return err
	}
	now := tx.now()
	_, err = tx.ExecContext(ctx, insertInto("task_run_state",
		"id, created, updated, task_run_id, type, timestamp, name, message, state_details, data")+" ON CONFLICT DO NOTHING",
		tx.d.args(s.ID, now, now, taskRunID, s.Type, s.Timestamp, s.Name, s.Message, b, s.Data)...)
	return wrapf(err, "insert recorded state")
}
