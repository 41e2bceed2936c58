package event

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/interlock-run/interlock/host/prefect"
)

// The bounds of the intake.
const (
	queueEvents = 4096                 // waiting to be stored, before senders wait
	batchEvents = 200                  // stored in one go
	linger      = 5 * time.Millisecond // that the first event of a batch waits for others
	largeEvent  = 16 << 10             // bytes from which on an event is large
	largeEvents = 64                   // of them at a time, queued or being stored
)

// errStopped is what senders get from an intake that has stopped or was never
// started.
var errStopped = prefect.Errorf(prefect.Unavailable, "the server is stopping")

// Intake stores events in batches, records the task runs they tell of, and
// publishes them. Events of one sender stay in order.
//
// While the store cannot be reached a batch is kept and tried again, the queue
// fills up, and senders wait. An event that the store refuses by itself is tried
// maxAttempts times and then dropped, so that it holds up the others only for a
// moment.
type Intake struct {
	events  keeper[*prefect.Event]
	records keeper[*prefect.TaskRunRecord]
	bus     *Bus[*prefect.Event]
	logger  *slog.Logger

	queue   chan queued
	large   chan struct{} // a token for each large event, so that the queue's memory is bounded
	stopped chan struct{} // closed when no more is taken in
	ctx     context.Context
	abort   context.CancelFunc
	done    chan struct{}

	mu      sync.Mutex
	started bool
	stop    sync.Once
	sending sync.RWMutex // read-locked by senders, so that the queue is closed behind the last
}

// queued is an event with its record, if it tells of a task run, or a mark: a nil
// event whose stored channel is closed when all before it are stored.
type queued struct {
	event  *prefect.Event
	record *prefect.TaskRunRecord
	stored chan struct{}
	large  bool // holds a token
}

// NewIntake returns an intake that stores with store and then publishes on bus.
func NewIntake(store Writer, bus *Bus[*prefect.Event], logger *slog.Logger) *Intake {
	ctx, abort := context.WithCancel(context.Background())
	return &Intake{
		events: eventKeeper(store.WriteEvents, logger), records: recordKeeper(store.RecordTaskRuns, logger), bus: bus, logger: logger, ctx: ctx, abort: abort,
		queue: make(chan queued, queueEvents), large: make(chan struct{}, largeEvents), stopped: make(chan struct{}), done: make(chan struct{}),
	}
}

// Start begins to store; events queue up before.
func (in *Intake) Start() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.started {
		return
	}
	in.started = true
	go in.run()
}

// Stop takes no more events in, stores those that were, and returns. It gives up
// on a store that does not answer when ctx ends, and logs how many events that
// loses. It is safe to call twice.
func (in *Intake) Stop(ctx context.Context) {
	in.stop.Do(func() {
		close(in.stopped)
		in.sending.Lock()
		close(in.queue)
		in.sending.Unlock()
		in.mu.Lock()
		defer in.mu.Unlock()
		if !in.started {
			close(in.done)
		}
	})
	unhook := context.AfterFunc(ctx, in.abort)
	defer unhook()
	<-in.done
	in.abort()
}

// Submit queues an event, and waits while the queue is full. Errors: ctx's, and
// Unavailable once the intake stops.
func (in *Intake) Submit(ctx context.Context, e *prefect.Event) error {
	q := queued{event: e}
	if isTaskRunChange(e) {
		record, err := taskRunRecord(e)
		if err != nil {
			in.logger.Warn("a task run event cannot be recorded", "event", e.Event, "id", e.ID, "error", err)
		}
		q.record = record
	}
	if size(e) >= largeEvent {
		select {
		case in.large <- struct{}{}:
			q.large = true
		case <-in.stopped:
			return errStopped
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	err := in.put(ctx, q)
	if err != nil && q.large {
		<-in.large
	}
	return err
}

// size returns about how many bytes an event holds.
func size(e *prefect.Event) int {
	n := len(e.Event) + len(e.Payload)
	for _, l := range e.Resource {
		n += len(l.Name) + len(l.Value)
	}
	for _, r := range e.Related {
		for _, l := range r {
			n += len(l.Name) + len(l.Value)
		}
	}
	return n
}

// Flush waits until every event that was submitted before is stored. Errors as
// for Submit.
func (in *Intake) Flush(ctx context.Context) error {
	mark := queued{stored: make(chan struct{})}
	if err := in.put(ctx, mark); err != nil {
		return err
	}
	select {
	case <-mark.stored:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-in.done:
		select {
		case <-mark.stored:
			return nil
		default:
			return errStopped
		}
	}
}

func (in *Intake) put(ctx context.Context, q queued) error {
	in.sending.RLock()
	defer in.sending.RUnlock()
	select {
	case <-in.stopped:
		return errStopped
	default:
	}
	select {
	case in.queue <- q:
		return nil
	case <-in.stopped:
		return errStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (in *Intake) run() {
	defer close(in.done)
	batch := make([]queued, 0, batchEvents)
	for first := range in.queue {
		batch = in.collect(append(batch[:0], first))
		in.flush(batch)
		for _, q := range batch {
			if q.large {
				<-in.large
			}
		}
		clear(batch)
	}
}

// collect adds what is queued, up to a full batch or a mark, and waits a moment
// for it.
func (in *Intake) collect(batch []queued) []queued {
	timer := time.NewTimer(linger)
	defer timer.Stop()
	for len(batch) < batchEvents && batch[len(batch)-1].event != nil {
		select {
		case q, ok := <-in.queue:
			if !ok {
				return batch
			}
			batch = append(batch, q)
		case <-timer.C:
			return batch
		}
	}
	return batch
}

// flush stores and publishes a batch; only its last element may be a mark.
func (in *Intake) flush(batch []queued) {
	events := make([]*prefect.Event, 0, len(batch))
	var records []*prefect.TaskRunRecord
	for _, q := range batch {
		if q.event != nil {
			events = append(events, q.event)
		}
		if q.record != nil {
			records = append(records, q.record)
		}
	}
	// Side by side, so that a store with group commit writes both at once.
	var recorded sync.WaitGroup
	leftRecords := 0
	if len(records) > 0 {
		recorded.Go(func() { leftRecords = in.records.keep(in.ctx, records) })
	}
	leftEvents := in.events.keep(in.ctx, events)
	recorded.Wait()
	if leftRecords+leftEvents > 0 {
		in.logger.Error("stopped before everything was stored", "events", leftEvents, "task_run_records", leftRecords)
		return
	}
	in.bus.Publish(events...)
	if last := batch[len(batch)-1]; last.stored != nil {
		close(last.stored)
	}
}
