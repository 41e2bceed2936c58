package meter

import (
	"fmt"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/interlock-run/interlock/host/sandbox/wasm"
	. "github.com/interlock-run/interlock/host/sandbox/wasmtest"
)

const tableSize = 90

// tableModule has functions of several types in a table that has gaps at the start, the
// end and between, and a segment that writes over another. It calls each index through
// each type. change may add what makes it another case.
func tableModule(change func(m *Builder)) []byte {
	m := &Builder{}
	plus := func(k int32) []byte { return Code(LocalGet(0), I32Const(k), Op(I32Add)) }
	var unary []uint32
	for k := range int32(5) {
		unary = append(unary, m.Func(Types{I32}, Types{I32}, nil, plus(k)))
	}
	nothing := m.Func(nil, nil, nil)
	two := m.Func(Types{I64, I32}, Types{I32, I64}, nil, LocalGet(1), LocalGet(0))
	m.Table(FuncRef, tableSize, -1)
	m.Elements(40, unary[0], unary[1], unary[1], nothing, two, unary[2])
	m.Elements(50, unary[3], unary[3])
	m.Elements(51, unary[4])
	call := func(name string, params, results Types) {
		var code []byte
		for k := range len(params) + 1 {
			code = append(code, LocalGet(uint32(k))...)
		}
		m.ExportFunc(name, append(slices.Clone(params), I32), results, nil, code, CallIndirect(m.Type(params, results), 0))
	}
	call("unary", Types{I32}, Types{I32})
	call("nothing", nil, nil)
	call("two", Types{I64, I32}, Types{I32, I64})
	call("other", Types{F32}, nil) // which no function has
	if change != nil {
		change(m)
	}
	return m.Bytes()
}

// TestTableBecomesCode calls each index of a table, and what lies beyond, through each
// type, and wants what a table gives: results, failures with their words, and fuel.
func TestTableBecomesCode(t *testing.T) {
	module := tableModule(nil)
	direct, kept := rewriteTable(t, module, 0), rewriteTable(t, module, tableSize)
	if n := tableEntries(t, direct); n != entries {
		t.Errorf("%d entries are left of the table", n)
	}
	if n := tableEntries(t, kept); n != tableSize {
		t.Errorf("a small table has %d entries", n)
	}
	plain, ours, same := start(t, module), start(t, direct.Bytes), start(t, kept.Bytes)
	fuel := func(m api.Module) int64 {
		return int64(m.ExportedGlobal(direct.Fuel).Get()) + int64(m.ExportedGlobal(direct.Rest).Get())
	}
	depth := func(m api.Module) int32 { return int32(m.ExportedGlobal(direct.Depth).Get()) }
	outcomes := map[string]int{}
	indices := []uint64{1 << 31, 1<<32 - 1, 1<<32 - 40}
	for k := range uint64(tableSize + 100) {
		indices = append(indices, k)
	}
	for name, args := range map[string][]uint64{"unary": {7}, "nothing": nil, "two": {9, 8}, "other": {0}} {
		for _, k := range indices {
			args := append(slices.Clone(args), k)
			want, wantErr := plain.ExportedFunction(name).Call(t.Context(), args...)
			before, beforeKept, stack := fuel(ours), fuel(same), depth(ours)
			got, err := ours.ExportedFunction(name).Call(t.Context(), args...)
			_, _ = same.ExportedFunction(name).Call(t.Context(), args...)
			if first(err) != first(wantErr) || !slices.Equal(got, want) {
				t.Errorf("%s(%d): as code %v %q, as a table %v %q", name, k, got, first(err), want, first(wantErr))
			}
			if used, usedKept := before-fuel(ours), beforeKept-fuel(same); used != usedKept {
				t.Errorf("%s(%d): as code %d units, as a table %d", name, k, used, usedKept)
			}
			if left := depth(ours); err == nil && left != stack {
				t.Errorf("%s(%d): %d bytes of stack were not given back", name, k, stack-left)
			}
			ours.ExportedGlobal(direct.Depth).(api.MutableGlobal).Set(uint64(stack))
			outcomes[first(err)]++
		}
	}
	for _, failure := range []string{"", "wasm error: invalid table access", "wasm error: indirect call type mismatch"} {
		if outcomes[failure] == 0 {
			t.Errorf("nothing gave %q: %v", failure, outcomes)
		}
	}
}

// TestTableThatMayChangeStays wants a table of modules that can tell the difference.
func TestTableThatMayChangeStays(t *testing.T) {
	unary := Types{I32}
	for name, change := range map[string]func(m *Builder){
		"exported":        func(m *Builder) { m.Export("table", ExternTable, 0) },
		"two":             func(m *Builder) { m.Table(FuncRef, 1, -1) },
		"table.size":      func(m *Builder) { m.Func(nil, Types{I32}, nil, Misc(16, 0)) },
		"table.get":       func(m *Builder) { m.Func(nil, nil, nil, I32Const(0), Op(0x25, 0), Op(Drop)) },
		"table.set":       func(m *Builder) { m.Func(nil, nil, nil, I32Const(0), Op(0xd0, FuncRef), Op(0x26, 0)) },
		"ref.func":        func(m *Builder) { m.Func(nil, nil, nil, Op(0xd2, 0), Op(Drop)) },
		"passive segment": func(m *Builder) { m.RawElements([]byte{1, 0, 1, 0}) },
		"out of bounds":   func(m *Builder) { m.Elements(tableSize, 0) },
		"too many types": func(m *Builder) {
			for k := range 64 {
				params := Types{}
				for range k {
					params = append(params, I64)
				}
				typ := m.Type(append(params, F64), nil)
				m.Func(unary, nil, nil, Op(Unreachable), CallIndirect(typ, 0))
			}
			m.Elements(tableSize-1, 0)
		},
	} {
		metered := rewriteTable(t, tableModule(change), 0)
		if n := tableEntries(t, metered); n != tableSize {
			t.Errorf("%s: %d entries are left of the table", name, n)
		}
		start(t, metered.Bytes)
	}
}

// TestCallsThroughATableTakeStack has a function call itself through a table for ever:
// the calls between, which the guest knows nothing of, take stack too.
func TestCallsThroughATableTakeStack(t *testing.T) {
	deep := func(small uint32) (calls uint64) {
		m := &Builder{}
		typ := m.Type(Types{I64}, Types{I64})
		count := m.Global(I64, true, I64Const(0))
		m.Export("calls", ExternGlobal, count)
		m.Table(FuncRef, tableSize, -1)
		f := m.ExportFunc("deep", Types{I64}, Types{I64}, nil,
			GlobalGet(count), I64Const(1), Op(I64Add), GlobalSet(count), LocalGet(0), I32Const(3), CallIndirect(typ, 0))
		m.Elements(3, f)
		metered := rewriteTable(t, m.Bytes(), small)
		guest := start(t, metered.Bytes)
		guest.ExportedGlobal(metered.Depth).(api.MutableGlobal).Set(100_000)
		if _, err := guest.ExportedFunction("deep").Call(t.Context(), 1); err == nil || int32(guest.ExportedGlobal(metered.Depth).Get()) >= 0 {
			t.Errorf("it ended with %v", err)
		}
		return guest.ExportedGlobal("calls").Get()
	}
	if direct, kept := deep(0), deep(tableSize); direct == 0 || 4*direct > 3*kept {
		t.Errorf("%d calls as code, %d with a table", direct, kept)
	}
}

// TestGateLeadsToFunctions calls functions by number, and wants no gate where one is
// missing or cannot be called so.
func TestGateLeadsToFunctions(t *testing.T) {
	m := &Builder{}
	m.ExportFunc("one", Types{I32}, Types{I32}, nil, LocalGet(0), I32Const(-1), Op(I32Mul))
	m.ExportFunc("two", Types{I32, I32}, Types{I64}, nil, LocalGet(0), Op(I64ExtendU), I64Const(32), Op(I64Shl), LocalGet(1), Op(I64ExtendU), Op(I64Or))
	m.ExportFunc("long", Types{I64}, Types{I32}, nil, I32Const(0))
	m.ExportFunc("none", nil, nil, nil)
	rewrite := func(gate ...string) *Metered {
		decoded, err := wasm.Decode(m.Bytes(), wasm.Caps{})
		if err != nil {
			t.Fatal(err)
		}
		return Rewrite(decoded, Options{MemoryPages: 1, Slice: 1000, Fuel: 1 << 40, Depth: 1 << 20, Gate: gate})
	}
	metered := rewrite("two", "one")
	guest := start(t, metered.Bytes)
	for _, c := range []struct{ args, want []uint64 }{
		{[]uint64{0, 3, 4}, []uint64{3<<32 | 4}}, {[]uint64{1, 5, 9}, []uint64{1<<32 - 5}},
	} {
		got, err := guest.ExportedFunction(metered.Gate).Call(t.Context(), c.args...)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%v: %v %v, want %v", c.args, got, err, c.want)
		}
	}
	if _, err := guest.ExportedFunction(metered.Gate).Call(t.Context(), 2, 0, 0); err == nil {
		t.Error("a number that leads nowhere did")
	}
	for _, gate := range [][]string{nil, {"one", "missing"}, {"one", "long"}, {"none"}} {
		if name := rewrite(gate...).Gate; name != "" {
			t.Errorf("%v has a gate %q", gate, name)
		}
	}
}

func rewriteTable(t *testing.T, module []byte, small uint32) *Metered {
	t.Helper()
	m, err := wasm.Decode(module, wasm.Caps{})
	if err != nil {
		t.Fatal(err)
	}
	return Rewrite(m, Options{MemoryPages: 1, TableEntries: 1000, Slice: 1000, Fuel: 1 << 40, Depth: 1 << 20, SmallTable: small})
}

// tableEntries is how many entries the metered module's first table starts with.
func tableEntries(t *testing.T, metered *Metered) uint32 {
	t.Helper()
	m, err := wasm.Decode(metered.Bytes, wasm.Caps{})
	if err != nil {
		t.Fatal(fmt.Errorf("metered: %w", err))
	}
	return m.Tables[0].Min
}

// start makes an instance in native code.
func start(t *testing.T, module []byte) api.Module {
	t.Helper()
	r := runtimeOf(t, wazero.NewRuntimeConfigCompiler())
	guest, err := r.InstantiateWithConfig(t.Context(), module, wazero.NewModuleConfig().WithName(""))
	if err != nil {
		t.Fatal(err)
	}
	return guest
}
