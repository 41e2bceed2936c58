package meter

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/interlock-run/interlock/host/sandbox/wasm"
	. "github.com/interlock-run/interlock/host/sandbox/wasmtest"
)

const (
	bulkMemory  = 8 << 16
	bulkSegment = 3<<16 + 5
)

// bulkModule does what its parameters say by each of the instructions: from a passive
// segment, of which there is a short one too, until that is dropped.
func bulkModule() []byte {
	m := &Builder{}
	m.Memory(bulkMemory>>16, bulkMemory>>16)
	m.Export("memory", ExternMemory, 0)
	for name, instruction := range map[string][]byte{
		"fill": Fill(), "copy": Copy(), "init": Misc(8, 0, 0), "short": Misc(8, 1, 0),
		"odd": {0xfc, 0x8b, 0x00, 0}, // memory.fill, in one byte more than it takes
	} {
		m.ExportFunc(name, Types{I32, I32, I32}, nil, nil, LocalGet(0), LocalGet(1), LocalGet(2), instruction)
	}
	m.ExportFunc("drop", nil, nil, nil, Misc(9, 0))
	return withSegments(m.Bytes(), pattern(bulkSegment, 7), pattern(100, 9))
}

// withSegments adds passive data segments to a module that has none: the section
// that counts them comes before the code.
func withSegments(module []byte, segments ...[]byte) []byte {
	at := len(Header())
	for module[at] != wasm.SecCode {
		r := wasm.NewReader(module, at+1, len(module))
		at = int(r.U32()) + r.Pos()
	}
	count := Section(wasm.SecDataCount, Uint(uint64(len(segments))))
	data := Uint(uint64(len(segments)))
	for _, s := range segments {
		data = append(append(append(data, 1), Uint(uint64(len(s)))...), s...)
	}
	return bytes.Join([][]byte{module[:at], count, module[at:], Section(wasm.SecData, data)}, nil)
}

// pattern is bytes of which no two pieces are alike.
func pattern(n int, seed uint32) []byte {
	out := make([]byte, n)
	for k := range out {
		seed = seed*1664525 + 1013904223
		out[k] = byte(seed >> 24)
	}
	return out
}

// turns counts how often a guest came back for the next slice.
type turns struct {
	bytes []byte
	n     int
}

func (t *turns) Reallocate(size uint64) []byte {
	if size > uint64(len(t.bytes)) {
		t.n++
		return nil
	}
	return t.bytes[:size]
}

func (t *turns) Free() {}

// bulkSides are the module plain and metered, with what counts the turns of the second.
func bulkSides(t *testing.T) (plain, ours api.Module, metered *Metered, counted *turns) {
	t.Helper()
	m, err := wasm.Decode(bulkModule(), wasm.Caps{})
	if err != nil {
		t.Fatal(err)
	}
	metered = Rewrite(m, Options{MemoryPages: bulkMemory >> 16, TableEntries: 1, Slice: 1000, Fuel: 1 << 50, Depth: 1 << 20, Yield: true})
	if _, err := wasm.Decode(metered.Bytes, wasm.Caps{}); err != nil {
		t.Fatal(err)
	}
	r := runtimeOf(t, wazero.NewRuntimeConfigCompiler())
	counted = &turns{bytes: make([]byte, bulkMemory)}
	with := experimental.WithMemoryAllocator(t.Context(), experimental.MemoryAllocatorFunc(func(_, _ uint64) experimental.LinearMemory { return counted }))
	config := wazero.NewModuleConfig().WithName("")
	if plain, err = r.InstantiateWithConfig(t.Context(), m.Bytes, config); err != nil {
		t.Fatal(err)
	}
	if ours, err = r.InstantiateWithConfig(with, metered.Bytes, config); err != nil {
		t.Fatal(err)
	}
	return plain, ours, metered, counted
}

// TestBulkInPieces moves much and little, over itself and past each end, and wants the
// same of it metered and plain: the bytes, the failures, and a charge that follows
// from the length alone. No more than a piece is moved between two turns.
func TestBulkInPieces(t *testing.T) {
	const piece = pieceBytes
	plain, ours, metered, counted := bulkSides(t)
	fuel := func() int64 {
		return int64(ours.ExportedGlobal(metered.Fuel).Get()) + int64(ours.ExportedGlobal(metered.Rest).Get())
	}
	sizes := []uint32{0, 1, 100, piece - 1, piece, piece + 1, 2 * piece, 2*piece + 3, 3*piece + 5, 3*piece + 6, bulkMemory - 9, bulkMemory, bulkMemory + 1, 1 << 31, 1<<32 - 1}
	places := []uint32{0, 1, 9, piece - 4, piece, 2*piece + 1, bulkMemory - 3*piece - 5, bulkMemory - 1, bulkMemory, bulkMemory + 1, 1<<32 - piece, 1<<32 - 1}
	fresh := pattern(bulkMemory, 1)
	free := map[string]int64{} // what each costs without a length
	try := func(name string, to, from, n uint32) {
		what := fmt.Sprintf("%s(%d, %d, %d)", name, to, from, n)
		plain.Memory().Write(0, fresh)
		ours.Memory().Write(0, fresh)
		before := fuel()
		counted.n = 0
		_, want := plain.ExportedFunction(name).Call(t.Context(), uint64(to), uint64(from), uint64(n))
		_, got := ours.ExportedFunction(name).Call(t.Context(), uint64(to), uint64(from), uint64(n))
		if first(want) != first(got) {
			t.Fatalf("%s: metered %v, plain %v", what, got, want)
		}
		a, _ := plain.Memory().Read(0, bulkMemory)
		b, _ := ours.Memory().Read(0, bulkMemory)
		if !bytes.Equal(a, b) {
			t.Fatalf("%s: the memories differ", what)
		}
		if want != nil {
			return
		}
		used := before - fuel()
		if n == 0 {
			free[name] = used
		}
		if used != free[name]+int64(n>>bytesShift) {
			t.Fatalf("%s took %d units, %d of them for nothing", what, used, free[name])
		}
		if counted.n < int(n/piece) {
			t.Fatalf("%s gave others %d turns", what, counted.n)
		}
	}
	for _, n := range sizes {
		for _, to := range places {
			try("fill", to, 0x17f, n)
			try("odd", to, n, n)
			for _, from := range places {
				try("copy", to, from, n)
				try("init", to, from, n)
				try("short", to, from, n)
			}
		}
	}
	for _, m := range []api.Module{plain, ours} {
		if _, err := m.ExportedFunction("drop").Call(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range sizes {
		try("init", 0, 0, n)
	}
}
