package store

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store/storetest/pgtest"
)

// wire carries connections to Postgres that a test can cut.
type wire struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	conns []net.Conn
	down  bool // new connections are closed at once
}

// newWire returns the wire and the URL that leads through it.
func newWire(t *testing.T, raw string) (*wire, string) {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l, target: u.Host}
	t.Cleanup(func() { l.Close(); w.set(true) })
	go w.serve()
	u.Host = l.Addr().String()
	return w, u.String()
}

func (w *wire) serve() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", w.target)
		if err != nil || !w.keep(client, server) {
			client.Close()
			continue
		}
		go pipe(client, server)
		go pipe(server, client)
	}
}

// pipe ends with either side.
func pipe(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	to.Close()
	from.Close()
}

func (w *wire) keep(conns ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns = append(w.conns, conns...)
	return !w.down
}

// set cuts every connection, and with down all that come.
func (w *wire) set(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = down
	for _, c := range w.conns {
		c.Close()
	}
	w.conns = nil
}

func openPG(t *testing.T, url string) *DB {
	t.Helper()
	db, err := Open(t.Context(), url, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestALostConnectionIsUnavailableAndReplaced(t *testing.T) {
	ctx := t.Context()
	w, url := newWire(t, pgtest.URL(t))
	db := openPG(t, url)
	err := db.write(ctx, func(x *tx) error {
		if err := put(ctx, x, "lost"); err != nil {
			return err
		}
		w.set(true)
		return put(ctx, x, "lost-too")
	})
	if prefect.CodeOf(err) != prefect.Unavailable {
		t.Errorf("a write whose connection is cut: %v", err)
	}
	if err := db.Ping(ctx); prefect.CodeOf(err) != prefect.Unavailable {
		t.Errorf("a read while Postgres is away: %v", err)
	}
	w.set(false)
	if err := db.write(ctx, func(x *tx) error { return put(ctx, x, "kept") }); err != nil {
		t.Errorf("a write once Postgres is back: %v", err)
	}
	if found := fmt.Sprint(keys(t, db)); found != "map[kept:true]" {
		t.Errorf("found %s", found)
	}
}

func TestADeadlockIsRunAgain(t *testing.T) {
	ctx := t.Context()
	db := openPG(t, pgtest.URL(t))
	for _, k := range []string{"a", "b"} {
		if err := db.write(ctx, func(x *tx) error { return put(ctx, x, k) }); err != nil {
			t.Fatal(err)
		}
	}
	var met sync.WaitGroup // both hold their first row
	met.Add(2)
	runs := make(chan int, 2)
	cross := func(first, second string) error {
		tries := 0
		err := db.write(ctx, func(x *tx) error {
			tries++
			if err := touch(ctx, x, first); err != nil {
				return err
			}
			if tries == 1 {
				met.Done()
				met.Wait()
			}
			return touch(ctx, x, second)
		})
		runs <- tries
		return err
	}
	errs := make(chan error, 2)
	go func() { errs <- cross("a", "b") }()
	go func() { errs <- cross("b", "a") }()
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := <-runs + <-runs; n < 3 {
		t.Errorf("%d runs of two units that deadlock", n)
	}
	var total int
	err := db.read(ctx, func(q querier) error {
		return q.QueryRowContext(ctx, "SELECT sum(length(value)) FROM interlock_meta WHERE key IN ('a', 'b')").Scan(&total)
	})
	if err != nil || total != 6 { // one letter at first, and one a touch
		t.Errorf("the rows hold %d letters, error %v", total, err)
	}
}

func touch(ctx context.Context, x *tx, key string) error {
	_, err := x.ExecContext(ctx, "UPDATE interlock_meta SET value = value || 'v' WHERE key = ?", key)
	return err
}

func TestAUnitThatFailsLeavesNothing(t *testing.T) {
	ctx := t.Context()
	db := openPG(t, pgtest.URL(t))
	err := db.write(ctx, func(x *tx) error {
		if err := put(ctx, x, "once"); err != nil {
			return err
		}
		return put(ctx, x, "once")
	})
	if prefect.CodeOf(err) != prefect.Conflict {
		t.Errorf("error is %v", err)
	}
	if err := db.write(ctx, func(x *tx) error { _ = put(ctx, x, "panics"); panic("outside data") }); err == nil {
		t.Error("a panic was no error")
	}
	if found := keys(t, db); len(found) != 0 {
		t.Errorf("found %v", found)
	}
}

func TestListeningOutlivesItsConnection(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w, url := newWire(t, pgtest.URL(t))
	db := openPG(t, url)
	heard, ended := make(chan struct{}, 100), make(chan error, 1)
	go func() { ended <- db.listen(ctx, "interlock_test", func() { heard <- struct{}{} }) }()
	hear := func(what string) {
		t.Helper()
		select {
		case <-heard:
		case <-time.After(5 * time.Minute):
			t.Fatalf("nothing heard %s", what)
		}
	}
	notify := func() {
		t.Helper()
		if err := db.write(ctx, func(x *tx) error { _, err := x.ExecContext(ctx, "NOTIFY interlock_test"); return err }); err != nil {
			t.Fatal(err)
		}
	}
	hear("once it listens")
	notify()
	hear("of a notification")
	w.set(false)
	hear("after a new connection")
	notify()
	hear("of a notification there")
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("listen ended with %v", err)
	}
}

func TestManyOpenOneEmptyDatabase(t *testing.T) {
	url := pgtest.URL(t)
	const n = 6
	errs := make(chan error, n)
	for range n {
		go func() {
			db, err := Open(context.Background(), url, Options{Connections: 2})
			if err == nil {
				err = db.Close()
			}
			errs <- err
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestAcknowledgedCommitsAreOnDiskWhateverTheServersDefault(t *testing.T) {
	ctx := t.Context()
	url := pgtest.URL(t)
	setting := func(db *DB) (s string) {
		t.Helper()
		if err := db.read(ctx, func(q querier) error { return q.QueryRowContext(ctx, "SHOW synchronous_commit").Scan(&s) }); err != nil {
			t.Fatal(err)
		}
		return s
	}
	for set, want := range map[string]string{"off": "on", "remote_apply": "remote_apply"} {
		db := openPG(t, url)
		if err := db.write(ctx, func(x *tx) error {
			_, err := x.ExecContext(ctx, "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = "+set+"', current_database()); END $$")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if got := setting(openPG(t, url)); got != want {
			t.Errorf("with %s as the database's default it is %s", set, got)
		}
	}
}
