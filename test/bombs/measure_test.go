package bombs

import (
	"context"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	thinking = 3 * time.Millisecond   // a client's own work between two requests
	volley   = 120 * time.Millisecond // from one of the hundred to the next, whether or not they are of bombs
)

// shot is what one of those who meet a bomb does; it returns how long it took.
type shot func(t *testing.T) time.Duration

// figures are what was seen while something went on.
type figures struct {
	vitals
	took    []time.Duration // of the shots
	first   time.Duration   // half of the first volley took no longer
	foreign float64         // processors that others on this machine, or its host, took
}

// measure fires shots beside the clients while the server watches itself.
func (s *server) measure(t *testing.T, volleys int, shots []shot) (f figures) {
	t.Helper()
	used := s.order(t).CPU + cpu(syscall.RUSAGE_SELF)
	machine, began := busy(), time.Now()
	c := s.hire(t)
	f.took = fire(t, cadence{volleys: volleys, every: volley}, shots)
	c.dismiss()
	f.first = quantile(slices.Clone(f.took[:min(atOnce, len(f.took))]), .5)
	f.vitals = s.order(t)
	own := f.CPU + cpu(syscall.RUSAGE_SELF) - used
	f.foreign = max(0, float64(busy()-machine-own)/float64(time.Since(began)))
	return f
}

// cadence is when volleys are fired.
type cadence struct {
	volleys int
	every   time.Duration // but not before all have answered
	tail    time.Duration // at least, from the last answer to the end
}

// fire fires volleys, so many shots at once, and returns how long each shot took.
func fire(t *testing.T, c cadence, shots []shot) (took []time.Duration) {
	began := time.Now()
	var mu sync.Mutex
	for k := range c.volleys {
		var doing sync.WaitGroup
		for _, one := range shots[k*atOnce : (k+1)*atOnce] {
			doing.Go(func() {
				d := one(t)
				mu.Lock()
				defer mu.Unlock()
				took = append(took, d)
			})
		}
		doing.Wait()
		if k == c.volleys-1 {
			time.Sleep(c.tail)
		}
		time.Sleep(time.Until(began.Add(time.Duration(k+1) * c.every)))
	}
	return took
}

// bucket collects how long requests took that began while it was the crew's.
type bucket struct {
	mu   sync.Mutex
	took []time.Duration
}

func (b *bucket) add(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.took = append(b.took, d)
}

// seen is what has been added so far.
func (b *bucket) seen() []time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.took)
}

// crew is the clients at work.
type crew struct {
	into   atomic.Pointer[bucket] // for requests that begin now
	stop   context.CancelFunc
	beside sync.WaitGroup
}

// hire sets clients to work until they are dismissed.
func (s *server) hire(t *testing.T) *crew {
	ctx, stop := context.WithCancel(t.Context())
	c := &crew{stop: stop}
	c.into.Store(&bucket{})
	for range clients {
		c.beside.Go(func() {
			for ctx.Err() == nil {
				s.complete(t, c)
			}
		})
	}
	return c
}

func (c *crew) dismiss() {
	c.stop()
	c.beside.Wait()
}

// complete is what a client does: a run that completes.
func (s *server) complete(t *testing.T, c *crew) {
	timed := func(path string, body, reply any) bool {
		into, began := c.into.Load(), time.Now()
		err := s.Post(t.Context(), path, body, reply)
		into.add(time.Since(began))
		if err != nil {
			t.Errorf("beside a bomb: %s: %v", path, err)
		}
		time.Sleep(thinking)
		return err == nil
	}
	var run struct{ ID string }
	if !timed("/flow_runs/", map[string]any{"flow_id": s.flow, "state": map[string]any{"type": "PENDING"}}, &run) {
		return
	}
	for _, state := range []string{"RUNNING", "COMPLETED"} {
		timed("/flow_runs/"+run.ID+"/set_state", map[string]any{"state": map[string]any{"type": state}}, nil)
	}
}

// busy is what all processes of the machine, and its host, have taken of its
// processors, 0 where the kernel does not tell.
func busy() time.Duration {
	const tick = 10 * time.Millisecond
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	var all time.Duration
	for k, field := range strings.Fields(line) {
		switch k {
		case 1, 2, 3, 6, 7, 8: // user, nice, system, interrupts, and what the machine's host took
			n, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				return 0
			}
			all += time.Duration(n) * tick
		}
	}
	return all
}

// favour asks the kernel to prefer this process and its children to whatever else
// the machine does, and reports whether it did: what others do is not the bombs'
// doing. Where the kernel shares out processors by sessions, it asks for the session.
func favour() bool {
	const much = -15
	grouped := groupNice() != "" && os.WriteFile(autogroup, []byte(strconv.Itoa(much)), 0) == nil
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return grouped
	}
	for _, task := range tasks { // threads to come inherit from those that there are
		id, err := strconv.Atoi(task.Name())
		if err != nil || syscall.Setpriority(syscall.PRIO_PROCESS, id, much) != nil {
			return grouped
		}
	}
	return true
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return round(all[min(int(q*float64(len(all))), len(all)-1)])
}
