package wasmtest

// Bomb is a module made to do harm, and what becomes of it: "refused", how its
// call fails by the kinds of the sandbox, or "" for an answer.
type Bomb struct {
	Name    string
	Wasm    []byte
	Outcome string
}

// WidePages is the size of the largest memory that the default limits allow.
const WidePages = 64

// times repeats instructions.
func times(n int, code []byte) []byte {
	out := make([]byte, 0, n*len(code))
	for range n {
		out = append(out, code...)
	}
	return out
}

// DAG adds a chain of n functions, each of which calls the next twice: 2^n calls
// without a loop. It returns the first one.
func DAG(m *Builder, n int) uint32 {
	f := m.Func(nil, nil, nil)
	for range n {
		f = m.Func(nil, nil, nil, Call(f), Call(f))
	}
	return f
}

// Bombs are modules that are valid policies with this manifest, as far as they get.
func Bombs(manifest string) []Bomb {
	b := bombs{manifest}
	all := []Bomb{{"none", b.policy().Evaluate(nil, Echo()), ""}}
	for _, some := range [][]Bomb{b.busy(), b.hungry(), b.trapping(), b.misplaced(), b.refused(), b.slowToCompile()} {
		all = append(all, some...)
	}
	return all
}

type bombs struct{ manifest string }

func (b bombs) policy() *Builder { return PolicyOf(&Builder{}, b.manifest, 2) }

// wide is a policy whose memory has as many pages as it may.
func (b bombs) wide() *Builder { return PolicyOf(&Builder{}, b.manifest, WidePages) }

// busy are those that never end.
func (b bombs) busy() []Bomb {
	calls := b.policy()
	top := DAG(calls, 34)
	deep := b.policy()
	deep.Func(nil, nil, Types{I64, I64, I64, I64}, Call(3))
	// Many operands that are alive over a call, and no locals.
	high := b.policy()
	high.Func(nil, nil, nil, times(3000, I32Const(1)), Call(3), times(3000, Op(Drop)))
	prints := &Builder{}
	write := prints.ImportFunc("wasi_snapshot_preview1", "fd_write", Types{I32, I32, I32, I32}, Types{I32})
	PolicyOf(prints, b.manifest, 2)
	prints.Data(FreeAt, []byte{0, 0, 0, 0, 0xff, 0xff, 0, 0})
	size := int32(WidePages << 16)
	chase := Loop(Void, // a walk over all of memory with a stride that misses every cache
		LocalGet(2), I32Const(4097*64), Op(I32Add), I32Const(size-16), Op(I32And), LocalTee(2), Load(I32Load, 0), Op(Drop), Br(0))
	return []Bomb{
		{"endless loop", b.policy().Evaluate(nil, Loop(Void, Br(0)), Op(Unreachable)), "fuel"},
		{"call DAG, depth 34", calls.Evaluate(nil, Call(top), I64Const(0)), "fuel"},
		{"recursion", deep.Evaluate(nil, Call(3), I64Const(0)), "stack"},
		{"recursion, 3,000 operands", high.Evaluate(nil, Call(3), I64Const(0)), "stack"},
		{"cache misses", b.wide().Evaluate(Types{I32}, chase, Op(Unreachable)), "fuel"},
		{"log flood", prints.Evaluate(nil, Loop(Void, I32Const(1), I32Const(FreeAt), I32Const(1), I32Const(200), Call(write), Op(Drop), Br(0)), Op(Unreachable)), "fuel"},
	}
}

// hungry are those that want memory, or to move much of it.
func (b bombs) hungry() []Bomb {
	table := b.policy()
	table.Table(FuncRef, 1, -1)
	size := int32(WidePages << 16)
	fill := Code(I32Const(0), I32Const(1), I32Const(size), Fill())
	return []Bomb{
		{"memory.grow to the sky", b.policy().Evaluate(nil, Loop(Void, I32Const(1), MemoryGrow(), Op(Drop), Br(0)), Op(Unreachable)), "fuel"},
		{"table.grow to the sky", table.Evaluate(nil, Loop(Void, Op(0xd0, FuncRef), I32Const(40_000), Misc(15, 0), Op(Drop), Br(0)), Op(Unreachable)), "fuel"},
		{"memory.fill, all of it", b.wide().Evaluate(nil, Loop(Void, fill, Br(0)), Op(Unreachable)), "fuel"},
		{"memory.copy, all of it", b.wide().Evaluate(nil, Loop(Void, I32Const(8), I32Const(0), I32Const(size-8), Copy(), Br(0)), Op(Unreachable)), "fuel"},
		{"100 fills in a chain", b.wide().Evaluate(nil, times(100, fill), I64Const(0)), "fuel"},
		{"2,000 fills in a chain", b.wide().Evaluate(nil, times(2000, fill), I64Const(0)), "refused"},
		{"memory of 16 MiB", PolicyOf(&Builder{}, b.manifest, 256).Evaluate(nil, I64Const(0)), "refused"},
	}
}

// trapping are the traps of each kind.
func (b bombs) trapping() []Bomb {
	through := func(element int32) []byte {
		m := b.policy()
		m.Table(FuncRef, 2, -1)
		return m.Evaluate(nil, I32Const(element), CallIndirect(0, 0), Op(Drop), I64Const(0))
	}
	mistyped := b.policy()
	mistyped.Table(FuncRef, 1, -1)
	mistyped.Elements(0, 0)
	other := mistyped.Type(Types{I32, I32, I32}, Types{I64})
	trap := func(body ...[]byte) []byte { return b.policy().Evaluate(nil, body...) }
	return []Bomb{
		{"trap: unreachable", trap(Op(Unreachable)), "trap"},
		{"trap: division by zero", trap(I32Const(1), I32Const(0), Op(I32DivU, Drop), I64Const(0)), "trap"},
		{"trap: overflow", trap(I32Const(-1<<31), I32Const(-1), Op(0x6d, Drop), I64Const(0)), "trap"},
		{"trap: NaN to integer", trap(Op(0x43, 0, 0, 0xc0, 0x7f), Op(0xa8, Drop), I64Const(0)), "trap"},
		{"trap: wild load", trap(I32Const(-1), Load(I64Load, 0xffffffff)), "trap"},
		{"trap: wild fill", trap(I32Const(-16), I32Const(0), I32Const(4096), Fill(), I64Const(0)), "trap"},
		{"trap: no such element", through(9), "trap"},
		{"trap: null element", through(1), "trap"},
		{"trap: another signature", mistyped.Evaluate(nil, I32Const(0), I32Const(0), I32Const(0), I32Const(0), CallIndirect(other, 0)), "trap"},
	}
}

// misplaced are answers where none can be.
func (b bombs) misplaced() []Bomb {
	alloc := &Builder{}
	alloc.Memory(2, -1)
	alloc.Export("memory", ExternMemory, 0)
	alloc.Data(ManifestAt, []byte(b.manifest))
	alloc.ExportFunc("interlock_abi", nil, Types{I32}, nil, I32Const(1))
	alloc.ExportFunc("interlock_alloc", Types{I32}, Types{I32}, nil, I32Const(-8))
	alloc.ExportFunc("interlock_manifest", nil, Types{I64}, nil, Pack(ManifestAt, uint32(len(b.manifest))))
	return []Bomb{
		{"output out of bounds", b.policy().Evaluate(nil, Pack(0xfffffff0, 100)), "output"},
		{"output over the end", b.policy().Evaluate(nil, Pack(2<<16-8, 16)), "output"},
		{"output of 1 MB", b.wide().Evaluate(nil, Pack(0, 1<<20)), "output"},
		{"output overlaps the input", b.policy().Evaluate(nil, Pack(1000, 1000)), ""},
		{"input out of bounds", alloc.Evaluate(nil, I64Const(0)), "memory"},
	}
}

// refused are those that do not come as far as the compiler.
func (b bombs) refused() []Bomb {
	start := b.policy()
	start.Start(start.Func(nil, nil, nil, Loop(Void, Br(0))))
	odd := &Builder{}
	odd.ImportFunc("wasi_snapshot_preview1", "\x00\u202efd_write", nil, nil)
	foreign := &Builder{}
	foreign.Import("env", "memory", ExternMemory, []byte{0, 1})
	data := b.policy()
	for range 210_000 {
		data.Data(0, nil)
	}
	elements := b.policy()
	elements.Table(FuncRef, 10, -1)
	elements.Elements(0, make([]uint32, 60_000)...)
	initial := b.policy()
	initial.ExportFunc("_initialize", nil, nil, nil, Loop(Void, Br(0)))
	name := b.policy()
	name.Custom("name", []byte{1, 5, 0xff, 0xff, 0xff, 0xff, 0x0f})
	return []Bomb{
		{"start function", start.Evaluate(nil, I64Const(0)), "refused"},
		{"import with an odd name", PolicyOf(odd, b.manifest, 2).Evaluate(nil, I64Const(0)), "refused"},
		{"import of a memory", PolicyOf(foreign, b.manifest, 2).Evaluate(nil, I64Const(0)), "refused"},
		{"4 billion imports in 14 bytes", Code(Header(), Section(2, []byte{0xff, 0xff, 0xff, 0xff, 0x0f})), "refused"},
		{"210,000 data segments", data.Evaluate(nil, I64Const(0)), "refused"},
		{"60,000 elements", elements.Evaluate(nil, I64Const(0)), "refused"},
		{"endless _initialize", initial.Evaluate(nil, I64Const(0)), "refused"},
		{"name section with a huge count", name.Evaluate(nil, Echo()), ""},
	}
}

// slowToCompile are those that a compiler takes long for, or much memory.
func (b bombs) slowToCompile() []Bomb {
	functions := b.policy()
	for range 50_000 {
		functions.Func(nil, nil, nil)
	}
	phi := make(Types, 3000)
	for k := range phi {
		phi[k] = I32
	}
	return []Bomb{
		{"40,000 nested blocks", b.policy().Evaluate(nil, times(40_000, Op(2, Void)), times(40_000, Op(End)), I64Const(0)), "refused"},
		{"br_table of 100,000", b.policy().Evaluate(nil, I32Const(0), Op(0x0e), Uint(100_000), make([]byte, 100_001), Op(Unreachable)), "refused"},
		{"phi-heavy function", b.policy().Evaluate(phi, times(2000, Block(Void)), I64Const(0)), "refused"},
		{"50,000 functions", functions.Evaluate(nil, I64Const(0)), "refused"},
	}
}
