package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
)

// plainConn is another program's connection to the database.
func plainConn(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(30000)&_pragma=wal_autocheckpoint(0)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func intact(t *testing.T, db *sql.DB) {
	t.Helper()
	var verdict string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("integrity_check: %s, %v", verdict, err)
	}
}

// TestNothingIsLeftOfABigTransactionThatIsUndone: what it changed is more than the
// cache holds, and another program writes where it would have written.
func TestNothingIsLeftOfABigTransactionThatIsUndone(t *testing.T) {
	ctx := context.Background()
	db, path := openTemp(t)
	other := plainConn(t, path)
	exec := func(query string) {
		t.Helper()
		if _, err := other.Exec(query); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE TABLE theirs (v TEXT)")
	exec("PRAGMA wal_checkpoint(TRUNCATE)")
	undone := errors.New("undone")
	err := db.write(ctx, func(tx *tx) error {
		for i := range 12 {
			_, err := tx.ExecContext(ctx, "INSERT INTO interlock_meta (key, value) VALUES (?, ?)", fmt.Sprint("big-", i), strings.Repeat("x", 1<<20))
			if err != nil {
				return err
			}
		}
		return undone
	})
	if !errors.Is(err, undone) {
		t.Fatal(err)
	}
	exec("INSERT INTO theirs WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000) SELECT printf('%04000d', i) FROM n")
	if err := db.write(ctx, func(tx *tx) error { return put(ctx, tx, "after") }); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := other.QueryRow("SELECT count(*) FROM theirs").Scan(&n); err != nil || n != 4000 {
		t.Errorf("%d rows of the other program are left, %v", n, err)
	}
	if found := keys(t, db); len(found) != 1 || !found["after"] {
		t.Errorf("stored are %v", found)
	}
	intact(t, other)
}

// TestWriterAndOtherProgramsTakeTurns has both write for a while, with checkpoints
// and big transactions between.
func TestWriterAndOtherProgramsTakeTurns(t *testing.T) {
	ctx := context.Background()
	db, path := openTemp(t)
	other := plainConn(t, path)
	if _, err := other.Exec("CREATE TABLE theirs (v TEXT)"); err != nil {
		t.Fatal(err)
	}
	const turns = 60
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range turns {
			query := "INSERT INTO theirs VALUES (hex(randomblob(5000)))"
			if i%10 == 9 {
				query = "PRAGMA wal_checkpoint(RESTART)"
			}
			if _, err := other.Exec(query); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		for i := range turns {
			if err := db.write(ctx, func(tx *tx) error {
				_, err := tx.ExecContext(ctx, "INSERT INTO interlock_meta (key, value) VALUES (?, ?)", fmt.Sprint("k", i), strings.Repeat("y", 1000*(i+1)))
				return err
			}); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	var ours, theirs int
	if err := other.QueryRow("SELECT (SELECT count(*) FROM interlock_meta WHERE key LIKE 'k%' AND value LIKE 'y%'), (SELECT count(*) FROM theirs)").Scan(&ours, &theirs); err != nil {
		t.Fatal(err)
	}
	if ours != turns || theirs != turns-turns/10 {
		t.Errorf("%d rows of ours and %d of theirs are there", ours, theirs)
	}
	intact(t, other)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	again := openAt(t, filepath.Clean(path))
	if err := again.Ping(ctx); err != nil {
		t.Error(err)
	}
}

func commitWithArtifact() *orchestrate.Commit {
	return &orchestrate.Commit{FlowRun: &prefect.FlowRun{}, State: &prefect.State{Data: []byte(`{"artifact_key":"report","x":1}`)}}
}

// TestACommitThatIsRunAgainKeepsItsArtifact: the store may run a commit twice.
func TestACommitThatIsRunAgainKeepsItsArtifact(t *testing.T) {
	c := commitWithArtifact()
	data := dataOf(c)
	for range 2 {
		data.restore()
		a, err := artifactFor(c, runOf(c), false)
		if err != nil || a == nil || a.key == nil || *a.key != "report" {
			t.Fatalf("the artifact is %+v, %v", a, err)
		}
		c.State.Data = a.data
	}
}
