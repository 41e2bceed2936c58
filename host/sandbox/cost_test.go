package sandbox

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/interlock-run/interlock/host/sandbox/meter"
	"github.com/interlock-run/interlock/host/sandbox/wasm"
	"github.com/interlock-run/interlock/test/guests"
)

// What BenchmarkCost takes its figures from. The ways to call take turns, so that
// what else the machine does is the same for all; of the rounds the median is
// told, and the least, which is what a quiet machine would come to.
const (
	costRounds    = 40
	costBatch     = 5 * time.Millisecond
	costLoads     = 7
	costInstances = 128
)

// What a call in the sandbox shall take at most, on a machine on which plain wazero
// takes so long for a small guest in C of the same rule.
const (
	aimGo        = 17 * time.Microsecond
	aimSmall     = 5 * time.Microsecond
	aimYardstick = 1950 * time.Nanosecond
)

// BenchmarkCost prints what guests of several languages cost that decide the same:
// a call by wazero alone, with its own option for termination, metered, and with
// all of the sandbox; and what loading and keeping them takes. A language whose
// compiler is missing is left out.
func BenchmarkCost(b *testing.B) {
	in, err := os.ReadFile("testdata/context.json")
	if err != nil {
		b.Fatal(err)
	}
	in = bytes.TrimSpace(in)
	fmt.Printf("\n## The sandbox: RetryFailedFlows on a context of %d bytes\n\n", len(in))
	fmt.Println("µs a call: median (least) of rounds that took turns. The guest in Go has all built-in rules, those in C and Rust the one.")
	fmt.Println("\n| | " + strings.Join(callColumns, " | ") + " | metered : plain | sandbox : plain |\n|" + strings.Repeat("---|", len(callColumns)+3))
	var rows []string
	var yardstick time.Duration
	for _, g := range guests.All() {
		bytes, err := g.Build(context.Background())
		if err != nil {
			rows = append(rows, fmt.Sprintf("\n%s is left out: %s", g.Name, firstLine(err)))
			continue
		}
		plain := callRow(b, g.Name, bytes, in)
		if g.Name == "C" {
			yardstick = plain
		}
		rows = append(rows, loadRow(b, g.Name, bytes, in))
	}
	if yardstick > 0 {
		fmt.Printf("\nHow fast this machine is: the guest in C takes %s µs in plain wazero, a small one of the same rule took %s where the aims were set,\n"+
			"which are %s µs in the sandbox for Go and %s for C and Rust: %.1f times as long.\n",
			micros(yardstick), micros(aimYardstick), micros(aimGo), micros(aimSmall), float64(yardstick)/float64(aimYardstick))
	}
	fmt.Println("\n| | bytes | metered | load, compiling | load from the cache | instantiate | KiB an instance in the pool | asleep | µs a call that wakes it | fuel a call |\n|---|---|---|---|---|---|---|---|---|---|")
	fmt.Println(strings.Join(rows, "\n"))
}

var callColumns = []string{"plain wazero", "wazero's option", "metered", "sandbox"}

// callRow measures and prints the calls of one guest, and returns the median of plain
// ones.
func callRow(b *testing.B, name string, bytes, in []byte) time.Duration {
	plain := newPlain(b, bytes, wazero.NewRuntimeConfigCompiler())
	option := newPlain(b, bytes, wazero.NewRuntimeConfigCompiler().WithCloseOnContextDone(true))
	counted := newPlain(b, meteredBytes(b, bytes), wazero.NewRuntimeConfigCompiler())
	boxed := load(b, newRuntime(b, Limits{}), bytes)
	ways := []func(){
		func() { plain.call(b, plain.ctx, in) },
		func() {
			ctx, cancel := context.WithTimeout(option.ctx, time.Second)
			option.call(b, ctx, in)
			cancel()
		},
		func() { counted.call(b, counted.ctx, in) },
		func() {
			if _, err := boxed.Call(context.Background(), in, CallOptions{}); err != nil {
				b.Fatal(err)
			}
		},
	}
	took := make([][]time.Duration, len(ways))
	for range costRounds {
		for k, call := range ways {
			took[k] = append(took[k], perCall(call))
		}
	}
	cells := []string{name}
	for k := range ways {
		slices.Sort(took[k])
		cells = append(cells, fmt.Sprintf("%s (%s)", micros(median(took[k])), micros(took[k][0])))
	}
	for _, k := range []int{2, 3} {
		cells = append(cells, fmt.Sprintf("%.2f (%.2f)", float64(median(took[k]))/float64(median(took[0])), float64(took[k][0])/float64(took[0][0])))
	}
	fmt.Println("| " + strings.Join(cells, " | ") + " |")
	return median(took[0])
}

// meteredBytes is a guest that counts its work and needs nobody to look after it.
func meteredBytes(b *testing.B, bytes []byte) []byte {
	m, err := wasm.Decode(bytes, wasm.Caps{})
	if err != nil {
		b.Fatal(err)
	}
	return meter.Rewrite(m, meter.Options{MemoryPages: 4096, TableEntries: 50_000, Slice: slice, Fuel: 1 << 40, Depth: 1 << 20}).Bytes
}

// perCall calls for a while and returns what a call took.
func perCall(call func()) time.Duration {
	calls, started := 0, time.Now()
	for {
		for range 16 {
			call()
		}
		calls += 16
		if took := time.Since(started); took > costBatch {
			return took / time.Duration(calls)
		}
	}
}

func median(sorted []time.Duration) time.Duration { return sorted[len(sorted)/2] }

func micros(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/float64(time.Microsecond)) }

// loadRow measures loading and keeping a guest.
func loadRow(b *testing.B, name string, bytes, in []byte) string {
	dir := b.TempDir()
	measure := func(n int, once func(k int)) string {
		var took []time.Duration
		for k := range n {
			started := time.Now()
			once(k)
			took = append(took, time.Since(started))
		}
		slices.Sort(took)
		return fmt.Sprintf("%.2f ms", float64(median(took))/float64(time.Millisecond))
	}
	loadIn := func(cache string) *Module { return load(b, newRuntimeIn(b, dir+cache, Limits{}), bytes) }
	compiling := measure(3, func(k int) { loadIn(fmt.Sprint("/cold", k)) })
	cached := measure(costLoads, func(int) { loadIn("/cold0") })
	m := loadIn("/cold0")
	instantiate := measure(100, func(int) {
		inst, err := newInstance(context.Background(), m)
		if err != nil {
			b.Fatal(err)
		}
		inst.close()
	})
	p := pooled(b, m, in)
	return fmt.Sprintf("| %s | %d | %d | %s | %s | %s | %.0f | %.0f | %s | %d |", name, len(bytes), len(meteredBytes(b, bytes)), compiling, cached, instantiate,
		p.awake, p.asleep, micros(p.waking), p.fuel)
}

// pool is what instances in the pool cost.
type pool struct {
	awake, asleep float64       // KiB of each
	waking        time.Duration // what the call takes that wakes one
	fuel          uint64
}

// pooled measures instances that have been called and wait in the pool, and that
// sleep there. The first ones are not counted: they fill what gaps the heap has.
func pooled(b *testing.B, m *Module, in []byte) (p pool) {
	call := func(inst *instance) {
		result, failed := inst.evaluate(context.Background(), in, CallOptions{Fuel: m.limits.Fuel, StackBytes: m.limits.StackBytes}, time.Now().Add(time.Minute))
		if failed != nil || !inst.restore(m.snapshot) {
			b.Fatal(failed)
		}
		p.fuel = result.Fuel
	}
	private := func() int {
		debug.FreeOSMemory() // else what is done with would count
		return privateKiB(b)
	}
	held := make([]*instance, 2*costInstances)
	before := 0
	for k := range held {
		if k == costInstances {
			before = private()
		}
		inst, err := newInstance(context.Background(), m)
		if err != nil {
			b.Fatal(err)
		}
		call(inst)
		held[k] = inst
	}
	p.awake = float64(private()-before) / costInstances
	for _, inst := range held[costInstances:] {
		inst.sleep(m.snapshot)
	}
	p.asleep = float64(private()-before) / costInstances
	var took []time.Duration
	for _, inst := range held[costInstances:] {
		started := time.Now()
		inst.wake()
		call(inst)
		took = append(took, time.Since(started))
	}
	slices.Sort(took)
	p.waking = median(took)
	for _, inst := range held {
		inst.close()
	}
	return p
}

// privateKiB is the memory that this process does not share, with its page tables,
// where the system tells; else 0.
func privateKiB(b *testing.B) (kib int) {
	for file, format := range map[string]string{"smaps_rollup": "Anonymous: %d kB", "status": "VmPTE: %d kB"} {
		text, err := os.ReadFile("/proc/self/" + file)
		if err != nil {
			b.Logf("memory is not measured: %v", err)
			return 0
		}
		for line := range strings.Lines(string(text)) {
			var n int
			if _, err := fmt.Sscanf(line, format, &n); err == nil {
				kib += n
			}
		}
	}
	return kib
}
