package store

import (
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// Limits by tag are limits whose names begin so. The holders of their slots are
// the task runs of the leases.
const tagPrefix = "tag:"

// ofTag is a condition on limits: they are a tag's. LIKE would not mind the case on
// SQLite.
const ofTag = "substr(name, 1, 4) = 'tag:'"

// tagLimitName is the name of a tag's limit as the database has it.
func (d *dialect) tagLimitName(tag string) string {
	if d.postgres {
		return withoutNUL(tagPrefix + tag)
	}
	return tagPrefix + tag
}

// tagLimitNames is tagLimitName of each tag.
func (d *dialect) tagLimitNames(tags []string) []string {
	names := make([]string, len(tags))
	for i, tag := range tags {
		names[i] = d.tagLimitName(tag)
	}
	return names
}

// PutTagLimit makes the limit of a tag, or gives it another number of slots.
func (db *DB) PutTagLimit(ctx context.Context, tag string, slots int) (l *prefect.TagLimit, created bool, err error) {
	err = db.write(ctx, func(tx *tx) error {
		now := tx.now()
		n, err := affected(tx.ExecContext(ctx, insertInto("concurrency_limit_v2", limitColumns)+" ON CONFLICT (name) DO NOTHING",
			tx.d.args(prefect.NewID(), now, now, true, tagPrefix+tag, slots, 0, 0, 0.0, prefect.DefaultOccupancy)...))
		if err != nil {
			return err
		}
		created = n > 0
		limits, err := lockLimits(ctx, tx, "name", []string{tx.d.tagLimitName(tag)})
		if err != nil {
			return err
		}
		if !created {
			limits[0].Limit = slots
			if err := updateLimit(ctx, tx, limits[0]); err != nil {
				return err
			}
		}
		list, err := withHolders(ctx, tx, tx.d, limits)
		if err != nil {
			return err
		}
		l = list[0]
		return nil
	})
	return l, created, err
}

// ReadTagLimit returns the limit of a tag. Errors: NotFound.
func (db *DB) ReadTagLimit(ctx context.Context, tag string) (*prefect.TagLimit, error) {
	return db.readTagLimit(ctx, "name = ?", tagPrefix+tag)
}

// ReadTagLimitByID returns a limit by tag. Errors: NotFound, for limits of other
// kinds as well.
func (db *DB) ReadTagLimitByID(ctx context.Context, id uuid.UUID) (*prefect.TagLimit, error) {
	return db.readTagLimit(ctx, ofTag+" AND id = ?", id)
}

func (db *DB) readTagLimit(ctx context.Context, where string, key any) (l *prefect.TagLimit, err error) {
	err = db.read(ctx, func(q querier) error {
		found, err := one(scanLimit, q.QueryRowContext(ctx, "SELECT "+limitColumns+" FROM concurrency_limit_v2 WHERE "+where, db.d.arg(key)))
		if err != nil {
			return err
		}
		list, err := withHolders(ctx, q, db.d, []*prefect.ConcurrencyLimit{found})
		if err != nil {
			return err
		}
		l = list[0]
		return nil
	})
	return l, named(err, "concurrency_limit", key)
}

// FilterTagLimits returns the limits by tag in order of their tags.
func (db *DB) FilterTagLimits(ctx context.Context, p prefect.Page) (list []*prefect.TagLimit, err error) {
	err = db.read(ctx, func(q querier) error {
		limits, err := all(ctx, q, scanLimit, "SELECT "+limitColumns+" FROM concurrency_limit_v2 WHERE "+ofTag+" ORDER BY name LIMIT ? OFFSET ?", p.Limit, p.Offset)
		if err != nil {
			return err
		}
		list, err = withHolders(ctx, q, db.d, limits)
		return err
	})
	return list, err
}

// withHolders reads who holds slots of the limits.
func withHolders(ctx context.Context, q querier, d *dialect, limits []*prefect.ConcurrencyLimit) ([]*prefect.TagLimit, error) {
	list := make([]*prefect.TagLimit, len(limits))
	byID := make(map[uuid.UUID]*prefect.TagLimit, len(limits))
	ids := make([]uuid.UUID, len(limits))
	for i, l := range limits {
		list[i] = &prefect.TagLimit{ID: l.ID, Created: l.Created, Updated: l.Updated, Tag: strings.TrimPrefix(l.Name, tagPrefix), Limit: l.Limit, Holders: []uuid.UUID{}}
		ids[i], byID[l.ID] = l.ID, list[i]
	}
	if len(ids) == 0 {
		return list, nil
	}
	type held struct{ limit, run uuid.UUID }
	which, arg := d.anyOf("h.limit_id", ids)
	rows, err := all(ctx, q, func(row scanner) (h held, err error) {
		err = row.Scan(into(&h.limit), into(&h.run))
		return h, err
	}, `SELECT h.limit_id, l.holder_id FROM interlock_slot_holding h JOIN interlock_slot_lease l ON l.id = h.lease_id
		WHERE l.holder_type = 'task_run' AND `+which+" ORDER BY l.created, l.id", arg)
	for _, h := range rows {
		byID[h.limit].Holders = append(byID[h.limit].Holders, h.run)
	}
	return list, err
}

// ResetTagLimit gives back all slots of a tag's limit and then has the runs hold one
// each, however many that are. Errors: NotFound.
func (db *DB) ResetTagLimit(ctx context.Context, tag string, runs []uuid.UUID, expires prefect.Time) error {
	return db.write(ctx, func(tx *tx) error {
		limits, err := lockLimits(ctx, tx, "name", []string{tx.d.tagLimitName(tag)})
		if err != nil {
			return err
		}
		if len(limits) == 0 {
			return prefect.Errorf(prefect.NotFound, "no limit of the tag %q", tag)
		}
		l := limits[0]
		if _, err := (holdings{"h.limit_id = ?", []any{tx.d.arg(l.ID)}}).release(ctx, tx, false); err != nil {
			return err
		}
		l.ActiveSlots = len(runs)
		if err := updateLimit(ctx, tx, l); err != nil {
			return err
		}
		for _, run := range runs {
			if err := insertLease(ctx, tx, slotOf(run, expires), []*prefect.ConcurrencyLimit{l}); err != nil {
				return err
			}
		}
		return nil
	})
}

// slotOf asks for a slot that a task run holds.
func slotOf(run uuid.UUID, expires prefect.Time) prefect.SlotRequest {
	holder := "task_run"
	return prefect.SlotRequest{Slots: 1, Lease: &prefect.SlotLease{ID: prefect.NewID(), HolderType: &holder, HolderID: &run, Expires: &expires}}
}

// AcquireTagSlots has a task run hold a slot of every active limit of the tags, all
// or none, and returns those limits in the order of the tags. full is a tag whose
// limit has none left, "" if all were acquired. What the run holds already it gets
// once. Errors: Locked for a limit of 0, which nobody ever gets.
func (db *DB) AcquireTagSlots(ctx context.Context, tags []string, run uuid.UUID, expires prefect.Time) (limits []*prefect.ConcurrencyLimit, full string, err error) {
	err = db.write(ctx, func(tx *tx) error {
		limits, full = nil, ""
		found, err := lockTagLimits(ctx, tx, tags)
		if err != nil {
			return err
		}
		var wanted []*prefect.ConcurrencyLimit
		for _, l := range found {
			if l.Limit == 0 {
				return prefect.Errorf(prefect.Locked, "The limit of the tag %q is 0: no task run ever gets a slot of it.", strings.TrimPrefix(l.Name, tagPrefix))
			}
			if !l.Active {
				continue
			}
			limits = append(limits, l)
			held, err := heldBy(tx.d, run).of(tx.d, []string{l.ID.String()}).read(ctx, tx, "")
			if err != nil {
				return err
			}
			if len(held) > 0 {
				continue
			}
			if l.ActiveSlots >= l.Limit && full == "" {
				full = strings.TrimPrefix(l.Name, tagPrefix)
			}
			wanted = append(wanted, l)
		}
		if full != "" || len(wanted) == 0 {
			return nil
		}
		for _, l := range wanted {
			l.ActiveSlots++
			if err := updateLimit(ctx, tx, l); err != nil {
				return err
			}
		}
		return insertLease(ctx, tx, slotOf(run, expires), wanted)
	})
	return limits, full, err
}

// lockTagLimits locks the limits of tags and returns them in the order of the tags.
func lockTagLimits(ctx context.Context, tx *tx, tags []string) ([]*prefect.ConcurrencyLimit, error) {
	names := tx.d.tagLimitNames(tags)
	limits, err := lockLimits(ctx, tx, "name", names)
	slices.SortStableFunc(limits, func(a, b *prefect.ConcurrencyLimit) int {
		return slices.Index(names, a.Name) - slices.Index(names, b.Name)
	})
	return limits, err
}

// ReleaseTagSlots gives back what a task run holds of the limits of the tags, and
// returns the limits that exist. What it does not hold is given back by nobody.
func (db *DB) ReleaseTagSlots(ctx context.Context, tags []string, run uuid.UUID) (limits []*prefect.ConcurrencyLimit, err error) {
	err = db.write(ctx, func(tx *tx) error {
		if limits, err = lockTagLimits(ctx, tx, tags); err != nil || len(limits) == 0 {
			return err
		}
		ids := make([]string, len(limits))
		for i, l := range limits {
			ids[i] = l.ID.String()
		}
		_, err := heldBy(tx.d, run).of(tx.d, ids).release(ctx, tx, true)
		return err
	})
	return limits, err
}
