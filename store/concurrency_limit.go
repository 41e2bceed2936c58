package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

const limitColumns = `id, created, updated, active, name, "limit", active_slots, denied_slots, slot_decay_per_second, avg_slot_occupancy_seconds`

func scanLimit(row scanner) (*prefect.ConcurrencyLimit, error) {
	l := &prefect.ConcurrencyLimit{}
	err := row.Scan(into(&l.ID), into(&l.Created), into(&l.Updated), &l.Active, &l.Name, &l.Limit, &l.ActiveSlots, &l.DeniedSlots,
		&l.SlotDecayPerSecond, &l.AvgSlotOccupancySeconds)
	return l, err
}

// CreateConcurrencyLimit inserts l. Errors: Conflict for a name that is taken.
func (db *DB) CreateConcurrencyLimit(ctx context.Context, l *prefect.ConcurrencyLimit) error {
	return db.write(ctx, func(tx *tx) error { return insertLimit(ctx, tx, l) })
}

func insertLimit(ctx context.Context, tx *tx, l *prefect.ConcurrencyLimit) error {
	_, err := tx.ExecContext(ctx, insertInto("concurrency_limit_v2", limitColumns), tx.d.args(l.ID, l.Created, l.Updated, l.Active, l.Name,
		l.Limit, l.ActiveSlots, l.DeniedSlots, l.SlotDecayPerSecond, l.AvgSlotOccupancySeconds)...)
	return err
}

// ReadConcurrencyLimit finds a limit by id or name. Errors: NotFound.
func (db *DB) ReadConcurrencyLimit(ctx context.Context, idOrName string) (l *prefect.ConcurrencyLimit, err error) {
	err = db.read(ctx, func(q querier) error {
		l, err = readLimit(ctx, q, db.d, idOrName, "")
		return err
	})
	if err == nil {
		l.Decay(db.now())
	}
	return l, err
}

func readLimit(ctx context.Context, q querier, d *dialect, idOrName, lock string) (*prefect.ConcurrencyLimit, error) {
	column, key := "name", any(idOrName)
	if id, err := uuid.Parse(idOrName); err == nil {
		column, key = "id", any(id)
	}
	l, err := one(scanLimit, q.QueryRowContext(ctx, "SELECT "+limitColumns+" FROM concurrency_limit_v2 WHERE "+column+" = ?"+lock, d.arg(key)))
	return l, named(err, "concurrency_limit", idOrName)
}

// FilterConcurrencyLimits returns limits in order of their names.
func (db *DB) FilterConcurrencyLimits(ctx context.Context, p prefect.Page) (list []*prefect.ConcurrencyLimit, err error) {
	err = db.read(ctx, func(q querier) error {
		list, err = all(ctx, q, scanLimit, "SELECT "+limitColumns+" FROM concurrency_limit_v2 ORDER BY name LIMIT ? OFFSET ?", p.Limit, p.Offset)
		return err
	})
	for _, l := range list {
		l.Decay(db.now())
	}
	return list, err
}

// UpdateConcurrencyLimit applies fn to the row. Errors: NotFound, Conflict for a
// name that is taken, and fn's.
func (db *DB) UpdateConcurrencyLimit(ctx context.Context, idOrName string, fn func(*prefect.ConcurrencyLimit) error) error {
	return db.write(ctx, func(tx *tx) error {
		l, err := readLimit(ctx, tx, tx.d, idOrName, tx.d.lock("concurrency_limit_v2"))
		if err != nil {
			return err
		}
		l.Decay(tx.now())
		if err := fn(l); err != nil {
			return err
		}
		return updateLimit(ctx, tx, l)
	})
}

func updateLimit(ctx context.Context, tx *tx, l *prefect.ConcurrencyLimit) error {
	l.Updated = later(tx.now(), l.Updated)
	_, err := tx.ExecContext(ctx, "UPDATE concurrency_limit_v2 SET "+
		assign(`updated, active, name, "limit", active_slots, denied_slots, slot_decay_per_second, avg_slot_occupancy_seconds`)+" WHERE id = ?",
		tx.d.args(l.Updated, l.Active, l.Name, l.Limit, l.ActiveSlots, l.DeniedSlots, l.SlotDecayPerSecond, l.AvgSlotOccupancySeconds, l.ID)...)
	return wrapf(err, "update concurrency limit")
}

// DeleteConcurrencyLimit deletes a limit and what is held of it. Errors: NotFound.
func (db *DB) DeleteConcurrencyLimit(ctx context.Context, idOrName string) error {
	return db.write(ctx, func(tx *tx) error {
		l, err := readLimit(ctx, tx, tx.d, idOrName, tx.d.lock("concurrency_limit_v2"))
		if err != nil {
			return err
		}
		return deleteLimits(ctx, tx, []*prefect.ConcurrencyLimit{l})
	})
}

// longestTerm is the most that a lease is renewed for.
const longestTerm = 24 * time.Hour

// deleteLimits deletes limits, whose rows are locked, and what is held of them. A
// lease that is left without a limit goes too if nothing else would end it soon; one
// that a client renews stays, as the client would end its run if it were gone, and
// ends when nobody renews it any more.
func deleteLimits(ctx context.Context, tx *tx, limits []*prefect.ConcurrencyLimit) error {
	if len(limits) == 0 {
		return nil
	}
	ids := make([]uuid.UUID, len(limits))
	for i, l := range limits {
		ids[i] = l.ID
	}
	which, list := tx.d.anyOf("h.limit_id", ids)
	endless := tx.d.arg(tx.now().Add(longestTerm))
	if _, err := (holdings{which + " AND (l.expires IS NULL OR l.expires > ?)", []any{list, endless}}).release(ctx, tx, false); err != nil {
		return err
	}
	which, list = tx.d.anyOf("limit_id", ids)
	if _, err := tx.ExecContext(ctx, "DELETE FROM interlock_slot_holding WHERE "+which, list); err != nil {
		return wrapf(err, "delete limits")
	}
	which, list = tx.d.anyOf("id", ids)
	_, err := tx.ExecContext(ctx, "DELETE FROM concurrency_limit_v2 WHERE "+which, list)
	return wrapf(err, "delete limits")
}
