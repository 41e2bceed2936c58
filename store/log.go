package store

import (
	"context"
	"strings"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store/query"
)

const logColumns = "log.id, log.created, log.updated, log.name, log.level, log.message, log.timestamp, log.flow_run_id, log.task_run_id"

func scanLog(row scanner) (*prefect.Log, error) {
	l := &prefect.Log{}
	err := row.Scan(into(&l.ID), into(&l.Created), into(&l.Updated), &l.Name, &l.Level, &l.Message,
		into(&l.Timestamp), into(&l.FlowRunID), into(&l.TaskRunID))
	return l, err
}

// CreateLogs inserts the logs, all or none, and fills the ids that are zero and
// the stamps. NULs are left out of texts, since Postgres takes none.
func (db *DB) CreateLogs(ctx context.Context, logs []*prefect.Log) error {
	for _, l := range logs {
		if l.ID == uuid.Nil {
			l.ID = prefect.NewID()
		}
		l.Name, l.Message = withoutNUL(l.Name), withoutNUL(l.Message)
	}
	return db.write(ctx, func(tx *tx) error {
		now := tx.now()
		for part := range parts(logs) {
			if err := insertLogs(ctx, tx, now, part); err != nil {
				return err
			}
		}
		return nil
	})
}

func insertLogs(ctx context.Context, tx *tx, now prefect.Time, logs []*prefect.Log) error {
	stamp := tx.d.arg(now)
	args := make([]any, 0, 9*len(logs))
	for _, l := range logs {
		l.Created, l.Updated = now, now
		args = append(args, tx.d.arg(l.ID), stamp, stamp, l.Name, l.Level, l.Message,
			tx.d.arg(l.Timestamp), tx.d.arg(l.FlowRunID), tx.d.arg(l.TaskRunID))
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO log (id, created, updated, name, level, message, timestamp, flow_run_id, task_run_id) VALUES "+
		rowsOf(len(logs), "(?, ?, ?, ?, ?, ?, ?, ?, ?)"), args...)
	return err
}

func withoutNUL(s string) string {
	if strings.IndexByte(s, 0) < 0 {
		return s
	}
	return strings.ReplaceAll(s, "\x00", "")
}

func withoutNULs(list []string) []string {
	clean := make([]string, len(list))
	for i, s := range list {
		clean[i] = withoutNUL(s)
	}
	return clean
}

// FilterLogs returns the logs that f selects, all of them for nil. Errors:
// Invalid.
func (db *DB) FilterLogs(ctx context.Context, f *prefect.LogFilter, p prefect.Page) (list []*prefect.Log, err error) {
	c, err := query.Filter(db.d.query(), query.Log, f)
	if err != nil {
		return nil, err
	}
	by, err := query.OrderBy(query.Log, p.Sort)
	if err != nil {
		return nil, err
	}
	err = db.read(ctx, func(q querier) error {
		list, err = all(ctx, q, scanLog, "SELECT "+logColumns+" FROM log"+c.Where()+by+" LIMIT ? OFFSET ?",
			append(c.Args, p.Limit, p.Offset)...)
		return err
	})
	return list, err
}
