package store

import (
	"context"
	"database/sql"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTheLogIsCopiedBesideTheWriter(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "c.db")
	const at = 256 << 10
	c, err := newCheckpointer(path, at, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := prepareDriver(); err != nil {
		t.Fatal(err)
	}
	walLogs.Store(path+"-wal", &walLog{grown: c.grown})
	defer walLogs.Delete(path + "-wal")
	db, err := sql.Open("sqlite", writerDSN(path))
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := db.ExecContext(ctx, query, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec("PRAGMA journal_mode = WAL")
	exec("CREATE TABLE t (v TEXT)")
	rows := 0
	for round := int64(1); round <= 3; round++ {
		for range 2 * at / 4096 {
			exec("INSERT INTO t VALUES (?)", strings.Repeat("x", 4096))
			rows++
		}
		for deadline := time.Now().Add(5 * time.Minute); c.done.Load() < round; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("round %d: the log was copied %d times", round, c.done.Load())
			}
		}
		exec("PRAGMA wal_checkpoint(RESTART)") // the writer's own part: the log starts over
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	again := plainConn(t, path)
	var found int
	if err := again.QueryRow("SELECT count(*) FROM t").Scan(&found); err != nil || found != rows {
		t.Errorf("%d rows of %d, %v", found, rows, err)
	}
	intact(t, again)
}

func TestACheckpointThatFailsIsNoMoreThanLogged(t *testing.T) {
	var logged strings.Builder
	path := filepath.Join(t.TempDir(), "none", "c.db")
	c, err := newCheckpointer(path, 1, slog.New(slog.NewTextHandler(&logged, nil)))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // asked once until the log starts over
		c.grown(2)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(logged.String(), "was not copied"); n != 1 {
		t.Errorf("%d warnings: %s", n, logged.String())
	}
}
