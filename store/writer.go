package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/interlock-run/interlock/host/metrics"
	"github.com/interlock-run/interlock/host/prefect"
)

const (
	// maxGroup bounds the units of one transaction, and with them how long the
	// first of a group waits for the last.
	maxGroup = 128
	// lockPatience is how long the writer waits for another program that holds
	// SQLite's write lock.
	lockPatience = 60 * time.Second
)

// errNotBegun is of a transaction that did not get the lock.
var errNotBegun = errors.New("the transaction did not begin")

var errClosed = prefect.Errorf(prefect.Unavailable, "the database is being closed")

// unit is one piece of work for the writer.
type unit struct {
	ctx  context.Context
	fn   func(*tx) error
	late bool // may reach the disk with a later one, and lets others go first once
	past bool // of a late one: it did
	err  error
	done chan struct{}
}

// writer is the one connection that writes to a SQLite database. Its callers take
// turns: whoever has the turn writes what all have queued, as one group. So a lone
// caller hands its work to nobody, and while a group goes to disk the next one
// gathers.
type writer struct {
	conn  *sql.Conn
	log   *walLog
	tx    *tx
	cache *statementCache
	turn  chan struct{}      // holds one while somebody writes
	waits time.Duration      // for the lock
	sizes *metrics.Histogram // of groups

	mu     sync.Mutex
	queue  []*unit
	closed bool
}

func newWriter(conn *sql.Conn, log *walLog, d *dialect, clock func() prefect.Time) *writer {
	w := &writer{
		conn:  conn,
		log:   log,
		cache: newStatementCache(),
		turn:  make(chan struct{}, 1),
		waits: lockPatience,
		sizes: metrics.NewHistogram(metrics.SizeBounds()),
	}
	q := &statements{prepare: conn.PrepareContext, direct: conn, cache: w.cache}
	w.tx = &tx{querier: unstoppable{q}, d: d, clock: clock}
	return w
}

// Writes tells of the writes that wait for SQLite's one writer, and of the sizes of
// the groups it has written; ok is false on Postgres, which has none.
func (db *DB) Writes() (waiting int, groups *metrics.Histogram, ok bool) {
	if db.writer == nil {
		return 0, nil, false
	}
	return db.writer.waiting(), db.writer.sizes, true
}

func (w *writer) waiting() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.queue)
}

// do runs fn in the next group and returns when that group is on disk, or when
// fn failed. A late one may be lost in a power cut, with nothing that came after it.
func (w *writer) do(ctx context.Context, late bool, fn func(*tx) error) error {
	u := &unit{ctx: ctx, fn: fn, late: late, done: make(chan struct{})}
	if err := w.enqueue(u); err != nil {
		return err
	}
	for {
		select {
		case <-u.done:
			return u.err
		case w.turn <- struct{}{}:
			if !u.finished() { // else others can do their own
				w.write()
			}
			<-w.turn
		}
	}
}

func (w *writer) enqueue(u *unit) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return errClosed
	}
	w.queue = append(w.queue, u)
	return nil
}

// write commits the next group, if there is one. The caller has the turn.
func (w *writer) write() {
	group := w.next()
	if len(group) == 0 {
		return
	}
	w.sizes.Observe(float64(len(group)))
	w.commit(group)
}

// next takes what waits already; nobody waits for more, so a lone caller pays
// nothing for the grouping. Late units are for a group of their own, or the one
// after.
func (w *writer) next() []*unit {
	w.mu.Lock()
	defer w.mu.Unlock()
	urgent := anyUrgent(w.queue)
	var group, rest []*unit
	for _, u := range w.queue {
		switch {
		case len(group) == maxGroup:
			rest = append(rest, u)
		case urgent && u.late && !u.past:
			u.past = true
			rest = append(rest, u)
		default:
			group = append(group, u)
		}
	}
	w.queue = rest
	return group
}

// Close runs what is queued and lets nobody write any more.
func (w *writer) Close() error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	for w.waiting() > 0 {
		w.write()
	}
	return errors.Join(w.cache.Close(), w.conn.Close())
}

// commit runs the group in one transaction. A group whose transaction is lost is
// run again unit by unit, so that each stands or falls for its own reason.
func (w *writer) commit(group []*unit) {
	waiting := group[:0:0]
	for _, u := range group {
		if err := u.ctx.Err(); err != nil {
			u.finish(err)
			continue
		}
		waiting = append(waiting, u)
	}
	if len(waiting) == 0 {
		return
	}
	err := w.transaction(waiting)
	if err == nil {
		for _, u := range waiting {
			close(u.done)
		}
		return
	}
	for _, u := range waiting {
		if len(waiting) > 1 && !errors.Is(err, errNotBegun) {
			err = w.transaction([]*unit{u})
		}
		if err != nil {
			u.err = err
		}
		close(u.done)
	}
}

// anyUrgent reports whether not all of the units are late.
func anyUrgent(units []*unit) bool {
	return slices.ContainsFunc(units, func(u *unit) bool { return !u.late })
}

func (u *unit) finished() bool {
	select {
	case <-u.done:
		return true
	default:
		return false
	}
}

func (u *unit) finish(err error) {
	u.err = err
	close(u.done)
}

// transaction runs the units and commits. A unit's own failure is left in its
// err; the error returned means that nothing was written.
func (w *writer) transaction(units []*unit) error {
	if err := w.begin(); err != nil {
		return fmt.Errorf("%w%w", errNotBegun, hidden{err})
	}
	if err := w.runUnits(units); err != nil {
		w.rollback()
		return err
	}
	if len(units) == 1 && units[0].err != nil {
		w.rollback()
		return nil
	}
	w.log.unsynced.Store(!anyUrgent(units))
	err := w.exec("COMMIT")
	w.log.unsynced.Store(false)
	if err != nil {
		w.rollback()
	}
	return err
}

// rollback ends the transaction; SQLite has done so by itself after some errors,
// a full disk for one, and then there is nothing to report.
func (w *writer) rollback() { _ = w.exec("ROLLBACK") }

func (w *writer) runUnits(units []*unit) error {
	alone := len(units) == 1
	for _, u := range units {
		u.err = nil
		if !alone {
			if err := w.exec("SAVEPOINT unit"); err != nil {
				return err
			}
		}
		u.err = contained(u.fn, w.tx)
		switch {
		case alone:
			continue
		case u.err != nil:
			if err := w.exec("ROLLBACK TO unit"); err != nil {
				return err
			}
		}
		if err := w.exec("RELEASE unit"); err != nil {
			return err
		}
	}
	return nil
}

// contained calls fn and turns a panic in it into its error: what serves
// everybody has to outlive whatever it runs.
func contained(fn func(*tx) error, t *tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in a write: %v\n%s", p, debug.Stack())
		}
	}()
	return fn(t)
}

// begin takes SQLite's write lock. Only another program can hold it.
func (w *writer) begin() error {
	deadline := time.Now().Add(w.waits)
	for {
		err := w.exec("BEGIN IMMEDIATE")
		if err == nil || !isBusy(err) || time.Now().After(deadline) {
			return err
		}
	}
}

func (w *writer) exec(query string) error {
	_, err := w.tx.ExecContext(context.Background(), query)
	return err
}

// unstoppable runs statements to their end whatever becomes of the caller:
// SQLite answers the interruption of a write by rolling back the transaction,
// which here is that of a whole group.
type unstoppable struct{ q querier }

func (u unstoppable) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return u.q.ExecContext(context.WithoutCancel(ctx), query, args...)
}

func (u unstoppable) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return u.q.QueryContext(context.WithoutCancel(ctx), query, args...)
}

func (u unstoppable) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return u.q.QueryRowContext(context.WithoutCancel(ctx), query, args...)
}
