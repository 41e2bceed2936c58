package event

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/host/service"
)

// The pace of the relay.
const (
	relayBatch = 200
	relayEvery = time.Second // for rows that nothing notified of: another replica's, or of before a crash
	// relaySettle lets the transitions of a moment share a transaction: entries of
	// events that are stored together share pages of SQLite's indexes.
	relaySettle = 200 * time.Millisecond
)

// Relay turns the outbox rows of transitions into events: it stores them and deletes
// the rows, both or neither, and then it publishes them. Rows go in order of their
// sequence numbers, which is the order of a run's transitions.
//
// Several replicas on one database do not lock rows from each other: a
// transition wakes the relay of its own server, and what two relays do take both
// is stored once, as the row fixes its id, and published once on each replica's own
// bus.
type Relay struct {
	store  Outbox
	bus    *Bus[*prefect.Event]
	logger *slog.Logger
	now    func() prefect.Time
	loop   *service.Loop
	names  *relatedCache
}

// relayed is an event and the outbox row that promised it.
type relayed struct {
	event *prefect.Event
	seq   int64
}

// NewRelay returns a relay from the store's outbox to the store's events and bus.
func NewRelay(store Outbox, bus *Bus[*prefect.Event], now func() prefect.Time, logger *slog.Logger) *Relay {
	r := &Relay{store: store, bus: bus, logger: logger, now: now, names: newRelatedCache()}
	r.loop = &service.Loop{Name: "event relay", Every: relayEvery, Settle: relaySettle, Logger: logger, Work: r.drain}
	return r
}

// Start begins to relay; Stop ends it after the batch in progress. Rows that are
// left wait for the next start.
func (r *Relay) Start(ctx context.Context) { r.loop.Start(ctx) }

// Stop ends the relay. It is safe to call twice.
func (r *Relay) Stop() { r.loop.Stop() }

// Notify says that a transition committed outbox rows. It never blocks.
func (r *Relay) Notify() { r.loop.Wake() }

// drain relays batches until a short one.
func (r *Relay) drain(ctx context.Context) (time.Duration, error) {
	for {
		n, err := r.relay(ctx)
		if err != nil || n < relayBatch {
			return 0, err
		}
	}
}

// relay moves one batch and returns how many rows it had.
func (r *Relay) relay(ctx context.Context) (int, error) {
	rows, err := r.store.ReadOutbox(ctx, relayBatch, prefect.OutboxEvent, prefect.OutboxPolicyEvent)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	events, err := r.events(ctx, rows)
	if err != nil {
		return 0, err
	}
	waiting := make(map[int64]struct{}, len(rows))
	for _, row := range rows {
		waiting[row.Seq] = struct{}{}
	}
	if r.keep(ctx, events, waiting) > 0 {
		return 0, ctx.Err()
	}
	// Rows that cannot be read, and those of events that the store refuses.
	return len(rows), r.store.DeleteOutbox(ctx, slices.Collect(maps.Keys(waiting)))
}

// keep stores and publishes events and takes the rows of those from waiting. It
// returns how many it had to leave when ctx ended.
func (r *Relay) keep(ctx context.Context, events []relayed, waiting map[int64]struct{}) (left int) {
	k := keeper[relayed]{what: "event", logger: r.logger, id: func(e relayed) any { return e.event.ID }}
	k.write = func(ctx context.Context, part []relayed) error {
		stored := make([]*prefect.Event, len(part))
		seqs := make([]int64, len(part))
		for i, e := range part {
			stored[i], seqs[i] = e.event, e.seq
		}
		if err := r.store.RelayEvents(ctx, stored, seqs); err != nil {
			return err
		}
		for _, seq := range seqs {
			delete(waiting, seq)
		}
		r.bus.Publish(stored...)
		return nil
	}
	return k.keep(ctx, events)
}

// promised is what one outbox row promises: the event of a state change, or one
// that a policy asked for.
type promised struct {
	seq    int64                       // of the row
	change *prefect.FlowRunStateChange // nil for a policy's event about a task run
	policy *prefect.PolicyEvent
}

func readPromised(row orchestrate.OutboxRow) (p promised, err error) {
	p.seq = row.Seq
	if row.Kind == prefect.OutboxPolicyEvent {
		p.policy = new(prefect.PolicyEvent)
		err = json.Unmarshal(row.Payload, p.policy)
		p.change = p.policy.FlowRun
	} else {
		err = json.Unmarshal(row.Payload, &p.change)
	}
	if err == nil && p.change == nil && (p.policy == nil || p.policy.TaskRun == nil) {
		err = errors.New("it is about no run")
	}
	return p, err
}

// events makes the events of rows. A row that cannot be read is logged and makes
// none: it is deleted with the others, since it will not get better.
func (r *Relay) events(ctx context.Context, rows []orchestrate.OutboxRow) ([]relayed, error) {
	all := make([]promised, 0, len(rows))
	changes := make([]*prefect.FlowRunStateChange, 0, len(rows))
	for _, row := range rows {
		p, err := readPromised(row)
		if err != nil {
			r.logger.Error("dropped an outbox row that cannot be read", "seq", row.Seq, "key", row.Key, "error", err)
			continue
		}
		all = append(all, p)
		if p.change != nil {
			changes = append(changes, p.change)
		}
	}
	now := r.now()
	names, err := r.names.read(ctx, r.store, changes, now)
	if err != nil {
		return nil, err
	}
	events := make([]relayed, len(all))
	for i, p := range all {
		events[i].seq = p.seq
		if p.policy != nil {
			events[i].event = policyEvent(p.policy, names, now)
		} else {
			events[i].event = flowRunEvent(p.change, names, now)
		}
	}
	return events, nil
}
