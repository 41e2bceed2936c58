package bombs

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/interlock-run/interlock/host"
	"github.com/interlock-run/interlock/test/rest"
)

// serverArgument is how a process knows that it is the server. Its home, the failures
// that make a quarantine and whether it runs the services follow.
const serverArgument = "interlock-bombs-server"

const gcEvery = 50 * time.Millisecond

// vitals are what a server saw of itself between two of its orders.
type vitals struct {
	Addr   string        // of the first report only
	Pause  time.Duration // longest between two ticks of a millisecond
	Stop   time.Duration // longest that a garbage collection waited for all to stop
	Memory int           // bytes more at the highest point
	CPU    time.Duration // of the server and its children, since it began
}

// serve is main in the server's process: pauses are those of a server alone, not of
// who sends to it. Each line that it reads begins or ends a watch, and is answered
// with a line of vitals.
func serve(args []string, orders io.Reader, out io.Writer) error {
	c := host.DefaultConfig()
	c.Home, c.Port, c.LogLevel = args[0], 0, slog.LevelError
	c.Sandbox.Deadline = 5 * time.Minute // a bomb is to be stopped by what it does, however slow the machine
	var err error
	if c.QuarantineAfter, err = strconv.Atoi(args[1]); err != nil {
		return err
	}
	if c.Services, err = strconv.ParseBool(args[2]); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	running, err := host.New(ctx, c, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- running.Run(ctx) }()
	report := json.NewEncoder(out)
	if err := report.Encode(vitals{Addr: running.Addr()}); err != nil {
		return err
	}
	var w *watch
	for lines := bufio.NewScanner(orders); lines.Scan(); {
		var v vitals
		if w == nil {
			w = begin()
		} else {
			v = w.end()
			w = nil
		}
		v.CPU = cpu(syscall.RUSAGE_SELF) + cpu(syscall.RUSAGE_CHILDREN)
		if err := report.Encode(v); err != nil {
			return err
		}
	}
	stop()
	return <-ended
}

// watch ticks each millisecond and looks at the memory, while garbage collections
// are forced: those stop the world, which has to wait for whatever cannot be
// stopped. The ticks are a goroutine's, since that is what a request is.
type watch struct {
	vitals
	stops  []uint64 // garbage collections by how long they waited, before
	stop   context.CancelFunc
	beside sync.WaitGroup
}

func begin() *watch {
	debug.FreeOSMemory()
	ctx, stop := context.WithCancel(context.Background())
	w := &watch{stop: stop}
	w.stops, _ = stops()
	before := resident()
	w.beside.Go(func() { w.tick(ctx, before) })
	w.beside.Go(func() {
		every(ctx, gcEvery, func(time.Time) { runtime.GC() })
	})
	return w
}

func (w *watch) end() vitals {
	w.stop()
	w.beside.Wait()
	after, bounds := stops()
	for k, n := range after {
		if n > w.stops[k] {
			w.Stop = time.Duration(bounds[k] * float64(time.Second))
		}
	}
	return w.vitals
}

// stops are how many garbage collections waited how long until nothing ran: what
// cannot be stopped makes them wait. A bucket has a lower bound in seconds.
func stops() (counts []uint64, bounds []float64) {
	sample := []metrics.Sample{{Name: "/sched/pauses/stopping/gc:seconds"}}
	metrics.Read(sample)
	h := sample[0].Value.Float64Histogram()
	return slices.Clone(h.Counts), h.Buckets
}

func (w *watch) tick(ctx context.Context, before int) {
	last, k := time.Now(), 0
	every(ctx, time.Millisecond, func(time.Time) {
		now := time.Now()
		w.Pause = max(w.Pause, now.Sub(last))
		last = now
		if k++; k%10 == 0 {
			w.Memory = max(w.Memory, resident()-before)
		}
	})
}

func every(ctx context.Context, d time.Duration, do func(time.Time)) {
	ticker := time.NewTicker(d)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			do(now)
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

// cpu is what processes have taken of processors.
func cpu(who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// server is a server in a process of its own.
type server struct {
	*rest.Client
	flow       string
	quarantine int // failures in a row that make one
	home       string
	process    *exec.Cmd
	orders     io.WriteCloser
	reports    *json.Decoder
	ended      sync.Once
}

// roomInMemory is how many bytes have to be free for a database in memory: clients
// fill some megabytes a second.
const roomInMemory = 4 << 30

// homeInMemory makes a directory for servers in memory, if there is room for it, since
// then what is measured is the processor, and not who else writes to the disk; "" if
// there is none.
func homeInMemory() string {
	var memory syscall.Statfs_t
	if syscall.Statfs("/dev/shm", &memory) != nil || memory.Bavail*uint64(memory.Bsize) < roomInMemory {
		return ""
	}
	dir, err := os.MkdirTemp("/dev/shm", "interlock-bombs-")
	if err != nil {
		return ""
	}
	return dir
}

// newHome makes a directory for one server.
func newHome(t *testing.T, n scale) string {
	t.Helper()
	if n.homes == "" {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(n.homes, "server-")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// start starts a server that puts a module into quarantine after so many failures. Its
// services are the periodic work, or not: then it is like a replica that leaves them to
// another.
func start(t *testing.T, after int, services bool, n scale) *server {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	home := newHome(t, n)
	s := &server{quarantine: after, home: home, process: exec.Command(self, serverArgument, home, strconv.Itoa(after), strconv.FormatBool(services))}
	s.process.Stderr = os.Stderr
	if s.orders, err = s.process.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := s.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close(t) })
	s.reports = json.NewDecoder(out)
	s.Client = rest.New("http://"+s.report(t).Addr, 0)
	var flow struct{ ID string }
	if err := s.Post(t.Context(), "/flows/", map[string]any{"name": "bombs"}, &flow); err != nil {
		t.Fatal(err)
	}
	s.flow = flow.ID
	return s
}

// close ends the server, which has to be there still, and removes its files.
func (s *server) close(t *testing.T) {
	s.ended.Do(func() {
		s.orders.Close()
		if err := s.process.Wait(); err != nil {
			t.Errorf("the server died: %v", err)
		}
		os.RemoveAll(s.home)
	})
}

func (s *server) report(t *testing.T) (v vitals) {
	t.Helper()
	if err := s.reports.Decode(&v); err != nil {
		t.Fatalf("the server died: %v", err)
	}
	return v
}

// order begins a watch, or ends it and gives what was seen.
func (s *server) order(t *testing.T) vitals {
	t.Helper()
	if _, err := fmt.Fprintln(s.orders); err != nil {
		t.Fatalf("the server died: %v", err)
	}
	return s.report(t)
}
