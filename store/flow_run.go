package store

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store/query"
)

// flowRunOwn are the columns that a transition leaves alone, in the order of
// flowRunOwnArgs.
const flowRunOwn = `name, flow_id, deployment_id, deployment_version, work_queue_id, work_queue_name, flow_version,
	parameters, idempotency_key, context, tags, labels, parent_task_run_id, auto_scheduled,
	infrastructure_document_id, infrastructure_pid, created_by, job_variables`

var (
	flowRunColumns = newColumnList(qualify("flow_run", "id, created, updated, "+flowRunOwn+", empirical_policy, "+runTimesColumns) +
		", q.name, p.id, p.name, " + stateColumns)
	flowRunInsert = insertInto("flow_run", "id, created, updated, "+flowRunOwn+", empirical_policy, "+runTimesColumns)
	flowRunUpdate = "UPDATE flow_run SET " + assign("updated, "+flowRunOwn+", empirical_policy") + " WHERE id = ?"
)

func flowRunJoins(d *dialect) string {
	return d.currentState(tablesOf(prefect.FlowRunType)) + `
	LEFT JOIN work_queue q ON q.id = flow_run.work_queue_id
	LEFT JOIN work_pool p ON p.id = q.work_pool_id`
}

// qualify puts the table before each of a list of columns.
func qualify(table, columns string) string {
	list := splitColumns(columns)
	for i, c := range list {
		list[i] = table + "." + c
	}
	return strings.Join(list, ", ")
}

// insertInto returns INSERT INTO table (columns) VALUES (?, ...).
func insertInto(table, columns string) string {
	list := splitColumns(columns)
	return "INSERT INTO " + table + " (" + strings.Join(list, ", ") + ") VALUES (" + placeholders(len(list)) + ")"
}

// assign returns "a = ?, b = ?" for columns.
func assign(columns string) string {
	return strings.Join(splitColumns(columns), " = ?, ") + " = ?"
}

func placeholders(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

func splitColumns(columns string) []string {
	list := strings.Split(columns, ",")
	for i, c := range list {
		list[i] = strings.TrimSpace(c)
	}
	return list
}

func scanFlowRun(row scanner) (*prefect.FlowRun, error) {
	r := &prefect.FlowRun{}
	var policy, createdBy json.RawMessage
	var s stateRow
	dst := append(make([]any, 0, 48), into(&r.ID), into(&r.Created), into(&r.Updated),
		&r.Name, into(&r.FlowID), into(&r.DeploymentID), &r.DeploymentVersion, into(&r.WorkQueueID), &r.WorkQueueName, &r.FlowVersion,
		into(&r.Parameters), &r.IdempotencyKey, into(&r.Context), into(&r.Tags), into(&r.Labels), into(&r.ParentTaskRunID), &r.AutoScheduled,
		into(&r.InfrastructureDocumentID), &r.InfrastructurePID, into(&createdBy), into(&r.JobVariables), into(&policy))
	dst = append(dst, runTimesInto(&r.RunTimes)...)
	dst = append(dst, &r.QueueName, into(&r.WorkPoolID), &r.WorkPoolName)
	err := row.Scan(append(dst, s.columns()...)...)
	if err != nil {
		return nil, err
	}
	if len(createdBy) > 0 {
		r.CreatedBy = &prefect.CreatedBy{}
		if err := json.Unmarshal(createdBy, r.CreatedBy); err != nil {
			return nil, err
		}
	}
	if r.Policy, err = flowRunPolicy(policy); err != nil {
		return nil, err
	}
	r.State, err = s.state()
	return r, err
}

func flowRunOwnArgs(r *prefect.FlowRun) ([]any, error) {
	var createdBy, policy json.RawMessage
	var err error
	if r.CreatedBy != nil {
		if createdBy, err = marshal(r.CreatedBy); err != nil {
			return nil, err
		}
	}
	if policy, err = marshal(r.Policy); err != nil {
		return nil, err
	}
	return []any{r.Name, r.FlowID, r.DeploymentID, r.DeploymentVersion, r.WorkQueueID, r.WorkQueueName, r.FlowVersion,
		object(r.Parameters), r.IdempotencyKey, object(r.Context), r.Tags, r.Labels, r.ParentTaskRunID, r.AutoScheduled,
		r.InfrastructureDocumentID, r.InfrastructurePID, createdBy, r.JobVariables, policy}, nil
}

// ReadFlowRun returns a flow run with its current state, that state's data, and
// its work pool. Errors: NotFound.
func (db *DB) ReadFlowRun(ctx context.Context, id uuid.UUID) (r *prefect.FlowRun, err error) {
	err = db.read(ctx, func(q querier) error {
		r, err = readFlowRun(ctx, q, db.d, id, "")
		return err
	})
	return r, named(err, "flow_run", id)
}

func readFlowRun(ctx context.Context, q querier, d *dialect, id uuid.UUID, lock string) (*prefect.FlowRun, error) {
	return one(scanFlowRun, q.QueryRowContext(ctx, "SELECT "+d.columns(flowRunColumns)+" FROM flow_run"+flowRunJoins(d)+" WHERE flow_run.id = ?"+lock, d.arg(id)))
}

// UpdateFlowRun calls fn with the stored run and stores what fn left, but for the
// columns that only a transition changes. Errors: NotFound, Conflict, fn's own.
func (db *DB) UpdateFlowRun(ctx context.Context, id uuid.UUID, fn func(*prefect.FlowRun) error) error {
	err := db.write(ctx, func(tx *tx) error {
		r, err := readFlowRun(ctx, tx, tx.d, id, tx.d.lock("flow_run"))
		if err != nil {
			return err
		}
		if err := fn(r); err != nil {
			return err
		}
		own, err := flowRunOwnArgs(r)
		if err != nil {
			return err
		}
		args := append([]any{later(tx.now(), r.Updated)}, own...)
		_, err = tx.ExecContext(ctx, flowRunUpdate, tx.d.args(append(args, id)...)...)
		return err
	})
	return named(err, "flow_run", id)
}

// DeleteFlowRun deletes a run with its states, task runs, inputs and decision
// records, and the logs of the run; slots that they hold are given back. Errors:
// NotFound.
func (db *DB) DeleteFlowRun(ctx context.Context, id uuid.UUID) error {
	err := db.write(ctx, func(tx *tx) error {
		if err := deleteWithRuns(ctx, tx, "flow_run", "SELECT id FROM flow_run WHERE id = ?", id); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM log WHERE flow_run_id = ?", tx.d.arg(id))
		return err
	})
	return named(err, "flow_run", id)
}

// FilterFlowRuns returns the runs that f selects, with what ReadFlowRun returns.
// Errors: Invalid.
func (db *DB) FilterFlowRuns(ctx context.Context, f prefect.Filters, p prefect.Page) (list []*prefect.FlowRun, err error) {
	from, order, args, err := db.selection(query.FlowRun, f, p)
	if err != nil {
		return nil, err
	}
	err = db.read(ctx, func(q querier) error {
		list, err = all(ctx, q, scanFlowRun, "SELECT "+db.d.columns(flowRunColumns)+" FROM "+from+flowRunJoins(db.d)+order, args...)
		return err
	})
	return list, err
}

// CountFlowRuns returns how many runs f selects. Errors: Invalid.
func (db *DB) CountFlowRuns(ctx context.Context, f prefect.Filters) (int, error) {
	return db.count(ctx, query.FlowRun, f)
}

// AverageFlowRunLateness returns how late, in seconds, the runs that f selects
// started or are by now, on average; nil if there are none. Errors: Invalid.
func (db *DB) AverageFlowRunLateness(ctx context.Context, f prefect.Filters) (*float64, error) {
	c, err := query.Filters(db.d.query(), query.FlowRun, f)
	if err != nil {
		return nil, err
	}
	now := db.d.arg(db.opts.Now())
	sql := `SELECT avg(CASE
		WHEN start_time > expected_start_time THEN ` + db.d.secondsBetween("start_time", "expected_start_time") + `
		WHEN start_time IS NULL AND state_type NOT IN ('COMPLETED', 'FAILED', 'CANCELLED', 'CRASHED') AND expected_start_time < ?
			THEN ` + db.d.secondsBetween("?", "expected_start_time") + `
		ELSE 0 END) FROM flow_run` + c.Where()
	var average *float64
	err = db.read(ctx, func(q querier) error {
		return q.QueryRowContext(ctx, sql, append([]any{now, now}, c.Args...)...).Scan(&average)
	})
	return average, err
}
