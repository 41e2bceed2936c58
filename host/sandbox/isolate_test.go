package sandbox

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/interlock-run/interlock/host/sandbox/wasm"
	. "github.com/interlock-run/interlock/host/sandbox/wasmtest"
)

// canary is a guest of so many pages that returns what it finds where it leaves
// marks: in two places of its memory and in a global, and with mutateTable in a
// table. Eight bytes for each.
func canary(pages uint32, mutateTable bool) []byte {
	m := &Builder{}
	f := m.Func(nil, nil, nil)
	m.Memory(pages, -1)
	m.Export("memory", ExternMemory, 0)
	counter := m.Global(I64, true, I64Const(7))
	m.Table(FuncRef, 2, -1)
	m.RawElements(Code(Op(3, 0, 1), Uint(uint64(f)))) // declares f
	m.ExportFunc("interlock_abi", nil, Types{I32}, nil, I32Const(1))
	m.ExportFunc("interlock_alloc", Types{I32}, Types{I32}, nil, I32Const(1024))
	m.ExportFunc("interlock_manifest", nil, Types{I64}, nil, I64Const(0))
	far := int32(pages)<<16 - 8
	body := Code(
		// what is there
		I32Const(0), I32Const(far), Load(I64Load, 0), Load(I64Store, 0),
		I32Const(8), I32Const(512), Load(I64Load, 0), Load(I64Store, 0),
		I32Const(16), GlobalGet(counter), Load(I64Store, 0),
		I32Const(24), I32Const(0), Op(0x25, 0), Op(0xd1), Op(I64ExtendU), Load(I64Store, 0),
		// marks
		I32Const(far), I64Const(0x5ca1ab1e), Load(I64Store, 0),
		I32Const(512), I64Const(0x5ca1ab1e), Load(I64Store, 0),
		GlobalGet(counter), I64Const(1), Op(I64Add), GlobalSet(counter),
	)
	if mutateTable {
		body = Code(body, I32Const(0), Op(0xd2), Uint(uint64(f)), Op(0x26, 0))
	}
	return m.Evaluate(nil, body, Pack(0, 32))
}

func TestCallsDoNotSeeEachOther(t *testing.T) {
	for _, c := range []struct {
		name  string
		pages uint32
		table bool
		made  uint64 // instances for the calls, at most
		calls int
	}{
		{"small memory", 1, false, 1, 10_000},
		{"big memory", 40, false, 1, 10_000},
		{"table", 1, true, 200, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := load(t, newRuntime(t, Limits{}), canary(c.pages, c.table))
			var first *Result
			for k := range c.calls {
				if k%97 == 96 {
					sleep(t, m)
				}
				result, err := m.Call(t.Context(), nil, CallOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if first == nil {
					first = result
				}
				if !bytes.Equal(result.Output, first.Output) || result.Fuel != first.Fuel || result.Fuel == 0 {
					t.Fatalf("call %d gave %x with %d fuel, the first %x with %d", k, result.Output, result.Fuel, first.Output, first.Fuel)
				}
			}
			want := append(make([]byte, 16), 7, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0)
			if !bytes.Equal(first.Output, want) {
				t.Errorf("the first call found %x, want %x", first.Output, want)
			}
			if made := m.metrics().Made; made > c.made {
				t.Errorf("%d instances were made, want at most %d", made, c.made)
			}
		})
	}
}

// sleep has all pooled instances of a module sleep, as they do when nobody calls.
func sleep(t *testing.T, m *Module) {
	t.Helper()
	m.tire()
	m.tire()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, inst := range m.idle {
		if !inst.asleep || inst.gate != nil || inst.host.log != nil {
			t.Errorf("asleep: %v, with its gate: %v, with a log: %v", inst.asleep, inst.gate != nil, inst.host.log != nil)
		}
	}
}

// TestWhoIsCalledStaysAwake lets an instance tire beside calls, and without.
func TestWhoIsCalledStaysAwake(t *testing.T) {
	m := load(t, newRuntime(t, Limits{}), canary(1, false))
	m.tireAfter = time.Hour
	at := func() (asleep bool, watching bool) {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.idle[0].asleep, m.watching
	}
	for range 5 {
		if kind, out := callKind(t, m, ""); kind != "" {
			t.Fatal(kind, out)
		}
		m.tire()
		if asleep, watching := at(); asleep || !watching {
			t.Errorf("just called: asleep: %v, will be tired: %v", asleep, watching)
		}
	}
	m.tire()
	if asleep, _ := at(); !asleep {
		t.Error("nobody called, and it is awake")
	}
	m.tire()
	if _, watching := at(); watching {
		t.Error("all sleep, and somebody watches")
	}
	if kind, out := callKind(t, m, ""); kind != "" {
		t.Fatal(kind, out)
	}
	if asleep, watching := at(); asleep || !watching {
		t.Errorf("after a call: asleep: %v, will be tired: %v", asleep, watching)
	}
}

// TestLettingGoOfDirtyPages makes more pages dirty than are copied back.
func TestLettingGoOfDirtyPages(t *testing.T) {
	m := &Builder{}
	m.Memory(40, -1)
	m.Export("memory", ExternMemory, 0)
	m.ExportFunc("interlock_abi", nil, Types{I32}, nil, I32Const(1))
	m.ExportFunc("interlock_alloc", Types{I32}, Types{I32}, nil, I32Const(1024))
	m.ExportFunc("interlock_manifest", nil, Types{I64}, nil, I64Const(0))
	wasm := m.Evaluate(nil, I32Const(8), I32Const(2_000_000), Load(I64Load, 0), Load(I64Store, 0),
		I32Const(4096), I32Const(0x55), I32Const(2_500_000), Fill(), Pack(8, 8))
	guest := load(t, newRuntime(t, Limits{}), wasm)
	for k := range 20 {
		if kind, out := callKind(t, guest, ""); kind != "" || out != strings.Repeat("\x00", 8) {
			t.Fatalf("call %d: %s %x", k, kind, out)
		}
	}
	if made := guest.metrics().Made; made != 1 {
		t.Errorf("%d instances were made, want 1", made)
	}
}

// TestGrownMemoryIsTakenBack lets each call grow its memory and write there.
func TestGrownMemoryIsTakenBack(t *testing.T) {
	for _, pages := range []uint32{2, 20} { // small and big when grown
		m := Policy(&Builder{})
		bytes := m.Evaluate(nil,
			I32Const(8), MemorySize(), Load(I32Store, 0),
			I32Const(int32(pages)), MemoryGrow(), Op(Drop),
			I32Const(12), I32Const(3<<16), Load(I32Load, 0), Load(I32Store, 0),
			I32Const(3<<16), I32Const(-1), Load(I32Store, 0), Pack(8, 8))
		guest := load(t, newRuntime(t, Limits{}), bytes)
		for k := range 20 {
			if kind, out := callKind(t, guest, ""); kind != "" || out != "\x02\x00\x00\x00\x00\x00\x00\x00" {
				t.Fatalf("call %d: %s %x", k, kind, out)
			}
		}
		if made := guest.metrics().Made; made != 1 {
			t.Errorf("%d instances were made, want 1", made)
		}
	}
}

// TestMemoryLimit wants growing to fail at the limit, not before and not after.
func TestMemoryLimit(t *testing.T) {
	m := Policy(&Builder{})
	wasm := m.Evaluate(nil,
		I32Const(8), I32Const(defaultMemoryPages-2), MemoryGrow(), Load(I32Store, 0),
		I32Const(12), I32Const(1), MemoryGrow(), Load(I32Store, 0), Pack(8, 8))
	guest := load(t, newRuntime(t, Limits{}), wasm)
	if kind, out := callKind(t, guest, ""); kind != "" || out != "\x02\x00\x00\x00\xff\xff\xff\xff" {
		t.Errorf("%s %x", kind, out)
	}
}

func TestGoGuestForgets(t *testing.T) {
	m := load(t, newRuntime(t, Limits{}), goGuestBytes(t))
	o := CallOptions{Now: time.Unix(1_000_000_000, 0), Seed: "s"}
	var first *Result
	for k := range 200 {
		if k%20 == 19 {
			sleep(t, m)
		}
		result, err := m.Call(t.Context(), []byte("hello"), o)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = result
		}
		if string(result.Output) != string(first.Output) || result.Fuel != first.Fuel {
			t.Fatalf("call %d: %s with %d, the first %s with %d", k, result.Output, result.Fuel, first.Output, first.Fuel)
		}
	}
	if made := m.metrics().Made; made != 1 {
		t.Errorf("%d instances were made, want 1", made)
	}
}

func TestHostileGuestsAreStopped(t *testing.T) {
	endless := Code(Loop(Void, Br(0)), Op(Unreachable))
	recursing := &Builder{}
	Policy(recursing)
	self := uint32(3) // after the three functions of Policy
	recursing.Func(nil, nil, Types{I64, I64, I64, I64}, Call(self))
	recursing.ExportFunc("interlock_evaluate", Types{I32, I32}, Types{I64}, nil, Call(self), I64Const(0))
	dagged := &Builder{}
	Policy(dagged)
	top := DAG(dagged, 34)
	fills := func() []byte {
		return Loop(Void, I32Const(0), I32Const(1), I32Const(2<<16), Fill(), Br(0))
	}
	table := Policy(&Builder{})
	table.Table(FuncRef, 1, -1)
	prints := &Builder{}
	write := prints.ImportFunc("wasi_snapshot_preview1", "fd_write", Types{I32, I32, I32, I32}, Types{I32})
	Policy(prints)
	prints.Data(100, []byte{0, 0, 0, 0, 0xff, 0xff, 0, 0})
	random := &Builder{}
	fill := random.ImportFunc("wasi_snapshot_preview1", "random_get", Types{I32, I32}, Types{I32})
	Policy(random)

	for _, c := range []struct {
		name     string
		wasm     []byte
		fuel     uint64
		deadline time.Duration
		kind     CallErrorKind
	}{
		{"endless loop", Policy(&Builder{}).Evaluate(nil, endless), 0, 0, KindFuel},
		{"endless loop with much fuel", Policy(&Builder{}).Evaluate(nil, endless), 1 << 60, 30 * time.Millisecond, KindDeadline},
		{"call DAG of depth 34", dagged.Evaluate(nil, Call(top), I64Const(0)), 0, 0, KindFuel},
		{"call DAG with much fuel", dagged.Bytes(), 1 << 60, 30 * time.Millisecond, KindDeadline},
		{"recursion", recursing.Bytes(), 0, 0, KindStack},
		{"fills", Policy(&Builder{}).Evaluate(nil, fills(), Op(Unreachable)), 0, 0, KindFuel},
		{"fills with much fuel", Policy(&Builder{}).Evaluate(nil, fills(), Op(Unreachable)), 1 << 60, 30 * time.Millisecond, KindDeadline},
		{"memory.grow", Policy(&Builder{}).Evaluate(nil, Loop(Void, I32Const(1), MemoryGrow(), Op(Drop), Br(0)), Op(Unreachable)), 0, 0, KindFuel},
		{"table.grow", table.Evaluate(nil, Loop(Void, Op(0xd0, FuncRef), I32Const(10_000), Misc(15, 0), Op(Drop), Br(0)), Op(Unreachable)), 0, 0, KindFuel},
		{"printing", prints.Evaluate(nil, Loop(Void, I32Const(1), I32Const(100), I32Const(1), I32Const(200), Call(write), Op(Drop), Br(0)), Op(Unreachable)), 0, 0, KindFuel},
		{"random numbers", random.Evaluate(nil, Loop(Void, I32Const(0), I32Const(1<<17), Call(fill), Op(Drop), Br(0)), Op(Unreachable)), 0, 0, KindFuel},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := load(t, newRuntime(t, Limits{Deadline: c.deadline}), c.wasm)
			var fuel uint64
			for range 3 {
				_, err := m.Call(t.Context(), []byte("in"), CallOptions{Fuel: c.fuel})
				var failed *CallError
				if !errors.As(err, &failed) || failed.Kind != c.kind {
					t.Fatalf("got %v, want %s", err, c.kind)
				}
				if c.kind == KindFuel && failed.Fuel != defaultFuel {
					t.Errorf("used %d fuel, want all %d", failed.Fuel, defaultFuel)
				}
				if c.kind == KindStack && fuel != 0 && failed.Fuel != fuel {
					t.Errorf("used %d fuel, then %d", fuel, failed.Fuel)
				}
				if len(failed.Log) > defaultLogBytes {
					t.Errorf("%d bytes of log", len(failed.Log))
				}
				fuel = failed.Fuel
			}
		})
	}
}

// TestAFullMemoryIsNoWayOut stops guests whose memory cannot grow, since growing is
// how a guest comes back to the host between two slices.
func TestAFullMemoryIsNoWayOut(t *testing.T) {
	for name, limits := range map[string][2]int64{"nothing": {0, 0}, "a page": {1, 1}, "what it may have": {defaultMemoryPages, -1}} {
		m := &Builder{}
		m.Memory(uint32(limits[0]), limits[1])
		m.Export("memory", ExternMemory, 0)
		m.ExportFunc("interlock_abi", nil, Types{I32}, nil, I32Const(1))
		m.ExportFunc("interlock_alloc", Types{I32}, Types{I32}, nil, I32Const(0))
		m.ExportFunc("interlock_manifest", nil, Types{I64}, nil, I64Const(0))
		guest := load(t, newRuntime(t, Limits{Deadline: 30 * time.Millisecond}), m.Evaluate(nil, Loop(Void, Br(0)), Op(Unreachable)))
		_, err := guest.Call(t.Context(), nil, CallOptions{Fuel: 1 << 60})
		var failed *CallError
		if !errors.As(err, &failed) || failed.Kind != KindDeadline {
			t.Errorf("%s: got %v, want %s", name, err, KindDeadline)
		}
	}
}

func TestMetrics(t *testing.T) {
	r := newRuntime(t, Limits{})
	trap := Policy(&Builder{}).Evaluate(nil, LocalGet(1), If(Void, Op(Unreachable)), I64Const(0))
	m := load(t, r, trap)
	for _, in := range []string{"", "", "trap"} {
		callKind(t, m, in)
	}
	all := r.Metrics()
	if len(all) != 1 {
		t.Fatalf("%d modules", len(all))
	}
	got := all[0]
	if got.Digest != m.Digest() || got.Calls != 3 || got.Failures[KindTrap] != 1 || len(got.Failures) != 1 || got.Fuel == 0 || got.Running != 0 || got.Idle != 0 {
		t.Errorf("metrics %+v", got)
	}
	if got.Duration <= 0 {
		t.Error("no time was spent")
	}
}

func TestCallerGivesUp(t *testing.T) {
	m := load(t, newRuntime(t, Limits{}), Policy(&Builder{}).Evaluate(nil, Loop(Void, Br(0)), Op(Unreachable)))
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	_, err := m.Call(ctx, nil, CallOptions{Fuel: 1 << 60})
	var failed *CallError
	if !errors.As(err, &failed) || failed.Kind != KindCancelled || failed.Kind.ModuleFault() {
		t.Errorf("got %v, want cancelled", err)
	}
}

// TestGuestsCannotNameWhatWasAdded lets guests use the names and indices of what
// metering adds: the names are theirs, the indices refused.
func TestGuestsCannotNameWhatWasAdded(t *testing.T) {
	r := newRuntime(t, Limits{})
	named := Policy(&Builder{})
	mine := named.Global(I64, true, I64Const(3))
	for _, name := range []string{"interlock:fuel", "interlock:rest", "interlock::stop", "interlock:0"} {
		named.Export(name, ExternGlobal, mine)
	}
	bytes := named.Evaluate(nil, GlobalGet(mine), I64Const(1), Op(I64Add), GlobalSet(mine),
		I32Const(8), GlobalGet(mine), Load(I64Store, 0), Pack(8, 8))
	for range 2 {
		if kind, out := callKind(t, load(t, r, bytes), ""); kind != "" || out != "\x04\x00\x00\x00\x00\x00\x00\x00" {
			t.Errorf("%s %x", kind, out)
		}
	}
	for name, body := range map[string][]byte{
		"function": Code(Call(4), I64Const(0)),                         // three of Policy, and evaluate
		"global":   Code(GlobalGet(0), Op(Drop), I64Const(0)),          // there is none
		"type":     Code(Op(2, 5), Op(End), I64Const(0)),               // four different ones
		"table":    Code(I32Const(0), CallIndirect(0, 0), I64Const(0)), // none
	} {
		_, err := r.Load(t.Context(), Policy(&Builder{}).Evaluate(nil, body))
		var refused *RefusedError
		if !errors.As(err, &refused) || refused.Offset <= 0 || !strings.Contains(refused.Reason, " of ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestGoGuestHasRoom wants a guest of Go's compiler to pass caps half as large.
func TestGoGuestHasRoom(t *testing.T) {
	c := wasm.Caps{}.WithDefaults()
	half := wasm.Caps{
		Types: c.Types / 2, Arity: c.Arity / 2, Imports: c.Imports / 2, Functions: c.Functions / 2, BodyBytes: c.BodyBytes / 2,
		Locals: c.Locals / 2, Nesting: c.Nesting / 2, BranchTable: c.BranchTable / 2, BulkOps: c.BulkOps / 2, JoinWork: c.JoinWork / 2,
		Globals: c.Globals / 2, Tables: c.Tables / 2, TableEntries: c.TableEntries / 2, MemoryPages: c.MemoryPages,
		Elements: c.Elements / 2, Data: c.Data / 2, Exports: c.Exports / 2, NameBytes: c.NameBytes / 2, Customs: c.Customs / 2,
	}
	if _, err := wasm.Decode(goGuestBytes(t), half); err != nil {
		t.Error(err)
	}
}

// TestBytesAreTheCallersAgain changes a module's bytes after loading it.
func TestBytesAreTheCallersAgain(t *testing.T) {
	mine := canary(1, true) // needs its bytes for every instance
	m := load(t, newRuntime(t, Limits{}), mine)
	_, before := callKind(t, m, "")
	clear(mine)
	if kind, after := callKind(t, m, ""); kind != "" || after != before {
		t.Errorf("%s %x, before %x", kind, after, before)
	}
}

// TestInstancesShareTheirTable wants what wazero keeps of each instance of a Go guest to be
// little: the stack for its calls, but no table and no objects for its functions.
func TestInstancesShareTheirTable(t *testing.T) {
	const instances, limit = 64, 24 << 10
	m := load(t, newRuntime(t, Limits{}), goGuestBytes(t))
	heap := func() int64 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.GC() // what a pool held lives through one
		runtime.ReadMemStats(&stats)
		return int64(stats.HeapAlloc)
	}
	before := heap()
	held := make([]*instance, instances)
	for k := range held {
		var err error
		if held[k], err = newInstance(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	if each := (heap() - before) / instances; each > limit {
		t.Errorf("an instance takes %d bytes of the heap, want %d at most", each, limit)
	}
	for _, inst := range held {
		inst.close()
	}
}
