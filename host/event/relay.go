package event

import (
	"context"
	"encoding/json"
	"errors"
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
// once, and its id, which the row fixes, makes once more harmless. Rows go in order of
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
	rows, err := r.store.ReadOutbox(ctx, relayBatch, prefect.OutboxEvent, prefect.OutboxPolicyEvent)
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

// promised is what one outbox row promises: the event of a state change, or one
// that a policy asked for.
type promised struct {
	change *prefect.FlowRunStateChange // nil for a policy's event about a task run
	policy *prefect.PolicyEvent
}

func readPromised(row orchestrate.OutboxRow) (p promised, err error) {
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
func (r *Relay) events(ctx context.Context, rows []orchestrate.OutboxRow) ([]*prefect.Event, error) {
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
	events := make([]*prefect.Event, len(all))
	for i, p := range all {
		if p.policy != nil {
			events[i] = policyEvent(p.policy, names, now)
		} else {
			events[i] = flowRunEvent(p.change, names, now)
		}
	}
	return events, nil
}
