package store

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store/query"
)

const eventColumns = "id, occurred, event, resource, related, payload, follows, received"

// WriteEvents stores events with their resources, all or none. An event whose id
// is stored already is left out with its resources.
func (db *DB) WriteEvents(ctx context.Context, events []*prefect.Event) error {
	if len(events) == 0 {
		return nil
	}
	rows, err := db.eventRows(events)
	if err != nil {
		return err
	}
	return db.write(ctx, func(tx *tx) error { return writeEvents(ctx, tx, rows) })
}

// relayUnit is how many events RelayEvents stores at once on SQLite, where a
// transition may have to wait for so many.
const relayUnit = 16

// RelayEvents stores the events as WriteEvents does and deletes the outbox rows that
// promised them, seqs[i] that of events[i]. An event is stored if and only if its row
// is deleted; an error says that not all are. On SQLite a power cut may undo it:
// then the rows are there to be relayed again.
func (db *DB) RelayEvents(ctx context.Context, events []*prefect.Event, seqs []int64) error {
	rows, err := db.eventRows(events)
	if err != nil {
		return err
	}
	relay := func(from, to int) func(*tx) error {
		return func(tx *tx) error {
			if err := writeEvents(ctx, tx, rows[from:to]); err != nil {
				return err
			}
			return deleteOutbox(ctx, tx, seqs[from:to])
		}
	}
	if db.writer == nil {
		return db.translate(db.writePostgres(ctx, relay(0, len(events))))
	}
	var units []func(*tx) error
	for from := 0; from < len(events); from += relayUnit {
		units = append(units, relay(from, min(from+relayUnit, len(events))))
	}
	return db.translate(db.writer.doLate(ctx, units))
}

// eventRow is what an event becomes in the database. It is made before the transaction,
// in which others wait.
type eventRow struct {
	id        uuid.UUID
	columns   []any   // of events
	resources [][]any // of event_resources: each one's columns
}

func (db *DB) eventRows(events []*prefect.Event) ([]eventRow, error) {
	rows, now := make([]eventRow, len(events)), db.now()
	for i, e := range events {
		resource, err := marshal(e.Resource)
		if err != nil {
			return nil, err
		}
		related := json.RawMessage("[]")
		if len(e.Related) > 0 {
			if related, err = marshal(e.Related); err != nil {
				return nil, err
			}
		}
		rows[i] = eventRow{id: e.ID, columns: db.d.args(e.ID, now, now, e.Occurred, e.Event, e.Resource.ID(), resource, e.RelatedIDs(), related, object(e.Payload),
			e.Received, now, e.Follows)}
		if err := db.d.addResource(&rows[i], e, e.Resource, "", now); err != nil {
			return nil, err
		}
		for _, r := range e.Related {
			if err := db.d.addResource(&rows[i], e, r, r.Role(), now); err != nil {
				return nil, err
			}
		}
	}
	return rows, nil
}

func (d *dialect) addResource(row *eventRow, e *prefect.Event, r prefect.Resource, role string, now prefect.Time) error {
	rest, err := marshal(r.Without(prefect.LabelID, prefect.LabelRole))
	if err != nil {
		return err
	}
	// The column holds JSON that is not null, also without any label.
	row.resources = append(row.resources, d.args(prefect.NewID(), now, now, e.Occurred, r.ID(), role, object(rest), e.ID))
	return nil
}

func writeEvents(ctx context.Context, tx *tx, rows []eventRow) error {
	for part := range parts(rows) {
		if err := insertEvents(ctx, tx, part); err != nil {
			return err
		}
	}
	return nil
}

func insertEvents(ctx context.Context, tx *tx, rows []eventRow) error {
	args := make([]any, 0, 13*len(rows))
	for _, row := range rows {
		args = append(args, row.columns...)
	}
	ids, err := all(ctx, tx, scanID, "INSERT INTO events (id, created, updated, occurred, event, resource_id, resource, related_resource_ids, related, payload, received, recorded, follows) VALUES "+
		rowsOf(len(rows), "("+placeholders(13)+")")+" ON CONFLICT (id) DO NOTHING RETURNING id", args...)
	if err != nil {
		return wrapf(err, "insert events")
	}
	inserted := make(map[uuid.UUID]bool, len(ids))
	for _, id := range ids {
		inserted[id] = true
	}
	return insertEventResources(ctx, tx, rows, inserted)
}

// insertEventResources stores the resources of those events that were inserted,
// each event's once though it may stand in the list twice.
func insertEventResources(ctx context.Context, tx *tx, rows []eventRow, inserted map[uuid.UUID]bool) error {
	var resources [][]any
	for _, row := range rows {
		if inserted[row.id] {
			delete(inserted, row.id)
			resources = append(resources, row.resources...)
		}
	}
	for part := range parts(resources) {
		if _, err := tx.ExecContext(ctx, "INSERT INTO event_resources (id, created, updated, occurred, resource_id, resource_role, resource, event_id) VALUES "+
			rowsOf(len(part), "("+placeholders(8)+")"), slices.Concat(part...)...); err != nil {
			return wrapf(err, "insert resources of events")
		}
	}
	return nil
}

func scanEvent(row scanner) (*prefect.Event, error) {
	e := &prefect.Event{Related: []prefect.Resource{}}
	var resource, related json.RawMessage
	if err := row.Scan(into(&e.ID), into(&e.Occurred), &e.Event, into(&resource), into(&related), into(&e.Payload), into(&e.Follows), into(&e.Received)); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(resource, &e.Resource); err != nil {
		return nil, err
	}
	if len(related) == 0 {
		return e, nil
	}
	return e, json.Unmarshal(related, &e.Related)
}

// FilterEvents returns the events that f includes, in its order, at most limit of
// them from offset on. Errors: Invalid.
func (db *DB) FilterEvents(ctx context.Context, f *prefect.EventFilter, limit, offset int) (list []*prefect.Event, err error) {
	c, err := query.Events(db.d.query(), f)
	if err != nil {
		return nil, err
	}
	order := " DESC"
	if f.Order == "ASC" {
		order = " ASC"
	}
	from := "events" + c.Where()
	if distinct(f) {
		from = "(SELECT events.*, row_number() OVER (PARTITION BY resource_id ORDER BY occurred" + order + ", id" + order + ") AS place FROM " +
			from + ") events WHERE place = 1"
	}
	err = db.read(ctx, func(q querier) error {
		list, err = all(ctx, q, scanEvent, "SELECT "+eventColumns+" FROM "+from+" ORDER BY occurred"+order+", id"+order+" LIMIT ? OFFSET ?",
			append(c.Args, limit, offset)...)
		return err
	})
	return list, err
}

// CountEvents returns how many events f includes. Errors: Invalid.
func (db *DB) CountEvents(ctx context.Context, f *prefect.EventFilter) (n int, err error) {
	c, err := query.Events(db.d.query(), f)
	if err != nil {
		return 0, err
	}
	count := "count(*)"
	if distinct(f) {
		count = "count(DISTINCT resource_id)"
	}
	err = db.read(ctx, func(q querier) error {
		return q.QueryRowContext(ctx, "SELECT "+count+" FROM events"+c.Where(), c.Args...).Scan(&n)
	})
	return n, err
}

// distinct reports whether f asks for one event of each resource.
func distinct(f *prefect.EventFilter) bool { return f.Resource != nil && f.Resource.Distinct }

// ReadRelatedRows returns the rows that keys name, without those that are gone,
// and the work pools of the work queues among them.
func (db *DB) ReadRelatedRows(ctx context.Context, keys prefect.RelatedKeys) (rows []prefect.RelatedRow, err error) {
	scan := func(row scanner) (r prefect.RelatedRow, err error) {
		err = row.Scan(&r.Kind, into(&r.ID), &r.Name, into(&r.Tags), into(&r.WorkPoolID), &r.Type)
		return r, err
	}
	none, noTags := db.d.pick("NULL", "CAST(NULL AS uuid)"), db.d.pick("NULL", "CAST(NULL AS jsonb)")
	var sql string
	var args []any
	add := func(ids []uuid.UUID, rows, column string) {
		if len(ids) == 0 {
			return
		}
		where, arg := db.d.anyOf(column, ids)
		if sql != "" {
			sql += " UNION ALL "
		}
		sql += rows + " WHERE " + where
		args = append(args, arg)
	}
	add(keys.Flows, "SELECT 'flow', id, name, tags, "+none+", '' FROM flow", "id")
	add(keys.Deployments, "SELECT 'deployment', id, name, tags, "+none+", '' FROM deployment", "id")
	add(keys.TaskRuns, "SELECT 'task-run', id, name, tags, "+none+", '' FROM task_run", "id")
	add(keys.WorkQueues, "SELECT 'work-queue', id, name, "+noTags+", work_pool_id, '' FROM work_queue", "id")
	add(keys.WorkQueues, "SELECT DISTINCT 'work-pool', p.id, p.name, "+noTags+", "+none+
		", p.type FROM work_pool p JOIN work_queue q ON q.work_pool_id = p.id", "q.id")
	if sql == "" {
		return []prefect.RelatedRow{}, nil
	}
	err = db.read(ctx, func(q querier) error {
		rows, err = all(ctx, q, scan, sql, args...)
		return err
	})
	return rows, err
}
