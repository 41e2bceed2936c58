package event

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
)

// fakeStore keeps everything in memory and fails on request.
type fakeStore struct {
	mu       sync.Mutex
	events   []*prefect.Event
	ids      map[uuid.UUID]bool
	records  []*prefect.TaskRunRecord
	outbox   []orchestrate.OutboxRow
	related  []prefect.RelatedRow
	asked    []prefect.RelatedKeys
	writes   int                                 // calls of WriteEvents
	batches  []int                               // sizes of batches that were written
	fail     func(events []*prefect.Event) error // asked by WriteEvents
	failRec  func([]*prefect.TaskRunRecord) error
	failDel  func() error
	block    chan struct{} // WriteEvents waits until it is closed
	blocked  bool          // WriteEvents has begun to wait
	deletion int
	queue    []*prefect.TaskRun             // wait for a worker
	claims   map[uuid.UUID]*prefect.TaskRun // are on their way to one
	stale    int                            // runs that wait for nobody
}

func (f *fakeStore) WriteEvents(ctx context.Context, events []*prefect.Event) error {
	f.mu.Lock()
	block := f.block
	f.blocked = f.blocked || block != nil
	f.mu.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.writes++
	if f.fail != nil {
		if err := f.fail(events); err != nil {
			return err
		}
	}
	if f.ids == nil {
		f.ids = make(map[uuid.UUID]bool)
	}
	f.batches = append(f.batches, len(events))
	for _, e := range events {
		if !f.ids[e.ID] {
			f.ids[e.ID] = true
			f.events = append(f.events, e)
		}
	}
	return nil
}

func (f *fakeStore) RelayEvents(ctx context.Context, events []*prefect.Event, seqs []int64) error {
	if err := f.WriteEvents(ctx, events); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forget(seqs)
	return nil
}

func (f *fakeStore) forget(seqs []int64) {
	f.outbox = slices.DeleteFunc(f.outbox, func(r orchestrate.OutboxRow) bool { return slices.Contains(seqs, r.Seq) })
}

func (f *fakeStore) RecordTaskRuns(_ context.Context, records []*prefect.TaskRunRecord) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failRec != nil {
		if err := f.failRec(records); err != nil {
			return err
		}
	}
	f.records = append(f.records, records...)
	return nil
}

func (f *fakeStore) ReadOutbox(_ context.Context, limit int, kinds ...string) ([]orchestrate.OutboxRow, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var rows []orchestrate.OutboxRow
	for _, row := range f.outbox {
		if slices.Contains(kinds, row.Kind) && len(rows) < limit {
			rows = append(rows, row)
		}
	}
	return rows, nil
}

func (f *fakeStore) DeleteOutbox(_ context.Context, seqs []int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.deletion++
	if f.failDel != nil {
		if err := f.failDel(); err != nil {
			return err
		}
	}
	f.forget(seqs)
	return nil
}

func (f *fakeStore) ReadRelatedRows(_ context.Context, keys prefect.RelatedKeys) ([]prefect.RelatedRow, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, keys)
	return f.related, nil
}

func (f *fakeStore) FilterEvents(_ context.Context, filter *prefect.EventFilter, limit, offset int) ([]*prefect.Event, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []*prefect.Event
	for _, e := range f.events {
		if filter.Includes(e) {
			found = append(found, e)
		}
	}
	slices.SortStableFunc(found, func(a, b *prefect.Event) int { return a.Occurred.Compare(b.Occurred.Time) })
	if filter.Order == "DESC" {
		slices.Reverse(found)
	}
	return found[min(offset, len(found)):min(offset+limit, len(found))], nil
}

func (f *fakeStore) CountEvents(ctx context.Context, filter *prefect.EventFilter) (int, error) {
	all, err := f.FilterEvents(ctx, filter, 1<<30, 0)
	return len(all), err
}

func (f *fakeStore) ClaimTaskRun(_ context.Context, keys []string, _ time.Duration) (*prefect.TaskClaim, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, run := range f.queue {
		if slices.Contains(keys, run.TaskKey) {
			f.queue = slices.Delete(f.queue, i, i+1)
			claim := &prefect.TaskClaim{ID: uuid.New(), Run: run}
			if f.claims == nil {
				f.claims = make(map[uuid.UUID]*prefect.TaskRun)
			}
			f.claims[claim.ID] = run
			return claim, nil
		}
	}
	return nil, nil
}

func (f *fakeStore) SweepTaskQueue(_ context.Context, limit int) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := min(limit, f.stale)
	f.stale -= n
	return n, nil
}

func (f *fakeStore) FinishTaskClaim(_ context.Context, c *prefect.TaskClaim) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.claims, c.ID)
	return nil
}

func (f *fakeStore) ReturnTaskClaim(_ context.Context, c *prefect.TaskClaim) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.claims, c.ID)
	f.queue = slices.Insert(f.queue, 0, c.Run)
	return nil
}

func (f *fakeStore) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fakeStore) stored() []*prefect.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.events)
}

func (f *fakeStore) recorded() []*prefect.TaskRunRecord {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.records)
}

func (f *fakeStore) isBlocked() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.blocked
}

func (f *fakeStore) waiting() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.outbox)
}

// patience is how long tests wait for what must happen: far more than a slow
// machine needs, since only a test that fails waits for so long.
const patience = 5 * time.Minute

// eventually polls until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("did not happen: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// noLeak fails the test if goroutines of this package outlive it. Call it first.
func noLeak(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			return
		}
		var stacks string
		deadline := time.Now().Add(patience)
		for time.Now().Before(deadline) {
			buf := make([]byte, 1<<20)
			stacks = string(buf[:runtime.Stack(buf, true)])
			leaked := 0
			for _, g := range strings.Split(stacks, "\n\n")[1:] {
				if strings.Contains(g, "interlock/host/event.") && !strings.Contains(g, "testing.tRunner") || strings.Contains(g, "coder/websocket.") {
					leaked++
				}
			}
			if leaked == 0 {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		t.Errorf("goroutines are left:\n%s", stacks)
	})
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

var start = prefect.NewTime(time.Now())

// newEvent returns an event that happened n microseconds after the start.
func newEvent(n int) *prefect.Event {
	return &prefect.Event{
		ID: uuid.New(), Occurred: start.Add(time.Duration(n) * time.Microsecond), Received: start,
		Event:    fmt.Sprintf("test.event.%d", n),
		Resource: prefect.NewResource("test.resource." + fmt.Sprint(n%7)),
		Related:  []prefect.Resource{prefect.NewResource("prefect.flow-run.x", prefect.LabelRole, "flow-run")},
		Payload:  json.RawMessage(`{"n":` + fmt.Sprint(n) + `}`),
	}
}

func names(events []*prefect.Event) []string {
	list := make([]string, len(events))
	for i, e := range events {
		list[i] = e.Event
	}
	return list
}

// wantInOrder fails unless events are newEvent(0), newEvent(1), ... newEvent(n-1).
func wantInOrder(t *testing.T, events []*prefect.Event, n int) {
	t.Helper()
	if len(events) != n {
		t.Fatalf("got %d events, want %d", len(events), n)
	}
	for i, e := range events {
		if want := fmt.Sprintf("test.event.%d", i); e.Event != want {
			t.Fatalf("event %d is %s, want %s", i, e.Event, want)
		}
	}
}
