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
	late bool // may reach the disk with a later one, and lets others go first
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
	syncs bool               // no: every unit may be lost in a power cut, as late ones may
	sizes *metrics.Histogram // of groups

	mu     sync.Mutex
	queue  []*unit
	closed bool
}

func newWriter(conn *sql.Conn, log *walLog, d *dialect, opts *Options) *writer {
	w := &writer{
		conn:  conn,
		log:   log,
		cache: newStatementCache(),
		turn:  make(chan struct{}, 1),
		waits: lockPatience,
		syncs: !opts.Unsynced,
		sizes: metrics.NewHistogram(metrics.SizeBounds()),
	}
	q := &statements{prepare: conn.PrepareContext, direct: conn, cache: w.cache}
	w.tx = &tx{querier: unstoppable{q}, d: d, clock: opts.Now}
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
// fn failed.
func (w *writer) do(ctx context.Context, fn func(*tx) error) error {
	u := &unit{ctx: ctx, fn: fn, done: make(chan struct{})}
	if err := w.enqueue(u); err != nil {
		return err
	}
	return w.await(u)
}

// doLate runs each of fns as a unit of its own, in their order, when nobody waits
// for something else, and returns the first error. They may be lost in a power cut,
// with nothing that came after them.
func (w *writer) doLate(ctx context.Context, fns []func(*tx) error) error {
	units := make([]*unit, len(fns))
	for i, fn := range fns {
		units[i] = &unit{ctx: ctx, fn: fn, late: true, done: make(chan struct{})}
	}
	if err := w.enqueue(units...); err != nil {
		return err
	}
	var first error
	for _, u := range units {
		if err := w.await(u); first == nil {
			first = err
		}
	}
	return first
}

// await returns when u is done, which may be by the caller.
func (w *writer) await(u *unit) error {
	for {
		select {
		case <-u.done:
			return u.err
		case w.turn <- struct{}{}:
			w.takeTurn(u)
		}
	}
}

// takeTurn writes the next group, unless u is done, and lets go of the turn.
func (w *writer) takeTurn(u *unit) {
	defer func() { <-w.turn }()
	if !u.finished() { // else others can do their own
		w.write()
	}
}

func (w *writer) enqueue(units ...*unit) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return errClosed
	}
	w.queue = append(w.queue, units...)
	return nil
}

// write commits the next group, if there is one. The caller has the turn.
func (w *writer) write() {
	if group := w.next(); len(group) > 0 {
		w.commit(group)
	}
}

// next takes what waits already; nobody waits for more, so a lone caller pays
// nothing for the grouping. Of late units it takes all when nothing else waits, and
// else half as many as of the others.
func (w *writer) next() []*unit {
	w.mu.Lock()
	defer w.mu.Unlock()
	late := maxGroup
	if urgent := countUrgent(w.queue); urgent > 0 {
		late = (urgent + 1) / 2
	}
	return w.take(func(u *unit) bool {
		if u.late {
			late--
		}
		return !u.late || late >= 0
	})
}

// overtakers takes the units that are not late, if there are any whose callers are
// not gone. Those that left has wait again then, before all others.
func (w *writer) overtakers(left []*unit) []*unit {
	w.mu.Lock()
	defer w.mu.Unlock()
	urgent := w.take(func(u *unit) bool { return !u.late })
	if len(urgent) > 0 {
		w.queue = slices.Concat(left, w.queue)
	}
	return urgent
}

// take takes those of the queue that it may, in their order, up to a group of them.
func (w *writer) take(may func(*unit) bool) []*unit {
	var group, rest []*unit
	for _, u := range w.queue {
		if len(group) < maxGroup && may(u) {
			group = append(group, u)
		} else {
			rest = append(rest, u)
		}
	}
	w.queue = rest
	return living(group)
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
	group, err := w.transaction(group, w.overtakers)
	w.sizes.Observe(float64(len(group)))
	again := err != nil && len(group) > 1 && !errors.Is(err, errNotBegun)
	for _, u := range group {
		if again {
			_, err = w.transaction([]*unit{u}, nobody)
		}
		if err != nil {
			u.err = err
		}
		close(u.done)
	}
}

// nobody comes instead of units that are left.
func nobody([]*unit) []*unit { return nil }

// living ends the units whose callers are gone and returns the others.
func living(units []*unit) []*unit {
	return slices.DeleteFunc(units, func(u *unit) bool {
		u.err = u.ctx.Err()
		if u.err != nil {
			close(u.done)
		}
		return u.err != nil
	})
}

// countUrgent counts the units that are not late.
func countUrgent(units []*unit) int {
	n := 0
	for _, u := range units {
		if !u.late {
			n++
		}
	}
	return n
}

func (u *unit) finished() bool {
	select {
	case <-u.done:
		return true
	default:
		return false
	}
}

// transaction runs the units and commits. While they are late ones it asks others,
// between two of them, who would come instead of those that are left. It returns
// those that took part. A unit's own failure is left in its err; the error returned
// means that nothing was written.
func (w *writer) transaction(units []*unit, others func(left []*unit) []*unit) ([]*unit, error) {
	if err := w.begin(); err != nil {
		return units, fmt.Errorf("%w%w", errNotBegun, hidden{err})
	}
	units, err := w.runUnits(units, others)
	if err != nil {
		w.rollback()
		return units, err
	}
	if len(units) == 1 && units[0].err != nil {
		w.rollback()
		return units, nil
	}
	w.log.unsynced.Store(!w.syncs || countUrgent(units) == 0)
	err = w.exec("COMMIT")
	w.log.unsynced.Store(false)
	if err != nil {
		w.rollback()
	}
	return units, err
}

// rollback ends the transaction; SQLite has done so by itself after some errors,
// a full disk for one, and then there is nothing to report.
func (w *writer) rollback() { _ = w.exec("ROLLBACK") }

func (w *writer) runUnits(units []*unit, others func(left []*unit) []*unit) ([]*unit, error) {
	late := countUrgent(units) == 0
	alone := len(units) == 1 && !late // nobody can join
	for i := 0; i < len(units); i++ {
		if err := w.runUnit(units[i], alone); err != nil {
			return units, err
		}
		if !late {
			continue
		}
		if urgent := others(units[i+1:]); len(urgent) > 0 {
			units, late = append(units[:i+1:i+1], urgent...), false
		}
	}
	return units, nil
}

// runUnit runs u, and undoes what it did if it fails and is not alone in the
// transaction.
func (w *writer) runUnit(u *unit, alone bool) error {
	if alone {
		u.err = contained(u.fn, w.tx)
		return nil
	}
	if err := w.exec("SAVEPOINT unit"); err != nil {
		return err
	}
	if u.err = contained(u.fn, w.tx); u.err != nil {
		if err := w.exec("ROLLBACK TO unit"); err != nil {
			return err
		}
	}
	return w.exec("RELEASE unit")
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
