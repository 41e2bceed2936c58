package sandbox

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	. "github.com/interlock-run/interlock/host/sandbox/wasmtest"
)

var bombTimes = flag.Int("bombs", 2, "how many times TestBombs drops each bomb")

// bomb is a module made to do harm, and what becomes of it: a CallErrorKind,
// "refused", or "" for an ordinary answer.
type bomb struct {
	name string
	wasm []byte
	want string
}

// times repeats instructions.
func times(n int, code []byte) []byte {
	out := make([]byte, 0, n*len(code))
	for range n {
		out = append(out, code...)
	}
	return out
}

// wide is a policy whose memory has as many pages as it may.
func wide() *Builder {
	m := &Builder{}
	m.Memory(defaultMemoryPages, -1)
	m.Export("memory", ExternMemory, 0)
	m.ExportFunc("interlock_abi", nil, Types{I32}, nil, I32Const(1))
	m.ExportFunc("interlock_alloc", Types{I32}, Types{I32}, nil, I32Const(1024))
	m.ExportFunc("interlock_manifest", nil, Types{I64}, nil, I64Const(0))
	return m
}

func bombs() []bomb {
	policy := func() *Builder { return Policy(&Builder{}) }
	deep := policy()
	deep.Func(nil, nil, Types{I64, I64, I64, I64}, Call(3))
	// Many operands that are alive over a call, and no locals.
	high := policy()
	high.Func(nil, nil, nil, times(3000, I32Const(1)), Call(3), times(3000, Op(Drop)))
	calls := policy()
	top := dag(calls, 34)
	table := policy()
	table.Table(FuncRef, 1, -1)
	start := policy()
	start.Start(start.Func(nil, nil, nil, Loop(Void, Br(0))))
	odd := &Builder{}
	odd.ImportFunc("wasi_snapshot_preview1", "\x00\u202efd_write", nil, nil)
	functions := policy()
	for range 50_000 {
		functions.Func(nil, nil, nil)
	}
	data := policy()
	for range 210_000 {
		data.Data(0, nil)
	}
	elements := policy()
	elements.Table(FuncRef, 10, -1)
	elements.Elements(0, make([]uint32, 60_000)...)
	phi := make(Types, 3000)
	for k := range phi {
		phi[k] = I32
	}
	name := policy()
	name.Custom("name", []byte{1, 5, 0xff, 0xff, 0xff, 0xff, 0x0f})
	prints := &Builder{}
	write := prints.ImportFunc("wasi_snapshot_preview1", "fd_write", Types{I32, I32, I32, I32}, Types{I32})
	Policy(prints)
	prints.Data(100, []byte{0, 0, 0, 0, 0xff, 0xff, 0, 0})
	size := int32(defaultMemoryPages << 16)
	chase := Loop(Void, // a walk over all of memory with a stride that misses every cache
		LocalGet(2), I32Const(4097*64), Op(I32Add), I32Const(size-16), Op(0x71), LocalTee(2), Load(I32Load, 0), Op(Drop), Br(0))

	return []bomb{
		{"none", smallGuest(), ""},
		{"endless loop", policy().Evaluate(nil, Loop(Void, Br(0)), Op(Unreachable)), "fuel"},
		{"call DAG, depth 34", calls.Evaluate(nil, Call(top), I64Const(0)), "fuel"},
		{"recursion", deep.Evaluate(nil, Call(3), I64Const(0)), "stack"},
		{"recursion, 3,000 operands", high.Evaluate(nil, Call(3), I64Const(0)), "stack"},
		{"memory.grow to the sky", policy().Evaluate(nil, Loop(Void, I32Const(1), MemoryGrow(), Op(Drop), Br(0)), Op(Unreachable)), "fuel"},
		{"table.grow to the sky", table.Evaluate(nil, Loop(Void, Op(0xd0, FuncRef), I32Const(40_000), Misc(15, 0), Op(Drop), Br(0)), Op(Unreachable)), "fuel"},
		{"memory.fill, all of it", wide().Evaluate(nil, Loop(Void, I32Const(0), I32Const(1), I32Const(size), Fill(), Br(0)), Op(Unreachable)), "fuel"},
		{"memory.copy, all of it", wide().Evaluate(nil, Loop(Void, I32Const(8), I32Const(0), I32Const(size-8), Copy(), Br(0)), Op(Unreachable)), "fuel"},
		{"cache misses", wide().Evaluate(Types{I32}, chase, Op(Unreachable)), "fuel"},
		{"log flood", prints.Evaluate(nil, Loop(Void, I32Const(1), I32Const(100), I32Const(1), I32Const(200), Call(write), Op(Drop), Br(0)), Op(Unreachable)), "fuel"},
		{"trap: unreachable", policy().Evaluate(nil, Op(Unreachable)), "trap"},
		{"trap: division", policy().Evaluate(nil, I32Const(1), I32Const(0), Op(I32DivU, Drop), I64Const(0)), "trap"},
		{"trap: wild load", policy().Evaluate(nil, I32Const(-1), Load(I64Load, 0xffffffff)), "trap"},
		{"output out of bounds", policy().Evaluate(nil, Pack(0xfffffff0, 100)), "output"},
		{"1 MB of output", wide().Evaluate(nil, Pack(0, 1<<20)), "output"},
		{"output overlaps the input", policy().Evaluate(nil, Pack(1000, 1000)), ""},
		{"start function", start.Evaluate(nil, I64Const(0)), "refused"},
		{"import with an odd name", Policy(odd).Evaluate(nil, I64Const(0)), "refused"},
		{"4 billion imports in 14 bytes", Code(Header(), Section(2, []byte{0xff, 0xff, 0xff, 0xff, 0x0f})), "refused"},
		{"40,000 nested blocks", policy().Evaluate(nil, times(40_000, Op(2, Void)), times(40_000, Op(End)), I64Const(0)), "refused"},
		{"br_table of 100,000", policy().Evaluate(nil, I32Const(0), Op(0x0e), Uint(100_000), make([]byte, 100_001), Op(Unreachable)), "refused"},
		{"phi-heavy function", policy().Evaluate(phi, times(2000, Block(Void)), I64Const(0)), "refused"},
		{"50,000 functions", functions.Evaluate(nil, I64Const(0)), "refused"},
		{"210,000 data segments", data.Evaluate(nil, I64Const(0)), "refused"},
		{"60,000 elements", elements.Evaluate(nil, I64Const(0)), "refused"},
		{"name section with a huge count", name.Evaluate(nil, Echo()), ""},
	}
}

// drop loads and calls a bomb and tells what became of it.
func drop(r *Runtime, wasm []byte) (outcome string, err error) {
	m, err := r.Load(context.Background(), wasm)
	var refused *RefusedError
	if errors.As(err, &refused) {
		return "refused", nil
	}
	if err != nil {
		return "", err
	}
	defer m.Close(context.Background())
	_, err = m.Call(context.Background(), []byte("in"), CallOptions{})
	var failed *CallError
	if errors.As(err, &failed) {
		return string(failed.Kind), nil
	}
	return "", err
}

// neighbours are eight clients with an ordinary module.
type neighbours struct {
	stop atomic.Bool
	wg   sync.WaitGroup
	mu   sync.Mutex
	took []time.Duration
	errs []error
}

func (n *neighbours) run(m *Module) {
	for range 8 {
		n.wg.Go(func() {
			for !n.stop.Load() {
				started := time.Now()
				_, err := m.Call(context.Background(), benchInput, CallOptions{})
				d := time.Since(started)
				n.mu.Lock()
				n.took = append(n.took, d)
				if err != nil {
					n.errs = append(n.errs, err)
				}
				n.mu.Unlock()
				time.Sleep(time.Millisecond) // a client's own work
			}
		})
	}
}

// end stops the clients and gives their 99th percentile.
func (n *neighbours) end() time.Duration {
	n.stop.Store(true)
	n.wg.Wait()
	slices.Sort(n.took)
	if len(n.took) == 0 {
		return 0
	}
	return n.took[len(n.took)*99/100]
}

// resident is the process's memory in bytes, 0 where the kernel does not tell.
func resident() int {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, pages int
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		return 0
	}
	return pages * os.Getpagesize()
}

// seen is what pauses has found.
type seen struct {
	longest time.Duration // between two ticks
	peak    int           // memory in bytes
}

// pauses ticks each millisecond, with a garbage collection now and then.
func pauses(stop chan struct{}) (s seen) {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	last := time.Now()
	for k := 0; ; k++ {
		select {
		case <-stop:
			return s
		case now := <-ticker.C:
			s.longest = max(s.longest, now.Sub(last))
			last = now
			if k%10 == 0 {
				s.peak = max(s.peak, resident())
			}
			if k%50 == 0 {
				runtime.GC()
			}
		}
	}
}

// TestBombs drops each bomb several times, 16 at once, beside ordinary clients,
// and prints what it cost. With -bombs=0 the clients are alone.
func TestBombs(t *testing.T) {
	var out strings.Builder
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "bomb\toutcome\tmedian\tslowest\tlongest pause\tmemory\tothers' p99")
	r := newRuntime(t, Limits{})
	good := load(t, r, smallGuest())
	for _, b := range bombs() {
		var others neighbours
		others.run(good)
		runtime.GC()
		before := resident()
		stop, found := make(chan struct{}), make(chan seen)
		go func() { found <- pauses(stop) }()

		var wg sync.WaitGroup
		var mu sync.Mutex
		var took []time.Duration
		slots := make(chan struct{}, 16)
		for range *bombTimes {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				started := time.Now()
				outcome, err := drop(r, b.wasm)
				mu.Lock()
				defer mu.Unlock()
				took = append(took, time.Since(started))
				if err != nil || outcome != b.want {
					t.Errorf("%s: %q %v, want %q", b.name, outcome, err, b.want)
				}
			})
		}
		wg.Wait()
		close(stop)
		ticks := <-found
		p99 := others.end()
		for _, err := range others.errs {
			t.Errorf("%s: an ordinary call beside it failed: %v", b.name, err)
		}
		slices.Sort(took)
		if len(took) > 0 {
			fmt.Fprintf(table, "%s\t%s\t%v\t%v\t%v\t%+d MiB\t%v\n", b.name, b.want, took[len(took)/2].Round(time.Microsecond),
				took[len(took)-1].Round(time.Microsecond), ticks.longest.Round(time.Microsecond), max(ticks.peak-before, 0)>>20, p99)
		}
	}
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + out.String())
}
