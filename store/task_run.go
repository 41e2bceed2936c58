package store

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store/query"
)

// taskRunOwn are the columns that a transition leaves alone, in the order of
// taskRunOwnArgs.
const taskRunOwn = `name, flow_run_id, task_key, dynamic_key, cache_key, cache_expiration, task_version, tags, labels,
	task_inputs, empirical_policy`

var (
	taskRunColumns = newColumnList(qualify("task_run", "id, created, updated, "+taskRunOwn+", flow_run_run_count, "+runTimesColumns) + ", " + stateColumns)
	taskRunInsert  = insertInto("task_run", "id, created, updated, "+taskRunOwn+", flow_run_run_count, "+runTimesColumns)
	taskRunUpdate  = "UPDATE task_run SET " + assign("updated, "+taskRunOwn) + " WHERE id = ?"
)

func taskRunJoins(d *dialect) string { return d.currentState(tablesOf(prefect.TaskRunType)) }

func scanTaskRun(row scanner) (*prefect.TaskRun, error) {
	r := &prefect.TaskRun{}
	var policy json.RawMessage
	var s stateRow
	dst := append(make([]any, 0, 40), into(&r.ID), into(&r.Created), into(&r.Updated),
		&r.Name, into(&r.FlowRunID), &r.TaskKey, &r.DynamicKey, &r.CacheKey, into(&r.CacheExpiration), &r.TaskVersion, into(&r.Tags), into(&r.Labels),
		into(&r.TaskInputs), into(&policy), &r.FlowRunRunCount)
	dst = append(dst, runTimesInto(&r.RunTimes)...)
	err := row.Scan(append(dst, s.columns()...)...)
	if err != nil {
		return nil, err
	}
	if r.Policy, err = taskRunPolicy(policy); err != nil {
		return nil, err
	}
	r.State, err = s.state()
	return r, err
}

func taskRunOwnArgs(r *prefect.TaskRun) ([]any, error) {
	policy, err := marshal(r.Policy)
	if err != nil {
		return nil, err
	}
	return []any{r.Name, r.FlowRunID, r.TaskKey, r.DynamicKey, r.CacheKey, r.CacheExpiration, r.TaskVersion, r.Tags, r.Labels,
		object(r.TaskInputs), policy}, nil
}

// ReadTaskRun returns a task run with its current state and that state's data.
// Errors: NotFound.
func (db *DB) ReadTaskRun(ctx context.Context, id uuid.UUID) (r *prefect.TaskRun, err error) {
	err = db.read(ctx, func(q querier) error {
		r, err = readTaskRun(ctx, q, db.d, id, "")
		return err
	})
	return r, named(err, "task_run", id)
}

func readTaskRun(ctx context.Context, q querier, d *dialect, id uuid.UUID, lock string) (*prefect.TaskRun, error) {
	return one(scanTaskRun, q.QueryRowContext(ctx, "SELECT "+d.columns(taskRunColumns)+" FROM task_run"+taskRunJoins(d)+" WHERE task_run.id = ?"+lock, d.arg(id)))
}

// UpdateTaskRun is UpdateFlowRun for a task run. Errors: NotFound, Conflict,
// fn's own.
func (db *DB) UpdateTaskRun(ctx context.Context, id uuid.UUID, fn func(*prefect.TaskRun) error) error {
	err := db.write(ctx, func(tx *tx) error {
		r, err := readTaskRun(ctx, tx, tx.d, id, tx.d.lock("task_run"))
		if err != nil {
			return err
		}
		if err := fn(r); err != nil {
			return err
		}
		own, err := taskRunOwnArgs(r)
		if err != nil {
			return err
		}
		args := append([]any{later(tx.now(), r.Updated)}, own...)
		_, err = tx.ExecContext(ctx, taskRunUpdate, tx.d.args(append(args, id)...)...)
		return err
	})
	return named(err, "task_run", id)
}

// DeleteTaskRun deletes a run with its states and decision records, and the logs
// of the run; slots that it holds are given back. Errors: NotFound.
func (db *DB) DeleteTaskRun(ctx context.Context, id uuid.UUID) error {
	err := db.write(ctx, func(tx *tx) error {
		if err := deleteWithRuns(ctx, tx, "task_run", "SELECT id FROM task_run WHERE id = ?", id); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM log WHERE task_run_id = ?", tx.d.arg(id))
		return err
	})
	return named(err, "task_run", id)
}

// FilterTaskRuns returns the runs that f selects, with what ReadTaskRun returns.
// Errors: Invalid.
func (db *DB) FilterTaskRuns(ctx context.Context, f prefect.Filters, p prefect.Page) (list []*prefect.TaskRun, err error) {
	from, order, args, err := db.selection(query.TaskRun, f, p)
	if err != nil {
		return nil, err
	}
	err = db.read(ctx, func(q querier) error {
		list, err = all(ctx, q, scanTaskRun, "SELECT "+db.d.columns(taskRunColumns)+" FROM "+from+taskRunJoins(db.d)+order, args...)
		return err
	})
	return list, err
}

// CountTaskRuns returns how many runs f selects. Errors: Invalid.
func (db *DB) CountTaskRuns(ctx context.Context, f prefect.Filters) (int, error) {
	return db.count(ctx, query.TaskRun, f)
}
