package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
)

// limit is a row of concurrency_limit_v2 as facts have it.
type limit struct {
	ID     uuid.UUID `json:"id"`
	Tag    string    `json:"tag,omitempty"`
	Limit  int       `json:"limit"`
	Active bool      `json:"active"`
	Used   int       `json:"used"`
	Mine   int       `json:"mine"` // of used, what the run holds
	// Average is there for tag limits only.
	Average *float64 `json:"avg_slot_occupancy_seconds,omitempty"`
}

// used is how many slots of a limit l are taken, less those that have decayed. It
// takes the time that counts.
func (r *factReader) used() string {
	least, floor := r.d.pick("max", "greatest"), r.d.pick("CAST(%s AS integer)", "floor(%s)")
	gone := fmt.Sprintf(floor, "l.slot_decay_per_second * "+r.d.secondsBetween("?", "l.updated"))
	return fmt.Sprintf("CAST(%s(0, l.active_slots - %s) AS integer)", least, gone)
}

// mine is how many slots of a limit l the run holds. It takes the run's id.
const mine = `CAST((SELECT coalesce(sum(e.slots), 0) FROM interlock_slot_lease e
	JOIN interlock_slot_holding h ON h.lease_id = e.id WHERE h.limit_id = l.id AND e.holder_id = ?) AS integer)`

func (r *factReader) deployment(ctx context.Context, id uuid.UUID) (any, error) {
	var limitID *uuid.UUID
	var size, used *int
	var active *bool
	var held int
	var options json.RawMessage
	err := r.q.QueryRowContext(ctx, `SELECT d.concurrency_options, l.id, l."limit", l.active, `+r.used()+", "+mine+` FROM deployment d
		LEFT JOIN concurrency_limit_v2 l ON l.id = d.concurrency_limit_id WHERE d.id = ?`, r.d.args(r.keys.Now, r.keys.RunID, id)...).
		Scan(into(&options), into(&limitID), &size, &active, &used, &held)
	if err != nil {
		return nil, err
	}
	o := struct {
		CollisionStrategy  string   `json:"collision_strategy"`
		GracePeriodSeconds *float64 `json:"grace_period_seconds"`
	}{CollisionStrategy: "ENQUEUE"}
	if len(options) > 0 {
		if err := json.Unmarshal(options, &o); err != nil {
			return nil, err
		}
	}
	fact := map[string]any{"id": id, "found": true, "limit": nil,
		"collision_strategy": o.CollisionStrategy, "grace_period_seconds": o.GracePeriodSeconds}
	if limitID != nil {
		fact["limit"] = limit{ID: *limitID, Limit: *size, Active: *active, Used: *used, Mine: held}
	}
	return fact, nil
}

func (r *factReader) tagLimits(ctx context.Context) (any, error) {
	names := r.d.tagLimitNames(r.keys.Tags)
	if len(names) == 0 {
		return []limit{}, nil
	}
	where, arg := r.d.anyKey("l.name", names)
	return all(ctx, r.q, func(row scanner) (l limit, err error) {
		err = row.Scan(into(&l.ID), &l.Tag, &l.Limit, &l.Active, &l.Used, &l.Mine, &l.Average)
		l.Tag = strings.TrimPrefix(l.Tag, tagPrefix)
		return l, err
	}, `SELECT l.id, l.name, l."limit", l.active, `+r.used()+", "+mine+`, l.avg_slot_occupancy_seconds FROM concurrency_limit_v2 l
		WHERE `+where+" ORDER BY l.name", append(r.d.args(r.keys.Now, r.keys.RunID), arg)...)
}

// runSlot is a holding of the run, or the lease that its state names in vain.
type runSlot struct {
	LeaseID   uuid.UUID     `json:"lease_id"`
	LimitID   *uuid.UUID    `json:"limit_id"`
	Slots     int           `json:"slots"`
	ExpiresAt *prefect.Time `json:"expires_at"`
	Held      bool          `json:"held"`
}

// runSlots are the slots that the run holds; null, without a read, for a run that
// has nothing to hold slots for.
func (r *factReader) runSlots(ctx context.Context) (any, error) {
	if r.keys.DeploymentID == nil && len(r.keys.Tags) == 0 && r.keys.LeaseID == nil {
		return nil, nil
	}
	named := false
	list, err := all(ctx, r.q, func(row scanner) (s runSlot, err error) {
		err = row.Scan(into(&s.LeaseID), into(&s.LimitID), &s.Slots, into(&s.ExpiresAt))
		s.Held = true
		named = named || r.keys.LeaseID != nil && s.LeaseID == *r.keys.LeaseID
		return s, err
	}, `SELECT l.id, h.limit_id, l.slots, l.expires FROM interlock_slot_lease l
		LEFT JOIN interlock_slot_holding h ON h.lease_id = l.id WHERE l.holder_id = ? ORDER BY l.created, l.id, h.limit_id`, r.d.arg(r.keys.RunID))
	if r.keys.LeaseID != nil && !named {
		list = append(list, runSlot{LeaseID: *r.keys.LeaseID})
	}
	return list, err
}

// lockFacts keeps others from the limits that facts are about until the
// transaction ends, in the order of their ids: who reads them under the lock of
// the run cannot lose a race for their slots.
func lockFacts(ctx context.Context, tx *tx, keys orchestrate.FactKeys) error {
	if !tx.d.postgres || !slices.ContainsFunc(keys.Names, func(name string) bool {
		return name == "deployment" || name == "run_slots" || name == "tag_limits"
	}) {
		return nil
	}
	where, args := `l.id IN (SELECT h.limit_id FROM interlock_slot_holding h JOIN interlock_slot_lease e ON e.id = h.lease_id WHERE e.holder_id = ?)
		OR l.id = (SELECT concurrency_limit_id FROM deployment WHERE id = ?)`, tx.d.args(keys.RunID, keys.DeploymentID)
	if names := tx.d.tagLimitNames(keys.Tags); len(names) > 0 {
		named, arg := tx.d.anyKey("l.name", names)
		where += " OR " + named
		args = append(args, arg)
	}
	_, err := all(ctx, tx, scanText, "SELECT l.id FROM concurrency_limit_v2 l WHERE "+where+" ORDER BY l.id"+tx.d.lock("l"), args...)
	return wrapf(err, "lock limits")
}
