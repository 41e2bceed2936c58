package storetest_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store"
	"github.com/interlock-run/interlock/store/storetest"
)

func TestTagLimits(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		l, created, err := db.PutTagLimit(ctx, "a", 2)
		if check(t, err); !created || l.Tag != "a" || l.Limit != 2 || len(l.Holders) != 0 {
			t.Errorf("created %v, %+v", created, l)
		}
		if again, created, err := db.PutTagLimit(ctx, "a", 1); err != nil || created || again.ID != l.ID || again.Limit != 1 {
			t.Errorf("put again: created %v, %+v, %v", created, again, err)
		}
		check(t, db.CreateConcurrencyLimit(ctx, &prefect.ConcurrencyLimit{ID: id(1), Name: "no tag", Limit: 1, Active: true}))
		check(t, db.CreateConcurrencyLimit(ctx, &prefect.ConcurrencyLimit{ID: id(2), Name: "TAG:a", Limit: 1, Active: true}))
		must2(db.PutTagLimit(ctx, "b", 5))(t)
		for _, other := range []uuid.UUID{id(1), id(2)} {
			_, err = db.ReadTagLimitByID(ctx, other)
			wantCode(t, err, prefect.NotFound)
		}
		if all := must(db.FilterTagLimits(ctx, prefect.Page{Limit: 10}))(t); len(all) != 2 {
			t.Errorf("%d limits of tags, want 2", len(all))
		}
		_, err = db.ReadTagLimit(ctx, "none")
		wantCode(t, err, prefect.NotFound)
		wantCode(t, db.ResetTagLimit(ctx, "none", nil, at(0)), prefect.NotFound)

		forever := at(1 << 30)
		want := func(what, tag string, taken int, holders ...uuid.UUID) {
			t.Helper()
			l := must(db.ReadTagLimit(ctx, tag))(t)
			if v2 := must(db.ReadConcurrencyLimit(ctx, "tag:"+tag))(t); v2.ActiveSlots != taken || !slices.Equal(l.Holders, holders) {
				t.Errorf("%s: %d of %s taken by %v, want %d by %v", what, v2.ActiveSlots, tag, l.Holders, taken, holders)
			}
		}
		acquire := func(run uuid.UUID, tags ...string) string {
			t.Helper()
			_, full, err := db.AcquireTagSlots(ctx, tags, run, forever)
			check(t, err)
			return full
		}
		if full := acquire(id(10), "a", "none", "b"); full != "" {
			t.Errorf("%q is full", full)
		}
		if full := acquire(id(10), "a", "b"); full != "" {
			t.Errorf("a run that holds its slots is told that %q is full", full)
		}
		if full := acquire(id(11), "b", "a"); full != "a" {
			t.Errorf("got %q, want a", full)
		}
		want("one run", "a", 1, id(10))
		want("all or none", "b", 1, id(10))
		release := func(run uuid.UUID, tags ...string) {
			t.Helper()
			must(db.ReleaseTagSlots(ctx, tags, run))(t)
		}
		release(id(11), "a", "b")
		want("what is not held is not given back", "a", 1, id(10))
		release(id(10), "a")
		want("given back", "a", 0)
		release(id(10), "a", "b")
		release(id(10), "a", "b")
		want("given back once", "b", 0)

		acquire(id(12), "b")
		check(t, db.ResetTagLimit(ctx, "b", []uuid.UUID{id(13), id(14)}, forever))
		want("reset", "b", 2, id(13), id(14))
		check(t, db.ResetTagLimit(ctx, "b", nil, forever))
		want("reset to none", "b", 0)
		must2(db.PutTagLimit(ctx, "zero", 0))(t)
		_, _, err = db.AcquireTagSlots(ctx, []string{"b", "zero"}, id(15), forever)
		wantCode(t, err, prefect.Locked)
		want("a limit of 0", "b", 0)
		var tags []string
		for _, l := range must(db.FilterTagLimits(ctx, prefect.Page{Limit: 2, Offset: 1}))(t) {
			tags = append(tags, l.Tag)
		}
		if !slices.Equal(tags, []string{"b", "zero"}) {
			t.Errorf("a page: %v", tags)
		}
	})
}

func must2[T, U any](v T, _ U, err error) func(t *testing.T) T { return must(v, err) }

// TestTagSlotsAtTheSameTime: never more holders than slots.
func TestTagSlotsAtTheSameTime(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		must2(db.PutTagLimit(ctx, "a", 2))(t)
		must2(db.PutTagLimit(ctx, "b", 3))(t)
		var wg sync.WaitGroup
		for worker := range 8 {
			wg.Go(func() {
				run, tags := id(100+worker), []string{"a", "b"}
				if worker%2 == 1 {
					slices.Reverse(tags)
				}
				for range 10 {
					_, full, err := db.AcquireTagSlots(ctx, tags, run, at(1<<30))
					if err != nil {
						t.Error(err)
						return
					}
					if full != "" {
						continue
					}
					if l, err := db.ReadTagLimit(ctx, "a"); err != nil || len(l.Holders) > 2 {
						t.Errorf("held by %v, %v", l, err)
					}
					if _, err := db.ReleaseTagSlots(ctx, tags, run); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		for _, tag := range []string{"a", "b"} {
			if l := must(db.ReadConcurrencyLimit(ctx, "tag:"+tag))(t); l.ActiveSlots != 0 {
				t.Errorf("%d slots of %s are taken by nobody", l.ActiveSlots, tag)
			}
		}
	})
}
