package store

import (
	"context"
	"encoding/json"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
)

func insertOutbox(ctx context.Context, tx *tx, items []orchestrate.OutboxItem) error {
	if len(items) == 0 {
		return nil
	}
	insert := outboxOf(tx.d, items, tx.now())
	_, err := tx.ExecContext(ctx, insert.sql, insert.args...)
	return wrapf(err, "insert outbox")
}

func outboxOf(d *dialect, items []orchestrate.OutboxItem, now prefect.Time) statement {
	args := make([]any, 0, 4*len(items))
	for _, item := range items {
		args = append(args, item.Kind, d.textArg(item.Key), string(object(item.Payload)), d.arg(now))
	}
	return statement{"INSERT INTO interlock_outbox (kind, key, payload, created) VALUES " + rowsOf(len(items), "(?, ?, ?, ?)"), args}
}

func scanOutbox(row scanner) (orchestrate.OutboxRow, error) {
	var r orchestrate.OutboxRow
	err := row.Scan(&r.Seq, &r.Kind, &r.Key, into(&r.Payload))
	return r, err
}

// ReadOutbox returns the oldest rows of some kinds, at most limit. Rows of
// different runs can become visible out of their order.
func (db *DB) ReadOutbox(ctx context.Context, limit int, kinds ...string) (list []orchestrate.OutboxRow, err error) {
	args := make([]any, 0, 1+len(kinds))
	for _, kind := range kinds {
		args = append(args, kind)
	}
	err = db.read(ctx, func(q querier) error {
		list, err = all(ctx, q, scanOutbox, "SELECT seq, kind, key, payload FROM interlock_outbox WHERE kind IN ("+placeholders(len(kinds))+
			") ORDER BY seq LIMIT ?", append(args, limit)...)
		return err
	})
	return list, err
}

// CountOutbox returns how many rows there are of each kind that has any.
func (db *DB) CountOutbox(ctx context.Context) (map[string]int, error) {
	type kind struct {
		name string
		rows int
	}
	scan := func(row scanner) (k kind, err error) { return k, row.Scan(&k.name, &k.rows) }
	counts := map[string]int{}
	err := db.read(ctx, func(q querier) error {
		kinds, err := all(ctx, q, scan, "SELECT kind, count(*) FROM interlock_outbox GROUP BY kind")
		for _, k := range kinds {
			counts[k.name] = k.rows
		}
		return err
	})
	return counts, err
}

// DeleteOutbox deletes rows; those that are gone already are no error.
func (db *DB) DeleteOutbox(ctx context.Context, seqs []int64) error {
	if len(seqs) == 0 {
		return nil
	}
	return db.write(ctx, func(tx *tx) error { return deleteOutbox(ctx, tx, seqs) })
}

func deleteOutbox(ctx context.Context, tx *tx, seqs []int64) error {
	list, err := json.Marshal(seqs)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM interlock_outbox WHERE seq IN "+tx.d.pick(
		"(SELECT value FROM json_each(?))", "(SELECT CAST(value AS bigint) FROM jsonb_array_elements_text(CAST(? AS jsonb)))"), string(list))
	return err
}
