package store_test

import (
	"context"
	"fmt"
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

// older is what made our tables those of an older version: its statements, one
// that adds a row, and what is asked of that row afterwards.
type older struct {
	sqlite, postgres []string
	insert, kept     string
}

// olderVersions are the versions of our tables that are brought to this one. What a
// later version changed is undone in those before it too.
var olderVersions = map[string]older{
	"1": { // leases all had an expiry
		sqlite: append([]string{
			"DROP TABLE interlock_slot_lease",
			`CREATE TABLE interlock_slot_lease (id CHAR(36) NOT NULL, created DATETIME NOT NULL, expires DATETIME NOT NULL, slots INTEGER NOT NULL,
				holder_type VARCHAR, holder_id CHAR(36), CONSTRAINT pk_interlock_slot_lease PRIMARY KEY (id))`,
			"CREATE INDEX ix_interlock_slot_lease__expires ON interlock_slot_lease (expires)",
		}, queueOfVersion2...),
		postgres: []string{
			"ALTER TABLE interlock_slot_lease ALTER COLUMN expires SET NOT NULL",
			"DROP INDEX ix_interlock_slot_lease__holder_id",
			"ALTER TABLE interlock_task_queue DROP COLUMN again",
		},
		insert: `INSERT INTO interlock_slot_lease (id, created, expires, slots)
			VALUES ('00000000-0000-4000-8000-00000000000a', '2026-11-23 18:00:00.000000', '2126-11-23 18:00:00.000000', 2)`,
		kept: "SELECT slots FROM interlock_slot_lease WHERE id = '00000000-0000-4000-8000-00000000000a'",
	},
	"2": { // a run could not be queued again under a claim
		sqlite:   queueOfVersion2,
		postgres: []string{"ALTER TABLE interlock_task_queue DROP COLUMN again"},
		insert: `INSERT INTO interlock_task_queue (run_id, task_key, rank, due)
			VALUES ('00000000-0000-4000-8000-00000000000a', 'a', 2, '2026-11-23 18:00:00.000000')`,
		kept: "SELECT rank FROM interlock_task_queue WHERE task_key = 'a' AND again IS NULL",
	},
	"2 before there were queues": {
		sqlite:   []string{"DROP TABLE interlock_task_queue"},
		postgres: []string{"DROP TABLE interlock_task_queue"},
		insert:   "INSERT INTO interlock_meta (key, value) VALUES ('x', '2')",
		kept:     "SELECT value FROM interlock_meta WHERE key = 'x'",
	},
}

var queueOfVersion2 = []string{
	"DROP TABLE interlock_task_queue",
	`CREATE TABLE interlock_task_queue (seq INTEGER NOT NULL, run_id CHAR(36) NOT NULL, task_key VARCHAR NOT NULL, rank SMALLINT NOT NULL,
		due DATETIME NOT NULL, claim CHAR(36), CONSTRAINT pk_interlock_task_queue PRIMARY KEY (seq), CONSTRAINT uq_interlock_task_queue__run_id UNIQUE (run_id))`,
	"CREATE INDEX ix_interlock_task_queue__task_key_rank_seq ON interlock_task_queue (task_key, rank, seq)",
}

// TestOurOlderTablesAreBroughtHere opens databases of older versions with a row in
// what was changed.
func TestOurOlderTablesAreBroughtHere(t *testing.T) {
	for name, was := range olderVersions {
		for kind, url := range storetest.URLs(t) {
			t.Run(name+" "+kind, func(t *testing.T) {
				storetest.Open(t, url).Close()
				shape := func() []string {
					if kind == "sqlite" {
						return rowsOf(t, url, "SELECT name, sql FROM sqlite_master WHERE tbl_name LIKE 'interlock%' ORDER BY name")
					}
					return append(rowsOf(t, url, "SELECT indexname, indexdef FROM pg_indexes WHERE tablename LIKE 'interlock%' ORDER BY 1"),
						rowsOf(t, url, "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns WHERE table_name LIKE 'interlock%' ORDER BY 1, 2")...)
				}
				want := shape()
				steps := was.postgres
				if kind == "sqlite" {
					steps = was.sqlite
				}
				for _, s := range steps {
					execute(t, url, s)
				}
				execute(t, url, "UPDATE interlock_meta SET value = '"+name[:1]+"' WHERE key = 'version'")
				execute(t, url, was.insert)
				if slices.Equal(shape(), want) {
					t.Fatal("the older tables are equal to the new ones")
				}
				storetest.Open(t, url).Close()
				if got := shape(); !slices.Equal(got, want) {
					t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
				if kept := rowsOf(t, url, was.kept); !slices.Equal(kept, []string{"2"}) {
					t.Errorf("of the row is left %v", kept)
				}
			})
		}
	}
}

func TestOurTablesOfAnUnknownVersionAreRefused(t *testing.T) {
	for kind, url := range storetest.URLs(t) {
		t.Run(kind, func(t *testing.T) {
			storetest.Open(t, url).Close()
			for _, version := range []int{0, schema.Version + 1} {
				execute(t, url, fmt.Sprintf("UPDATE interlock_meta SET value = '%d' WHERE key = 'version'", version))
				_, err := store.Open(context.Background(), url, store.Options{})
				if prefect.CodeOf(err) != prefect.UnknownRevision || !strings.Contains(err.Error(), fmt.Sprint("at version ", version)) {
					t.Errorf("version %d: %v", version, err)
				}
			}
		})
	}
}
