package bombs

import (
	"context"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	thinking = 3 * time.Millisecond   // a client's own work between two requests
	volley   = 120 * time.Millisecond // from one to the next, whether or not they are of bombs
)

// shot is what one of those who meet a bomb does; it returns how long it took.
type shot func(t *testing.T) time.Duration

// figures are what was seen while something went on.
type figures struct {
	vitals
	took    []time.Duration // of the shots
	others  []time.Duration // of the clients' requests
	foreign float64         // processors that others on this machine, or its host, took
}

// measure fires shots, so many at once, or none, beside the clients.
func (s *server) measure(t *testing.T, volleys int, shots []shot) (f figures) {
	t.Helper()
	used := s.order(t).CPU + cpu(syscall.RUSAGE_SELF)
	machine, began := busy(), time.Now()
	ctx, stop := context.WithCancel(t.Context())
	var mu sync.Mutex
	var beside sync.WaitGroup
	for range clients {
		beside.Go(func() {
			took := s.work(t, ctx)
			mu.Lock()
			defer mu.Unlock()
			f.others = append(f.others, took...)
		})
	}
	for k := range volleys {
		var doing sync.WaitGroup
		for _, fire := range shots[min(k*atOnce, len(shots)):min((k+1)*atOnce, len(shots))] {
			doing.Go(func() {
				took := fire(t)
				mu.Lock()
				defer mu.Unlock()
				f.took = append(f.took, took)
			})
		}
		doing.Wait()
		time.Sleep(time.Until(began.Add(time.Duration(k+1) * volley)))
	}
	stop()
	beside.Wait()
	f.vitals = s.order(t)
	own := f.CPU + cpu(syscall.RUSAGE_SELF) - used
	f.foreign = max(0, float64(busy()-machine-own)/float64(time.Since(began)))
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
// doing. Where the kernel shares out processors by sessions, the session is asked
// for, until the test is over.
func favour(t *testing.T) bool {
	const much, group = -15, "/proc/self/autogroup" // which reads as /autogroup-12 nice 0
	nice := func(n string) error { return os.WriteFile(group, []byte(n), 0) }
	text, err := os.ReadFile(group)
	_, before, found := strings.Cut(strings.TrimSpace(string(text)), " nice ")
	grouped := err == nil && found && nice(strconv.Itoa(much)) == nil
	if grouped {
		t.Cleanup(func() {
			if err := nice(before); err != nil {
				t.Errorf("this session stays preferred to others: %v", err)
			}
		})
	}
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
