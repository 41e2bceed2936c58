package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"
)

// Work is one pass of a service. It returns after how long to come again at the
// latest; zero or less means after the loop's interval.
type Work func(ctx context.Context) (next time.Duration, err error)

// Loop runs a piece of work again and again: at the start, when it is woken, and
// at intervals. A failed pass is logged and repeated sooner than the interval,
// at growing distances.
type Loop struct {
	Name   string
	Every  time.Duration // between passes that nothing woke
	Settle time.Duration // how long a pass that was asked for waits for more to do
	Work   Work
	Logger *slog.Logger // nil: slog.Default()

	once   sync.Once
	wake   chan struct{}
	mu     sync.Mutex
	cancel context.CancelFunc
	done   chan struct{}
}

// firstRetry is how long after a failed pass the next one follows; it doubles
// with each failure up to the interval or maxRetry, the larger.
const (
	firstRetry = 100 * time.Millisecond
	maxRetry   = 10 * time.Second
)

func (l *Loop) init() {
	l.once.Do(func() { l.wake = make(chan struct{}, 1) })
}

// Start begins the passes; they end with ctx or Stop. Starting a loop that runs
// does nothing.
func (l *Loop) Start(ctx context.Context) {
	l.init()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cancel != nil {
		return
	}
	ctx, l.cancel = context.WithCancel(ctx)
	l.done = make(chan struct{})
	go l.run(ctx, l.done)
}

// Stop cancels the pass in progress and waits for its end. Stopping a loop that
// does not run does nothing.
func (l *Loop) Stop() {
	l.mu.Lock()
	cancel, done := l.cancel, l.done
	l.mu.Unlock()
	if cancel == nil {
		return
	}
	cancel()
	<-done
	l.mu.Lock()
	if l.done == done {
		l.cancel = nil
	}
	l.mu.Unlock()
}

// Wake asks for a pass now, or right after the one in progress. It never blocks,
// and any number of calls ask for one pass.
func (l *Loop) Wake() {
	l.init()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *Loop) run(ctx context.Context, done chan struct{}) {
	defer close(done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	retry := firstRetry
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-l.wake:
			if !pause(ctx, l.Settle) {
				return
			}
			select { // calls while it settled ask for this very pass
			case <-l.wake:
			default:
			}
		}
		next, err := l.pass(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			l.logger().Error("a pass of a service failed", "service", l.Name, "error", err, "again_in", retry)
			next = retry
			retry = min(2*retry, max(l.Every, maxRetry))
		default:
			retry = firstRetry
			if next <= 0 || next > l.Every {
				next = jitter(l.Every)
			}
		}
		timer.Reset(next)
	}
}

// pause waits and reports whether ctx let it.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// pass makes a panic an error: one bad row must not end the service or the
// server.
func (l *Loop) pass(ctx context.Context) (next time.Duration, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.Join(err, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		}
	}()
	return l.Work(ctx)
}

func (l *Loop) logger() *slog.Logger {
	if l.Logger == nil {
		return slog.Default()
	}
	return l.Logger
}

// jitter spreads an interval by a tenth each way, so that replicas which started
// together do not stay together.
func jitter(d time.Duration) time.Duration {
	if d < 10 {
		return d
	}
	return d - d/10 + rand.N(d/5)
}
