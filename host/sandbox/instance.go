package sandbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/interlock-run/interlock/sdk/abi"
)

// instance is one running copy of a module. One call uses it at a time.
type instance struct {
	module   *Module
	guest    api.Module
	memory   api.Memory
	gate     api.Function // to interlock_alloc and interlock_evaluate
	gauge    gauge
	watch    watch
	globals  []api.MutableGlobal // the guest's own
	linear   *linear
	courtesy pace // of a call, if it is to rest
	turn     turn
	host     host
	ctx      context.Context // carries host to the WASI functions
	stack    [3]uint64       // of parameters
	round    uint64          // of the module when it was last called
	asleep   bool            // see sleep
}

// newInstance makes an instance that is ready for a call: from the module's
// snapshot if there is one, else from the start.
func newInstance(ctx context.Context, m *Module) (*instance, error) {
	inst, err := instantiate(ctx, m)
	if err != nil {
		return nil, err
	}
	if m.snapshot != nil {
		err = inst.adopt(m.snapshot)
	} else {
		err = inst.initialize()
	}
	if err != nil {
		inst.close()
		return nil, err
	}
	if m.wide.Load() { // what failed is likely to fail again, and to write as much
		inst.linear.populate(int(inst.memory.Size()))
	}
	return inst, nil
}

// instantiate makes an instance in which nothing has run yet.
func instantiate(ctx context.Context, m *Module) (*instance, error) {
	inst := &instance{module: m}
	inst.ctx = context.WithValue(context.WithoutCancel(ctx), hostKey{}, &inst.host)
	allocator := experimental.MemoryAllocatorFunc(func(_, most uint64) experimental.LinearMemory {
		inst.linear = newLinear(most)
		inst.linear.limit = uint64(m.metered.MaxPages) << 16
		if m.leisurely {
			p := leisure(time.Now())
			inst.linear.pace = &p
		}
		return inst.linear
	})
	guest, err := m.code.runtime.InstantiateModule(experimental.WithMemoryAllocator(inst.ctx, allocator), m.code.compiled,
		wazero.NewModuleConfig().WithName("").WithStartFunctions().WithRandSource(noRandom{}))
	if err != nil {
		return nil, fmt.Errorf("instantiate: %s", reason(err))
	}
	inst.guest = guest
	inst.memory = guest.ExportedMemory(abi.ExportMemory)
	inst.wake()
	inst.gauge = newGauge(guest, m.metered)
	inst.watch.stop = global(guest, m.metered.Stop)
	inst.linear.yield, inst.linear.pause = global(guest, m.metered.Yield), inst.pause
	for _, name := range m.metered.Globals {
		if g, ok := guest.ExportedGlobal(name).(api.MutableGlobal); ok {
			inst.globals = append(inst.globals, g)
		}
	}
	return inst, nil
}

// initialize writes the module's data and runs _initialize. The guest sees the
// same world each time: [epoch] and random numbers that follow from its digest.
func (inst *instance) initialize() error {
	m := inst.module
	for k, d := range m.metered.Data {
		if !inst.memory.Write(d.Offset, m.bytes[d.Start:d.End]) {
			return fmt.Errorf("data segment %d at %d with %d bytes is out of bounds", k, d.Offset, d.End-d.Start)
		}
	}
	start := inst.guest.ExportedFunction(abi.ExportInit)
	if start == nil {
		return nil
	}
	fuel := m.limits.InitFuel
	if !m.metered.Restorable {
		fuel = min(fuel, m.limits.Fuel) // it comes again with every call
	}
	return inst.run(abi.ExportInit, start, fuel, nil)
}

// run calls a function outside of an evaluation.
func (inst *instance) run(name string, f api.Function, fuel uint64, stack []uint64) error {
	l := inst.module.limits
	inst.host.begin(CallOptions{Seed: inst.module.digest}, l.LogBytes, inst.gauge)
	inst.gauge.set(fuel, l.StackBytes)
	now := time.Now()
	inst.watch.begin(context.Background(), now, now.Add(l.LoadTime))
	err := f.CallWithStack(inst.ctx, stack)
	inst.watch.forget()
	if err != nil {
		failed := inst.failed(err)
		words := ""
		if len(failed.Log) > 0 {
			words = fmt.Sprintf(" (it printed %q)", failed.Log)
		}
		return fmt.Errorf("%s: %s: %s%s", name, failed.Kind, failed.Reason, words)
	}
	return nil
}

// patientSlices is how many slices a call gets before it has to let others run:
// more than the usual call needs, which so is done without waiting for anybody.
const patientSlices = 16

// pause is between two slices of a guest. That it is in Go is what the garbage
// collector waits for.
func (inst *instance) pause() {
	inst.watch.look()
	if inst.watch.slices > patientSlices {
		inst.linear.stray()
		inst.waitTurn()
		inst.linear.pass()
	}
}

// turn is whether a call may go on that works for longer than usual.
type turn int

const (
	turnFree  turn = iota // no call: nobody to wait for
	turnDue               // it has to wait for it
	turnTaken             // it has it
)

// waitTurn waits for the turn of a call, or for its deadline. As many of a module's calls
// have theirs as there are processors: more of them would not be done sooner, but each
// would keep the memory that it fills meanwhile.
func (inst *instance) waitTurn() {
	if inst.turn != turnDue {
		return
	}
	turns := inst.module.turns
	select {
	case turns <- struct{}{}:
		inst.turn = turnTaken
		return
	default:
	}
	started := time.Now()
	if why := wait(inst.watch.ctx, inst.watch.deadline, turns); why != "" {
		inst.watch.end(why) // busy, not late: that others took the turns is not the guest's fault
	} else {
		inst.turn = turnTaken
	}
	inst.linear.waited(started)
}

// endTurn ends a call's turn.
func (inst *instance) endTurn() {
	if inst.turn == turnTaken {
		<-inst.module.turns
	}
	inst.turn = turnFree
}

// noRandom stands where wazero would keep a generator of its own: what a guest
// gets is of [host].
type noRandom struct{}

func (noRandom) Read([]byte) (int, error) { return 0, errors.ErrUnsupported }

// sleep gives back what an instance that is as its snapshot needs for calls alone:
// the pages that calls have made its own, and the stack, which is as long as the
// longest call's. It may sleep already.
func (inst *instance) sleep(s *snapshot) {
	inst.gate = nil
	inst.host = host{}
	inst.linear.release(s.image)
	inst.asleep = true
}

// wake makes an instance ready for calls.
func (inst *instance) wake() {
	inst.gate = inst.guest.ExportedFunction(inst.module.metered.Gate)
	inst.asleep = false
}

func (inst *instance) close() {
	_ = inst.guest.Close(context.Background())
}

// evaluate is one call: input in, output out.
func (inst *instance) evaluate(ctx context.Context, in []byte, o CallOptions, deadline time.Time) (*Result, *CallError) {
	started := time.Now()
	inst.host.begin(o, inst.module.limits.LogBytes, inst.gauge)
	inst.gauge.set(o.Fuel, o.StackBytes)
	inst.watch.begin(ctx, started, deadline)
	inst.linear.pace = nil
	if o.Courteous {
		inst.courtesy = courtesy(started)
		inst.linear.pace = &inst.courtesy
	}
	out, failed := inst.exchangeInTurn(in)
	inst.watch.forget()
	if failed == nil && inst.gauge.left() < 0 {
		failed = inst.fail(KindFuel, inst.gauge.spent())
	}
	if failed != nil {
		failed.Duration = time.Since(started)
		if p := inst.linear.pace; p != nil {
			failed.Rested = p.rested
		}
		return nil, failed
	}
	return &Result{Output: out, Log: inst.host.output(), Fuel: inst.gauge.used(), Duration: time.Since(started)}, nil
}

func (inst *instance) exchangeInTurn(in []byte) ([]byte, *CallError) {
	inst.turn = turnDue
	defer inst.endTurn()
	inst.linear.enter()
	defer inst.linear.leave()
	return inst.exchange(in)
}

func (inst *instance) exchange(in []byte) ([]byte, *CallError) {
	inst.stack = [...]uint64{gateAlloc, uint64(len(in)), 0}
	if err := inst.gate.CallWithStack(inst.ctx, inst.stack[:]); err != nil {
		return nil, inst.failed(err)
	}
	ptr := uint32(inst.stack[0])
	if !inst.memory.Write(ptr, in) {
		return nil, inst.fail(KindMemory, fmt.Sprintf("%s(%d) returned %d, which is out of bounds", abi.ExportAlloc, len(in), ptr))
	}
	inst.stack = [...]uint64{gateEvaluate, uint64(ptr), uint64(len(in))}
	if err := inst.gate.CallWithStack(inst.ctx, inst.stack[:]); err != nil {
		return nil, inst.failed(err)
	}
	return inst.read(inst.stack[0])
}

// read copies the bytes that a packed pointer and length stand for.
func (inst *instance) read(packed uint64) ([]byte, *CallError) {
	ptr, size := uint32(packed>>32), uint32(packed)
	if limit := inst.module.limits.OutputBytes; int64(size) > int64(limit) {
		return nil, inst.fail(KindOutput, fmt.Sprintf("the output has %d bytes, the limit is %d", size, limit))
	}
	view, ok := inst.memory.Read(ptr, size)
	if !ok {
		return nil, inst.fail(KindOutput, fmt.Sprintf("the output at %d with %d bytes is out of bounds", ptr, size))
	}
	return append(make([]byte, 0, size), view...), nil
}

func (inst *instance) fail(kind CallErrorKind, reason string) *CallError {
	return &CallError{Kind: kind, Reason: reason, Log: inst.host.output(), Fuel: inst.gauge.used()}
}

// failed explains an error of wazero: what was added to the guest traps like the
// guest itself, but leaves traces.
func (inst *instance) failed(err error) *CallError {
	switch cause := inst.watch.stopped; {
	case cause == KindBusy:
		return inst.fail(cause, "longer calls of the module took all of the time")
	case cause == KindDeadline:
		return inst.fail(cause, fmt.Sprintf("the call ran for more than %s", inst.watch.allowed.Round(time.Millisecond)))
	case cause != "":
		return inst.fail(cause, "the caller gave up")
	case inst.gauge.left() < 0:
		return inst.fail(KindFuel, inst.gauge.spent())
	case inst.gauge.overflown():
		return inst.fail(KindStack, "the guest's calls go too deep")
	default:
		return inst.fail(KindTrap, reason(err))
	}
}

// reason is wazero's error without its stack trace.
func reason(err error) string {
	if e, ok := asExit(err); ok {
		return e.Error()
	}
	return strings.TrimPrefix(firstLine(err), "wasm error: ")
}

// readManifest checks the version of the interface and keeps the manifest.
func (m *Module) readManifest(inst *instance) error {
	if err := inst.run(abi.ExportABI, inst.guest.ExportedFunction(abi.ExportABI), m.limits.Fuel, inst.stack[:]); err != nil {
		return refuse("%s", err)
	}
	if version := uint32(inst.stack[0]); version != abi.Version {
		return refuse("%s returned %d, this server speaks version %d", abi.ExportABI, version, abi.Version)
	}
	if err := inst.run(abi.ExportManifest, inst.guest.ExportedFunction(abi.ExportManifest), m.limits.Fuel, inst.stack[:]); err != nil {
		return refuse("%s", err)
	}
	manifest, failed := inst.read(inst.stack[0])
	if failed != nil {
		return refuse("%s: %s", abi.ExportManifest, failed.Reason)
	}
	m.manifest = manifest
	return nil
}
