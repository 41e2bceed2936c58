package bombs

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/interlock-run/interlock/host/sandbox/wasmtest"
)

const (
	thinking = 5 * time.Millisecond // a client's own work between two requests
	gcEvery  = 50 * time.Millisecond
)

// figures are what was seen while something went on.
type figures struct {
	took   []time.Duration // of what was done
	others []time.Duration // of the clients' requests
	pause  time.Duration   // longest between two ticks of a millisecond
	memory int             // bytes more at the highest point
}

func (f *figures) add(o figures) {
	f.took, f.others = append(f.took, o.took...), append(f.others, o.others...)
	f.pause, f.memory = max(f.pause, o.pause), max(f.memory, o.memory)
}

// row is a line of the table.
const row = "%-40s %-9v %10v %10v %10v %10v %9v %12v %10v\n"

func (f *figures) print(b wasmtest.Bomb, without *figures) {
	fmt.Printf(row, b.Name, expected(b), quantile(f.took, .5), quantile(f.took, 1), round(f.pause), round(without.pause),
		fmt.Sprintf("%+d MiB", f.memory>>20), quantile(f.others, .99), quantile(without.others, .99))
}

// extremes are the worst figures of a table, each with the bomb that they are of.
type extremes struct {
	pause, memory, p99 string
	longest            time.Duration
	most               int
	slower             float64
}

func (e *extremes) note(b wasmtest.Bomb, with, without *figures) {
	if with.pause > e.longest {
		e.longest, e.pause = with.pause, b.Name
	}
	if with.memory > e.most {
		e.most, e.memory = with.memory, b.Name
	}
	if before := quantile(without.others, .99); before > 0 {
		if slower := float64(quantile(with.others, .99)) / float64(before); slower > e.slower {
			e.slower, e.p99 = slower, b.Name
		}
	}
}

func (e *extremes) String() string {
	return fmt.Sprintf("longest pause %v (%s), most memory %+d MiB (%s), others' p99 at most %.2f times that without (%s)",
		round(e.longest), e.pause, e.most>>20, e.memory, e.slower, e.p99)
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return round(all[min(int(q*float64(len(all))), len(all)-1)])
}

// measure does something so many times, 16 at once, beside the clients.
func (s *server) measure(t *testing.T, times int, do func(*testing.T) time.Duration) figures {
	t.Helper()
	var f figures
	debug.FreeOSMemory()
	before := resident()
	ctx, stop := context.WithCancel(t.Context())
	var beside sync.WaitGroup
	beside.Go(func() { f.watch(ctx, before) })
	beside.Go(func() { collect(ctx) })
	var mu sync.Mutex
	for range clients {
		beside.Go(func() {
			took := s.work(t, ctx)
			mu.Lock()
			defer mu.Unlock()
			f.others = append(f.others, took...)
		})
	}
	slots := make(chan struct{}, atOnce)
	var doing sync.WaitGroup
	for range times {
		slots <- struct{}{}
		doing.Go(func() {
			defer func() { <-slots }()
			took := do(t)
			mu.Lock()
			defer mu.Unlock()
			f.took = append(f.took, took)
		})
	}
	doing.Wait()
	stop()
	beside.Wait()
	return f
}

// work is a client: runs that complete, one after the other.
func (s *server) work(t *testing.T, ctx context.Context) (took []time.Duration) {
	timed := func(path string, body, reply any) bool {
		began := time.Now()
		err := s.Post(t.Context(), path, body, reply)
		took = append(took, time.Since(began))
		if err != nil {
			t.Errorf("beside a bomb: %s: %v", path, err)
		}
		time.Sleep(thinking)
		return err == nil
	}
	for ctx.Err() == nil {
		var run struct{ ID string }
		if !timed("/flow_runs/", map[string]any{"flow_id": s.flow, "state": map[string]any{"type": "PENDING"}}, &run) {
			continue
		}
		for _, state := range []string{"RUNNING", "COMPLETED"} {
			timed("/flow_runs/"+run.ID+"/set_state", map[string]any{"state": map[string]any{"type": state}}, nil)
		}
	}
	return took
}

// collect forces a garbage collection now and then: that stops the world, which has
// to wait for whatever cannot be stopped.
func collect(ctx context.Context) {
	ticker := time.NewTicker(gcEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			runtime.GC()
		}
	}
}

// watch ticks each millisecond.
func (f *figures) watch(ctx context.Context, before int) {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	last := time.Now()
	for k := 0; ; k++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			now := time.Now()
			f.pause = max(f.pause, now.Sub(last))
			last = now
			if k%10 == 0 {
				f.memory = max(f.memory, resident()-before)
			}
		}
	}
}

// resident is the process's memory in bytes, 0 where the kernel does not tell.
func resident() int {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0
	}
	return pages * os.Getpagesize()
}
