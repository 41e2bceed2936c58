package storetest_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store"
	"github.com/interlock-run/interlock/store/storetest"
)

func newPool(t *testing.T, db *store.DB, p prefect.WorkPool) *prefect.WorkPool {
	t.Helper()
	if p.Type == "" {
		p.Type = "process"
	}
	p.Status = prefect.NotReady
	check(t, db.CreateWorkPool(ctx, &p))
	return &p
}

func TestWorkPools(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := newPool(t, db, prefect.WorkPool{Name: "p", Description: ptr("d"), BaseJobTemplate: json.RawMessage(`{"variables":{}}`), ConcurrencyLimit: ptr(2),
			StorageConfiguration: json.RawMessage(`{"bundle_upload_step":null}`)})
		q := must(db.ReadWorkQueue(ctx, "p", prefect.DefaultQueue))(t)
		if *p.DefaultQueueID != q.ID || q.Priority != 1 || q.WorkPoolID != p.ID || *p.ActiveSlots != 0 {
			t.Errorf("%+v with %+v", p, q)
		}
		wantJSON(t, "the pool", must(db.ReadWorkPool(ctx, "p"))(t), p)
		wantCode(t, db.CreateWorkPool(ctx, &prefect.WorkPool{Name: "p", Type: "process", Status: prefect.NotReady}), prefect.Conflict)
		newPool(t, db, prefect.WorkPool{Name: "a", Type: "docker"})
		newPool(t, db, prefect.WorkPool{Name: "z"})
		names := func(f *prefect.WorkPoolFilter, page prefect.Page) (list []string) {
			for _, p := range must(db.FilterWorkPools(ctx, f, page))(t) {
				list = append(list, p.Name)
			}
			return list
		}
		if got := names(nil, prefect.Page{Limit: 2, Offset: 1}); !slices.Equal(got, []string{"p", "z"}) {
			t.Errorf("a page: %v", got)
		}
		docker := &prefect.WorkPoolFilter{Type: &prefect.Any[string]{Any: []string{"docker"}}}
		if got, n := names(docker, prefect.Page{Limit: 9}), must(db.CountWorkPools(ctx, docker))(t); !slices.Equal(got, []string{"a"}) || n != 1 {
			t.Errorf("by type: %v, %d", got, n)
		}

		check(t, db.WorkerHeartbeat(ctx, "p", "w", ptr(7)))
		check(t, db.WorkerHeartbeat(ctx, "p", "w", nil))
		wantCode(t, db.WorkerHeartbeat(ctx, "none", "w", nil), prefect.NotFound)
		workers := must(db.FilterWorkers(ctx, p.ID, &prefect.WorkerFilter{Status: &prefect.AnyNotAny[prefect.WorkerStatus]{Any: []prefect.WorkerStatus{prefect.Online, prefect.Offline}}}, prefect.Page{Limit: 9}))(t)
		if len(workers) != 1 || workers[0].Status != prefect.Online || *workers[0].HeartbeatIntervalSeconds != 7 {
			t.Errorf("workers: %+v", workers)
		}
		if got := must(db.ReadWorkPool(ctx, "p"))(t); got.Status != prefect.Ready {
			t.Errorf("after a heartbeat the pool is %s", got.Status)
		}
		var seen []bool
		pause := func(p *prefect.WorkPool, online bool) error {
			seen, p.IsPaused, p.Status = append(seen, online), true, prefect.PausedStatus
			return nil
		}
		check(t, db.UpdateWorkPool(ctx, "p", pause))
		check(t, db.UpdateWorkPool(ctx, "z", pause))
		if !slices.Equal(seen, []bool{true, false}) {
			t.Errorf("online: %v", seen)
		}
		check(t, db.DeleteWorker(ctx, p.ID, "w"))
		wantCode(t, db.DeleteWorker(ctx, p.ID, "w"), prefect.NotFound)
		check(t, db.DeleteWorkPool(ctx, "p"))
		wantCode(t, db.DeleteWorkPool(ctx, "p"), prefect.NotFound)
		wantCode(t, db.UpdateWorkPool(ctx, "p", pause), prefect.NotFound)
		_, err := db.ReadWorkQueueByID(ctx, q.ID)
		wantCode(t, err, prefect.NotFound)
	})
}

// TestQueuePriorities: a queue takes the priority that it asks for, those behind it
// move, and one that asks for none gets the first that is free.
func TestQueuePriorities(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		pool := newPool(t, db, prefect.WorkPool{Name: "p"})
		add := func(name string, priority int) *prefect.WorkQueue {
			q := &prefect.WorkQueue{Name: name, Priority: priority, WorkPoolID: pool.ID}
			check(t, db.CreateWorkQueue(ctx, q))
			return q
		}
		ranks := func() (list []string) {
			for _, q := range must(db.FilterWorkQueues(ctx, &pool.ID, nil, prefect.Page{Limit: 20}))(t) {
				list = append(list, fmt.Sprint(q.Name, q.Priority))
			}
			return list
		}
		want := func(what string, list ...string) {
			t.Helper()
			if got := ranks(); !slices.Equal(got, list) {
				t.Errorf("%s: %v, want %v", what, got, list)
			}
		}
		add("a", 0)
		add("b", 5)
		add("c", 0)
		want("the first that is free", "default1", "a2", "c3", "b5")
		d := add("d", 2)
		want("those behind move", "default1", "d2", "a3", "c4", "b5")
		if d.Priority != 2 {
			t.Errorf("the reply says %d", d.Priority)
		}
		check(t, db.UpdateWorkQueue(ctx, d.ID, func(q *prefect.WorkQueue) error { q.Priority = 5; return nil }))
		want("it moves back", "default1", "a3", "c4", "d5", "b6")
		wantCode(t, db.CreateWorkQueue(ctx, &prefect.WorkQueue{Name: "a", WorkPoolID: pool.ID}), prefect.Conflict)
		wantCode(t, db.DeleteWorkQueue(ctx, *pool.DefaultQueueID), prefect.Conflict)
		check(t, db.DeleteWorkQueue(ctx, d.ID))
		wantCode(t, db.DeleteWorkQueue(ctx, d.ID), prefect.NotFound)
	})
}

// TestDefaultAgentPool: queues without a pool live in one that is made for them.
func TestDefaultAgentPool(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		_, err := db.ReadWorkQueue(ctx, "", "q")
		wantCode(t, err, prefect.NotFound)
		q := &prefect.WorkQueue{Name: prefect.DefaultQueue}
		check(t, db.CreateWorkQueue(ctx, q))
		pool := must(db.ReadWorkPool(ctx, prefect.DefaultAgentPool))(t)
		if q.ID != *pool.DefaultQueueID || pool.Type != prefect.AgentPoolType {
			t.Errorf("%+v in %+v", q, pool)
		}
		wantCode(t, db.CreateWorkQueue(ctx, &prefect.WorkQueue{Name: prefect.DefaultQueue}), prefect.Conflict)
		first := must(db.EnsureWorkQueue(ctx, "", "first"))(t)
		if again := must(db.EnsureWorkQueue(ctx, "", "first"))(t); again.ID != first.ID || first.Priority != 1 {
			t.Errorf("%+v, then %+v", first, again)
		}
		if got := must(db.ReadWorkQueueByID(ctx, q.ID))(t); got.Priority != 2 {
			t.Errorf("the default queue has priority %d", got.Priority)
		}
		_, err = db.EnsureWorkQueue(ctx, "none", "q")
		wantCode(t, err, prefect.NotFound)
	})
}

// TestScheduledWork: workers get the runs that are due, by the priority of their
// queues, and no more than limits leave.
func TestScheduledWork(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		pool := newPool(t, db, prefect.WorkPool{Name: "p"})
		first := must(db.EnsureWorkQueue(ctx, "p", "b"))(t)
		check(t, db.UpdateWorkQueue(ctx, first.ID, func(q *prefect.WorkQueue) error { q.Priority = 1; return nil }))
		queues := map[string]*uuid.UUID{"b": &first.ID, "d": pool.DefaultQueueID}
		add := func(name string, at prefect.Time, s prefect.StateType, retry *string) {
			r := prefect.FlowRun{Name: name, WorkQueueID: queues[name[:1]], WorkQueueName: ptr("b"), Policy: prefect.FlowRunPolicy{RetryType: retry}}
			r.NextScheduledStartTime = &at
			newFlowRun(t, db, r, newState(s, at))
		}
		add("b1", at(20), prefect.Scheduled, nil)
		add("b2", at(10), prefect.Scheduled, nil)
		add("d1", at(5), prefect.Scheduled, ptr("reschedule"))
		add("d2", at(1), prefect.Scheduled, ptr("in_process"))
		add("d3", at(1), prefect.Running, nil)
		due := func(change func(*prefect.WorkQuery)) (list []string) {
			t.Helper()
			q := prefect.WorkQuery{Limit: 10}
			if change != nil {
				change(&q)
			}
			for _, r := range must(db.WorkPoolRuns(ctx, must(db.ReadWorkPool(ctx, "p"))(t), q))(t) {
				list = append(list, r.Name)
			}
			return list
		}
		want := func(what string, got []string, list ...string) {
			t.Helper()
			if !slices.Equal(got, list) {
				t.Errorf("%s: %v, want %v", what, got, list)
			}
		}
		want("all", due(nil), "b2", "b1", "d1")
		want("a limit", due(func(q *prefect.WorkQuery) { q.Limit = 2 }), "b2", "b1")
		want("a queue", due(func(q *prefect.WorkQuery) { q.Queues = []uuid.UUID{*pool.DefaultQueueID} }), "d1")
		want("before", due(func(q *prefect.WorkQuery) { q.Before = ptr(at(10)) }), "b2", "d1")
		want("after", due(func(q *prefect.WorkQuery) { q.After = ptr(at(10)) }), "b2", "b1")
		limit := func(id uuid.UUID, n *int) {
			check(t, db.UpdateWorkQueue(ctx, id, func(q *prefect.WorkQueue) error { q.ConcurrencyLimit = n; return nil }))
		}
		limit(first.ID, ptr(1))
		limit(*pool.DefaultQueueID, ptr(1))
		want("limits of queues, one of them taken", due(nil), "b2")
		limit(*pool.DefaultQueueID, ptr(2))
		check(t, db.UpdateWorkPool(ctx, "p", func(p *prefect.WorkPool, _ bool) error { p.ConcurrencyLimit = ptr(2); return nil }))
		if p := must(db.ReadWorkPool(ctx, "p"))(t); *p.ActiveSlots != 1 {
			t.Errorf("%d slots of the pool are taken", *p.ActiveSlots)
		}
		want("the limit of the pool, half of it taken", due(nil), "b2")
		check(t, db.UpdateWorkPool(ctx, "p", func(p *prefect.WorkPool, _ bool) error { p.ConcurrencyLimit = nil; return nil }))
		check(t, db.UpdateWorkQueue(ctx, first.ID, func(q *prefect.WorkQueue) error { q.IsPaused = true; return nil }))
		want("a paused queue", due(nil), "d1")
		check(t, db.UpdateWorkPool(ctx, "p", func(p *prefect.WorkPool, _ bool) error { p.IsPaused = true; return nil }))
		want("a paused pool", due(nil))

		limit(first.ID, nil)
		check(t, db.UpdateWorkQueue(ctx, first.ID, func(q *prefect.WorkQueue) error { q.IsPaused = false; return nil }))
		var names []string
		for _, r := range must(db.WorkQueueRuns(ctx, first.ID, prefect.WorkQuery{Limit: 9}))(t) {
			names = append(names, r.Name)
		}
		want("agents know queues by name", names, "d2", "d1", "b2", "b1")
		_, err := db.WorkQueueRuns(ctx, uuid.New(), prefect.WorkQuery{Limit: 9})
		wantCode(t, err, prefect.NotFound)
		check(t, db.Polled(ctx, nil, []uuid.UUID{first.ID}))
		if q := must(db.ReadWorkQueueByID(ctx, first.ID))(t); q.Status != prefect.Ready || q.LastPolled == nil {
			t.Errorf("polled: %+v", q)
		}
	})
}
