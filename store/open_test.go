package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store"
	"github.com/interlock-run/interlock/store/storetest"
	"github.com/interlock-run/interlock/store/storetest/pgtest"
)

func TestURLsThatCannotBeOpened(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.db")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	pg := pgtest.URL(t)
	for url, code := range map[string]prefect.Code{
		"":                                    prefect.Invalid,
		"interlock.db":                        prefect.Invalid,
		"mysql://u:s3cret@h/d":                prefect.Invalid,
		"sqlite+aiosqlite:///:memory:":        prefect.Invalid,
		"sqlite+aiosqlite://":                 prefect.Invalid,
		"postgresql+asyncpg://u:s3cret@h":     prefect.Invalid,
		"postgresql://u:s3cret%zz@h/d":        prefect.Invalid,
		"sqlite:////no/such/directory/x":      prefect.Unavailable,
		"sqlite:///" + text:                   prefect.Unavailable,
		"sqlite:///" + dir:                    prefect.Unavailable,
		"postgresql://u:s3cret@127.0.0.1:1/d": prefect.Unavailable,
		pg + "_that_is_not_there":             prefect.Unavailable,
	} {
		db, err := store.Open(context.Background(), url, store.Options{})
		if err == nil {
			db.Close()
			t.Errorf("%s was opened", url)
			continue
		}
		if got := prefect.CodeOf(err); got != code {
			t.Errorf("%s: code %s, want %s (%v)", url, got, code, err)
		}
		if strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error is %q", url, err)
		}
	}
}

func TestAForeignRevisionIsRefusedAndLeftAlone(t *testing.T) {
	for kind, url := range storetest.URLs(t) {
		t.Run(kind, func(t *testing.T) {
			driver, dsn := plain(url)
			db, err := sql.Open(driver, dsn)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			for _, s := range []string{"CREATE TABLE alembic_version (version_num VARCHAR(32))", "INSERT INTO alembic_version VALUES ('0123456789ab')"} {
				if _, err := db.Exec(s); err != nil {
					t.Fatal(err)
				}
			}
			for _, open := range []func() error{
				func() error { _, err := store.Open(context.Background(), url, store.Options{}); return err },
				func() error { return store.Upgrade(context.Background(), url) },
			} {
				err := open()
				if prefect.CodeOf(err) != prefect.UnknownRevision || !strings.Contains(err.Error(), "0123456789ab") {
					t.Errorf("error is %v", err)
				}
			}
			tables := "SELECT name FROM sqlite_master"
			if kind == "postgres" {
				tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
			}
			if found := rowsOf(t, url, tables); len(found) != 1 {
				t.Errorf("tables are now %v", found)
			}
		})
	}
}

func TestADatabaseWithoutARevisionIsRefused(t *testing.T) {
	url := storetest.SQLiteURL(t)
	_, path := plain(url)
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE somebody_elses (x)"); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(context.Background(), url, store.Options{}); prefect.CodeOf(err) != prefect.UnknownRevision {
		t.Errorf("error is %v", err)
	}
	if found := rowsOf(t, url, "SELECT name FROM sqlite_master"); len(found) != 1 {
		t.Errorf("tables are now %v", found)
	}
}

func TestOpeningTwiceFindsTheSchemaMade(t *testing.T) {
	for kind, url := range storetest.URLs(t) {
		t.Run(kind, func(t *testing.T) {
			for range 2 {
				db, err := store.Open(context.Background(), url, store.Options{})
				if err != nil {
					t.Fatal(err)
				}
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if n := rowsOf(t, url, "SELECT count(*) FROM alembic_version"); n[0] != "1" {
				t.Errorf("%s revisions", n[0])
			}
		})
	}
}

func TestAFileThatIsRefusedStaysAsItWas(t *testing.T) {
	url := storetest.SQLiteURL(t)
	_, path := plain(url)
	execute(t, url, "CREATE TABLE alembic_version (version_num VARCHAR(32))")
	execute(t, url, "INSERT INTO alembic_version VALUES ('0123456789ab')")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(context.Background(), url, store.Options{}); prefect.CodeOf(err) != prefect.UnknownRevision {
		t.Fatalf("error is %v", err)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Error("the file was changed")
	}
}

func TestFileNamesOfEverySort(t *testing.T) {
	dir := t.TempDir()
	for name, escaped := range map[string]string{"with space.db": "with%20space.db", "100%.db": "100%25.db", "a?b#c&d=e.db": "a%3Fb#c&d=e.db", "ü:1.db": "ü:1.db"} {
		db, err := store.Open(context.Background(), "sqlite:///"+dir+"/"+escaped, store.Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("there is no file %s", name)
		}
	}
}

func TestAFileThatCannotBeWrittenIsTold(t *testing.T) {
	url := storetest.SQLiteURL(t)
	_, path := plain(url)
	if err := os.Mkdir(path+"-interlock.lock", 0o700); err != nil { // stands for a directory without permission, which root has
		t.Fatal(err)
	}
	if _, err := store.Open(context.Background(), url, store.Options{}); prefect.CodeOf(err) != prefect.Unavailable {
		t.Errorf("error is %v", err)
	}
}

func TestOurMissingTablesAreAdded(t *testing.T) {
	for kind, url := range storetest.URLs(t) {
		t.Run(kind, func(t *testing.T) {
			storetest.Open(t, url).Close()
			execute(t, url, "DROP TABLE interlock_slot_holding")
			execute(t, url, "INSERT INTO interlock_meta (key, value) VALUES ('kept', 'k')")
			storetest.Open(t, url).Close()
			if n := rowsOf(t, url, "SELECT count(*) FROM interlock_slot_holding"); n[0] != "0" {
				t.Errorf("%s rows in a new table", n[0])
			}
			if kept := rowsOf(t, url, "SELECT value FROM interlock_meta WHERE key = 'kept'"); len(kept) != 1 {
				t.Error("a table that was there was made again")
			}
			execute(t, url, "UPDATE interlock_meta SET value = '999' WHERE key = 'version'")
			if _, err := store.Open(context.Background(), url, store.Options{}); prefect.CodeOf(err) != prefect.UnknownRevision || !strings.Contains(err.Error(), "999") {
				t.Errorf("a later version of our tables: %v", err)
			}
		})
	}
}
