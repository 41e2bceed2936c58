package store

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/interlock-run/interlock/host/prefect"
)

const (
	// serializationTries bounds how often a unit is run that Postgres cannot order.
	serializationTries = 10
	// connectTimeout holds where the URL has no connect_timeout.
	connectTimeout = 10 * time.Second
)

func openPostgres(ctx context.Context, a address, opts Options) (*DB, error) {
	config, err := pgx.ParseConfig(a.dsn)
	if err != nil {
		return nil, prefect.Errorf(prefect.Invalid, "the database URL cannot be read; it looks like postgresql+asyncpg://user:password@host:5432/name")
	}
	// The reference's databases are in UTC sessions; timestamps travel in binary,
	// so this is for the expressions in SQL alone.
	config.RuntimeParams["timezone"] = "UTC"
	config.RuntimeParams["application_name"] = "interlock"
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	db := &DB{d: &dialect{postgres: true}, opts: opts, url: a}
	db.readers = stdlib.OpenDB(*config, stdlib.OptionAfterConnect(beDurable))
	db.readers.SetMaxOpenConns(opts.Connections)
	db.readers.SetMaxIdleConns(opts.Connections)
	db.reader = rebinding{d: db.d, direct: db.readers}
	db.closers = append(db.closers, db.readers)
	if err := db.readers.PingContext(ctx); err != nil {
		return nil, errors.Join(connectError(a, err), db.Close())
	}
	return db, nil
}

// beDurable undoes a default of the server, the database or the role by which an
// acknowledged commit may be lost. Stronger settings stay.
func beDurable(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'")
	return err
}

// connectError says why Postgres cannot be used, without the driver's text: it
// repeats the user and the address, and has repeated more.
func connectError(a address, err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return prefect.Errorf(prefect.Unavailable, "%s does not answer%s", a.shown, reason(err))
	}
	switch pg.Code {
	case "28P01", "28000":
		return prefect.Errorf(prefect.Unavailable, "%s refuses the user or the password", a.shown)
	case "3D000":
		return prefect.Errorf(prefect.Unavailable, "%s: there is no such database", a.shown)
	}
	return prefect.Errorf(prefect.Unavailable, "%s: %s", a.shown, pg.Message)
}

// reason is the part of a failed connection's error that helps, "" if there is
// none.
func reason(err error) string {
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.As(err, &dns):
		return ": its name is not known"
	case errors.As(err, &op):
		return ": " + op.Err.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return " in time"
	case strings.Contains(err.Error(), "TLS"):
		return " with TLS"
	}
	return ""
}

// writePostgres runs fn in a transaction, again when it could not be ordered
// with others.
func (db *DB) writePostgres(ctx context.Context, fn func(*tx) error) error {
	for try := 1; ; try++ {
		err := db.oneTransaction(ctx, fn)
		if !unordered(err) || try == serializationTries {
			return err
		}
		pause := time.NewTimer(time.Duration(rand.Int64N(int64(try) * int64(5*time.Millisecond))))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		}
	}
}

func (db *DB) oneTransaction(ctx context.Context, fn func(*tx) error) error {
	t, err := db.readers.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer rollback(t)
	if err := contained(fn, &tx{querier: rebinding{d: db.d, direct: t}, d: db.d, clock: db.opts.Now}); err != nil {
		return err
	}
	return t.Commit()
}

// rollback ends a transaction that was not committed; after a commit, or on a
// lost connection, there is nothing to do and nothing to report.
func rollback(t *sql.Tx) { _ = t.Rollback() }

// unordered reports a serialization failure or a deadlock: nothing was written
// and another try may pass.
func unordered(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01")
}

// translatePostgres gives Postgres' error classes our codes.
func translatePostgres(e *pgconn.PgError, err error) error {
	switch {
	case len(e.Code) >= 2 && e.Code[:2] == "23":
		return prefect.Errorf(prefect.Conflict, "Data integrity conflict: something unique is taken, or what is referred to is not there%w", hidden{err})
	case e.Code == "40001" || e.Code == "40P01" || e.Code == "55P03":
		return prefect.Errorf(prefect.Unavailable, "the database is too busy with the same rows%w", hidden{err})
	case e.Code == "42501":
		return prefect.Errorf(prefect.Unavailable, "the database's user lacks a right: %s%w", e.Message, hidden{err})
	case (e.Code == "0A000" || e.Code == "58P01") && strings.Contains(e.Message, "pg_trgm"):
		return prefect.Errorf(prefect.Unavailable, "this Postgres lacks the extension pg_trgm, which Prefect's schema needs; many systems have it in a package postgresql-contrib%w", hidden{err})
	case len(e.Code) >= 2 && (e.Code[:2] == "22" || e.Code[:2] == "54"):
		// A value that is out of range or too large is so the next time too. The
		// server's message quotes it, so it is left out.
		return prefect.Errorf(prefect.Invalid, "the database cannot store a value that was sent (%s)%w", e.Code, hidden{err})
	case len(e.Code) >= 2 && (e.Code[:2] == "53" || e.Code[:2] == "57" || e.Code[:2] == "08"):
		return prefect.Errorf(prefect.Unavailable, "the database cannot serve now (%s)%w", e.Code, hidden{err})
	}
	return err
}

// listenPause is how long listen waits before it connects again.
const listenPause = time.Second

// listen calls fn after each notification on channel, and after each new
// connection, since notifications may have been missed. It returns when ctx ends.
func (db *DB) listen(ctx context.Context, channel string, fn func()) error {
	for {
		err := db.listenOnce(ctx, channel, fn)
		if ctx.Err() != nil {
			return nil
		}
		db.opts.Logger.Warn("the listening connection to the database is lost", "error", db.translate(err))
		select {
		case <-time.After(listenPause):
		case <-ctx.Done():
			return nil
		}
	}
}

func (db *DB) listenOnce(ctx context.Context, channel string, fn func()) error {
	conn, err := pgx.Connect(ctx, db.url.dsn)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{channel}.Sanitize()); err != nil {
		return err
	}
	for {
		fn()
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return err
		}
	}
}
