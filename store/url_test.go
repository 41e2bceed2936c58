package store

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store/storetest/pgtest"
)

func TestSQLiteURLs(t *testing.T) {
	for raw, path := range map[string]string{
		"sqlite+aiosqlite:////var/lib/interlock.db": "/var/lib/interlock.db",
		"sqlite:////var/lib/interlock.db":           "/var/lib/interlock.db",
		"sqlite+aiosqlite:///relative/i.db":         "relative/i.db",
		"sqlite:///./i.db?timeout=5":                "i.db",
		"sqlite:////tmp/with%20space%3F.db":         "/tmp/with space?.db",
	} {
		a, err := parseURL(raw)
		if err != nil || a.postgres || a.path != path {
			t.Errorf("%s: path %q, error %v", raw, a.path, err)
		}
	}
}

func TestPostgresURLs(t *testing.T) {
	for raw, want := range map[string]struct {
		host, user, password, name, shown string
		port                              uint16
		tls, plain                        bool // what may be tried
	}{
		"postgresql+asyncpg://u:pw@db.example:6432/prefect":     {"db.example", "u", "pw", "prefect", "postgres at db.example:6432/prefect", 6432, true, true},
		"postgres://u@h/d?sslmode=disable":                      {"h", "u", "", "d", "postgres at h/d", 5432, false, true},
		"postgresql://u:p%40ss%2Fw%3Ard%25@h/d?ssl=disable":     {"h", "u", "p@ss/w:rd%", "d", "postgres at h/d", 5432, false, true},
		"postgresql+asyncpg://u:x@h/d?ssl=require":              {"h", "u", "x", "d", "postgres at h/d", 5432, true, false},
		"postgresql+asyncpg://u:x@h/d?ssl=true":                 {"h", "u", "x", "d", "postgres at h/d", 5432, true, false},
		"postgresql+asyncpg://u:x@h/d?ssl=false":                {"h", "u", "x", "d", "postgres at h/d", 5432, false, true},
		"postgresql+asyncpg://u:x@[::1]:5433/d?ssl=prefer":      {"::1", "u", "x", "d", "postgres at [::1]:5433/d", 5433, true, true},
		"postgresql+asyncpg://u:x@/d?host=/var/run/postgresql":  {"/var/run/postgresql", "u", "x", "d", "postgres at /var/run/postgresql/d", 5432, false, true},
		"postgresql+psycopg2://u:x@h/d?statement_cache_size=0":  {"h", "u", "x", "d", "postgres at h/d", 5432, true, true},
		"postgresql+asyncpg://u%40corp:x@h:1/my%20db?ssl=allow": {"h", "u@corp", "x", "my db", "postgres at h:1/my db", 1, true, true},
	} {
		a, err := parseURL(raw)
		if err != nil || !a.postgres || a.shown != want.shown {
			t.Errorf("%s: shown as %q, error %v", raw, a.shown, err)
			continue
		}
		c, err := pgx.ParseConfig(a.dsn)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		tls, plain := c.TLSConfig != nil, c.TLSConfig == nil
		for _, f := range c.Fallbacks {
			tls, plain = tls || f.TLSConfig != nil, plain || f.TLSConfig == nil
		}
		if c.Host != want.host || c.Port != want.port || c.User != want.user || c.Password != want.password || c.Database != want.name {
			t.Errorf("%s: %s@%s:%d/%s with password %q", raw, c.User, c.Host, c.Port, c.Database, c.Password)
		}
		if tls != want.tls || plain != want.plain {
			t.Errorf("%s: tries TLS: %t, without: %t", raw, tls, plain)
		}
	}
}

func TestAURLThatForbidsPreparedStatements(t *testing.T) {
	for query, mode := range map[string]pgx.QueryExecMode{
		"":                        pgx.QueryExecModeCacheStatement,
		"?statement_cache_size=9": pgx.QueryExecModeCacheStatement,
		"?statement_cache_size=0": pgx.QueryExecModeCacheDescribe,
		"?prepared_statement_cache_size=0&ssl=prefer": pgx.QueryExecModeCacheDescribe,
	} {
		a, err := parseURL("postgresql+asyncpg://u@h/d" + query)
		if err != nil {
			t.Fatal(err)
		}
		c, err := pgx.ParseConfig(a.dsn)
		if err != nil || c.DefaultQueryExecMode != mode {
			t.Errorf("%s: mode %v, error %v", query, c.DefaultQueryExecMode, err)
		}
	}
	ctx := t.Context()
	db := openPG(t, pgtest.URL(t)+"?statement_cache_size=0")
	if err := db.write(ctx, func(x *tx) error { return put(ctx, x, "k") }); err != nil || !keys(t, db)["k"] {
		t.Errorf("writing without them: %v", err)
	}
}

func TestRebinding(t *testing.T) {
	pg, lite := &dialect{postgres: true}, &dialect{}
	for query, want := range map[string]string{
		"SELECT 1":               "SELECT 1",
		"a = ? AND b IN (?, ?)":  "a = $1 AND b IN ($2, $3)",
		"tags ?? 'x' AND id = ?": "tags ? 'x' AND id = $1",
	} {
		for range 2 { // made, then remembered
			if got := pg.rebind(query); got != want {
				t.Errorf("%s becomes %s", query, got)
			}
		}
		if got := lite.rebind(query); got != query {
			t.Errorf("on SQLite %s becomes %s", query, got)
		}
	}
	kept := pg.kept.Load()
	if pg.rebind(strings.Repeat("? OR ", maxReboundBytes) + "?"); pg.kept.Load() != kept {
		t.Error("a long text is remembered")
	}
}

func TestUnreadableURLsNameNoPassword(t *testing.T) {
	for _, raw := range []string{"postgresql://u:s3cret@h:port/d", "postgresql://u:s3cret%zz@h/d", "oracle://u:s3cret@h/d", "postgresql://u:s3cret@h/d?sslmode=nonsense"} {
		a, err := parseURL(raw)
		if err == nil {
			_, err = openPostgres(t.Context(), a, Options{Connections: 1})
		}
		if prefect.CodeOf(err) != prefect.Invalid || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", raw, err)
		}
	}
}
