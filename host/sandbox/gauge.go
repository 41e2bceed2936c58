package sandbox

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/interlock-run/interlock/host/sandbox/meter"
)

// slice is how much fuel a guest gets between two returns to Go, some tens of
// microseconds of work: so long the garbage collector may have to wait.
const slice = 20_000

// gauge reads and sets what the metered guest counts.
type gauge struct {
	fuel, rest, depth api.MutableGlobal
	total             *uint64 // what the call was given
}

func newGauge(guest api.Module, m *meter.Metered) gauge {
	return gauge{global(guest, m.Fuel), global(guest, m.Rest), global(guest, m.Depth), new(uint64)}
}

// global is an exported global that the meter has added.
func global(guest api.Module, name string) api.MutableGlobal {
	g, _ := guest.ExportedGlobal(name).(api.MutableGlobal)
	return g
}

// set gives fuel and stack for a call.
func (g gauge) set(fuel uint64, stack uint32) {
	*g.total = fuel
	first := min(fuel, slice)
	g.fuel.Set(first)
	g.rest.Set(fuel - first)
	g.depth.Set(uint64(stack))
}

// left is the fuel that is left, below zero if it was not enough.
func (g gauge) left() int64 { return int64(g.fuel.Get()) + int64(g.rest.Get()) }

func (g gauge) used() uint64 { return *g.total - uint64(max(g.left(), 0)) }

func (g gauge) spent() string { return fmt.Sprintf("the call took more than %d units", *g.total) }

func (g gauge) overflown() bool { return int32(g.depth.Get()) < 0 }

// charge takes fuel for work of the host. The guest notices at its next check.
func (g gauge) charge(units uint64) { g.fuel.Set(g.fuel.Get() - units) }

// watch stops a guest from outside.
type watch struct {
	stop  api.MutableGlobal // what the guest looks at between two slices
	timer *time.Timer       // made at the first call

	mu       sync.Mutex
	running  bool
	call     uint64 // counts the calls
	deadline time.Time
	allowed  time.Duration // from begin to deadline
	stopped  CallErrorKind // why, or ""
}

// begin watches one call until the returned function is called.
func (w *watch) begin(ctx context.Context, deadline time.Time) (end func()) {
	w.mu.Lock()
	w.call++
	w.running, w.deadline, w.allowed, w.stopped = true, deadline, time.Until(deadline), ""
	w.stop.Set(0)
	call := w.call
	w.mu.Unlock()

	if w.timer == nil {
		w.timer = time.AfterFunc(w.allowed, w.expire)
	} else {
		w.timer.Reset(w.allowed)
	}
	if ctx.Done() == nil {
		return w.end
	}
	release := context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.running && w.call == call {
			w.halt(KindCancelled)
		}
	})
	return func() {
		release()
		w.end()
	}
}

func (w *watch) end() {
	w.timer.Stop()
	w.mu.Lock()
	w.running = false
	w.mu.Unlock()
}

// expire is what the timer calls, maybe late: for a call that is over.
func (w *watch) expire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running && !time.Now().Before(w.deadline) {
		w.halt(KindDeadline)
	}
}

// halt raises the flag. The guest reads it in native code, without a lock: it
// sees it at one of the next slices.
func (w *watch) halt(why CallErrorKind) {
	if w.stopped == "" {
		w.stopped = why
		w.stop.Set(1)
	}
}

func (w *watch) cause() CallErrorKind {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stopped
}
