package storetest_test

import (
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store"
	"github.com/interlock-run/interlock/store/storetest"
)

// put creates or changes the deployment called name.
func put(t *testing.T, db *store.DB, flow uuid.UUID, name string, fn func(d *prefect.Deployment)) *prefect.Deployment {
	t.Helper()
	d, _, err := db.PutDeployment(ctx, flow, name, func(d *prefect.Deployment) error { fn(d); return nil })
	check(t, err)
	return d
}

func slots(n int) prefect.Optional[*int] { return prefect.Optional[*int]{Set: true, Value: &n} }

func TestDeployments(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		flow := newFlow(t, db, prefect.Flow{Name: "flow"})
		queue := must(db.EnsureWorkQueue(ctx, "", "q"))(t)
		full := func(d *prefect.Deployment) {
			d.Version, d.Description, d.Paused = ptr("1"), ptr("what\x00it is"), true
			d.Tags, d.Labels = []string{"a"}, json.RawMessage(`{"k":"v"}`)
			d.Parameters, d.ParameterSchema = json.RawMessage(`{"x":1}`), nil
			d.EnforceSchema = false
			d.ConcurrencyOptions = &prefect.ConcurrencyOptions{CollisionStrategy: "CANCEL_NEW", GracePeriodSeconds: ptr(60)}
			d.WorkQueueID, d.WorkQueueName = &queue.ID, ptr("written")
			d.JobVariables, d.PullSteps = json.RawMessage(`{"env":{}}`), json.RawMessage(`[{"s":1}]`)
			d.Path, d.Entrypoint = ptr("p"), ptr("e")
			d.CreatedBy, d.LastPolled = &prefect.CreatedBy{Type: ptr("AUTOMATION")}, ptr(at(1))
		}
		d, created, err := db.PutDeployment(ctx, flow.ID, "d", func(d *prefect.Deployment) error { full(d); return nil })
		if check(t, err); !created || d.ID == uuid.Nil {
			t.Errorf("created %v, %+v", created, d)
		}
		want := *d
		full(&want)
		want.Description = d.Description // NULs go on Postgres
		wantJSON(t, "the row", d, &want)
		if *d.QueueName != "q" || *d.WorkPoolName != prefect.DefaultAgentPool || *d.WorkPoolID != queue.WorkPoolID {
			t.Errorf("by way of the queue: %v %v", d.QueueName, d.WorkPoolName)
		}
		wantJSON(t, "by id", must(db.ReadDeployment(ctx, d.ID))(t), d)
		wantJSON(t, "by name", must(db.ReadDeploymentByName(ctx, "flow", "d"))(t), d)

		again, created, err := db.PutDeployment(ctx, flow.ID, "d", func(d *prefect.Deployment) error { d.Paused = false; return nil })
		if check(t, err); created || again.ID != d.ID || again.Paused || *again.Version != "1" || !again.Updated.After(d.Updated.Time) {
			t.Errorf("put again: created %v, %+v", created, again)
		}
		no := errors.New("no")
		if _, _, err := db.PutDeployment(ctx, flow.ID, "other", func(*prefect.Deployment) error { return no }); !errors.Is(err, no) {
			t.Errorf("got %v, want fn's error", err)
		}
		_, err = db.ReadDeploymentByName(ctx, "flow", "other")
		wantCode(t, err, prefect.NotFound)
		_, _, err = db.PutDeployment(ctx, uuid.New(), "d", func(*prefect.Deployment) error { return nil })
		wantCode(t, err, prefect.Conflict)

		check(t, db.Polled(ctx, nil, []uuid.UUID{queue.ID}))
		polled := must(db.ReadDeployment(ctx, d.ID))(t)
		if polled.Status != prefect.Ready || !polled.LastPolled.After(at(1).Time) || polled.Updated != again.Updated {
			t.Errorf("polled: %+v", polled)
		}
		check(t, db.DeleteDeployment(ctx, d.ID))
		wantCode(t, db.DeleteDeployment(ctx, d.ID), prefect.NotFound)
		wantCode(t, db.UpdateDeployment(ctx, d.ID, prefect.NoStaleRuns, nil), prefect.NotFound)
	})
}

// TestDeploymentLimits: a deployment has a limit of its own, or shares one, which
// outlives it.
func TestDeploymentLimits(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		flow := newFlow(t, db, prefect.Flow{}).ID
		d := put(t, db, flow, "own", func(d *prefect.Deployment) { d.OwnLimit = slots(2) })
		name := prefect.DeploymentLimitName(d.ID)
		if d.Limit == nil || d.Limit.Name != name || d.Limit.Limit != 2 || !d.Limit.Active || *d.ConcurrencyLimitID != d.Limit.ID {
			t.Fatalf("the limit: %+v", d.Limit)
		}
		id := d.Limit.ID
		if d = put(t, db, flow, "own", func(d *prefect.Deployment) { d.OwnLimit = slots(3) }); d.Limit.ID != id || d.Limit.Limit != 3 {
			t.Errorf("changed: %+v", d.Limit)
		}
		lease := &prefect.SlotLease{ID: uuid.New(), Expires: ptr(at(1 << 30))}
		_, acquired, err := db.AcquireSlots(ctx, prefect.SlotRequest{Names: []string{name}, Slots: 1, Lease: lease})
		if check(t, err); !acquired {
			t.Fatal("no slot")
		}
		if d = put(t, db, flow, "own", func(d *prefect.Deployment) { d.OwnLimit.Set = true }); d.Limit != nil || d.ConcurrencyLimitID != nil {
			t.Errorf("removed: %+v", d.Limit)
		}
		_, err = db.ReadConcurrencyLimit(ctx, name)
		wantCode(t, err, prefect.NotFound)
		check(t, db.ReleaseLease(ctx, lease.ID))

		shared := &prefect.ConcurrencyLimit{ID: uuid.New(), Name: "shared", Limit: 1, Active: true}
		check(t, db.CreateConcurrencyLimit(ctx, shared))
		share := func(d *prefect.Deployment) { d.ConcurrencyLimitID = &shared.ID }
		if d = put(t, db, flow, "shares", share); d.Limit == nil || d.Limit.Name != "shared" {
			t.Errorf("shared: %+v", d.Limit)
		}
		put(t, db, flow, "shares", func(d *prefect.Deployment) { d.OwnLimit.Set = true })
		put(t, db, flow, "shares", share)
		check(t, db.DeleteDeployment(ctx, d.ID))
		must(db.ReadConcurrencyLimit(ctx, "shared"))(t)

		d = put(t, db, flow, "own", func(d *prefect.Deployment) { d.OwnLimit = slots(1) })
		check(t, db.DeleteDeployment(ctx, d.ID))
		_, err = db.ReadConcurrencyLimit(ctx, name)
		wantCode(t, err, prefect.NotFound)
	})
}

// TestAskedQueues: the queue that a deployment asks for is made with it, or not at
// all.
func TestAskedQueues(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ask := func(pool, name string) func(*prefect.Deployment) error {
			return func(d *prefect.Deployment) error {
				d.AskedQueue = &prefect.QueueName{Pool: pool, Name: name}
				return nil
			}
		}
		_, _, err := db.PutDeployment(ctx, uuid.New(), "d", ask("", "q"))
		wantCode(t, err, prefect.Conflict)
		if n := must(db.CountWorkPools(ctx, nil))(t); n != 0 {
			t.Errorf("a refused deployment leaves %d pools", n)
		}
		flow := newFlow(t, db, prefect.Flow{}).ID
		pool := newPool(t, db, prefect.WorkPool{Name: "p"})
		for _, name := range []string{"", "q"} {
			_, _, err = db.PutDeployment(ctx, flow, "d", ask("none", name))
			wantCode(t, err, prefect.NotFound)
		}
		if n := must(db.CountDeployments(ctx, prefect.Filters{}))(t); n != 0 {
			t.Errorf("%d deployments", n)
		}
		d := must2(db.PutDeployment(ctx, flow, "d", ask("p", "")))(t)
		if *d.WorkQueueID != *pool.DefaultQueueID {
			t.Errorf("in queue %v", *d.QueueName)
		}
		bad := func(d *prefect.Deployment) error {
			d.AskedQueue, d.ConcurrencyLimitID = &prefect.QueueName{Pool: "p", Name: "never"}, &uuid.UUID{1}
			return nil
		}
		wantCode(t, db.UpdateDeployment(ctx, d.ID, prefect.NoStaleRuns, bad), prefect.Conflict)
		_, err = db.ReadWorkQueue(ctx, "p", "never")
		wantCode(t, err, prefect.NotFound)
		check(t, db.UpdateDeployment(ctx, d.ID, prefect.NoStaleRuns, ask("", "q")))
		if d = must(db.ReadDeployment(ctx, d.ID))(t); *d.QueueName != "q" || *d.WorkPoolName != prefect.DefaultAgentPool {
			t.Errorf("in %v of %v", *d.QueueName, *d.WorkPoolName)
		}
		check(t, db.UpdateDeployment(ctx, d.ID, prefect.NoStaleRuns, ask("", "")))
		if again := must(db.ReadDeployment(ctx, d.ID))(t); *again.WorkQueueID != *d.WorkQueueID {
			t.Error("asking for no queue changed it")
		}
	})
}

// TestDeletedLimitsLeaveNoLease: what nothing else would end goes with the limit;
// what a client renews goes when it renews it no more.
func TestDeletedLimitsLeaveNoLease(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		flow := newFlow(t, db, prefect.Flow{}).ID
		d := put(t, db, flow, "d", func(d *prefect.Deployment) { d.OwnLimit = slots(9) })
		own := prefect.DeploymentLimitName(d.ID)
		for _, name := range []string{"a", "b"} {
			check(t, db.CreateConcurrencyLimit(ctx, &prefect.ConcurrencyLimit{ID: uuid.New(), Name: name, Limit: 9, Active: true}))
		}
		acquire := func(expires *prefect.Time, names ...string) uuid.UUID {
			t.Helper()
			lease := &prefect.SlotLease{ID: uuid.New(), Expires: expires}
			if _, ok, err := db.AcquireSlots(ctx, prefect.SlotRequest{Names: names, Slots: 1, Lease: lease}); err != nil || !ok {
				t.Fatal(ok, err)
			}
			return lease.ID
		}
		end := prefect.NewTime(time.Now().Add(time.Hour))
		century := end.Add(100 * 365 * 24 * time.Hour)
		both, ofA, ofOwn, renewed := acquire(nil, "a", "b"), acquire(&century, "a"), acquire(nil, own), acquire(&end, "a", own)
		check(t, db.DeleteConcurrencyLimit(ctx, "a"))
		put(t, db, flow, "d", func(d *prefect.Deployment) { d.OwnLimit.Set = true })
		for _, gone := range []uuid.UUID{ofA, ofOwn} {
			wantCode(t, db.RenewLease(ctx, gone, century), prefect.Gone)
		}
		for _, there := range []uuid.UUID{both, renewed} {
			check(t, db.RenewLease(ctx, there, end))
		}
		if b := must(db.ReadConcurrencyLimit(ctx, "b"))(t); b.ActiveSlots != 1 {
			t.Errorf("%d slots of another limit are taken", b.ActiveSlots)
		}
		check(t, db.RenewLease(ctx, renewed, at(-1<<30)))
		must(db.ExpireLeases(ctx, 100))(t)
		wantCode(t, db.RenewLease(ctx, renewed, end), prefect.Gone)
	})
}

// TestDeleteFlowDeletesLimits: those of the flow's deployments alone.
func TestDeleteFlowDeletesLimits(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		flow, other := newFlow(t, db, prefect.Flow{Name: "f"}).ID, newFlow(t, db, prefect.Flow{Name: "o"}).ID
		shared := &prefect.ConcurrencyLimit{ID: uuid.New(), Name: "shared", Limit: 1, Active: true}
		check(t, db.CreateConcurrencyLimit(ctx, shared))
		own := func(d *prefect.Deployment) { d.OwnLimit = slots(2) }
		mine := []*prefect.Deployment{put(t, db, flow, "1", own), put(t, db, flow, "2", own)}
		put(t, db, flow, "3", func(d *prefect.Deployment) { d.ConcurrencyLimitID = &shared.ID })
		theirs := put(t, db, other, "1", own)
		check(t, db.DeleteFlow(ctx, flow))
		for _, d := range mine {
			_, err := db.ReadConcurrencyLimit(ctx, prefect.DeploymentLimitName(d.ID))
			wantCode(t, err, prefect.NotFound)
		}
		must(db.ReadConcurrencyLimit(ctx, prefect.DeploymentLimitName(theirs.ID)))(t)
		must(db.ReadConcurrencyLimit(ctx, "shared"))(t)
		wantCode(t, db.DeleteFlow(ctx, flow), prefect.NotFound)
	})
}

// TestNamesWithNUL: they are texts like others; Postgres has them without.
func TestNamesWithNUL(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		const name = "a\x00b"
		p := newPool(t, db, prefect.WorkPool{Name: name})
		if again := must(db.ReadWorkPool(ctx, name))(t); again.ID != p.ID {
			t.Errorf("another pool: %+v", again)
		}
		must(db.EnsureWorkQueue(ctx, name, name))(t)
		l := &prefect.ConcurrencyLimit{ID: uuid.New(), Name: name, Limit: 1, Active: true}
		check(t, db.CreateConcurrencyLimit(ctx, l))
		if again := must(db.ReadConcurrencyLimit(ctx, name))(t); again.ID != l.ID {
			t.Errorf("another limit: %+v", again)
		}
		must2(db.PutTagLimit(ctx, name, 1))(t)
		must2(db.AcquireTagSlots(ctx, []string{name}, uuid.New(), at(1<<30)))(t)
		if claim := must(db.ClaimTaskRun(ctx, []string{name}, time.Minute))(t); claim != nil {
			t.Errorf("a claim of nothing: %+v", claim)
		}
		run := newFlowRun(t, db, prefect.FlowRun{}, nil)
		check(t, db.CreateFlowRunInput(ctx, &prefect.FlowRunInput{FlowRunID: run.ID, Key: name}))
		if left := must(db.FilterFlowRunInput(ctx, run.ID, "a", 10, []string{name}))(t); len(left) != 0 {
			t.Errorf("excluded: %+v", left)
		}
		newFlow(t, db, prefect.Flow{Name: name})
		if created, err := db.CreateFlow(ctx, &prefect.Flow{Name: name}); err != nil || created {
			t.Errorf("the flow again: created %v, %v", created, err)
		}
	})
}

func TestDeploymentSchedules(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		flow := newFlow(t, db, prefect.Flow{}).ID
		schedule := func(slug string) *prefect.DeploymentSchedule {
			return &prefect.DeploymentSchedule{Schedule: json.RawMessage(`{"interval":60.0}`), Active: true, MaxScheduledRuns: ptr(3), Slug: &slug}
		}
		slugs := func(d *prefect.Deployment) (list []string) {
			for _, s := range d.Schedules {
				list = append(list, *s.Slug)
			}
			return list
		}
		d := put(t, db, flow, "d", func(d *prefect.Deployment) {
			d.Schedules = []*prefect.DeploymentSchedule{schedule("a"), schedule("b"), schedule("c")}
		})
		if got := slugs(d); !slices.Equal(got, []string{"c", "b", "a"}) {
			t.Errorf("the last written comes first: %v", got)
		}
		if s := d.Schedules[0]; s.DeploymentID != d.ID || *s.MaxScheduledRuns != 3 || string(s.Parameters) != "{}" {
			t.Errorf("%+v", s)
		}
		first := d.Schedules[0].ID
		d = put(t, db, flow, "d", func(d *prefect.Deployment) {
			d.Schedules[0].Slug, d.Schedules[1].Slug = d.Schedules[1].Slug, d.Schedules[0].Slug // c and b
			d.Schedules = append(d.Schedules[:2], schedule("a"))                                // the old a goes
		})
		if got := slugs(d); !slices.Equal(got, []string{"a", "c", "b"}) || d.Schedules[2].ID != first {
			t.Errorf("after a swap and a replacement: %v", got)
		}
		stamp := d.Schedules[1].Updated
		if d = put(t, db, flow, "d", func(*prefect.Deployment) {}); d.Schedules[1].Updated != stamp {
			t.Error("a schedule that nobody changed has a new stamp")
		}
		_, _, err := db.PutDeployment(ctx, flow, "d", func(d *prefect.Deployment) error {
			d.Schedules = append(d.Schedules, schedule("a"))
			return nil
		})
		wantCode(t, err, prefect.Conflict)
	})
}

// TestStaleRuns: what a change deletes of a deployment's runs.
func TestStaleRuns(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		flow := newFlow(t, db, prefect.Flow{}).ID
		d := put(t, db, flow, "d", func(*prefect.Deployment) {})
		future := at(1 << 30)
		add := func(name string, auto bool, next prefect.Time, change func(*prefect.FlowRun, *prefect.State)) {
			r, s := prefect.FlowRun{Name: name, FlowID: flow, DeploymentID: &d.ID, AutoScheduled: auto}, newState(prefect.Scheduled, at(0))
			r.NextScheduledStartTime = &next
			if change != nil {
				change(&r, s)
			}
			newFlowRun(t, db, r, s)
		}
		add("auto, later", true, future, nil)
		add("auto, past", true, at(-1<<30), nil)
		add("by hand", false, future, nil)
		add("waits for a slot", true, future, func(_ *prefect.FlowRun, s *prefect.State) { s.Name = "AwaitingConcurrencySlot" })
		add("ran", true, future, func(r *prefect.FlowRun, _ *prefect.State) { r.RunCount = 1 })
		add("running", true, future, func(_ *prefect.FlowRun, s *prefect.State) { s.Type = prefect.Running })
		left := func() (names []string) {
			t.Helper()
			runs, err := db.FilterFlowRuns(ctx, prefect.Filters{}, prefect.Page{Sort: "NAME_ASC", Limit: 10})
			check(t, err)
			for _, r := range runs {
				names = append(names, r.Name)
			}
			return names
		}
		stay := []string{"ran", "running", "waits for a slot"}
		for _, step := range []struct {
			stale prefect.StaleRuns
			want  []string
		}{
			{prefect.NoStaleRuns, append([]string{"auto, later", "auto, past", "by hand"}, stay...)},
			{prefect.FutureScheduledRuns, append([]string{"auto, past", "by hand"}, stay...)},
			{prefect.AutoScheduledRuns, append([]string{"by hand"}, stay...)},
		} {
			check(t, db.UpdateDeployment(ctx, d.ID, step.stale, func(*prefect.Deployment) error { return nil }))
			if got := left(); !slices.Equal(got, step.want) {
				t.Errorf("%d: left %v, want %v", step.stale, got, step.want)
			}
		}
		check(t, db.DeleteDeployment(ctx, d.ID))
		if got := left(); !slices.Equal(got, stay) {
			t.Errorf("deleted: left %v, want %v", got, stay)
		}
	})
}

// TestDeploymentsAtTheSameTime: one of many who put a deployment creates it.
func TestDeploymentsAtTheSameTime(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		flow := newFlow(t, db, prefect.Flow{}).ID
		var wg sync.WaitGroup
		var mu sync.Mutex
		made := 0
		for range 8 {
			wg.Go(func() {
				_, created, err := db.PutDeployment(ctx, flow, "d", func(d *prefect.Deployment) error { d.OwnLimit = slots(2); return nil })
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				if created {
					made++
				}
			})
		}
		if wg.Wait(); made != 1 {
			t.Errorf("created %d times", made)
		}
	})
}
