package storetest

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store"
)

// newLimit stores a limit and returns it.
func newLimit(t *testing.T, db *store.DB, name string, limit int) *prefect.ConcurrencyLimit {
	t.Helper()
	now := prefect.NewTime(time.Now())
	l := &prefect.ConcurrencyLimit{ID: uuid.New(), Created: now, Updated: now, Active: true, Name: name, Limit: limit, AvgSlotOccupancySeconds: 2}
	if err := db.CreateConcurrencyLimit(context.Background(), l); err != nil {
		t.Fatal(err)
	}
	return l
}

func activeSlots(t *testing.T, db *store.DB, name string) int {
	t.Helper()
	l, err := db.ReadConcurrencyLimit(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	return l.ActiveSlots
}

// lease returns a lease that is to expire after d.
func lease(d time.Duration) *prefect.SlotLease {
	return &prefect.SlotLease{ID: uuid.New(), Expires: prefect.NewTime(time.Now().Add(d)).Ptr()}
}

func TestSlotsAreNeverHeldByMoreThanThereAre(t *testing.T) {
	Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		newLimit(t, db, "a", 2)
		newLimit(t, db, "b", 3)
		var holders, most, taken atomic.Int64
		var wg sync.WaitGroup
		for range 16 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for range 20 {
					l := lease(time.Hour)
					_, ok, err := db.AcquireSlots(ctx, prefect.SlotRequest{Names: []string{"b", "a", "nobody"}, Slots: 1, Lease: l})
					if err != nil {
						t.Error(err)
						return
					}
					if !ok {
						continue
					}
					taken.Add(1)
					n := holders.Add(1)
					for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
					}
					holders.Add(-1)
					if err := db.ReleaseLease(ctx, l.ID); err != nil {
						t.Error(err)
					}
				}
			}()
		}
		wg.Wait()
		if most.Load() > 2 || taken.Load() == 0 {
			t.Errorf("at most %d held slots at once, %d in all", most.Load(), taken.Load())
		}
		if a, b := activeSlots(t, db, "a"), activeSlots(t, db, "b"); a != 0 || b != 0 {
			t.Errorf("%d and %d slots are still taken", a, b)
		}
	})
}

func TestSlotsAreTakenAllOrNone(t *testing.T) {
	Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		newLimit(t, db, "wide", 5)
		newLimit(t, db, "narrow", 1)
		take := func(names ...string) bool {
			_, ok, err := db.AcquireSlots(ctx, prefect.SlotRequest{Names: names, Slots: 1})
			if err != nil {
				t.Fatal(err)
			}
			return ok
		}
		if !take("narrow") || take("wide", "narrow") {
			t.Fatal("the full limit did not hold the request back")
		}
		if n := activeSlots(t, db, "wide"); n != 0 {
			t.Errorf("%d slots of the other limit were taken", n)
		}
		if _, err := db.ReleaseSlots(ctx, []string{"narrow", "wide"}, 1, 4); err != nil {
			t.Fatal(err)
		}
		if !take("wide", "narrow") {
			t.Error("the slot that was given back is not free")
		}
		l, err := db.ReadConcurrencyLimit(ctx, "narrow")
		if err != nil || l.AvgSlotOccupancySeconds != 3 { // 2, and half of the way to 4
			t.Errorf("average occupancy is %v, err %v", l.AvgSlotOccupancySeconds, err)
		}
		if _, _, err := db.AcquireSlots(ctx, prefect.SlotRequest{Names: []string{"narrow"}, Slots: 2}); prefect.CodeOf(err) != prefect.Invalid {
			t.Errorf("more slots than there are: %v", err)
		}
		if _, _, err := db.AcquireSlots(ctx, prefect.SlotRequest{Names: []string{"wide"}, Slots: 1, RateLimit: true}); prefect.CodeOf(err) != prefect.Invalid {
			t.Errorf("a rate limit without decay: %v", err)
		}
	})
}

// TestDenialsEndNoLimit: their count stays within its column.
func TestDenialsEndNoLimit(t *testing.T) {
	Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		const most = math.MaxInt32
		newLimit(t, db, "full", most)
		for i := range 3 {
			_, ok, err := db.AcquireSlots(ctx, prefect.SlotRequest{Names: []string{"full"}, Slots: most})
			if err != nil || ok != (i == 0) {
				t.Fatalf("request %d: acquired %v, %v", i, ok, err)
			}
		}
		if l, err := db.ReadConcurrencyLimit(ctx, "full"); err != nil || l.DeniedSlots != most {
			t.Errorf("%+v, %v", l, err)
		}
	})
}

func TestLeasesExpireAndGiveBackOnce(t *testing.T) {
	Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		newLimit(t, db, "l", 2)
		late, live, none := lease(-time.Second), lease(time.Hour), lease(time.Hour)
		for _, l := range []*prefect.SlotLease{late, live} {
			if _, ok, err := db.AcquireSlots(ctx, prefect.SlotRequest{Names: []string{"l"}, Slots: 1, Lease: l}); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}
		if limits, ok, err := db.AcquireSlots(ctx, prefect.SlotRequest{Names: []string{"tag:unlimited"}, Slots: 1, Lease: none}); !ok || err != nil || len(limits) != 0 {
			t.Fatalf("a name without a limit: %v, %v, %v", limits, ok, err)
		}
		if n, err := db.ExpireLeases(ctx, 100); n != 1 || err != nil {
			t.Fatalf("%d leases expired, err %v", n, err)
		}
		if err := db.ReleaseLease(ctx, late.ID); err != nil { // gone: nothing to give back
			t.Fatal(err)
		}
		if n := activeSlots(t, db, "l"); n != 1 {
			t.Errorf("%d slots are taken, want the living lease's", n)
		}
		later := prefect.NewTime(time.Now().Add(2 * time.Hour))
		if err := db.RenewLease(ctx, late.ID, later); prefect.CodeOf(err) != prefect.Gone {
			t.Errorf("renewing a lease that is gone: %v", err)
		}
		for _, id := range []uuid.UUID{live.ID, none.ID} {
			if err := db.RenewLease(ctx, id, later); err != nil {
				t.Errorf("renewing: %v", err)
			}
		}
		if err := db.DeleteConcurrencyLimit(ctx, "l"); err != nil {
			t.Fatal(err)
		}
		if err := db.ReleaseLease(ctx, live.ID); err != nil {
			t.Errorf("a lease of a limit that was deleted: %v", err)
		}
	})
}

func TestSlotsThatDecay(t *testing.T) {
	l := prefect.ConcurrencyLimit{Updated: prefect.NewTime(time.Unix(0, 0)), ActiveSlots: 5, DeniedSlots: 1, SlotDecayPerSecond: 0.5}
	for seconds, want := range map[int64][2]int{0: {5, 1}, 1: {5, 1}, 2: {4, 0}, 7: {2, 0}, 100: {0, 0}} {
		c := l
		c.Decay(prefect.NewTime(time.Unix(seconds, 0)))
		if got := [2]int{c.ActiveSlots, c.DeniedSlots}; got != want {
			t.Errorf("after %d s: %v, want %v", seconds, got, want)
		}
	}
}
