package store

import (
	"context"
	"encoding/json"
	"reflect"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store/query"
)

// deploymentOwn are the columns that a write sets, in the order of
// deploymentOwnArgs.
const deploymentOwn = `name, version, description, flow_id, tags, labels, paused, parameters, parameter_openapi_schema, enforce_parameter_schema,
	concurrency_limit_id, concurrency_options, work_queue_id, work_queue_name, infra_overrides, path, entrypoint, pull_steps,
	storage_document_id, infrastructure_document_id, created_by, updated_by, last_polled, status`

// deploymentLimitColumns are those of the joined limit, in the order of limitRow.
const deploymentLimitColumns = `l.created, l.updated, l.active, l.name, l."limit", l.active_slots, l.denied_slots, l.slot_decay_per_second, l.avg_slot_occupancy_seconds`

var (
	deploymentColumns = newColumnList(qualify("deployment", "id, created, updated, "+deploymentOwn) + ", q.name, p.id, p.name, " + deploymentLimitColumns)
	deploymentInsert  = insertInto("deployment", "id, created, updated, "+deploymentOwn) + " ON CONFLICT (flow_id, name) DO NOTHING"
	deploymentUpdate  = "UPDATE deployment SET " + assign("updated, "+deploymentOwn) + " WHERE id = ?"
)

const deploymentJoins = `
	LEFT JOIN work_queue q ON q.id = deployment.work_queue_id
	LEFT JOIN work_pool p ON p.id = q.work_pool_id
	LEFT JOIN concurrency_limit_v2 l ON l.id = deployment.concurrency_limit_id`

// limitRow is a limit that may not be there.
type limitRow struct {
	created, updated      prefect.Time
	active                *bool
	name                  *string
	limit, taken, denied  *int
	decay, avgSecondsHeld *float64
}

func (l *limitRow) columns() []any {
	return []any{into(&l.created), into(&l.updated), &l.active, &l.name, &l.limit, &l.taken, &l.denied, &l.decay, &l.avgSecondsHeld}
}

func (l *limitRow) value(id *uuid.UUID) *prefect.ConcurrencyLimit {
	if id == nil || l.name == nil {
		return nil
	}
	return &prefect.ConcurrencyLimit{ID: *id, Created: l.created, Updated: l.updated, Active: *l.active, Name: *l.name, Limit: *l.limit,
		ActiveSlots: *l.taken, DeniedSlots: *l.denied, SlotDecayPerSecond: *l.decay, AvgSlotOccupancySeconds: *l.avgSecondsHeld}
}

func scanDeployment(row scanner) (*prefect.Deployment, error) {
	d := &prefect.Deployment{}
	var options, createdBy, updatedBy json.RawMessage
	var status string
	var l limitRow
	dst := append(make([]any, 0, 40), into(&d.ID), into(&d.Created), into(&d.Updated),
		&d.Name, &d.Version, &d.Description, into(&d.FlowID), into(&d.Tags), into(&d.Labels), &d.Paused, into(&d.Parameters), into(&d.ParameterSchema),
		&d.EnforceSchema, into(&d.ConcurrencyLimitID), into(&options), into(&d.WorkQueueID), &d.WorkQueueName, into(&d.JobVariables), &d.Path,
		&d.Entrypoint, into(&d.PullSteps), into(&d.StorageDocumentID), into(&d.InfrastructureDocumentID), into(&createdBy), into(&updatedBy),
		into(&d.LastPolled), &status, &d.QueueName, into(&d.WorkPoolID), &d.WorkPoolName)
	if err := row.Scan(append(dst, l.columns()...)...); err != nil {
		return nil, err
	}
	d.Status, d.Limit = prefect.ReadyStatus(status), l.value(d.ConcurrencyLimitID)
	for _, column := range []struct {
		raw json.RawMessage
		dst any
	}{{options, &d.ConcurrencyOptions}, {createdBy, &d.CreatedBy}, {updatedBy, &d.UpdatedBy}} {
		if len(column.raw) == 0 {
			continue
		}
		if err := json.Unmarshal(column.raw, column.dst); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func deploymentOwnArgs(d *prefect.Deployment) ([]any, error) {
	var raw [3]json.RawMessage
	for i, v := range []any{d.ConcurrencyOptions, d.CreatedBy, d.UpdatedBy} {
		b, err := marshal(v) // null for a nil pointer, which is bound as NULL
		if err != nil {
			return nil, err
		}
		raw[i] = b
	}
	return []any{d.Name, d.Version, d.Description, d.FlowID, d.Tags, d.Labels, d.Paused, object(d.Parameters), d.ParameterSchema, d.EnforceSchema,
		d.ConcurrencyLimitID, raw[0], d.WorkQueueID, d.WorkQueueName, object(d.JobVariables), d.Path, d.Entrypoint, d.PullSteps,
		d.StorageDocumentID, d.InfrastructureDocumentID, raw[1], raw[2], d.LastPolled, string(d.Status)}, nil
}

// ReadDeployment returns a deployment by id. Errors: NotFound.
func (db *DB) ReadDeployment(ctx context.Context, id uuid.UUID) (d *prefect.Deployment, err error) {
	err = db.read(ctx, func(q querier) error {
		d, err = readDeployment(ctx, q, db.d, "", "deployment.id = ?", id)
		return err
	})
	return d, named(err, "deployment", id)
}

// ReadDeploymentByName returns a deployment by the names of its flow and its own.
// Errors: NotFound.
func (db *DB) ReadDeploymentByName(ctx context.Context, flow, name string) (d *prefect.Deployment, err error) {
	err = db.read(ctx, func(q querier) error {
		d, err = readDeployment(ctx, q, db.d, "", "deployment.name = ? AND deployment.flow_id = (SELECT id FROM flow WHERE flow.name = ?)", name, flow)
		return err
	})
	return d, named(err, "deployment", flow+"/"+name)
}

func readDeployment(ctx context.Context, q querier, d *dialect, lock, where string, keys ...any) (*prefect.Deployment, error) {
	found, err := one(scanDeployment, q.QueryRowContext(ctx, "SELECT "+d.columns(deploymentColumns)+" FROM deployment"+deploymentJoins+
		" WHERE "+where+lock, d.args(keys...)...))
	if err != nil {
		return nil, err
	}
	return found, addSchedules(ctx, q, d, []*prefect.Deployment{found})
}

// FilterDeployments returns the deployments that f selects. Errors: Invalid.
func (db *DB) FilterDeployments(ctx context.Context, f prefect.Filters, p prefect.Page) (list []*prefect.Deployment, err error) {
	from, order, args, err := db.selection(query.Deployment, f, p)
	if err != nil {
		return nil, err
	}
	err = db.read(ctx, func(q querier) error {
		list, err = all(ctx, q, scanDeployment, "SELECT "+db.d.columns(deploymentColumns)+" FROM "+from+deploymentJoins+order, args...)
		if err != nil {
			return err
		}
		return addSchedules(ctx, q, db.d, list)
	})
	return list, err
}

// CountDeployments returns how many deployments f selects. Errors: Invalid.
func (db *DB) CountDeployments(ctx context.Context, f prefect.Filters) (int, error) {
	return db.count(ctx, query.Deployment, f)
}

// PutDeployment applies fn to the deployment of that flow and name, or to a fresh
// one, and stores what fn left; it returns the stored row. The runs that an older
// version scheduled for later are deleted. Errors: Conflict (an unknown flow),
// NotFound for the pool of a queue that fn asks for, fn's own.
func (db *DB) PutDeployment(ctx context.Context, flowID uuid.UUID, name string, fn func(*prefect.Deployment) error) (d *prefect.Deployment, created bool, err error) {
	id := prefect.NewID()
	err = db.write(ctx, func(tx *tx) error {
		fresh := prefect.NewDeployment(flowID, name)
		own, err := deploymentOwnArgs(fresh)
		if err != nil {
			return err
		}
		now := tx.now()
		n, err := affected(tx.ExecContext(ctx, deploymentInsert, tx.d.args(append([]any{id, now, now}, own...)...)...))
		if err != nil {
			return err
		}
		created = n > 0
		const which = "deployment.flow_id = ? AND deployment.name = ?"
		if d, err = readDeployment(ctx, tx, tx.d, tx.d.lock("deployment"), which, flowID, name); err != nil {
			return err
		}
		if err := saveDeployment(ctx, tx, d, prefect.FutureScheduledRuns, fn); err != nil {
			return err
		}
		d, err = readDeployment(ctx, tx, tx.d, "", which, flowID, name)
		return err
	})
	return d, created, err
}

// UpdateDeployment calls fn with the stored deployment, stores what fn left and
// deletes the runs that are stale with it. Errors: NotFound (also for the pool of a
// queue that fn asks for), Conflict, fn's own.
func (db *DB) UpdateDeployment(ctx context.Context, id uuid.UUID, stale prefect.StaleRuns, fn func(*prefect.Deployment) error) error {
	err := db.write(ctx, func(tx *tx) error {
		d, err := readDeployment(ctx, tx, tx.d, tx.d.lock("deployment"), "deployment.id = ?", id)
		if err != nil {
			return err
		}
		return saveDeployment(ctx, tx, d, stale, fn)
	})
	return named(err, "deployment", id)
}

// saveDeployment applies fn to d, a locked row, and writes what fn changed: a change
// of schedules alone is none of the deployment, one of Updated is.
func saveDeployment(ctx context.Context, tx *tx, d *prefect.Deployment, stale prefect.StaleRuns, fn func(*prefect.Deployment) error) error {
	before, stamp := copySchedules(d.Schedules), d.Updated
	was, err := deploymentOwnArgs(d)
	if err != nil {
		return err
	}
	if err := fn(d); err != nil {
		return err
	}
	if err := saveAskedQueue(ctx, tx, d); err != nil {
		return err
	}
	if err := saveOwnLimit(ctx, tx, d); err != nil {
		return err
	}
	own, err := deploymentOwnArgs(d)
	if err != nil {
		return err
	}
	if d.Updated != stamp || !reflect.DeepEqual(was, own) {
		args := append([]any{later(tx.now(), stamp)}, own...)
		if _, err := tx.ExecContext(ctx, deploymentUpdate, tx.d.args(append(args, d.ID)...)...); err != nil {
			return err
		}
	}
	if err := saveSchedules(ctx, tx, d.ID, before, d.Schedules); err != nil {
		return err
	}
	return deleteStaleRuns(ctx, tx, d.ID, stale)
}

// saveOwnLimit gives d the limit that OwnLimit asks for. A limit that the
// deployment shares with others takes the new number too, but outlives it.
func saveOwnLimit(ctx context.Context, tx *tx, d *prefect.Deployment) error {
	if !d.OwnLimit.Set {
		return nil
	}
	wanted, now := d.OwnLimit.Value, tx.now()
	if wanted == nil {
		d.ConcurrencyLimitID = nil
		return deleteLimitsNamed(ctx, tx, prefect.DeploymentLimitName(d.ID))
	}
	key := prefect.DeploymentLimitName(d.ID)
	if d.ConcurrencyLimitID != nil {
		key = d.ConcurrencyLimitID.String()
	}
	l, err := readLimit(ctx, tx, tx.d, key, tx.d.lock("concurrency_limit_v2"))
	switch {
	case prefect.CodeOf(err) == prefect.NotFound:
		l = &prefect.ConcurrencyLimit{ID: prefect.NewID(), Created: now, Updated: now, Active: true, Name: prefect.DeploymentLimitName(d.ID), Limit: *wanted,
			AvgSlotOccupancySeconds: prefect.DefaultOccupancy}
		err = insertLimit(ctx, tx, l)
	case err == nil && l.Limit != *wanted:
		l.Decay(now)
		l.Limit = *wanted
		err = updateLimit(ctx, tx, l)
	}
	if err != nil {
		return err
	}
	d.ConcurrencyLimitID = &l.ID
	return nil
}

// deleteLimitsNamed deletes those limits that there are of the names, and what is
// held of them.
func deleteLimitsNamed(ctx context.Context, tx *tx, names ...string) error {
	limits, err := lockLimits(ctx, tx, "name", names)
	if err != nil {
		return err
	}
	return deleteLimits(ctx, tx, limits)
}

// DeleteDeployment deletes a deployment with its schedules, its own limit and its
// runs that are scheduled. Errors: NotFound.
func (db *DB) DeleteDeployment(ctx context.Context, id uuid.UUID) error {
	err := db.write(ctx, func(tx *tx) error {
		if err := deleteStaleRuns(ctx, tx, id, prefect.AllScheduledRuns); err != nil {
			return err
		}
		if err := deleteOne(ctx, tx, "deployment", id); err != nil {
			return err
		}
		return deleteLimitsNamed(ctx, tx, prefect.DeploymentLimitName(id))
	})
	return named(err, "deployment", id)
}

// deleteStaleRuns deletes runs of a deployment with what belongs to them.
func deleteStaleRuns(ctx context.Context, tx *tx, id uuid.UUID, stale prefect.StaleRuns) error {
	if stale == prefect.NoStaleRuns {
		return nil
	}
	where := "deployment_id = ? AND state_type = 'SCHEDULED' AND state_name <> 'AwaitingConcurrencySlot' AND run_count = 0"
	args := []any{tx.d.arg(id)}
	if stale != prefect.AllScheduledRuns {
		where += " AND auto_scheduled = " + tx.d.pick("1", "true")
	}
	if stale == prefect.FutureScheduledRuns {
		where += " AND next_scheduled_start_time > ?"
		args = append(args, tx.d.arg(tx.now()))
	}
	ids, err := all(ctx, tx, scanID, "DELETE FROM flow_run WHERE "+where+" RETURNING id", args...)
	if err != nil || len(ids) == 0 {
		return err
	}
	which, list := tx.d.anyOf("l.holder_id", ids)
	if _, err := (holdings{which, []any{list}}).release(ctx, tx, false); err != nil {
		return wrapf(err, "release slots")
	}
	for table, column := range map[string]string{"interlock_policy_decision": "run_id", "log": "flow_run_id"} {
		which, list := tx.d.anyOf(column, ids)
		if _, err := tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE "+which, list); err != nil {
			return wrapf(err, "delete scheduled runs")
		}
	}
	return nil
}
