package store

import (
	"context"

	"github.com/interlock-run/interlock/host/prefect"
)

// CreateOrUpdateCSRFToken stores the client's token in place of an older one.
func (db *DB) CreateOrUpdateCSRFToken(ctx context.Context, client, token string, expiration prefect.Time) error {
	return db.write(ctx, func(tx *tx) error {
		now := tx.now()
		_, err := tx.ExecContext(ctx, `INSERT INTO csrf_token (id, created, updated, client, token, expiration) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (client) DO UPDATE SET token = excluded.token, expiration = excluded.expiration, updated = excluded.updated`,
			tx.d.args(prefect.NewID(), now, now, client, token, expiration)...)
		return err
	})
}

// ReadCSRFToken returns the client's token and when it expires, which may be
// past. Errors: NotFound.
func (db *DB) ReadCSRFToken(ctx context.Context, client string) (token string, expiration prefect.Time, err error) {
	scan := func(row scanner) (t string, err error) {
		err = row.Scan(&t, into(&expiration))
		return t, err
	}
	err = db.read(ctx, func(q querier) error {
		token, err = one(scan, q.QueryRowContext(ctx, "SELECT token, expiration FROM csrf_token WHERE client = ?", client))
		return err
	})
	return token, expiration, named(err, "csrf_token", client)
}

// DeleteExpiredCSRFTokens deletes the tokens that have expired by now.
func (db *DB) DeleteExpiredCSRFTokens(ctx context.Context) error {
	return db.write(ctx, func(tx *tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM csrf_token WHERE expiration < ?", tx.d.arg(tx.now()))
		return err
	})
}
