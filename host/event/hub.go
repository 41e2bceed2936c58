package event

import (
	"context"
	"log/slog"
	"time"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/host/service"
)

// Config is what a [Hub] is made of. Zero fields get their default.
type Config struct {
	Store   Store // required
	Logger  *slog.Logger
	Now     func() prefect.Time
	Limits  prefect.EventLimits // DefaultEventLimits
	Auth    string              // "user:password" that websocket clients must send; "" for none
	Origins []string            // of browser pages that may connect, besides the server's own; "*" is all
	TaskRun TaskRunEncoder      // how task workers get their runs; nil: as {}
	NoRelay bool                // leave the outbox and the sweep of the task queues to other replicas (--no-services)
}

// Hub is the package in one piece: the way in, the relay of transitions, and the
// way out. Start it before requests are served, and stop it after the HTTP
// server, before the store is closed.
//
// The API mounts, outside of HTTP authentication and CSRF checks,
//
//	GET /api/events/in                          EventsIn  (websocket)
//	GET /api/events/out                         EventsOut (websocket)
//	GET /api/logs/out                           LogsOut   (websocket)
//	GET /api/task_runs/subscriptions/scheduled  TaskRuns  (websocket)
//
// and answers POST /api/events (204) with Receive, POST /api/events/filter with
// Filter, GET /api/events/filter/next with Next, and calls PublishLogs after it
// stored logs. Orchestration calls Notify after a commit that leaves work for
// later.
type Hub struct {
	*Sockets
	relay   *Relay
	sweep   *service.Loop
	noRelay bool
}

// New returns a hub that is not started.
func New(c Config) *Hub {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = systemNow
	}
	if c.Limits == (prefect.EventLimits{}) {
		c.Limits = prefect.DefaultEventLimits()
	}
	if c.TaskRun == nil {
		c.TaskRun = func(b []byte, _ *prefect.TaskRun, _ prefect.Time) []byte { return append(b, "{}"...) }
	}
	events := new(Bus[*prefect.Event])
	return &Hub{
		Sockets: &Sockets{
			auth: c.Auth, origins: patternsOf(c.Origins), limits: c.Limits, now: c.Now, logger: c.Logger,
			intake: NewIntake(c.Store, events, c.Logger), reader: c.Store,
			events: events, logs: new(Bus[*prefect.Log]),
			tasks: &taskQueue{store: c.Store, now: c.Now, poll: queuePoll}, encode: c.TaskRun, receiptTime: receiptTime, drainTime: drainTime,
		},
		relay:   NewRelay(c.Store, events, c.Now, c.Logger),
		sweep:   newSweep(c.Store, c.Logger),
		noRelay: c.NoRelay,
	}
}

// Start begins to store, to relay and to sweep the task queues.
func (h *Hub) Start(ctx context.Context) {
	h.intake.Start()
	if !h.noRelay {
		h.relay.Start(ctx)
		h.sweep.Start(ctx)
	}
}

// Stop closes the websockets, stores what came in, and ends the relay. What the
// store has not taken when ctx ends is lost, and logged. It is safe to call
// twice.
func (h *Hub) Stop(ctx context.Context) {
	h.Sockets.Stop()
	h.intake.Stop(ctx)
	h.relay.Stop()
	h.sweep.Stop()
	h.events.Close()
	h.logs.Close()
}

// Notify says that a transition left work: outbox rows, or a task run on its
// queue. It never blocks.
func (h *Hub) Notify() {
	h.relay.Notify()
	h.tasks.wake()
}

// TaskWorkers returns the task workers that are connected to this server and
// serve one of the task keys, all without any.
func (h *Hub) TaskWorkers(keys []string) []prefect.TaskWorker { return h.tasks.list(keys) }

// Publish stores events that the server itself emits, as if a client had sent
// them. Errors: Unavailable once the hub stops, and ctx's.
func (h *Hub) Publish(ctx context.Context, events ...*prefect.Event) error {
	for _, e := range events {
		if err := h.intake.Submit(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// PublishLogs hands stored logs to the subscribers of logs.
func (h *Hub) PublishLogs(logs []*prefect.Log) { h.logs.Publish(logs...) }

func systemNow() prefect.Time { return prefect.NewTime(time.Now()) }
