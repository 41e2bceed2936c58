package event

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/interlock-run/interlock/host/prefect"
)

const (
	// receiptTime is how long a run waits in the connection of a worker that is
	// too busy to take it, before another worker may have it.
	receiptTime = 30 * time.Second
	// pongTime is how long a worker may take to show that it is alive.
	pongTime = 30 * time.Second
	// statusProtocol is the close code of the reference for a message that the
	// protocol has no place for.
	statusProtocol websocket.StatusCode = 4001
)

// TaskRuns serves GET /api/task_runs/subscriptions/scheduled: a task worker says
// which task keys it serves, and then gets their runs one by one, the next when
// it has acknowledged the one before. What was sent and not acknowledged goes
// back to the front of its queue when the connection ends.
func (s *Sockets) TaskRuns(w http.ResponseWriter, r *http.Request) {
	s.serve(w, r, false, nil, s.sendTaskRuns)
}

func (s *Sockets) sendTaskRuns(ctx context.Context, c *socket) {
	var m struct {
		Type     string   `json:"type"`
		Keys     []string `json:"keys"`
		ClientID string   `json:"client_id"`
	}
	reason := ""
	switch err := readMessage(ctx, c, &m); {
	case err != nil || m.Type != "subscribe":
		reason = "Protocol violation: expected 'subscribe' message"
	case len(m.Keys) == 0:
		reason = "Protocol violation: expected 'keys' in subscribe message"
	case m.ClientID == "":
		reason = "Protocol violation: expected 'client_id' in subscribe message"
	}
	if reason != "" {
		c.Close(statusProtocol, reason)
		return
	}
	worker := &taskWorker{id: m.ClientID, keys: m.Keys}
	defer s.tasks.forget(worker)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d := &delivery{s: s, c: c, replies: make(chan string, 1)}
	var reader sync.WaitGroup
	reader.Go(func() {
		defer cancel()
		d.read(ctx)
	})
	for d.one(ctx, worker) {
	}
	c.CloseNow() // ends the reader
	reader.Wait()
}

// delivery is the traffic of one subscription.
type delivery struct {
	s       *Sockets
	c       *socket
	replies chan string // types of messages
}

// read takes what the worker sends until the connection ends. It must run all
// the time: it is what notices that the worker went away.
func (d *delivery) read(ctx context.Context) {
	defer close(d.replies)
	for {
		kind, b, err := d.c.Read(ctx)
		if err != nil {
			return
		}
		var m struct {
			Type string `json:"type"`
		}
		if kind != websocket.MessageText || json.Unmarshal(b, &m) != nil {
			m.Type = ""
		}
		select {
		case d.replies <- m.Type:
		default: // it answers more than it was asked
			d.c.Close(statusProtocol, "Protocol violation: unexpected message")
			return
		}
	}
}

// one waits for a run, sends it and has the claim settled. It returns false when
// the subscription has ended.
func (d *delivery) one(ctx context.Context, w *taskWorker) bool {
	claim, err := d.s.tasks.next(ctx, w, d.failed)
	if err != nil {
		return false
	}
	var reply string
	switch {
	case len(d.replies) > 0:
		reply = "unasked" // and no receipt of what is not sent yet
	case write(ctx, d.c, d.s.encode(nil, claim.Run, d.s.now())) == nil:
		reply = d.reply(ctx)
	}
	d.s.tasks.settle(ctx, claim, reply == "ack", d.failed)
	switch reply {
	case "ack":
		return true
	case "quit":
		d.c.Close(websocket.StatusNormalClosure, "")
	case "": // the connection has ended
	default:
		d.c.Close(statusProtocol, "Protocol violation: expected 'ack' message")
	}
	return false
}

// reply waits for the worker's answer and returns its type, "" if the connection
// ended without one. A worker that has no room for the run leaves it in its
// connection; after a while it is cut off, so that another can have the run.
// Whether it has taken the run in that very moment is certain: a worker that
// answers the closing has sent its receipt before, or finds that it cannot.
func (d *delivery) reply(ctx context.Context) string {
	timer := time.NewTimer(d.s.receiptTime)
	defer timer.Stop()
	select {
	case reply := <-d.replies:
		return reply
	case <-timer.C:
	}
	// Not before it is known to listen: one that hangs would wake up with the run
	// in its hands, and without having heard that it lost it.
	alive, cancel := context.WithTimeout(ctx, pongTime)
	defer cancel()
	if d.c.Ping(alive) != nil {
		d.c.CloseNow()
	} else if len(d.replies) == 0 {
		d.c.Close(websocket.StatusTryAgainLater, "the run was not taken in time")
	}
	return <-d.replies
}

func (d *delivery) failed(err error) {
	d.s.logger.Error("the task queues cannot be used", "error", err)
}

// TaskRunEncoder appends the JSON of a task run, as the API has it, to b.
type TaskRunEncoder func(b []byte, run *prefect.TaskRun, now prefect.Time) []byte
