package meter

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/interlock-run/interlock/host/sandbox/wasm"
	. "github.com/interlock-run/interlock/host/sandbox/wasmtest"
)

// FuzzRewrite wants every valid module to be valid metered, and its functions
// to give the same when they end within some fuel. All of the specification's
// modules are tried by [TestSpecSuiteBothWays]; here some of them are a start: each
// seed is run before anything new is.
func FuzzRewrite(f *testing.F) {
	const small, oneIn = 300, 16
	k := 0
	for _, b := range Modules(f) {
		if len(b) >= small {
			continue
		}
		if k++; k%oneIn == 0 {
			f.Add(b)
		}
	}
	for _, b := range bulky() {
		f.Add(b)
	}
	f.Add(tableModule(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := wasm.Decode(b, wasm.Caps{MemoryPages: 4, TableEntries: 100, JoinWork: 10_000})
		if err != nil {
			return
		}
		o := Options{MemoryPages: 8, TableEntries: 200, Slice: 100, Fuel: 50_000, Depth: 20_000}
		metered := Rewrite(m, o)
		if _, err := wasm.Decode(metered.Bytes, wasm.Caps{}); err != nil {
			t.Fatalf("metered: %v", err)
		}
		if len(m.Imports) == 0 && !m.HasStart {
			agree(t, m, metered)
		}
	})
}

// instantiate gives a module in a runtime of its own: an interpreter, which is ready
// at once. Compiled, the specification's suite is compared.
func instantiate(t *testing.T, b []byte) (api.Module, string) {
	t.Helper()
	r := runtimeOf(t, wazero.NewRuntimeConfigInterpreter().WithMemoryLimitPages(8))
	m, err := r.InstantiateWithConfig(t.Context(), b, wazero.NewModuleConfig().WithName(""))
	return m, first(err)
}

// runtimeOf is a runtime until the end of the test.
func runtimeOf(t *testing.T, config wazero.RuntimeConfig) wazero.Runtime {
	t.Helper()
	r := wazero.NewRuntimeWithConfig(t.Context(), config.WithCoreFeatures(api.CoreFeaturesV2))
	t.Cleanup(func() { _ = r.Close(context.Background()) })
	return r
}

// agree calls every exported function metered, and plain if it ended by itself.
func agree(t *testing.T, m *wasm.Module, metered *Metered) {
	t.Helper()
	ours, failure := instantiate(t, metered.Bytes)
	plain, plainFailure := instantiate(t, m.Bytes)
	if plainFailure != "" {
		return // also for names of functions, which nothing of ours reads
	}
	if failure != "" {
		t.Fatalf("metered: %s", failure)
	}
	for _, e := range m.Exports {
		if e.Kind != wasm.ExternFunc || slices.Contains(m.FuncType(e.Index).Results, wasm.FuncRef) {
			continue
		}
		args := make([]uint64, 2*len(m.FuncType(e.Index).Params))
		f := ours.ExportedFunction(e.Name)
		words := 0
		for _, p := range m.FuncType(e.Index).Params {
			if words++; p == wasm.V128 {
				words++
			}
		}
		got, err := f.Call(t.Context(), args[:words]...)
		fuel := int64(ours.ExportedGlobal(metered.Fuel).Get()) + int64(ours.ExportedGlobal(metered.Rest).Get())
		if fuel < 0 || int32(ours.ExportedGlobal(metered.Depth).Get()) < 0 {
			return // ended by the meter: plain it might not end
		}
		want, plainErr := plain.ExportedFunction(e.Name).Call(t.Context(), args[:words]...)
		if first(err) != first(plainErr) || !slices.Equal(got, want) {
			t.Fatalf("%s: metered %v %v, plain %v %v", e.Name, got, err, want, plainErr)
		}
		if len(m.Memories) > 0 && !bytes.Equal(contents(ours), contents(plain)) {
			t.Fatalf("%s: the memories differ", e.Name)
		}
	}
}

// contents is all that a module has in its memory, of which there is one.
func contents(m api.Module) []byte {
	view, _ := m.Memory().Read(0, m.Memory().Size())
	return view
}

// bulky are modules that move more than a piece within their memory.
func bulky() (all [][]byte) {
	for _, moving := range [][]byte{
		Code(I32Const(70_000), I32Const(7), I32Const(150_000), Fill()),
		Code(I32Const(9), I32Const(0), I32Const(150_000), Copy()),
		Code(I32Const(0), I32Const(9), I32Const(150_000), Copy()),
		Code(I32Const(200_000), I32Const(9), I32Const(150_000), Copy()),
	} {
		m := &Builder{}
		m.Memory(4, 4)
		m.Data(3, []byte("some bytes"))
		m.ExportFunc("move", nil, nil, nil, moving)
		all = append(all, m.Bytes())
	}
	return all
}
