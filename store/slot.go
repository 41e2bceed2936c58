package store

import (
	"context"
	"errors"
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
				l.DeniedSlots += r.Slots
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
	args := make([]any, len(keys))
	for i, k := range keys {
		args[i] = k
	}
	limits, err := all(ctx, tx, scanLimit, "SELECT "+limitColumns+" FROM concurrency_limit_v2 WHERE "+column+
		" IN ("+placeholders(len(keys))+") ORDER BY id"+tx.d.lock("concurrency_limit_v2"), args...)
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
			return prefect.Errorf(prefect.Invalid, "Slots requested is greater than the limit")
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

// lease is a row of interlock_slot_lease.
type lease struct {
	id      uuid.UUID
	created prefect.Time
	slots   int
}

func scanLease(row scanner) (l lease, err error) {
	err = row.Scan(into(&l.id), into(&l.created), &l.slots)
	return l, err
}

// ReleaseLease gives back what a lease holds. One that is gone is no error: it
// holds nothing.
func (db *DB) ReleaseLease(ctx context.Context, id uuid.UUID) error {
	return db.write(ctx, func(tx *tx) error {
		l, err := one(scanLease, tx.QueryRowContext(ctx, "SELECT id, created, slots FROM interlock_slot_lease WHERE id = ?"+tx.d.lock("interlock_slot_lease"), tx.d.arg(id)))
		if errors.Is(err, errNoRow) {
			return nil
		}
		if err != nil {
			return err
		}
		return l.release(ctx, tx)
	})
}

func (l lease) release(ctx context.Context, tx *tx) error {
	held := func(row scanner) (id string, err error) {
		err = row.Scan(&id)
		return id, err
	}
	ids, err := all(ctx, tx, held, "DELETE FROM interlock_slot_holding WHERE lease_id = ? RETURNING limit_id", tx.d.arg(l.id))
	if err != nil {
		return err
	}
	limits, err := lockLimits(ctx, tx, "id", ids)
	if err != nil {
		return err
	}
	if err := giveBack(ctx, tx, limits, l.slots, tx.now().Sub(l.created.Time).Seconds()); err != nil {
		return err
	}
	return deleteOne(ctx, tx, "interlock_slot_lease", l.id)
}

// RenewLease has a lease expire later. Errors: Gone for one that has expired or
// was given back.
func (db *DB) RenewLease(ctx context.Context, id uuid.UUID, expires prefect.Time) error {
	return db.write(ctx, func(tx *tx) error {
		n, err := affected(tx.ExecContext(ctx, "UPDATE interlock_slot_lease SET expires = ? WHERE id = ?", tx.d.args(expires, id)...))
		if err == nil && n == 0 {
			return prefect.Errorf(prefect.Gone, "Lease not found - it may have expired or been revoked")
		}
		return err
	})
}

// ExpireLeases gives back what expired leases hold, at most limit of them, and
// returns how many there were.
func (db *DB) ExpireLeases(ctx context.Context, limit int) (n int, err error) {
	err = db.write(ctx, func(tx *tx) error {
		expired, err := all(ctx, tx, scanLease, "SELECT id, created, slots FROM interlock_slot_lease WHERE expires < ? ORDER BY expires LIMIT ?"+
			tx.d.pick("", " FOR UPDATE SKIP LOCKED"), tx.d.args(tx.now(), limit)...)
		if err != nil {
			return err
		}
		n = len(expired)
		for _, l := range expired {
			if err := l.release(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}
