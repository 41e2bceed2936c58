package store

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// A slot is held by a row: a holding says that a lease has so many slots of a
// limit. The count in concurrency_limit_v2 is written in the same transaction, so
// a limit's rows are locked by whatever changes its holdings: the runs of a
// commit first, then limits in the order of their ids, then leases. Two
// transactions that keep to this wait for each other and never in a circle.

// holding is slots of a limit under a lease. A lease can be of no limit at all,
// and then limit is nil.
type holding struct {
	lease   uuid.UUID
	created prefect.Time // of the lease
	slots   int
	limit   *uuid.UUID
}

func scanHolding(row scanner) (h holding, err error) {
	err = row.Scan(into(&h.lease), into(&h.created), &h.slots, into(&h.limit))
	return h, err
}

// holdings selects holdings by a condition on the lease l and the holding h.
type holdings struct {
	where string
	args  []any // bound
}

func (s holdings) read(ctx context.Context, tx *tx, lock string) ([]holding, error) {
	return all(ctx, tx, scanHolding, `SELECT l.id, l.created, l.slots, h.limit_id FROM interlock_slot_lease l
		LEFT JOIN interlock_slot_holding h ON h.lease_id = l.id WHERE `+s.where+" ORDER BY l.id"+lock, s.args...)
}

// leases returns the ids of at most limit leases that are selected by a condition
// on them alone, those that expire first.
func (s holdings) leases(ctx context.Context, tx *tx, limit int) ([]any, error) {
	return all(ctx, tx, func(row scanner) (any, error) {
		var id uuid.UUID
		err := row.Scan(into(&id))
		return id.String(), err
	}, "SELECT l.id FROM interlock_slot_lease l WHERE "+s.where+" ORDER BY l.expires, l.id LIMIT ?", append(slices.Clone(s.args), limit)...)
}

// release gives back what is selected and returns how many leases that was. A
// limit that is gone or inactive is no error: what is held of it goes all the
// same. occupied has the time that slots were held counted in the averages of
// their limits.
func (s holdings) release(ctx context.Context, tx *tx, occupied bool) (leases int, err error) {
	held, err := s.read(ctx, tx, "")
	if err != nil || len(held) == 0 {
		return 0, err
	}
	limits, err := lockLimits(ctx, tx, "id", limitsOf(held))
	if err != nil {
		return 0, err
	}
	if tx.d.postgres {
		// What others renewed or gave back while this waited for the limits.
		if held, err = s.read(ctx, tx, tx.d.lock("l")); err != nil || len(held) == 0 {
			return 0, err
		}
	}
	ids, err := deleteHoldings(ctx, tx, held)
	if err != nil {
		return 0, err
	}
	for _, l := range limits {
		touched := false
		for _, h := range held {
			if h.limit == nil || *h.limit != l.ID {
				continue
			}
			touched = true
			l.ActiveSlots = max(0, l.ActiveSlots-h.slots)
			if seconds := tx.now().Sub(h.created.Time).Seconds(); occupied && seconds > 0 {
				l.Occupy(h.slots, seconds)
			}
		}
		if touched {
			if err := updateLimit(ctx, tx, l); err != nil {
				return 0, err
			}
		}
	}
	return ids, nil
}

// limitsOf returns the ids of the limits that are held.
func limitsOf(held []holding) []string {
	var ids []string
	for _, h := range held {
		if h.limit != nil {
			ids = append(ids, h.limit.String())
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// deleteHoldings deletes rows, and the leases that are of nothing then, and
// returns of how many leases they were.
func deleteHoldings(ctx context.Context, tx *tx, held []holding) (leases int, err error) {
	var ids []string
	for _, h := range held {
		if len(ids) == 0 || ids[len(ids)-1] != h.lease.String() {
			ids = append(ids, h.lease.String())
		}
	}
	under, list := tx.d.anyKey("lease_id", ids)
	if limits := limitsOf(held); len(limits) > 0 {
		of, which := tx.d.anyKey("limit_id", limits)
		if _, err = tx.ExecContext(ctx, "DELETE FROM interlock_slot_holding WHERE "+under+" AND "+of, list, which); err != nil {
			return 0, wrapf(err, "delete holdings")
		}
	}
	where, list := tx.d.anyKey("id", ids)
	_, err = tx.ExecContext(ctx, "DELETE FROM interlock_slot_lease WHERE "+where+
		" AND NOT EXISTS (SELECT 1 FROM interlock_slot_holding h WHERE h.lease_id = interlock_slot_lease.id)", list)
	return len(ids), wrapf(err, "delete leases")
}

// heldBy selects what a run holds.
func heldBy(d *dialect, run uuid.UUID) holdings {
	return holdings{"l.holder_id = ?", []any{d.arg(run)}}
}

// and narrows a selection.
func (s holdings) and(where string, args ...any) holdings {
	return holdings{s.where + " AND " + where, append(slices.Clone(s.args), args...)}
}

// of narrows a selection to some limits.
func (s holdings) of(d *dialect, limits []string) holdings {
	where, arg := d.anyKey("h.limit_id", limits)
	return s.and(where, arg)
}

// deleteWithRuns deletes a row of table with the runs that a query selects by its
// id, which go by the schema's cascades: their decision records, and with flow
// runs their task runs'. What the runs held is given back afterwards, when nobody
// can have them take more, and they are taken off the task queue. Errors: errNoRow.
func deleteWithRuns(ctx context.Context, tx *tx, table, runs string, id uuid.UUID) error {
	if err := deleteDecisions(ctx, tx, runs, id); err != nil {
		return err
	}
	key := tx.d.arg(id)
	theirs := "(" + runs + " UNION ALL SELECT id FROM task_run WHERE flow_run_id IN (" + runs + "))"
	held, err := holdings{"l.holder_id IN " + theirs, []any{key, key}}.read(ctx, tx, "")
	if err != nil {
		return err
	}
	queued, err := all(ctx, tx, scanID, "SELECT run_id FROM interlock_task_queue WHERE run_id IN "+theirs, key, key)
	if err != nil {
		return err
	}
	if err := deleteOne(ctx, tx, table, id); err != nil {
		return err
	}
	if len(queued) > 0 {
		if _, err := dequeue(ctx, tx, queued); err != nil {
			return err
		}
	}
	if len(held) == 0 {
		return nil
	}
	leases := make([]uuid.UUID, len(held))
	for i, h := range held {
		leases[i] = h.lease
	}
	which, list := tx.d.anyOf("l.id", leases)
	_, err = holdings{which, []any{list}}.release(ctx, tx, false)
	return wrapf(err, "release slots")
}

// ended selects the leases without an expiry of runs that have ended or are gone:
// whoever should have given them back cannot any more. A task run's end with its
// flow run, since a client that vanished tells of neither, and its flow run is
// what somebody watches.
func ended() holdings {
	const terminal = "IN ('COMPLETED', 'FAILED', 'CANCELLED', 'CRASHED')"
	return holdings{where: `l.expires IS NULL AND NOT EXISTS (SELECT 1 FROM flow_run r WHERE r.id = l.holder_id
			AND (r.state_type IS NULL OR r.state_type NOT ` + terminal + `))
		AND NOT EXISTS (SELECT 1 FROM task_run t LEFT JOIN flow_run f ON f.id = t.flow_run_id WHERE t.id = l.holder_id
			AND (t.state_type IS NULL OR t.state_type NOT ` + terminal + `) AND (f.state_type IS NULL OR f.state_type NOT ` + terminal + "))"}
}
