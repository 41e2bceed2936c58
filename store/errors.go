package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"

	"github.com/interlock-run/interlock/host/prefect"
)

// hidden keeps a cause in an error's chain without adding to its text.
type hidden struct{ error }

func (hidden) Error() string   { return "" }
func (h hidden) Unwrap() error { return h.error }

// translate gives errors of the drivers the codes that callers branch on;
// everything else passes as it is.
func (db *DB) translate(err error) error {
	if err == nil || prefect.CodeOf(err) != prefect.Internal {
		return err
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		return translateSQLite(lite, err)
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return translatePostgres(pg, err)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if disconnected(err) {
		return prefect.Errorf(prefect.Unavailable, "the database does not answer (%s)%w", db.url.shown, hidden{err})
	}
	return err
}

// disconnected reports that the connection could not be made or is gone.
func disconnected(err error) bool {
	for _, gone := range []error{driver.ErrBadConn, sql.ErrConnDone, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed} {
		if errors.Is(err, gone) {
			return true
		}
	}
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) || pgconn.SafeToRetry(err)
}
