package event

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

const tasksPath = "/api/task_runs/subscriptions/scheduled"

// newTaskServer is a server whose runs are sent as their names.
func newTaskServer(t *testing.T, runs ...string) *server {
	t.Helper()
	store := new(fakeStore)
	s := newServer(t, store, "")
	s.hub.encode = func(b []byte, run *prefect.TaskRun, _ prefect.Time) []byte { return append(b, run.Name...) }
	s.queue(runs...)
	return s
}

// queue puts runs, named key.n, on their queues.
func (s *server) queue(runs ...string) {
	s.store.set(func() {
		for _, name := range runs {
			key, _, _ := strings.Cut(name, ".")
			s.store.queue = append(s.store.queue, &prefect.TaskRun{ID: uuid.New(), Name: name, TaskKey: key})
		}
	})
	s.hub.Notify()
}

// left is how many runs are queued, and how many on their way.
func (s *server) left() (queued, claimed int) {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	return len(s.store.queue), len(s.store.claims)
}

func (s *server) subscribe(worker, keys string) *client {
	s.t.Helper()
	c := s.open(tasksPath, "")
	c.send(`{"type":"subscribe","keys":` + keys + `,"client_id":"` + worker + `"}`)
	return c
}

func (c *client) wantRun(name string) {
	c.t.Helper()
	if got := c.receive(); got != name {
		c.t.Fatalf("received %s, want %s", got, name)
	}
}

func TestTaskWorkersGetTheirRunsOneByOne(t *testing.T) {
	s := newTaskServer(t, "a.1", "c.1", "b.1")
	c := s.subscribe("w", `["a","b"]`)
	c.wantRun("a.1")
	if queued, claimed := s.left(); queued != 2 || claimed != 1 {
		t.Errorf("before the receipt %d runs are queued and %d claimed", queued, claimed)
	}
	c.send(`{"type":"ack"}`)
	c.wantRun("b.1")
	c.send(`{"type":"ack"}`)
	s.queue("a.2")
	c.wantRun("a.2")
	c.send(`{"type":"ack"}`)
	eventually(t, "only the run without a worker is left", func() bool { queued, claimed := s.left(); return queued == 1 && claimed == 0 })
}

func TestRunsOfAWorkerThatIsGoneGoToAnother(t *testing.T) {
	for name, leave := range map[string]func(*client){
		"it dies":         func(c *client) { c.CloseNow() },
		"it closes":       func(c *client) { c.Close(websocket.StatusNormalClosure, "") },
		"it quits":        func(c *client) { c.send(`{"type":"quit"}`); c.closed() },
		"it talks rot":    func(c *client) { c.send(`{"type":"nack"}`); c.closed() },
		"it sends a list": func(c *client) { c.send(`[]`); c.closed() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newTaskServer(t, "a.1")
			first := s.subscribe("first", `["a"]`)
			first.wantRun("a.1")
			second := s.subscribe("second", `["a"]`)
			leave(first)
			second.wantRun("a.1")
			second.send(`{"type":"ack"}`)
			eventually(t, "the run is delivered", func() bool { queued, claimed := s.left(); return queued+claimed == 0 })
		})
	}
}

func TestAReceiptForNothingIsNoReceipt(t *testing.T) {
	s := newTaskServer(t)
	c := s.subscribe("w", `["a"]`)
	c.send(`{"type":"ack"}`)
	if err := c.confirm(); err != nil { // the receipt has been read
		t.Fatal(err)
	}
	s.queue("a.1")
	eventually(t, "the worker is cut off", func() bool { return len(s.hub.TaskWorkers(nil)) == 0 })
	if queued, claimed := s.left(); queued != 1 || claimed != 0 {
		t.Errorf("%d runs are queued, %d claimed", queued, claimed)
	}
}

func TestABusyWorkerDoesNotKeepARunFromOthers(t *testing.T) {
	s := newTaskServer(t)
	s.hub.receiptTime = 50 * time.Millisecond
	busy := s.subscribe("busy", `["a"]`)
	s.queue("a.1")
	busy.wantRun("a.1")
	idle := s.subscribe("idle", `["a"]`)
	if code := busy.closed(); code != websocket.StatusTryAgainLater {
		t.Errorf("the busy worker was closed with %d", code)
	}
	idle.wantRun("a.1")
	idle.send(`{"type":"ack"}`)
	eventually(t, "the run is delivered", func() bool { queued, claimed := s.left(); return queued+claimed == 0 })
}

// TestALateReceiptCounts has a worker take its run in the moment in which the
// server begins to doubt.
func TestALateReceiptCounts(t *testing.T) {
	s := newTaskServer(t, "a.1")
	s.hub.receiptTime = 50 * time.Millisecond
	var conn *websocket.Conn
	pinged := false
	conn, _, err := websocket.Dial(context.Background(), s.url+tasksPath, &websocket.DialOptions{
		Subprotocols: []string{"prefect"},
		OnPingReceived: func(ctx context.Context, _ []byte) bool {
			if !pinged {
				pinged = true
				if err := conn.Write(ctx, websocket.MessageText, []byte(`{"type":"ack"}`)); err != nil {
					t.Error(err)
				}
			}
			return true
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.CloseNow() })
	c := &client{conn, t}
	c.send(`{"type":"auth","token":null}`)
	c.receive()
	c.send(`{"type":"subscribe","keys":["a"],"client_id":"w"}`)
	c.wantRun("a.1")
	done := make(chan string)
	go func() { done <- c.receive() }() // reads the ping
	eventually(t, "the run is delivered", func() bool { queued, claimed := s.left(); return queued+claimed == 0 })
	s.queue("a.2")
	if got := <-done; got != "a.2" {
		t.Errorf("received %s next", got)
	}
	c.send(`{"type":"ack"}`)
}

func TestSubscriptionsThatAreNone(t *testing.T) {
	s := newTaskServer(t)
	for _, message := range []string{
		`{"type":"filter"}`, `[]`, `nothing`, `{"type":"subscribe","client_id":"w"}`, `{"type":"subscribe","keys":[],"client_id":"w"}`,
		`{"type":"subscribe","keys":["a"]}`, `{"type":"subscribe","keys":["a"],"client_id":""}`, `{"type":"subscribe","keys":[1],"client_id":"w"}`,
	} {
		c := s.open(tasksPath, "")
		c.send(message)
		if code := c.closed(); code != 4001 {
			t.Errorf("%s: closed with %d", message, code)
		}
	}
}

func TestTaskWorkersAreListed(t *testing.T) {
	s := newTaskServer(t)
	want := func(keys []string, names ...string) {
		t.Helper()
		eventually(t, "the workers are "+strings.Join(names, ", "), func() bool {
			var got []string
			for _, w := range s.hub.TaskWorkers(keys) {
				got = append(got, w.Identifier+"="+strings.Join(w.TaskKeys, "+"))
			}
			return strings.Join(got, " ") == strings.Join(names, " ")
		})
	}
	want(nil)
	s.subscribe("two", `["b","a"]`)
	s.subscribe("two", `["c","a"]`)
	one := s.subscribe("one", `["a"]`)
	want(nil, "one=a", "two=a+b+c")
	want([]string{"c", "x"}, "two=a+b+c")
	want([]string{"x"})
	one.CloseNow()
	want([]string{"a"}, "two=a+b+c")
}

func TestAStopPutsRunsBack(t *testing.T) {
	s := newTaskServer(t, "a.1")
	c := s.subscribe("w", `["a"]`)
	c.wantRun("a.1")
	closed := make(chan websocket.StatusCode)
	go func() { closed <- c.closed() }()
	s.hub.Stop(context.Background())
	if code := <-closed; code != websocket.StatusServiceRestart {
		t.Errorf("closed with %d", code)
	}
	if queued, claimed := s.left(); queued != 1 || claimed != 0 {
		t.Errorf("%d runs are queued, %d claimed", queued, claimed)
	}
}

func TestHubSweepsTheTaskQueues(t *testing.T) {
	noLeak(t)
	store := &fakeStore{stale: 2*sweepBatch + 1}
	hub := New(Config{Store: store, Logger: quiet()})
	hub.Start(context.Background())
	eventually(t, "all are swept", func() (done bool) {
		store.set(func() { done = store.stale == 0 })
		return done
	})
	hub.Stop(context.Background())
}
