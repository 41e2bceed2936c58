package store

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
)

// commitAtOnce commits a usual transition on Postgres as one statement, one
// round trip instead of six or more. Postgres checks foreign keys at its end, so
// run and state may refer to each other. done is false, and nothing is written,
// for a commit of another kind and for whatever stands against it: the long way
// then finds out what that is.
func (db *DB) commitAtOnce(ctx context.Context, c *orchestrate.Commit) (done bool, err error) {
	if c.State == nil || len(c.Nested) > 0 || len(c.Effects) > 0 || (c.Create && c.TaskRun != nil && c.TaskRun.FlowRunID == nil) {
		return false, nil
	}
	run := runOf(c)
	a, err := artifactFor(c, run, false)
	if err != nil || (a != nil && a.key != nil) {
		return false, err
	}
	now := db.opts.Now()
	updated := now
	if !c.Create {
		updated = later(now, c.ExpectUpdated)
	}
	all, err := db.atOnce(c, run, a, now, updated)
	if err != nil {
		return false, err
	}
	var one int
	err = db.reader.QueryRowContext(ctx, all.sql, all.args...).Scan(&one)
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return false, nil
	}
	if err != nil {
		return false, db.translate(err)
	}
	if a != nil {
		c.State.Data = a.data
	}
	if c.Create {
		*run.created, c.ExpectUpdated, c.Existing = now, now, nil
	}
	run.times.StateID = &c.State.ID
	*run.updated = updated
	return true, nil
}

// atOnce builds the statement. It divides by the number of rows that met the
// expectation, so that none of it stands when there is no such row.
func (db *DB) atOnce(c *orchestrate.Commit, run committed, a *artifact, now, updated prefect.Time) (statement, error) {
	var sql strings.Builder
	var args []any
	add := func(name string, s statement, tail string) {
		if sql.Len() == 0 {
			sql.WriteString("WITH ")
		} else {
			sql.WriteString(", ")
		}
		sql.WriteString(name + " AS (" + s.sql + tail + ")")
		args = append(args, s.args...)
	}
	times := *run.times
	times.StateID = &c.State.ID
	changed := run
	changed.times = &times
	write, err := updateOf(db.d, c, changed, updated)
	if c.Create {
		write, err = insertOf(db.d, c, now, &c.State.ID)
	}
	if err != nil {
		return statement{}, err
	}
	add("run", write, " RETURNING id")
	if a != nil {
		add("artifact_row", artifactInsert(db.d, a, now), "")
	}
	state, err := insertState(db.d, c.State, run, a, now)
	if err != nil {
		return statement{}, err
	}
	add("state", state, "")
	if c.Decision != nil {
		decision, err := decisionOf(db.d, c.Decision)
		if err != nil {
			return statement{}, err
		}
		add("decision", decision, "")
	}
	if len(c.Outbox) > 0 {
		add("outbox", outboxOf(db.d, c.Outbox, now), "")
	}
	return statement{sql.String() + " SELECT 1 / count(*) FROM run", args}, nil
}
