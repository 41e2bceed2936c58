package store

import (
	"context"
	"encoding/json"

	"github.com/interlock-run/interlock/host/prefect"
)

// ReadConfiguration returns the value that is stored under key. Errors: NotFound.
func (db *DB) ReadConfiguration(ctx context.Context, key string) (value json.RawMessage, err error) {
	scan := func(row scanner) (v json.RawMessage, err error) {
		err = row.Scan(into(&v))
		return v, err
	}
	err = db.read(ctx, func(q querier) error {
		value, err = one(scan, q.QueryRowContext(ctx, "SELECT value FROM configuration WHERE key = ?", key))
		return err
	})
	return value, named(err, "configuration", key)
}

// WriteConfiguration stores value, a JSON object, under key in place of what was
// there.
func (db *DB) WriteConfiguration(ctx context.Context, key string, value json.RawMessage) error {
	return db.write(ctx, func(tx *tx) error {
		now := tx.now()
		_, err := tx.ExecContext(ctx, `INSERT INTO configuration (id, created, updated, key, value) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated = excluded.updated`,
			tx.d.args(prefect.NewID(), now, now, key, object(value))...)
		return err
	})
}
