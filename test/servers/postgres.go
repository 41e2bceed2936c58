package servers

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"strings"

	// The drivers of the two databases, for the tests that look at rows.
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"
)

// SQLAlchemyURL turns a postgres:// URL into the form that both servers read.
func SQLAlchemyURL(postgres string) string {
	_, rest, _ := strings.Cut(postgres, "://")
	return "postgresql+asyncpg://" + rest
}

// OpenDatabase opens the server's database beside it, for looking at rows and
// for arranging them. The server goes on.
func (s *Server) OpenDatabase() (*sql.DB, error) { return OpenDatabase(s.DatabaseURL) }

// IsPostgres reports whether a database URL is one of Postgres.
func IsPostgres(databaseURL string) bool { return strings.HasPrefix(databaseURL, "postgres") }

// OpenDatabase opens the database at a SQLAlchemy URL.
func OpenDatabase(databaseURL string) (*sql.DB, error) {
	if IsPostgres(databaseURL) {
		_, rest, _ := strings.Cut(databaseURL, "://")
		return sql.Open("pgx", "postgresql://"+rest)
	}
	_, path, found := strings.Cut(databaseURL, ":///")
	if !found {
		return nil, fmt.Errorf("not a database URL: %s", databaseURL)
	}
	return sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(30000)")
}

// CreateDatabase makes a new, empty database on the Postgres at a maintenance
// URL and returns its URL in SQLAlchemy form, and how to drop it.
func CreateDatabase(ctx context.Context, maintenance, name string) (databaseURL string, drop func() error, err error) {
	u, err := url.Parse(maintenance)
	if err != nil {
		return "", nil, err
	}
	db, err := sql.Open("pgx", maintenance)
	if err != nil {
		return "", nil, err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "CREATE DATABASE "+name); err != nil {
		return "", nil, err
	}
	u.Path = "/" + name
	drop = func() error {
		db, err := sql.Open("pgx", maintenance)
		if err != nil {
			return err
		}
		defer db.Close()
		_, err = db.Exec("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)")
		return err
	}
	return SQLAlchemyURL(u.String()), drop, nil
}
