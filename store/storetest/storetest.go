// Package storetest runs the same tests on every database that the store
// supports.
package storetest

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/interlock-run/interlock/store"
	"github.com/interlock-run/interlock/store/storetest/pgtest"
)

// URLs returns the URL of an empty database of each kind, by the kind's name.
func URLs(t testing.TB) map[string]string {
	t.Helper()
	return map[string]string{"sqlite": SQLiteURL(t), "postgres": pgtest.URL(t)}
}

// SQLiteURL returns the URL of a database file that does not exist yet.
func SQLiteURL(t testing.TB) string {
	return "sqlite+aiosqlite:///" + filepath.Join(t.TempDir(), "interlock.db")
}

// Open opens url and closes it when t ends.
func Open(t testing.TB, url string) *store.DB {
	t.Helper()
	db, err := store.Open(context.Background(), url, store.Options{})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return db
}

// Each runs fn on an empty database of each kind.
func Each(t *testing.T, fn func(t *testing.T, db *store.DB)) {
	t.Run("sqlite", func(t *testing.T) { fn(t, Open(t, SQLiteURL(t))) })
	t.Run("postgres", func(t *testing.T) { fn(t, Open(t, pgtest.URL(t))) })
}
