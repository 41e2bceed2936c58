package sandbox

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/interlock-run/interlock/host/metrics"
)

// Metrics is what one module has done since it was loaded.
type Metrics struct {
	Digest   string
	Calls    uint64                   // all, failed ones included
	Failures map[CallErrorKind]uint64 // by kind; kinds that did not occur are absent
	Fuel     uint64                   // units
	Duration time.Duration            // in the guest
	Times    *metrics.Histogram       // of calls that reached the guest, in seconds
	Running  int                      // calls right now
	Idle     int                      // instances that wait for a call
	Made     uint64                   // instances made so far
}

// counters are a module's metrics as they grow.
type counters struct {
	calls, fuel, nanoseconds, made atomic.Uint64
	failures                       [9]atomic.Uint64 // in the order of kinds
	times                          *metrics.Histogram
}

// Kinds lists the kinds of failed calls.
func Kinds() [9]CallErrorKind {
	return [...]CallErrorKind{KindTrap, KindDeadline, KindFuel, KindStack, KindOutput, KindMemory, KindBusy, KindClosed, KindCancelled}
}

func (c *counters) done(fuel uint64, d time.Duration) {
	c.calls.Add(1)
	c.fuel.Add(fuel)
	c.nanoseconds.Add(uint64(d))
	if d > 0 {
		c.times.Observe(d.Seconds())
	}
}

// failed counts a failed call and hands the failure on.
func (c *counters) failed(e *CallError) *CallError {
	c.done(e.Fuel, e.Duration)
	all := Kinds()
	if k := slices.Index(all[:], e.Kind); k >= 0 {
		c.failures[k].Add(1)
	}
	return e
}

// Metrics tells of all modules that are loaded, in the order of their digests.
func (r *Runtime) Metrics() []Metrics {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Metrics
	for _, l := range r.modules {
		select {
		case <-l.done:
			if l.err == nil {
				out = append(out, l.module.metrics())
			}
		default:
		}
	}
	slices.SortFunc(out, func(a, b Metrics) int { return cmp.Compare(a.Digest, b.Digest) })
	return out
}

func (m *Module) metrics() Metrics {
	m.mu.Lock()
	idle := len(m.idle)
	m.mu.Unlock()
	out := Metrics{
		Digest:   m.digest,
		Calls:    m.counters.calls.Load(),
		Failures: map[CallErrorKind]uint64{},
		Fuel:     m.counters.fuel.Load(),
		Duration: time.Duration(m.counters.nanoseconds.Load()),
		Times:    m.counters.times,
		Running:  len(m.slots),
		Idle:     idle,
		Made:     m.counters.made.Load(),
	}
	for k, kind := range Kinds() {
		if n := m.counters.failures[k].Load(); n > 0 {
			out.Failures[kind] = n
		}
	}
	return out
}
