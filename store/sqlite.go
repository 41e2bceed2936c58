package store

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/interlock-run/interlock/host/prefect"
)

// pragmas are set on every connection. synchronous=FULL makes a commit survive a
// power cut; the busy timeout is for other programs that write.
var pragmas = []string{
	"busy_timeout(5000)",
	"synchronous(FULL)",
	"foreign_keys(ON)",
	"cache_size(-8000)", // 8 MB a connection; the rest of the file is in the page cache of the system
	"temp_store(MEMORY)",
	// For a new file. A transition changes an entry or two on each of some thirty
	// pages of indexes, and all of a page goes to the log: half of SQLite's usual
	// page is half of that, and smaller ones split too often.
	"page_size(2048)",
	// The next transition dirties many of the same pages: a longer log writes each
	// of them back less often.
	"wal_autocheckpoint(16000)", // pages, 32 MB
}

func openSQLite(ctx context.Context, a address, opts Options) (*DB, error) {
	if info, err := os.Stat(filepath.Dir(a.path)); err != nil || !info.IsDir() {
		return nil, prefect.Errorf(prefect.Unavailable, "there is no directory %s for the database", filepath.Dir(a.path))
	}
	unlock, err := lockFile(resolved(a.path) + "-interlock.lock")
	if err != nil {
		return nil, err
	}
	db := &DB{d: &dialect{}, opts: opts, url: a}
	closers := []func() error{unlock}
	fail := func(err error) (*DB, error) {
		for i := len(closers) - 1; i >= 0; i-- {
			err = errors.Join(err, closers[i]())
		}
		return nil, err
	}
	if err := prepareDriver(); err != nil {
		return fail(err)
	}
	checkpoints, err := newCheckpointer(a.path, checkpointAt, opts.Logger)
	if err != nil {
		return fail(err)
	}
	// It has to be there before the log is opened for writing.
	log, logPath := &walLog{grown: checkpoints.grown}, resolved(a.path)+"-wal"
	walLogs.Store(logPath, log)
	unwatch := func() error { walLogs.Delete(logPath); return checkpoints.Close() }
	closers = append(closers, unwatch)
	writers, err := sql.Open("sqlite", writerDSN(a.path))
	if err != nil {
		return fail(err)
	}
	closers = append(closers, writers.Close)
	writers.SetMaxIdleConns(-1) // the writer holds its own; any other is needed once
	conn, err := writers.Conn(ctx)
	if err != nil {
		return fail(openError(a, err))
	}
	if err := tryWriting(ctx, conn); err != nil {
		return fail(openError(a, err))
	}
	if db.readers, err = sql.Open("sqlite", sqliteDSN(a.path, "query_only(ON)")); err != nil {
		return fail(err)
	}
	db.readers.SetMaxOpenConns(opts.Connections)
	db.readers.SetMaxIdleConns(opts.Connections)
	cache := newStatementCache()
	db.reader = &statements{prepare: db.readers.PrepareContext, direct: db.readers, cache: cache}
	db.writer = newWriter(conn, log, db.d, &opts)
	db.writers = writers
	db.closers = append(db.closers, db.writer, closerFunc(unwatch), cache, db.readers, writers, closerFunc(unlock))
	return db, nil
}

// prepareDriver sets what the driver has for the whole process: commits sync a
// file's data without its time stamps, which is as durable, and the log is written
// in one piece.
func prepareDriver() error {
	if _, err := sqlite.Fdatasync(true); err != nil && !errors.Is(err, sqlite.ErrFdatasyncUnavailable) {
		return err
	}
	return registerWALVFS()
}

// tryWriting finds out whether the file is a database that can be written, and
// writes nothing.
func tryWriting(ctx context.Context, conn *sql.Conn) error {
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		if isBusy(err) { // by another program, for now
			return nil
		}
		return err
	}
	_, err := conn.ExecContext(ctx, "ROLLBACK")
	return err
}

// enterWAL has readers and the writer not wait for each other. It stays with the
// file; the reference does the same.
func (db *DB) enterWAL(ctx context.Context) error {
	var mode string
	if err := db.writers.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return prefect.Errorf(prefect.Unavailable, "%s is on a file system that SQLite's write-ahead log does not work on", db.url.shown)
	}
	return nil
}

// resolved follows symbolic links, so that one file has one lock whatever it is
// called. A file that is yet to be made may be a link to nowhere.
func resolved(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		return filepath.Join(dir, filepath.Base(path))
	}
	return path
}

// sqliteDSN is the name of the file for the driver, with the pragmas and more of
// them.
func sqliteDSN(path string, more ...string) string {
	return fileURI(path, url.Values{"_pragma": slices.Concat(pragmas, more)})
}

// writerDSN is that of the connection that writes. What walVFS gathers must not
// outlive a transaction that is rolled back, so pages of one go to the log at its
// commit only, and not when the cache is full.
func writerDSN(path string) string {
	return fileURI(path, url.Values{"_pragma": slices.Concat(pragmas, []string{"cache_spill(OFF)"}), "vfs": {walVFS}})
}

func fileURI(path string, query url.Values) string {
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: query.Encode()}).String()
}

// openError says what a file that cannot be opened is like.
func openError(a address, err error) error {
	var e *sqlite.Error
	if errors.As(err, &e) {
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_NOTADB:
			return prefect.Errorf(prefect.Unavailable, "%s is not a SQLite database", a.shown)
		case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
			return prefect.Errorf(prefect.Unavailable, "%s cannot be opened for writing", a.shown)
		}
	}
	return prefect.Errorf(prefect.Unavailable, "%s cannot be opened: %w", a.shown, err)
}

// isBusy reports whether another program holds the lock.
func isBusy(err error) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	code := e.Code() & 0xff
	return code == sqlite3.SQLITE_BUSY || code == sqlite3.SQLITE_LOCKED
}

// translateSQLite gives the driver's errors our codes.
func translateSQLite(e *sqlite.Error, err error) error {
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CONSTRAINT:
		return prefect.Errorf(prefect.Conflict, "Data integrity conflict: something unique is taken, or what is referred to is not there%w", hidden{err})
	case sqlite3.SQLITE_FULL:
		return prefect.Errorf(prefect.Unavailable, "the disk is full%w", hidden{err})
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return prefect.Errorf(prefect.Unavailable, "another program keeps the database to itself%w", hidden{err})
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return prefect.Errorf(prefect.Unavailable, "the database cannot be written (SQLite error %s)%w", strconv.Itoa(e.Code()), hidden{err})
	}
	return err
}
