package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/interlock-run/interlock/host/prefect"
)

// Options of [Open]. The zero value works.
type Options struct {
	Logger *slog.Logger        // nil: silent
	Now    func() prefect.Time // nil: the machine's clock
	// Connections bounds the connections to Postgres (default 16) or the readers
	// on SQLite (default 4).
	Connections int
	// Unsynced has writes to SQLite not wait for the disk: a power cut may undo the
	// last of them, the end of the process none. So does the reference.
	Unsynced bool
}

func (o *Options) setDefaults(postgres bool) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = func() prefect.Time { return prefect.NewTime(time.Now()) }
	}
	if o.Connections == 0 {
		o.Connections = 4
		if postgres {
			o.Connections = 16
		}
	}
}

// querier runs SQL that is written with ? placeholders.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// tx is a write transaction, or on SQLite one unit of a group.
type tx struct {
	querier
	d     *dialect
	clock func() prefect.Time
}

// now is the time that rows written by the unit carry.
func (t *tx) now() prefect.Time { return t.clock() }

// DB is an open database.
type DB struct {
	d       *dialect
	opts    Options
	url     address
	readers *sql.DB // on Postgres its transactions too
	reader  querier
	writers *sql.DB     // SQLite only: where the writer has its connection from
	writer  *writer     // SQLite only
	closers []io.Closer // closed in this order
	close   sync.Once
	closed  error // what closing came to
}

// read runs fn with a reader. Each statement sees what is committed when it
// starts.
func (db *DB) read(ctx context.Context, fn func(q querier) error) error {
	return db.translate(fn(db.reader))
}

// write runs fn in a transaction which is durable when write returns nil. fn may
// be run again, so it must have no effect but on its own results.
func (db *DB) write(ctx context.Context, fn func(t *tx) error) error {
	if db.writer != nil {
		return db.translate(db.writer.do(ctx, fn))
	}
	return db.translate(db.writePostgres(ctx, fn))
}

// now is the time of reads that depend on it.
func (db *DB) now() prefect.Time { return db.opts.Now() }

// Ping reports whether the database answers.
func (db *DB) Ping(ctx context.Context) error {
	return db.read(ctx, func(q querier) error {
		var one int
		return q.QueryRowContext(ctx, "SELECT 1").Scan(&one)
	})
}

// Close waits for queued writes and closes all connections. Writes that come
// later fail with Unavailable. Closing again does nothing.
func (db *DB) Close() error {
	db.close.Do(func() {
		var errs []error
		for _, c := range db.closers {
			errs = append(errs, c.Close())
		}
		db.closed = errors.Join(errs...)
	})
	return db.closed
}

// Open opens the database at url: SQLAlchemy's form
// (sqlite+aiosqlite:////path/to.db, postgresql+asyncpg://user:password@host:5432/name?ssl=require)
// or the plain one. An empty database gets the schema; an existing one has to be
// at the revision of this binary.
//
// Errors: Invalid for a URL that cannot be read, Unavailable for a database that
// cannot be reached or written, UnknownRevision, Conflict for a SQLite file that
// another interlock serves. None contains the password.
func Open(ctx context.Context, url string, opts Options) (*DB, error) {
	db, err := connect(ctx, url, opts)
	if err != nil {
		return nil, err
	}
	if err := db.prepare(ctx); err != nil {
		return nil, errors.Join(db.translate(err), db.Close())
	}
	return db, nil
}

// connect opens a database without looking into it.
func connect(ctx context.Context, url string, opts Options) (*DB, error) {
	a, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	opts.setDefaults(a.postgres)
	if a.postgres {
		return openPostgres(ctx, a, opts)
	}
	return openSQLite(ctx, a, opts)
}

// prepare makes or checks the schema, and only then changes how the file is
// written: one that is refused stays as it was.
func (db *DB) prepare(ctx context.Context) error {
	if err := db.prepareSchema(ctx); err != nil || db.d.postgres {
		return err
	}
	return db.enterWAL(ctx)
}

// statements runs queries through statements that are prepared once.
type statements struct {
	prepare func(ctx context.Context, query string) (*sql.Stmt, error)
	direct  querier
	cache   *statementCache
}

func (s *statements) stmt(ctx context.Context, query string) *sql.Stmt {
	kept, room := s.cache.get(query)
	if kept != nil || !room {
		return kept
	}
	// Preparing must not die with one request: the statement is everybody's.
	st, err := s.prepare(context.WithoutCancel(ctx), query)
	if err != nil {
		return nil // the direct call reports what is wrong with it
	}
	return s.cache.put(query, st)
}

func (s *statements) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if st := s.stmt(ctx, query); st != nil {
		return st.ExecContext(ctx, args...)
	}
	return s.direct.ExecContext(ctx, query, args...)
}

func (s *statements) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if st := s.stmt(ctx, query); st != nil {
		return st.QueryContext(ctx, args...)
	}
	return s.direct.QueryContext(ctx, query, args...)
}

func (s *statements) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if st := s.stmt(ctx, query); st != nil {
		return st.QueryRowContext(ctx, args...)
	}
	return s.direct.QueryRowContext(ctx, query, args...)
}

// rebinding runs queries as they come; pgx prepares and caches by itself.
type rebinding struct {
	d      *dialect
	direct querier
}

func (r rebinding) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return r.direct.ExecContext(ctx, r.d.rebind(query), args...)
}

func (r rebinding) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return r.direct.QueryContext(ctx, r.d.rebind(query), args...)
}

func (r rebinding) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return r.direct.QueryRowContext(ctx, r.d.rebind(query), args...)
}

// closerFunc makes a Closer of a function.
type closerFunc func() error

func (f closerFunc) Close() error { return f() }

// wrapf adds what was being done to an error that no caller branches on.
func wrapf(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}
