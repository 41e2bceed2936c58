package sandbox

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/interlock-run/interlock/host/metrics"
	"github.com/interlock-run/interlock/host/sandbox/meter"
	"github.com/interlock-run/interlock/sdk/abi"
)

// Module is a loaded policy module. It is safe for concurrent use.
type Module struct {
	runtime  *Runtime
	digest   string
	limits   Limits
	manifest []byte
	bytes    []byte // the original
	metered  *meter.Metered
	code     *code
	snapshot *snapshot // nil: every call needs a new instance
	counters counters

	leisurely bool // while it is being loaded and nobody is in a hurry

	slots chan struct{} // one token for each running call
	turns chan struct{} // one for each that works for longer than usual, see instance.waitTurn
	wide  atomic.Bool   // the last call failed and had written to much of its memory

	mu        sync.Mutex
	idle      []*instance   // last used last: its memory is still in the caches
	round     uint64        // how often tire has run
	watching  bool          // tire will run again
	tireAfter time.Duration // the constant, but in tests
	closed    bool
	calls     sync.WaitGroup
}

// tireAfter is how long an instance that nobody calls stays awake at least, and half
// of how long it does at most. Waking costs a call page faults and a stack, some
// tens of microseconds.
const tireAfter = 10 * time.Second

// code is a compiled module with a wazero runtime of its own, so that whatever
// it leaves there goes with it.
type code struct {
	runtime  wazero.Runtime
	cache    wazero.CompilationCache
	compiled wazero.CompiledModule
}

// CallOptions are what a call's answers follow from, next to its input.
type CallOptions struct {
	Now  time.Time // what the guest's clock says, all the time
	Seed string    // what the guest's random numbers follow from
	Fuel uint64    // work in units; 0: the limit of the runtime

	StackBytes uint32 // of nested calls; 0: the limit of the runtime

	// Courteous has a call that works for longer than usual rest as much as it works,
	// so that whatever else the process does finds a processor.
	Courteous bool
}

// Result is what a call gave.
type Result struct {
	Output   []byte        // what interlock_evaluate returned, unparsed
	Log      []byte        // what the guest printed, capped; nil for nothing
	Fuel     uint64        // work done in units, the same on every machine
	Duration time.Duration // wall clock, without the wait for an instance
}

// newModule does all of a Load: it leaves nothing behind when it fails.
func newModule(ctx context.Context, r *Runtime, digest string, bytes []byte) (*Module, error) {
	m := &Module{runtime: r, digest: digest, limits: r.limits, bytes: bytes, tireAfter: tireAfter, slots: make(chan struct{}, r.limits.Concurrency),
		turns: make(chan struct{}, runtime.GOMAXPROCS(0))}
	m.counters.times = metrics.NewHistogram(metrics.CallBounds())
	var err error
	m.metered, m.code, err = r.prepare(ctx, digest, bytes)
	if err != nil {
		return nil, err
	}
	m.metered.Bytes = nil
	if err := r.inTurn(ctx, func() error { return m.first(ctx) }); err != nil {
		_ = m.free(ctx)
		return nil, err
	}
	return m, nil
}

// first makes the first instance, reads the manifest and takes the snapshot:
// after the manifest and an allocation, since neither knows an input and both
// leave a language's runtime warm.
func (m *Module) first(ctx context.Context) error {
	m.leisurely = niceness(ctx) > 0
	defer func() { m.leisurely = false }()
	inst, err := newInstance(ctx, m)
	if err != nil {
		return refuse("%s", err)
	}
	defer inst.close()
	if err := m.readManifest(inst); err != nil {
		return err
	}
	if !m.metered.Restorable {
		return nil
	}
	inst.stack = [...]uint64{gateAlloc, warmInput, 0}
	if err := inst.run(abi.ExportAlloc, inst.gate, m.limits.Fuel, inst.stack[:]); err != nil {
		return refuse("%s", err)
	}
	m.snapshot, err = inst.take()
	m.metered.Data, m.bytes = nil, nil
	return err
}

// warmInput is the size in bytes of an input that is big enough for most.
const warmInput = 4 << 10

// Digest is "sha256:" and the hex digits of the module's original bytes.
func (m *Module) Digest() string { return m.digest }

// Manifest is what interlock_manifest returned, unparsed.
func (m *Module) Manifest() []byte { return m.manifest }

// Call evaluates one input. Calls do not see each other: each starts where
// the module's loading ended. Every error is a *CallError.
func (m *Module) Call(ctx context.Context, in []byte, o CallOptions) (*Result, error) {
	if o.Fuel == 0 {
		o.Fuel = m.limits.Fuel
	}
	if o.StackBytes == 0 {
		o.StackBytes = m.limits.StackBytes
	}
	if !m.enter() {
		return nil, m.counters.failed(&CallError{Kind: KindClosed, Reason: "the module is closed"})
	}
	defer m.calls.Done()
	deadline := time.Now().Add(m.limits.Deadline)
	if failed := m.acquire(ctx, deadline); failed != nil {
		return nil, m.counters.failed(failed)
	}
	defer func() { <-m.slots }()

	inst, err := m.take(ctx)
	if err != nil {
		return nil, m.counters.failed(&CallError{Kind: KindTrap, Reason: err.Error()})
	}
	result, failed := inst.evaluate(ctx, in, o, deadline)
	if failed != nil {
		m.wide.Store(failed.Kind.ModuleFault() && m.snapshot != nil && inst.linear.ownsMany(m.snapshot.image))
		inst.close()
		return nil, m.counters.failed(failed)
	}
	m.wide.Store(false)
	m.counters.done(result.Fuel, result.Duration)
	m.put(inst)
	return result, nil
}

// enter counts a call in, unless the module is closed.
func (m *Module) enter() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.calls.Add(1)
	return true
}

// acquire waits for one of the module's concurrent calls to end.
func (m *Module) acquire(ctx context.Context, deadline time.Time) *CallError {
	if ctx.Err() != nil {
		return &CallError{Kind: KindCancelled, Reason: ctx.Err().Error()}
	}
	select {
	case m.slots <- struct{}{}:
		return nil
	default:
	}
	switch kind := wait(ctx, deadline, m.slots); kind {
	case KindCancelled:
		return &CallError{Kind: kind, Reason: ctx.Err().Error()}
	case KindBusy:
		return &CallError{Kind: kind, Reason: fmt.Sprintf("%d calls were running for %s", m.limits.Concurrency, m.limits.Deadline)}
	}
	return nil
}

// wait waits for room for a token, and says why it did not leave one: KindCancelled,
// KindBusy, or "" if it did.
func wait(ctx context.Context, deadline time.Time, tokens chan<- struct{}) CallErrorKind {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case tokens <- struct{}{}:
		return ""
	case <-ctx.Done():
		return KindCancelled
	case <-timer.C:
		return KindBusy
	}
}

// take gives an idle instance or a new one.
func (m *Module) take(ctx context.Context) (*instance, error) {
	m.mu.Lock()
	if n := len(m.idle); n > 0 {
		inst := m.idle[n-1]
		m.idle = m.idle[:n-1]
		m.mu.Unlock()
		if inst.asleep {
			inst.wake()
		}
		return inst, nil
	}
	m.mu.Unlock()
	m.counters.made.Add(1)
	return newInstance(ctx, m)
}

// put keeps an instance for later calls, if it can be brought back to where it
// started.
func (m *Module) put(inst *instance) {
	if !inst.restore(m.snapshot) {
		inst.close()
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	inst.round = m.round
	m.idle = append(m.idle, inst)
	m.watch()
}

// watch has tire run, unless it will. The caller holds mu.
func (m *Module) watch() {
	if !m.watching {
		m.watching = true
		time.AfterFunc(m.tireAfter, m.tire)
	}
}

// tire puts instances to sleep that have not been called since it last ran, and runs
// again if others are awake. Those who call wait for one instance at most.
func (m *Module) tire() {
	m.mu.Lock()
	m.round++
	m.watching = false
	m.mu.Unlock()
	for k := 0; m.tireOne(k); k++ {
	}
}

// tireOne is [Module.tire] for the k-th idle instance. False: there is none.
func (m *Module) tireOne(k int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k >= len(m.idle) {
		return false
	}
	switch inst := m.idle[k]; {
	case inst.asleep:
	case inst.round+1 < m.round:
		inst.sleep(m.snapshot)
	default:
		m.watch()
	}
	return true
}

// Close ends one Load. At the last one no new calls are let in, and it returns
// when those inside are done, or with ctx's error before that.
func (m *Module) Close(ctx context.Context) error {
	if !m.runtime.release(m) {
		return nil
	}
	return m.shut(ctx)
}

// shut lets calls finish and frees the module.
func (m *Module) shut(ctx context.Context) error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	done := make(chan error, 1)
	go func() {
		m.calls.Wait()
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, inst := range m.idle {
			inst.close()
		}
		m.idle = nil
		done <- m.free(context.WithoutCancel(ctx))
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// free gives back what the module holds, once its instances are closed.
func (m *Module) free(ctx context.Context) error {
	err := m.code.close(ctx)
	if m.snapshot != nil {
		m.snapshot.image.close()
	}
	return err
}

func (c *code) close(ctx context.Context) error {
	if err := c.runtime.Close(ctx); err != nil {
		return fmt.Errorf("close module: %w", err)
	}
	if err := c.cache.Close(ctx); err != nil {
		return fmt.Errorf("close compilation cache: %w", err)
	}
	return nil
}
