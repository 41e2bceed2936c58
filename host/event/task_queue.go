package event

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/host/service"
)

// The pace of the task queues.
const (
	// queuePoll is how often a subscription looks for runs that nothing woke it
	// for: ones that another replica queued, and ones whose time has come.
	queuePoll = time.Second
	// claimTime is how long a run is one worker's before its receipt. It outlasts
	// what a subscription waits for it, so it only runs out if this server died.
	claimTime = 2 * time.Minute
	// settleTime bounds what a subscription that ends does about its claim.
	settleTime = 10 * time.Second
)

// TaskQueues are the queues of background task runs, one a task key, in the
// database: they survive a restart, and every replica serves all of them.
type TaskQueues interface {
	// ClaimTaskRun takes the next due run of the task keys for one worker, nil if
	// there is none. Nobody else gets it until the claim is finished or returned,
	// or patience is over.
	ClaimTaskRun(ctx context.Context, keys []string, patience time.Duration) (*prefect.TaskClaim, error)
	// FinishTaskClaim takes the run off its queue: the worker has it.
	FinishTaskClaim(ctx context.Context, c *prefect.TaskClaim) error
	// ReturnTaskClaim puts the run back in front: the worker did not get it.
	ReturnTaskClaim(ctx context.Context, c *prefect.TaskClaim) error
	// SweepTaskQueue takes at most limit runs off their queues that are gone or no
	// longer SCHEDULED, and returns how many they were.
	SweepTaskQueue(ctx context.Context, limit int) (int, error)
}

// The pace of the sweep. What it finds harms nobody but by being there.
const (
	sweepEvery = time.Minute
	sweepBatch = 500
)

// newSweep returns the loop that keeps runs which nobody is to have any more from
// staying on the queues of task keys that no worker serves.
func newSweep(queues TaskQueues, logger *slog.Logger) *service.Loop {
	return &service.Loop{Name: "task queue sweep", Every: sweepEvery, Logger: logger, Work: func(ctx context.Context) (time.Duration, error) {
		for {
			n, err := queues.SweepTaskQueue(ctx, sweepBatch)
			if err != nil || n < sweepBatch {
				return 0, err
			}
		}
	}}
}

// taskQueue hands runs to the subscriptions of this server.
type taskQueue struct {
	store TaskQueues
	now   func() prefect.Time
	poll  time.Duration

	mu      sync.Mutex
	changed chan struct{} // closed at the next change, nil until somebody waits for it
	workers map[*taskWorker]struct{}
}

// taskWorker is one subscription.
type taskWorker struct {
	id   string
	keys []string
	seen prefect.Time
}

// wake has all subscriptions look. It never blocks.
func (q *taskQueue) wake() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.changed != nil {
		close(q.changed)
		q.changed = nil
	}
}

// change returns a channel that the next wake closes.
func (q *taskQueue) change() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.changed == nil {
		q.changed = make(chan struct{})
	}
	return q.changed
}

// next waits for a run. Errors: ctx's.
func (q *taskQueue) next(ctx context.Context, w *taskWorker, failed func(error)) (*prefect.TaskClaim, error) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		changed := q.change() // before looking, so that nothing falls between
		q.observe(w)
		claim, err := q.store.ClaimTaskRun(ctx, w.keys, claimTime)
		switch {
		case ctx.Err() != nil:
			if claim != nil {
				q.settle(ctx, claim, false, failed)
			}
			return nil, ctx.Err()
		case err != nil:
			failed(err)
			changed = nil // not sooner than after a poll
		case claim != nil:
			return claim, nil
		}
		timer.Reset(q.poll)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		case <-timer.C:
		}
	}
}

// settle ends a claim, whatever becomes of the subscription. One that cannot be
// ended runs out by itself.
func (q *taskQueue) settle(ctx context.Context, claim *prefect.TaskClaim, received bool, failed func(error)) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	end := q.store.ReturnTaskClaim
	if received {
		end = q.store.FinishTaskClaim
	}
	if err := end(ctx, claim); err != nil {
		failed(err)
		return
	}
	if !received {
		q.wake()
	}
}

func (q *taskQueue) observe(w *taskWorker) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.workers == nil {
		q.workers = make(map[*taskWorker]struct{})
	}
	w.seen = q.now()
	q.workers[w] = struct{}{}
}

func (q *taskQueue) forget(w *taskWorker) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.workers, w)
}

// list returns the workers that are subscribed to one of the keys, to any if
// there are none, by name. A worker's subscriptions count as one.
func (q *taskQueue) list(keys []string) []prefect.TaskWorker {
	q.mu.Lock()
	defer q.mu.Unlock()
	byID := make(map[string]*prefect.TaskWorker)
	for w := range q.workers {
		known := byID[w.id]
		if known == nil {
			known = &prefect.TaskWorker{Identifier: w.id}
			byID[w.id] = known
		}
		known.TaskKeys = append(known.TaskKeys, w.keys...)
		if w.seen.After(known.Timestamp.Time) {
			known.Timestamp = w.seen
		}
	}
	workers := make([]prefect.TaskWorker, 0, len(byID))
	for _, w := range byID {
		if len(keys) > 0 && !slices.ContainsFunc(keys, func(k string) bool { return slices.Contains(w.TaskKeys, k) }) {
			continue
		}
		slices.Sort(w.TaskKeys)
		w.TaskKeys = slices.Compact(w.TaskKeys)
		workers = append(workers, *w)
	}
	slices.SortFunc(workers, func(a, b prefect.TaskWorker) int { return cmp.Compare(a.Identifier, b.Identifier) })
	return workers
}
