package store

import (
	"net/url"
	"path/filepath"
	"strings"

	"github.com/interlock-run/interlock/host/prefect"
)

// address is a parsed database URL.
type address struct {
	postgres bool
	path     string // SQLite: absolute or relative file name
	dsn      string // Postgres: what pgx reads; holds the password
	shown    string // the address for messages, without the password
}

// parseURL reads a database URL, with or without SQLAlchemy's driver in the
// scheme. Errors name what is wrong, never the URL itself.
func parseURL(raw string) (address, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return address{}, prefect.Errorf(prefect.Invalid, "the database URL has no scheme; it looks like sqlite+aiosqlite:////path/to.db or postgresql+asyncpg://user:password@host/name")
	}
	kind, _, _ := strings.Cut(scheme, "+")
	switch kind {
	case "sqlite":
		return parseSQLite(rest)
	case "postgresql", "postgres":
		return parsePostgres(rest)
	}
	return address{}, prefect.Errorf(prefect.Invalid, "the database URL's scheme is %q; sqlite and postgresql are supported", scheme)
}

func parseSQLite(rest string) (address, error) {
	path, _, _ := strings.Cut(rest, "?")
	path, ok := strings.CutPrefix(path, "/")
	if !ok || path == "" || strings.HasPrefix(path, ":memory:") || strings.HasPrefix(path, "file:") {
		return address{}, prefect.Errorf(prefect.Invalid, "the database URL names no file; SQLite in memory would lose what it acknowledged")
	}
	decoded, err := url.PathUnescape(path)
	if err != nil {
		return address{}, prefect.Errorf(prefect.Invalid, "the file in the database URL cannot be read")
	}
	return address{path: filepath.Clean(decoded), shown: filepath.Clean(decoded)}, nil
}

// sslModes maps asyncpg's ssl parameter to libpq's sslmode, where they differ.
var sslModes = map[string]string{"true": "require", "1": "require", "false": "disable", "0": "disable"}

func parsePostgres(rest string) (address, error) {
	u, err := url.Parse("postgres://" + rest)
	if err != nil || u.Path == "" || u.Path == "/" {
		return address{}, prefect.Errorf(prefect.Invalid, "the database URL cannot be read; it looks like postgresql+asyncpg://user:password@host:5432/name")
	}
	q := u.Query()
	if ssl := q.Get("ssl"); ssl != "" {
		q.Del("ssl")
		if mode, ok := sslModes[strings.ToLower(ssl)]; ok {
			ssl = mode
		}
		q.Set("sslmode", ssl)
	}
	for _, name := range []string{"prepared_statement_cache_size", "statement_cache_size", "async_fallback"} {
		if q.Get(name) == "0" { // a pooler is between, which hands connections round
			q.Set("default_query_exec_mode", "cache_describe")
		}
		q.Del(name) // asyncpg's own
	}
	u.RawQuery = q.Encode()
	host := u.Host
	if host == "" {
		host = q.Get("host")
	}
	return address{postgres: true, dsn: u.String(), shown: "postgres at " + host + u.Path}, nil
}
