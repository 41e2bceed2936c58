package sandbox

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/interlock-run/interlock/host/sandbox/meter"
	"github.com/interlock-run/interlock/host/sandbox/wasm"
	. "github.com/interlock-run/interlock/host/sandbox/wasmtest"
)

// smallGuest sums the bytes of its input into its first byte and returns it.
func smallGuest() []byte {
	return Policy(&Builder{}).Evaluate(Types{I32, I32},
		Loop(Void,
			LocalGet(2), LocalGet(0), LocalGet(3), Op(I32Add), Load(I32Load8U, 0), Op(I32Add), LocalSet(2),
			LocalGet(3), I32Const(1), Op(I32Add), LocalTee(3), LocalGet(1), Op(I32LtU), BrIf(0)),
		LocalGet(0), LocalGet(2), Load(I32Store8, 0), Echo())
}

// benchGuests are the guests to measure, by name.
func benchGuests(b *testing.B) map[string][]byte {
	return map[string][]byte{"small": smallGuest(), "go": goGuestBytes(b)}
}

var benchInput = []byte(strings.Repeat("0123456789abcdef", 75)) // 1.2 KB

// plainGuest runs a module in wazero without the sandbox.
type plainGuest struct {
	alloc, evaluate api.Function
	memory          api.Memory
	ctx             context.Context
	before          func()
}

func newPlain(b *testing.B, bytes []byte, config wazero.RuntimeConfig) *plainGuest {
	b.Helper()
	g := &plainGuest{before: func() {}}
	var h host
	g.ctx = context.WithValue(context.Background(), hostKey{}, &h)
	r := wazero.NewRuntimeWithConfig(g.ctx, config.WithDebugInfoEnabled(false))
	b.Cleanup(func() { _ = r.Close(context.Background()) })
	if err := instantiateWASI(g.ctx, r); err != nil {
		b.Fatal(err)
	}
	m, err := r.InstantiateWithConfig(g.ctx, bytes, wazero.NewModuleConfig().WithStartFunctions())
	if err != nil {
		b.Fatal(err)
	}
	if rest, ok := m.ExportedGlobal("interlock:rest").(api.MutableGlobal); ok {
		fuel := m.ExportedGlobal("interlock:fuel").(api.MutableGlobal)
		g.before = func() { fuel.Set(slice); rest.Set(defaultFuel) }
		m.ExportedGlobal("interlock:depth").(api.MutableGlobal).Set(defaultStackBytes)
		rest.Set(math.MaxInt64 / 2)
		h.gauge = gauge{fuel: fuel}
	} else {
		h.gauge = gauge{fuel: nothingGlobal{}}
	}
	h.begin(CallOptions{}, 0, h.gauge)
	if start := m.ExportedFunction("_initialize"); start != nil {
		if _, err := start.Call(g.ctx); err != nil {
			b.Fatal(err)
		}
	}
	g.alloc, g.evaluate, g.memory = m.ExportedFunction("interlock_alloc"), m.ExportedFunction("interlock_evaluate"), m.Memory()
	return g
}

// nothingGlobal stands for a gauge that is not there.
type nothingGlobal struct{ api.MutableGlobal }

func (nothingGlobal) Get() uint64 { return 0 }
func (nothingGlobal) Set(uint64)  {}

func (g *plainGuest) call(b *testing.B, ctx context.Context, in []byte) {
	var stack [2]uint64
	g.before()
	stack[0] = uint64(len(in))
	if err := g.alloc.CallWithStack(ctx, stack[:]); err != nil {
		b.Fatal(err)
	}
	g.memory.Write(uint32(stack[0]), in)
	stack[1] = uint64(len(in))
	if err := g.evaluate.CallWithStack(ctx, stack[:]); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkCall measures one call on 1.2 KB: wazero alone, with its own option
// for termination, metered, and all of the sandbox.
// Metered guests without the sandbox are not reset, so a Go guest gets memory
// for its collector.
func BenchmarkCall(b *testing.B) {
	for name, bytes := range benchGuests(b) {
		b.Run(name+"/plain", func(b *testing.B) {
			g := newPlain(b, bytes, wazero.NewRuntimeConfigCompiler())
			for b.Loop() {
				g.call(b, g.ctx, benchInput)
			}
		})
		b.Run(name+"/wazero-option", func(b *testing.B) {
			g := newPlain(b, bytes, wazero.NewRuntimeConfigCompiler().WithCloseOnContextDone(true))
			for b.Loop() {
				ctx, cancel := context.WithTimeout(g.ctx, time.Second)
				g.call(b, ctx, benchInput)
				cancel()
			}
		})
		b.Run(name+"/metered", func(b *testing.B) {
			m, err := wasm.Decode(bytes, wasm.Caps{})
			if err != nil {
				b.Fatal(err)
			}
			metered := meter.Rewrite(m, meter.Options{MemoryPages: 4096, TableEntries: 50_000, Slice: slice, Fuel: 1 << 40, Depth: 1 << 20})
			g := newPlain(b, metered.Bytes, wazero.NewRuntimeConfigCompiler())
			b.ReportMetric(float64(len(metered.Bytes)), "bytes")
			for b.Loop() {
				g.call(b, g.ctx, benchInput)
			}
		})
		b.Run(name+"/sandbox", func(b *testing.B) {
			m := load(b, newRuntime(b, Limits{}), bytes)
			var fuel uint64
			for b.Loop() {
				result, err := m.Call(context.Background(), benchInput, CallOptions{})
				if err != nil {
					b.Fatal(err)
				}
				fuel = result.Fuel
			}
			b.ReportMetric(float64(fuel), "fuel/op")
		})
	}
}

// BenchmarkLoad measures the steps of loading a module.
func BenchmarkLoad(b *testing.B) {
	for name, bytes := range benchGuests(b) {
		b.Run(name+"/decode", func(b *testing.B) {
			for b.Loop() {
				if _, err := wasm.Decode(bytes, wasm.Caps{}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/rewrite", func(b *testing.B) {
			m, err := wasm.Decode(bytes, wasm.Caps{})
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				meter.Rewrite(m, meter.Options{MemoryPages: 64, TableEntries: 50_000, Slice: slice, StripData: true})
			}
		})
		for _, cached := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/load-cached=%v", name, cached), func(b *testing.B) {
				dir := b.TempDir()
				if cached {
					load(b, newRuntimeIn(b, dir+"/cache0", Limits{}), bytes)
				}
				for k := 0; b.Loop(); k++ {
					sub := dir + "/cache0"
					if !cached {
						sub = fmt.Sprintf("%s/cache%d", dir, k)
					}
					r := newRuntimeIn(b, sub, Limits{})
					if err := load(b, r, bytes).Close(context.Background()); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		b.Run(name+"/instantiate", func(b *testing.B) {
			m := load(b, newRuntime(b, Limits{}), bytes)
			for b.Loop() {
				inst, err := newInstance(context.Background(), m)
				if err != nil {
					b.Fatal(err)
				}
				inst.close()
			}
		})
	}
}
