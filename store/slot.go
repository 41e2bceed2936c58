package store

import (
	"context"
	"math"
	"strings"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// AcquireSlots takes slots of every active limit among the names, all or none,
// and returns the limits that exist, as they are afterwards; acquired is false
// when one has too few free. Errors: Invalid for a request that can never be
// met.
func (db *DB) AcquireSlots(ctx context.Context, r prefect.SlotRequest) (limits []*prefect.ConcurrencyLimit, acquired bool, err error) {
	err = db.write(ctx, func(tx *tx) error {
		limits, err = lockLimits(ctx, tx, "name", r.Names)
		if err != nil {
			return err
		}
		if err := checkRequest(limits, r); err != nil {
			return err
		}
		acquired = true
		for _, l := range limits {
			acquired = acquired && (!l.Active || l.ActiveSlots+r.Slots <= l.Limit)
		}
		for _, l := range limits {
			switch {
			case !l.Active:
				continue
			case acquired:
				l.ActiveSlots += r.Slots
			default:
				l.DeniedSlots = min(l.DeniedSlots+r.Slots, math.MaxInt32) // what the column holds
			}
			if err := updateLimit(ctx, tx, l); err != nil {
				return err
			}
		}
		if !acquired || r.Lease == nil {
			return nil
		}
		return insertLease(ctx, tx, r, limits)
	})
	return limits, acquired && err == nil, err
}

// lockLimits reads the limits with one of the keys in column, in the order of
// their ids, so that two requests for the same limits wait for each other.
func lockLimits(ctx context.Context, tx *tx, column string, keys []string) ([]*prefect.ConcurrencyLimit, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	where, arg := tx.d.anyKey(column, keys)
	limits, err := all(ctx, tx, scanLimit, "SELECT "+limitColumns+" FROM concurrency_limit_v2 WHERE "+where+
		" ORDER BY id"+tx.d.lock("concurrency_limit_v2"), arg)
	for _, l := range limits {
		l.Decay(tx.now())
	}
	return limits, err
}

func checkRequest(limits []*prefect.ConcurrencyLimit, r prefect.SlotRequest) error {
	var steady []string
	for _, l := range limits {
		switch {
		case !l.Active:
		case l.Limit < r.Slots:
			return prefect.Errorf(prefect.Invalid, "more slots are asked for than the limit has")
		case l.SlotDecayPerSecond == 0:
			steady = append(steady, l.Name)
		}
	}
	if r.RateLimit && len(steady) > 0 {
		return prefect.Errorf(prefect.Invalid, "Only limits whose slots decay can limit a rate; these do not: %s", strings.Join(steady, ", "))
	}
	return nil
}

func insertLease(ctx context.Context, tx *tx, r prefect.SlotRequest, limits []*prefect.ConcurrencyLimit) error {
	_, err := tx.ExecContext(ctx, insertInto("interlock_slot_lease", "id, created, expires, slots, holder_type, holder_id"),
		tx.d.args(r.Lease.ID, tx.now(), r.Lease.Expires, r.Slots, r.Lease.HolderType, r.Lease.HolderID)...)
	if err != nil {
		return wrapf(err, "insert lease")
	}
	for _, l := range limits {
		if !l.Active {
			continue
		}
		if _, err := tx.ExecContext(ctx, insertInto("interlock_slot_holding", "lease_id, limit_id"), tx.d.args(r.Lease.ID, l.ID)...); err != nil {
			return wrapf(err, "insert holding")
		}
	}
	return nil
}

// ReleaseSlots gives back slots of the active limits among the names, which were
// held for that many seconds (0: unknown), and returns the limits that exist.
func (db *DB) ReleaseSlots(ctx context.Context, names []string, slots int, seconds float64) (limits []*prefect.ConcurrencyLimit, err error) {
	err = db.write(ctx, func(tx *tx) error {
		if limits, err = lockLimits(ctx, tx, "name", names); err != nil {
			return err
		}
		return giveBack(ctx, tx, limits, slots, seconds)
	})
	return limits, err
}

func giveBack(ctx context.Context, tx *tx, limits []*prefect.ConcurrencyLimit, slots int, seconds float64) error {
	for _, l := range limits {
		if !l.Active {
			continue
		}
		l.ActiveSlots = max(0, l.ActiveSlots-slots)
		if seconds > 0 {
			l.Occupy(slots, seconds)
		}
		if err := updateLimit(ctx, tx, l); err != nil {
			return err
		}
	}
	return nil
}

// ReleaseLease gives back what a lease holds. One that is gone is no error: it
// holds nothing.
func (db *DB) ReleaseLease(ctx context.Context, id uuid.UUID) error {
	return db.write(ctx, func(tx *tx) error {
		_, err := holdings{"l.id = ?", []any{tx.d.arg(id)}}.release(ctx, tx, true)
		return err
	})
}

// RenewLease has a lease expire later; one without an expiry stays as it is.
// Errors: Gone for one that has expired or was given back.
func (db *DB) RenewLease(ctx context.Context, id uuid.UUID, expires prefect.Time) error {
	return db.write(ctx, func(tx *tx) error {
		n, err := affected(tx.ExecContext(ctx, "UPDATE interlock_slot_lease SET expires = CASE WHEN expires IS NULL THEN expires ELSE ? END WHERE id = ?", tx.d.args(expires, id)...))
		if err == nil && n == 0 {
			return prefect.Errorf(prefect.Gone, "there is no such lease: it ended or was given back")
		}
		return err
	})
}

// ExpireLeases gives back what expired leases hold, and what runs hold without
// an expiry that have ended or are gone, at most limit leases of each, and returns
// how many there were. Slots of the expired count as held until now in their
// limits' averages.
func (db *DB) ExpireLeases(ctx context.Context, limit int) (n int, err error) {
	err = db.write(ctx, func(tx *tx) error {
		now := tx.d.arg(tx.now())
		expired := holdings{where: "l.expires < ?", args: []any{now}}
		n = 0
		for _, s := range []holdings{expired, ended()} {
			ids, err := s.leases(ctx, tx, limit)
			if err != nil {
				return err
			}
			if len(ids) == 0 {
				continue
			}
			released, err := s.and("l.id IN ("+placeholders(len(ids))+")", ids...).release(ctx, tx, true)
			if err != nil {
				return err
			}
			n += released
		}
		return nil
	})
	return n, err
}
