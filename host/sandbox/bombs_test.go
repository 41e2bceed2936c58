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

// collect forces a garbage collection now and then: that stops the world, which has
// to wait for whatever cannot be stopped.
func collect(stop chan struct{}) {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
			runtime.GC()
		}
	}
}

// pauses ticks each millisecond.
func pauses(stop chan struct{}) (s seen) {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	last := time.Now()
	for k := 0; ; k++ {
		select {
		case <-stop:
			return s
		case <-ticker.C:
			now := time.Now()
			s.longest = max(s.longest, now.Sub(last))
			last = now
			if k%10 == 0 {
				s.peak = max(s.peak, resident())
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
	for _, b := range Bombs(Manifest) {
		var others neighbours
		others.run(good)
		runtime.GC()
		before := resident()
		stop, found := make(chan struct{}), make(chan seen)
		go func() { found <- pauses(stop) }()
		go collect(stop)

		var wg sync.WaitGroup
		var mu sync.Mutex
		var took []time.Duration
		slots := make(chan struct{}, 16)
		for range *bombTimes {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				started := time.Now()
				outcome, err := drop(r, b.Wasm)
				mu.Lock()
				defer mu.Unlock()
				took = append(took, time.Since(started))
				if err != nil || outcome != b.Outcome {
					t.Errorf("%s: %q %v, want %q", b.Name, outcome, err, b.Outcome)
				}
			})
		}
		wg.Wait()
		close(stop)
		ticks := <-found
		p99 := others.end()
		for _, err := range others.errs {
			t.Errorf("%s: an ordinary call beside it failed: %v", b.Name, err)
		}
		slices.Sort(took)
		if len(took) > 0 {
			fmt.Fprintf(table, "%s\t%s\t%v\t%v\t%v\t%+d MiB\t%v\n", b.Name, b.Outcome, took[len(took)/2].Round(time.Microsecond),
				took[len(took)-1].Round(time.Microsecond), ticks.longest.Round(time.Microsecond), max(ticks.peak-before, 0)>>20, p99)
		}
	}
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + out.String())
}
