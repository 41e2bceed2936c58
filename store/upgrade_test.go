package store_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store"
	"github.com/interlock-run/interlock/store/schema"
	"github.com/interlock-run/interlock/store/storetest"
)

func TestUpgradeFromEachIndexOnlyRevision(t *testing.T) {
	ctx := context.Background()
	for kind, url := range storetest.URLs(t) {
		storetest.Open(t, url).Close()
		head := factsOf(t, kind, url)
		steps := schema.Steps(kind == "postgres")
		for i, first := range steps {
			t.Run(kind+"/"+first.From, func(t *testing.T) {
				for _, s := range steps[i:] {
					execute(t, url, "DROP INDEX IF EXISTS "+s.Index)
				}
				execute(t, url, "UPDATE alembic_version SET version_num = '"+first.From+"'")
				before := factsOf(t, kind, url)
				_, err := store.Open(ctx, url, store.Options{})
				if prefect.CodeOf(err) != prefect.UnknownRevision || !strings.Contains(err.Error(), "interlock database upgrade") || !strings.Contains(err.Error(), first.From) {
					t.Errorf("Open: %v", err)
				}
				sameFacts(t, factsOf(t, kind, url), before)
				if err := store.Upgrade(ctx, url); err != nil {
					t.Fatal(err)
				}
				sameFacts(t, factsOf(t, kind, url), head)
			})
		}
	}
}

func TestUpgradeRebuildsAnInvalidIndex(t *testing.T) {
	url := storetest.URLs(t)["postgres"]
	storetest.Open(t, url).Close()
	const index = "ix_event_resources__occurred"
	execute(t, url, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = '"+index+"'::regclass")
	execute(t, url, "UPDATE alembic_version SET version_num = '9e9dadc36797'")
	if err := store.Upgrade(context.Background(), url); err != nil {
		t.Fatal(err)
	}
	if n := rowsOf(t, url, "SELECT count(*) FROM pg_index WHERE indexrelid = '"+index+"'::regclass AND indisvalid"); n[0] != "1" {
		t.Error("the index is still invalid")
	}
}

func TestUpgradeMakesAnEmptyDatabase(t *testing.T) {
	url := storetest.SQLiteURL(t)
	if err := store.Upgrade(context.Background(), url); err != nil {
		t.Fatal(err)
	}
	if at := rowsOf(t, url, "SELECT version_num FROM alembic_version"); at[0] != schema.SQLiteRevision {
		t.Errorf("it is at %v", at)
	}
}

// TestOurTablesOfVersion1AreBroughtHere opens a database whose leases all had an
// expiry, with a lease in it.
func TestOurTablesOfVersion1AreBroughtHere(t *testing.T) {
	const lease = "00000000-0000-4000-8000-00000000000a"
	older := map[string][]string{
		"sqlite": {
			"DROP TABLE interlock_slot_lease",
			`CREATE TABLE interlock_slot_lease (id CHAR(36) NOT NULL, created DATETIME NOT NULL, expires DATETIME NOT NULL, slots INTEGER NOT NULL,
				holder_type VARCHAR, holder_id CHAR(36), CONSTRAINT pk_interlock_slot_lease PRIMARY KEY (id))`,
			"CREATE INDEX ix_interlock_slot_lease__expires ON interlock_slot_lease (expires)",
		},
		"postgres": {
			"ALTER TABLE interlock_slot_lease ALTER COLUMN expires SET NOT NULL",
			"DROP INDEX ix_interlock_slot_lease__holder_id",
		},
	}
	for kind, url := range storetest.URLs(t) {
		t.Run(kind, func(t *testing.T) {
			storetest.Open(t, url).Close()
			shape := func() []string {
				if kind == "sqlite" {
					return rowsOf(t, url, "SELECT name, sql FROM sqlite_master WHERE tbl_name LIKE 'interlock%' ORDER BY name")
				}
				return append(rowsOf(t, url, "SELECT indexname, indexdef FROM pg_indexes WHERE tablename LIKE 'interlock%' ORDER BY 1"),
					rowsOf(t, url, "SELECT table_name, column_name, is_nullable FROM information_schema.columns WHERE table_name LIKE 'interlock%' ORDER BY 1, 2")...)
			}
			want := shape()
			for _, s := range older[kind] {
				execute(t, url, s)
			}
			execute(t, url, "UPDATE interlock_meta SET value = '1' WHERE key = 'version'")
			execute(t, url, "INSERT INTO interlock_slot_lease (id, created, expires, slots) VALUES ('"+lease+"', '2026-11-23 18:00:00.000000', '2126-11-23 18:00:00.000000', 2)")
			if slices.Equal(shape(), want) {
				t.Fatal("the older tables are equal to the new ones")
			}
			storetest.Open(t, url).Close()
			if got := shape(); !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if kept := rowsOf(t, url, "SELECT slots FROM interlock_slot_lease WHERE id = '"+lease+"'"); !slices.Equal(kept, []string{"2"}) {
				t.Errorf("of the lease is left %v", kept)
			}
			for version, text := range map[string]string{"3": "at version 3", "0": "at version 0"} {
				execute(t, url, "UPDATE interlock_meta SET value = '"+version+"' WHERE key = 'version'")
				_, err := store.Open(context.Background(), url, store.Options{})
				if prefect.CodeOf(err) != prefect.UnknownRevision || !strings.Contains(err.Error(), text) {
					t.Errorf("version %s: %v", version, err)
				}
			}
		})
	}
}
