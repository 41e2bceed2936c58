package event

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/interlock-run/interlock/host/prefect"
)

var errDown = prefect.Errorf(prefect.Unavailable, "the database is down")

func startIntake(t *testing.T, store *fakeStore) (*Intake, *Bus[*prefect.Event]) {
	t.Helper()
	noLeak(t)
	bus := new(Bus[*prefect.Event])
	in := NewIntake(store, bus, quiet())
	in.Start()
	t.Cleanup(func() { in.Stop(context.Background()) })
	return in, bus
}

func submit(t *testing.T, in *Intake, n int) {
	t.Helper()
	for i := range n {
		if err := in.Submit(context.Background(), newEvent(i)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestIntakeStoresAFloodInOrderAndInBatches(t *testing.T) {
	store := new(fakeStore)
	in, _ := startIntake(t, store)
	const n = 10_000
	submit(t, in, n)
	if err := in.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	wantInOrder(t, store.stored(), n)
	if largest := slices.Max(store.batches); largest > batchEvents {
		t.Errorf("a batch has %d events", largest)
	}
	if len(store.batches) > n/4 {
		t.Errorf("%d events took %d batches", n, len(store.batches))
	}
}

func TestIntakeFlushMeansStoredAndPublished(t *testing.T) {
	store := new(fakeStore)
	in, bus := startIntake(t, store)
	sub := bus.Subscribe(nil)
	defer sub.Close()
	for i := range 20 {
		e := newEvent(i)
		if err := in.Submit(context.Background(), e); err != nil {
			t.Fatal(err)
		}
		if err := in.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		if stored := store.stored(); len(stored) != i+1 || stored[i] != e {
			t.Fatalf("after flush %d: %d events are stored", i, len(stored))
		}
		if got := <-sub.C(); got != e {
			t.Fatalf("published %s, want %s", got.Event, e.Event)
		}
	}
}

func TestIntakeKeepsEverythingThroughAnOutage(t *testing.T) {
	store := new(fakeStore)
	down := 6
	store.fail = func([]*prefect.Event) error {
		if down > 0 {
			down--
			return errDown
		}
		return nil
	}
	in, _ := startIntake(t, store)
	submit(t, in, 500)
	if err := in.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	wantInOrder(t, store.stored(), 500)
}

func TestIntakeDropsOnlyWhatTheStoreRefuses(t *testing.T) {
	for name, refusal := range map[string]error{
		"for good": prefect.Errorf(prefect.Invalid, "no such character"),
		"always":   errors.New("unsupported unicode escape"),
	} {
		t.Run(name, func(t *testing.T) {
			bad := newEvent(70)
			store := &fakeStore{fail: func(events []*prefect.Event) error {
				if slices.Contains(events, bad) {
					return refusal
				}
				return nil
			}}
			in, _ := startIntake(t, store)
			var want []string
			for i := range 150 {
				e := newEvent(i)
				if i == 70 {
					e = bad
				} else {
					want = append(want, e.Event)
				}
				if err := in.Submit(context.Background(), e); err != nil {
					t.Fatal(err)
				}
			}
			if err := in.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
			if got := names(store.stored()); !slices.Equal(got, want) {
				t.Errorf("stored %v", got)
			}
		})
	}
}

func TestIntakeMakesSendersWaitAndLosesNothingAtStop(t *testing.T) {
	store := &fakeStore{block: make(chan struct{})}
	in, _ := startIntake(t, store)
	const n = queueEvents + 3*batchEvents
	var accepted int
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for i := range n {
			if in.Submit(context.Background(), newEvent(i)) != nil {
				return
			}
			accepted++
		}
	}()
	// Not before a batch is on its way: the next one would make room again.
	eventually(t, "a batch is being stored", store.isBlocked)
	eventually(t, "the queue is full", func() bool { return len(in.queue) == queueEvents })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := in.Submit(ctx, newEvent(0)); !errors.Is(err, context.Canceled) {
		t.Errorf("a sender on a full queue got %v", err)
	}
	var stops sync.WaitGroup
	for range 2 { // safe to call twice, at once too
		stops.Go(func() { in.Stop(context.Background()) })
	}
	<-sent
	close(store.block)
	stops.Wait()
	wantInOrder(t, store.stored(), accepted)
	if err := in.Submit(context.Background(), newEvent(0)); prefect.CodeOf(err) != prefect.Unavailable {
		t.Errorf("a sender after the stop got %v", err)
	}
	if err := in.Flush(context.Background()); prefect.CodeOf(err) != prefect.Unavailable {
		t.Errorf("a flush after the stop got %v", err)
	}
}

func TestIntakeStopGivesUpWithItsContext(t *testing.T) {
	store := &fakeStore{fail: func([]*prefect.Event) error { return errDown }}
	in, bus := startIntake(t, store)
	sub := bus.Subscribe(nil)
	submit(t, in, 10)
	eventually(t, "a write", func() bool { store.mu.Lock(); defer store.mu.Unlock(); return store.writes > 0 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	in.Stop(ctx)
	bus.Close()
	if e, ok := <-sub.C(); ok {
		t.Errorf("%s was published and is not stored", e.Event)
	}
}

func TestIntakeBoundsLargeEvents(t *testing.T) {
	store := &fakeStore{block: make(chan struct{})}
	in, _ := startIntake(t, store)
	payload := json.RawMessage(`"` + string(make([]byte, largeEvent)) + `"`)
	sent := make(chan int)
	go func() {
		for i := range 2 * largeEvents {
			e := newEvent(i)
			e.Payload = payload
			if in.Submit(context.Background(), e) != nil {
				return
			}
			sent <- i
		}
		close(sent)
	}()
	for range largeEvents {
		<-sent
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	e := newEvent(0)
	e.Payload = payload
	if err := in.Submit(ctx, e); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("one more large event: %v", err)
	}
	close(store.block)
	for range sent {
	}
	if err := in.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	wantInOrder(t, store.stored(), 2*largeEvents)
}

func TestIntakeRecordsTaskRuns(t *testing.T) {
	store := new(fakeStore)
	down := 3
	store.failRec = func([]*prefect.TaskRunRecord) error {
		if down > 0 {
			down--
			return errDown
		}
		return nil
	}
	in, _ := startIntake(t, store)
	unreadable := taskRunEvent(t, 1, `{"validated_state":{"type":"NONSENSE"},"task_run":{}}`)
	other := taskRunEvent(t, 2, taskRunPayloadJSON)
	other.Resource = other.Resource.Without(prefect.LabelOrchestration)
	for _, e := range []*prefect.Event{taskRunEvent(t, 0, taskRunPayloadJSON), unreadable, other, taskRunEvent(t, 3, taskRunPayloadJSON), newEvent(4)} {
		if err := in.Submit(context.Background(), e); err != nil {
			t.Fatal(err)
		}
	}
	if err := in.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := len(store.stored()); got != 5 {
		t.Errorf("%d events are stored, want all 5", got)
	}
	var at []time.Duration
	for _, r := range store.recorded() {
		at = append(at, r.State.Timestamp.Sub(start.Time)/time.Microsecond)
	}
	if !slices.Equal(at, []time.Duration{0, 3}) {
		t.Errorf("recorded the states of events %v, want 0 and 3", at)
	}
}
