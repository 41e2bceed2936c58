package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/interlock-run/interlock/host/prefect"
)

func openTemp(t *testing.T) (*DB, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "w.db")
	return openAt(t, path), path
}

func openAt(t *testing.T, path string) *DB {
	t.Helper()
	db, err := Open(context.Background(), "sqlite+aiosqlite:///"+path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func put(ctx context.Context, t *tx, key string) error {
	_, err := t.ExecContext(ctx, "INSERT INTO interlock_meta (key, value) VALUES (?, 'v')", key)
	return err
}

// keys returns the test's keys that are stored.
func keys(t *testing.T, db *DB) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	err := db.read(context.Background(), func(q querier) error {
		rows, err := q.QueryContext(context.Background(), "SELECT key FROM interlock_meta WHERE value = 'v'")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var k string
			if err := rows.Scan(&k); err != nil {
				return err
			}
			found[k] = true
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// holdWriter keeps the writer busy until release is called, so that what is
// written meanwhile forms one group.
func holdWriter(db *DB) (release func()) {
	started, hold := make(chan struct{}), make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = db.write(context.Background(), func(*tx) error { close(started); <-hold; return nil })
	}()
	<-started
	return func() { close(hold); <-ended }
}

func TestUnitsOfAGroupStandOrFallAlone(t *testing.T) {
	ctx := context.Background()
	db, path := openTemp(t)
	release := holdWriter(db)
	boom := errors.New("boom")
	units := map[string]func(*tx) error{
		"good-1": func(x *tx) error { return put(ctx, x, "good-1") },
		"fails":  func(x *tx) error { return errors.Join(put(ctx, x, "fails"), boom) },
		"twice":  func(x *tx) error { return errors.Join(put(ctx, x, "twice"), put(ctx, x, "twice")) },
		"panics": func(x *tx) error { _ = put(ctx, x, "panics"); panic("outside data") },
		"good-2": func(x *tx) error { return put(ctx, x, "good-2") },
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := map[string]error{}
	for name, fn := range units {
		wg.Add(1)
		go func() {
			defer wg.Done()
			err := db.write(ctx, fn)
			mu.Lock()
			got[name] = err
			mu.Unlock()
		}()
	}
	for db.writer.waiting() < len(units) {
		time.Sleep(time.Millisecond) // until all are queued behind the held one
	}
	release()
	wg.Wait()
	if got["good-1"] != nil || got["good-2"] != nil {
		t.Errorf("good units failed: %v, %v", got["good-1"], got["good-2"])
	}
	if !errors.Is(got["fails"], boom) {
		t.Errorf("a unit's own error became %v", got["fails"])
	}
	if prefect.CodeOf(got["twice"]) != prefect.Conflict {
		t.Errorf("a broken constraint became %v", got["twice"])
	}
	if got["panics"] == nil {
		t.Error("a panic was no error")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if found := keys(t, openAt(t, path)); fmt.Sprint(found) != "map[good-1:true good-2:true]" {
		t.Errorf("after reopening: %v", found)
	}
}

func TestALateWriteReachesTheDiskWithTheNext(t *testing.T) {
	ctx := context.Background()
	db, path := openTemp(t)
	synced := func(what string, want int64, writes ...func(context.Context, func(*tx) error) error) {
		t.Helper()
		before := db.writer.log.synced.Load()
		release := func() {}
		if len(writes) > 1 {
			release = holdWriter(db)
		}
		errs := make(chan error, len(writes))
		for i, write := range writes {
			go func() {
				errs <- write(ctx, func(x *tx) error { return put(ctx, x, fmt.Sprint(what, i)) })
			}()
		}
		for len(writes) > 1 && db.writer.waiting() < len(writes) {
			time.Sleep(time.Millisecond) // until all are queued behind the held one
		}
		release()
		for range writes {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if n := db.writer.log.synced.Load() - before; n != want {
			t.Errorf("%s: %d syncs, want %d", what, n, want)
		}
	}
	late := func(ctx context.Context, fn func(*tx) error) error {
		return db.writer.doLate(ctx, []func(*tx) error{fn})
	}
	synced("the first ever", 2, db.write) // with the log's header
	synced("at once", 1, db.write)
	synced("late", 0, late)
	synced("two late", 0, late, late)
	synced("one of them late", 1, late, db.write)
	synced("at once again", 1, db.write)
	if _, err := db.writers.Exec("PRAGMA wal_checkpoint(RESTART)"); err != nil {
		t.Fatal(err)
	}
	synced("the first of a new log", 1, late)
	if end := db.writer.log.durable.Load(); end != 32 {
		t.Errorf("of a new log %d bytes are on the disk, want its header, 32", end)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if found := keys(t, openAt(t, path)); len(found) != 9 {
		t.Errorf("found %v", found)
	}
}

func TestUnsyncedWritesDoNotWaitForTheDisk(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "w.db")
	db, err := Open(ctx, "sqlite:///"+path, Options{Unsynced: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	before := db.writer.log.synced.Load()
	for _, key := range []string{"a", "b"} {
		if err := db.write(ctx, func(x *tx) error { return put(ctx, x, key) }); err != nil {
			t.Fatal(err)
		}
	}
	if n := db.writer.log.synced.Load() - before; n > 1 { // the first write may have made the log's header
		t.Errorf("two writes synced %d times", n)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if found := keys(t, openAt(t, path)); len(found) != 2 {
		t.Errorf("after reopening: %v", found)
	}
}

func TestLateWritesGoWhenNothingElseWaitsAndAFewBesides(t *testing.T) {
	w := &writer{}
	named := func(names ...string) (units []*unit) {
		for _, name := range names {
			units = append(units, &unit{ctx: context.Background(), late: name[0] == 'l', fn: func(*tx) error { return errors.New(name) }})
		}
		return units
	}
	for i, step := range []struct {
		come []*unit
		want string
	}{
		{named("l1", "l2", "l3"), "[l1 l2 l3]"},
		{named("l1", "l2", "l3", "a"), "[l1 a]"},
		{named("b", "c"), "[l2 b c]"},
		{named("l4", "d", "e", "f"), "[l3 l4 d e f]"},
		{named("l5"), "[l5]"},
		{nil, "[]"},
	} {
		w.queue = append(w.queue, step.come...)
		got := []string{}
		for _, u := range w.next() {
			got = append(got, u.fn(nil).Error())
		}
		if fmt.Sprint(got) != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
	}
}

func TestWhoComesWhileLateUnitsAreWrittenTakesThePlaceOfTheRest(t *testing.T) {
	ctx := context.Background()
	db, path := openTemp(t)
	var order []string // of one writer
	unit := func(name string, err error) func(*tx) error {
		return func(x *tx) error {
			order = append(order, name)
			return errors.Join(put(ctx, x, name), err)
		}
	}
	first, hold := make(chan struct{}), make(chan struct{})
	late, boom := make(chan error), errors.New("boom")
	go func() {
		late <- db.writer.doLate(ctx, []func(*tx) error{
			func(x *tx) error { close(first); <-hold; return unit("late 1", nil)(x) },
			unit("late 2", boom),
			unit("late 3", nil),
		})
	}()
	<-first
	urgent := make(chan error)
	go func() { urgent <- db.write(ctx, unit("urgent", nil)) }()
	for db.writer.waiting() < 1 {
		time.Sleep(time.Millisecond) // until it is queued
	}
	syncs := db.writer.log.synced.Load()
	close(hold)
	if err := <-urgent; err != nil {
		t.Error(err)
	}
	if err := <-late; !errors.Is(err, boom) {
		t.Errorf("the late units' error is %v", err)
	}
	if want := "[late 1 urgent late 2 late 3]"; fmt.Sprint(order) != want {
		t.Errorf("the order was %v, want %s", order, want)
	}
	if n := db.writer.log.synced.Load() - syncs; n != 2 { // with the log's header
		t.Errorf("%d syncs, want those of one transaction", n)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if found := fmt.Sprint(keys(t, openAt(t, path))); found != "map[late 1:true late 3:true urgent:true]" {
		t.Errorf("after reopening: %s", found)
	}
}

func TestWhoComesAndGoesWhileLateUnitsAreWrittenTakesNobodysPlace(t *testing.T) {
	db, path := openTemp(t)
	var order []string // of one writer
	unit := func(name string) func(*tx) error {
		return func(x *tx) error {
			order = append(order, name)
			return put(context.Background(), x, name)
		}
	}
	first, hold := make(chan struct{}), make(chan struct{})
	late, gone := make(chan error), make(chan error)
	go func() {
		late <- db.writer.doLate(context.Background(), []func(*tx) error{
			func(x *tx) error { close(first); <-hold; return unit("late 1")(x) },
			unit("late 2"),
		})
	}()
	<-first
	ctx, cancel := context.WithCancel(context.Background())
	go func() { gone <- db.write(ctx, unit("urgent")) }()
	for db.writer.waiting() < 1 {
		time.Sleep(time.Millisecond) // until it is queued
	}
	cancel()
	close(hold)
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("the error of who is gone is %v", err)
	}
	if err := <-late; err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil { // writes what is left, if there is any
		t.Fatal(err)
	}
	if want := "[late 1 late 2]"; fmt.Sprint(order) != want {
		t.Errorf("what ran was %v, want %s", order, want)
	}
	if found := fmt.Sprint(keys(t, openAt(t, path))); found != "map[late 1:true late 2:true]" {
		t.Errorf("after reopening: %s", found)
	}
}

func TestCloseRunsWhatIsQueued(t *testing.T) {
	db, path := openTemp(t)
	release := holdWriter(db)
	const n = 50
	errs := make(chan error, n)
	for i := range n {
		go func() {
			errs <- db.write(context.Background(), func(x *tx) error { return put(context.Background(), x, fmt.Sprint(i)) })
		}()
	}
	for db.writer.waiting() < n {
		time.Sleep(time.Millisecond) // until all are queued
	}
	closed := make(chan error)
	go func() { closed <- db.Close() }()
	release()
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if err := db.write(context.Background(), func(*tx) error { return nil }); prefect.CodeOf(err) != prefect.Unavailable {
		t.Errorf("a write after Close: %v", err)
	}
	if found := keys(t, openAt(t, path)); len(found) != n {
		t.Errorf("%d of %d units are stored", len(found), n)
	}
}

func TestAUnitWhoseCallerIsGoneIsDropped(t *testing.T) {
	db, _ := openTemp(t)
	release := holdWriter(db)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- db.write(ctx, func(x *tx) error { return put(ctx, x, "late") }) }()
	for db.writer.waiting() < 1 {
		time.Sleep(time.Millisecond) // until it is queued
	}
	cancel()
	release()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	if found := keys(t, db); len(found) != 0 {
		t.Errorf("it was written: %v", found)
	}
}

func TestAFullDiskIsToldAndNothingIsAcknowledged(t *testing.T) {
	ctx := context.Background()
	db, _ := openTemp(t)
	var pages int
	if err := db.write(ctx, func(x *tx) error {
		return x.QueryRowContext(ctx, "PRAGMA page_count").Scan(&pages)
	}); err != nil {
		t.Fatal(err)
	}
	if err := db.write(ctx, func(x *tx) error {
		_, err := x.ExecContext(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", pages+2))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	release := holdWriter(db)
	big := make([]byte, 1<<20)
	failed, small := make(chan error), make(chan error)
	go func() {
		failed <- db.write(ctx, func(x *tx) error {
			_, err := x.ExecContext(ctx, "INSERT INTO interlock_meta (key, value) VALUES ('big', ?)", string(big))
			return err
		})
	}()
	go func() { small <- db.write(ctx, func(x *tx) error { return put(ctx, x, "small") }) }()
	for db.writer.waiting() < 2 {
		time.Sleep(time.Millisecond) // until both are queued
	}
	release()
	if err := <-failed; prefect.CodeOf(err) != prefect.Unavailable {
		t.Errorf("the big unit: %v", err)
	}
	if err := <-small; err != nil {
		t.Errorf("the small unit of the same group: %v", err)
	}
	if !keys(t, db)["small"] {
		t.Error("the small unit was acknowledged and is not there")
	}
}

func TestASecondServerOnAFileIsRefused(t *testing.T) {
	_, path := openTemp(t)
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, link} {
		_, err := Open(context.Background(), "sqlite:///"+name, Options{})
		if prefect.CodeOf(err) != prefect.Conflict {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

// A broken reference that is checked at the commit fails the commit of the whole
// group; the others of the group must not suffer.
func TestAGroupWhoseCommitFailsIsRunOneByOne(t *testing.T) {
	ctx := context.Background()
	db, _ := openTemp(t)
	release := holdWriter(db)
	bad, good := make(chan error, 1), make(chan error, 2)
	for _, k := range []string{"one", "two"} {
		go func() { good <- db.write(ctx, func(x *tx) error { return put(ctx, x, k) }) }()
	}
	go func() {
		bad <- db.write(ctx, func(x *tx) error {
			if _, err := x.ExecContext(ctx, "PRAGMA defer_foreign_keys = ON"); err != nil {
				return err
			}
			_, err := x.ExecContext(ctx, "INSERT INTO flow_run_state (id, type, name, flow_run_id) VALUES ('s', 'RUNNING', 'Running', 'nobody')")
			return err
		})
	}()
	for db.writer.waiting() < 3 {
		time.Sleep(time.Millisecond) // until all are queued
	}
	release()
	if err := <-bad; prefect.CodeOf(err) != prefect.Conflict {
		t.Errorf("the unit with the broken reference: %v", err)
	}
	for range 2 {
		if err := <-good; err != nil {
			t.Errorf("another unit of the group: %v", err)
		}
	}
	if found := fmt.Sprint(keys(t, db)); found != "map[one:true two:true]" {
		t.Errorf("found %s", found)
	}
}

// A caller that goes away while its unit runs takes nothing of the group along.
func TestAnEndedContextDoesNotStopARunningUnit(t *testing.T) {
	db, _ := openTemp(t)
	release := holdWriter(db)
	ctx, cancel := context.WithCancel(context.Background())
	errs := make(chan error, 2)
	go func() {
		errs <- db.write(ctx, func(x *tx) error {
			cancel()
			return put(ctx, x, "cancelled")
		})
	}()
	go func() {
		errs <- db.write(context.Background(), func(x *tx) error { return put(context.Background(), x, "other") })
	}()
	for db.writer.waiting() < 2 {
		time.Sleep(time.Millisecond) // until both are queued
	}
	release()
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if found := fmt.Sprint(keys(t, db)); found != "map[cancelled:true other:true]" {
		t.Errorf("found %s", found)
	}
}

func TestManyWritersAndReaders(t *testing.T) {
	ctx := context.Background()
	db, path := openTemp(t)
	const writers, each = 32, 20
	errs := make(chan error, 2*writers)
	for w := range writers {
		go func() {
			var err error
			for i := range each {
				if err == nil {
					err = db.write(ctx, func(x *tx) error { return put(ctx, x, fmt.Sprintf("%d-%d", w, i)) })
				}
			}
			errs <- err
		}()
		go func() {
			var err error
			for range each {
				if err == nil {
					err = db.Ping(ctx)
				}
			}
			errs <- err
		}()
	}
	for range 2 * writers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if found := keys(t, openAt(t, path)); len(found) != writers*each {
		t.Errorf("%d of %d units are stored", len(found), writers*each)
	}
}

// foreign is a program of another process that holds a transaction on the file
// until release is called.
func foreign(t *testing.T, path, begin, statement string) (release func()) {
	t.Helper()
	const program = `
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute(sys.argv[2]); c.execute(sys.argv[3]).fetchall()
print("holds", flush=True)
sys.stdin.read()
c.execute("COMMIT")
`
	cmd := exec.Command("../.build/venv/bin/python", "-c", program, path, begin, statement)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("no Python to be the other program, 'make venv' makes it: %v", err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("holds"))); err != nil {
		t.Fatal(err)
	}
	return func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the other program: %v", err)
		}
	}
}

func TestOtherProgramsTransactions(t *testing.T) {
	ctx := context.Background()
	db, path := openTemp(t)
	release := foreign(t, path, "BEGIN", "SELECT * FROM flow")
	if err := db.write(ctx, func(x *tx) error { return put(ctx, x, "beside a reader") }); err != nil {
		t.Error(err)
	}
	release()
	release = foreign(t, path, "BEGIN IMMEDIATE", "INSERT INTO flow (id, name) VALUES ('f', 'foreign')")
	const n = 8
	errs := make(chan error, n)
	for i := range n {
		go func() { errs <- db.write(ctx, func(x *tx) error { return put(ctx, x, fmt.Sprint(i)) }) }()
	}
	for range 100 { // readers go on meanwhile
		if err := db.Ping(ctx); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-errs:
		t.Errorf("a write ended beside another program's: %v", err)
	case <-time.After(time.Second):
	}
	release()
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if found := keys(t, db); len(found) != n+1 {
		t.Errorf("found %v", found)
	}
}
