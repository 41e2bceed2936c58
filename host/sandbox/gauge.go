package sandbox

import (
	"context"
	"fmt"
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

// watch ends a call whose time is up or whose caller gave up. It is looked at
// between two slices, when the guest has come back to Go anyway: so a call needs
// no timer and nobody beside it, and one that is short costs nothing.
type watch struct {
	stop     api.MutableGlobal // what the guest looks at between two slices
	ctx      context.Context   // of the caller; nil between calls
	deadline time.Time
	allowed  time.Duration // from begin to deadline
	stopped  CallErrorKind // why, or ""
	slices   int           // since begin
}

// begin watches one call until forget.
func (w *watch) begin(ctx context.Context, now, deadline time.Time) {
	w.ctx, w.deadline, w.allowed, w.stopped, w.slices = ctx, deadline, deadline.Sub(now), "", 0
	w.stop.Set(0)
}

func (w *watch) forget() { w.ctx = nil }

// end has the guest end at its next slice, and says why.
func (w *watch) end(why CallErrorKind) {
	w.stopped = why
	w.stop.Set(1)
}

// look raises the flag if the call has to end. The guest sees it after the slice
// that it has just been given.
func (w *watch) look() {
	w.slices++
	switch {
	case w.ctx == nil || w.stopped != "":
		return
	case w.ctx.Err() != nil:
		w.end(KindCancelled)
	case !time.Now().Before(w.deadline):
		w.end(KindDeadline)
	}
}
