package event

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/host/service"
)

// The pace of the relay.
const (
	relayBatch = 200
	relayEvery = time.Second // for rows that nothing notified of: another replica's, or of before a crash
	// relaySettle lets the transitions of a moment share the two transactions of a
	// batch: without it each transition of a lone client would pay for three.
	relaySettle = 50 * time.Millisecond
)

// Relay turns the outbox rows of transitions into events: it stores them,
// publishes them and then deletes the rows. So each event is stored at least
// once, and its id, the state's, makes once more harmless. Rows go in order of
// their sequence numbers, which is the order of a run's transitions.
//
// Several replicas on one database do not lock rows from each other: a
// transition wakes the relay of its own server, and what two relays do take both
// is stored once and published once on each replica's own bus.
type Relay struct {
	store  Outbox
	keeper keeper[*prefect.Event]
	bus    *Bus[*prefect.Event]
	logger *slog.Logger
	now    func() prefect.Time
	loop   *service.Loop
	// published holds the rows that were published and not deleted yet, so that a
	// failed delete does not publish them again. Only the loop uses it.
	published map[int64]struct{}
	names     *relatedCache
}

// NewRelay returns a relay from the store's outbox to the store's events and bus.
func NewRelay(store Outbox, bus *Bus[*prefect.Event], now func() prefect.Time, logger *slog.Logger) *Relay {
	r := &Relay{store: store, keeper: eventKeeper(store.WriteEvents, logger), bus: bus, logger: logger, now: now,
		published: make(map[int64]struct{}), names: newRelatedCache()}
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
	rows, err := r.store.ReadOutboxKind(ctx, prefect.OutboxEvent, relayBatch)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	fresh := make([]orchestrate.OutboxRow, 0, len(rows))
	seqs := make([]int64, len(rows))
	for i, row := range rows {
		seqs[i] = row.Seq
		if _, done := r.published[row.Seq]; !done {
			fresh = append(fresh, row)
		}
	}
	events, err := r.events(ctx, fresh)
	if err != nil {
		return 0, err
	}
	if r.keeper.keep(ctx, events) > 0 {
		return 0, ctx.Err()
	}
	r.bus.Publish(events...)
	for _, row := range fresh {
		r.published[row.Seq] = struct{}{}
	}
	if err := r.store.DeleteOutbox(ctx, seqs); err != nil {
		return 0, err
	}
	for _, seq := range seqs {
		delete(r.published, seq)
	}
	return len(rows), nil
}

// events makes the events of rows. A row that cannot be read is logged and makes
// none: it is deleted with the others, since it will not get better.
func (r *Relay) events(ctx context.Context, rows []orchestrate.OutboxRow) ([]*prefect.Event, error) {
	changes := make([]*prefect.FlowRunStateChange, 0, len(rows))
	for _, row := range rows {
		var c prefect.FlowRunStateChange
		if err := json.Unmarshal(row.Payload, &c); err != nil {
			r.logger.Error("dropped an outbox row that cannot be read", "seq", row.Seq, "key", row.Key, "error", err)
			continue
		}
		changes = append(changes, &c)
	}
	now := r.now()
	names, err := r.names.read(ctx, r.store, changes, now)
	if err != nil {
		return nil, err
	}
	events := make([]*prefect.Event, len(changes))
	for i, c := range changes {
		events[i] = flowRunEvent(c, names, now)
	}
	return events, nil
}
