package store

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
)

// slotEffect is the payload of the effects of slots and leases.
type slotEffect struct {
	LimitIDs []string `json:"limit_ids"`
	Slots    int      `json:"slots"`
	Lease    struct {
		TTLSeconds *float64 `json:"ttl_seconds"`
	} `json:"lease"`
	LeaseID    *uuid.UUID `json:"lease_id"`
	TTLSeconds float64    `json:"ttl_seconds"`
}

func readSlotEffect(e *orchestrate.Effect) (p slotEffect, err error) {
	err = json.Unmarshal(e.Payload, &p)
	slices.Sort(p.LimitIDs)
	p.LimitIDs = slices.Compact(p.LimitIDs)
	return p, err
}

func after(now prefect.Time, seconds float64) prefect.Time {
	return now.Add(time.Duration(seconds * float64(time.Second)))
}

// acquireSlots takes slots for the run of the commit. ok is false when one of
// the limits is not there, not active or has too few free.
func acquireSlots(ctx context.Context, tx *tx, c *orchestrate.Commit, e *orchestrate.Effect) (ok bool, err error) {
	p, err := readSlotEffect(e)
	if err != nil {
		return false, err
	}
	run := runOf(c)
	limits, err := lockLimits(ctx, tx, "id", p.LimitIDs)
	if err != nil {
		return false, err
	}
	// What the run holds already counts once: it is given up for the new lease.
	given, err := heldBy(tx.d, run.id).of(tx.d, p.LimitIDs).release(ctx, tx, false)
	if err != nil {
		return false, err
	}
	if given > 0 {
		if limits, err = lockLimits(ctx, tx, "id", p.LimitIDs); err != nil {
			return false, err
		}
	}
	if len(limits) < len(p.LimitIDs) {
		return false, nil
	}
	for _, l := range limits {
		if !l.Active || l.ActiveSlots+p.Slots > l.Limit {
			return false, nil
		}
		l.ActiveSlots += p.Slots
		if err := updateLimit(ctx, tx, l); err != nil {
			return false, err
		}
	}
	lease := prefect.SlotLease{HolderType: &run.holder, HolderID: &run.id}
	if lease.ID = prefect.NewID(); e.LeaseID != nil {
		lease.ID = *e.LeaseID
	}
	if ttl := p.Lease.TTLSeconds; ttl != nil {
		lease.Expires = after(tx.now(), *ttl).Ptr()
	}
	return true, insertLease(ctx, tx, prefect.SlotRequest{Slots: p.Slots, Lease: &lease}, limits)
}

// releaseSlots gives back what the run holds; there is no condition.
func releaseSlots(ctx context.Context, tx *tx, c *orchestrate.Commit, e *orchestrate.Effect) (bool, error) {
	held, err := releasedBy(tx.d, c, e)
	if err != nil {
		return false, err
	}
	_, err = held.release(ctx, tx, false)
	return true, err
}

// releasedBy selects what a release_slots is about.
func releasedBy(d *dialect, c *orchestrate.Commit, e *orchestrate.Effect) (holdings, error) {
	p, err := readSlotEffect(e)
	if err != nil {
		return holdings{}, err
	}
	held := heldBy(d, runOf(c).id)
	if p.LeaseID != nil {
		held = held.and("l.id = ?", d.arg(p.LeaseID))
	}
	if len(p.LimitIDs) > 0 {
		held = held.of(d, p.LimitIDs)
	}
	return held, nil
}

// renewLease moves the end of a lease. ok is false when it is gone or not the
// run's. A lease without an end has no earlier one.
func renewLease(ctx context.Context, tx *tx, c *orchestrate.Commit, e *orchestrate.Effect) (ok bool, err error) {
	p, err := readSlotEffect(e)
	if err != nil {
		return false, err
	}
	n, err := affected(tx.ExecContext(ctx, "UPDATE interlock_slot_lease SET expires = CASE WHEN expires IS NULL THEN expires ELSE ? END WHERE id = ? AND holder_id = ?",
		tx.d.args(after(tx.now(), p.TTLSeconds), p.LeaseID, runOf(c).id)...))
	return n > 0, err
}

// detachLease takes the end off a lease of the run, if it has it still.
func detachLease(ctx context.Context, tx *tx, c *orchestrate.Commit, e *orchestrate.Effect) (bool, error) {
	p, err := readSlotEffect(e)
	if err != nil {
		return false, err
	}
	_, err = tx.ExecContext(ctx, "UPDATE interlock_slot_lease SET expires = NULL WHERE id = ? AND holder_id = ?", tx.d.args(p.LeaseID, runOf(c).id)...)
	return true, err
}

// slotEffects calls fn with each effect that changes the counts of limits, of c
// and of what is nested in it.
func slotEffects(c *orchestrate.Commit, fn func(c *orchestrate.Commit, e *orchestrate.Effect)) {
	for i := range c.Effects {
		if e := &c.Effects[i]; e.Type == orchestrate.AcquireSlots || e.Type == orchestrate.ReleaseSlots {
			fn(c, e)
		}
	}
	for _, n := range c.Nested {
		slotEffects(n, fn)
	}
}

// severalLimits reports whether effects of c may lock limits one after the other.
func severalLimits(c *orchestrate.Commit) bool {
	n := 0
	slotEffects(c, func(*orchestrate.Commit, *orchestrate.Effect) { n++ })
	return n > 1
}

// lockEffects locks the limits of all effects of c at once, in the order of their
// ids, when one after the other would be another order.
func lockEffects(ctx context.Context, tx *tx, c *orchestrate.Commit) (err error) {
	if !tx.d.postgres || !severalLimits(c) {
		return nil
	}
	var ids []string
	slotEffects(c, func(c *orchestrate.Commit, e *orchestrate.Effect) {
		if err != nil {
			return
		}
		var p slotEffect
		if p, err = readSlotEffect(e); err != nil {
			return
		}
		ids = append(ids, p.LimitIDs...)
		var held []holding
		if held, err = heldBy(tx.d, runOf(c).id).read(ctx, tx, ""); err == nil {
			ids = append(ids, limitsOf(held)...)
		}
	})
	if err != nil {
		return err
	}
	slices.Sort(ids)
	_, err = lockLimits(ctx, tx, "id", slices.Compact(ids))
	return err
}
