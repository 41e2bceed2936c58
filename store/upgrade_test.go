package store_test

import (
	"context"
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
