package storetest_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store"
	"github.com/interlock-run/interlock/store/storetest"
)

const patience = time.Hour

// enqueue makes the n-th task run, SCHEDULED for that time, on its queue.
func enqueue(t *testing.T, db *store.DB, n int, key, queue string, scheduled prefect.Time) uuid.UUID {
	t.Helper()
	return enqueueOf(t, db, n, key, queue, scheduled, nil)
}

// enqueueOf is enqueue of a task run of a flow run.
func enqueueOf(t *testing.T, db *store.DB, n int, key, queue string, scheduled prefect.Time, flowRun *uuid.UUID) uuid.UUID {
	t.Helper()
	s := newState(prefect.Scheduled, at(n))
	s.Details.ScheduledTime = &scheduled
	run := prefect.TaskRun{ID: id(n), Name: fmt.Sprint("run ", n), FlowRunID: flowRun, TaskKey: key, DynamicKey: fmt.Sprint(n)}
	enter(&run.RunTimes, s)
	check(t, db.Commit(ctx, &orchestrate.Commit{TaskRun: &run, Create: true, State: s, Effects: []orchestrate.Effect{queueing(queue)}}))
	return run.ID
}

func queueing(queue string) orchestrate.Effect {
	return orchestrate.Effect{Type: orchestrate.EnqueueTaskRun, Payload: json.RawMessage(`{"type":"enqueue_task_run","queue":"` + queue + `"}`)}
}

// enterState commits the task run's next state, with effects.
func enterState(t *testing.T, db *store.DB, run uuid.UUID, kind prefect.StateType, effects ...orchestrate.Effect) {
	t.Helper()
	enterStateAt(t, db, run, kind, nil, effects...)
}

// enterStateAt is enterState of a state that is scheduled for a time.
func enterStateAt(t *testing.T, db *store.DB, run uuid.UUID, kind prefect.StateType, scheduled *prefect.Time, effects ...orchestrate.Effect) {
	t.Helper()
	r := must(db.ReadTaskRun(ctx, run))(t)
	s := newState(kind, r.State.Timestamp.Add(time.Second))
	if scheduled != nil {
		s.Details.ScheduledTime = scheduled
	}
	next := *r
	enter(&next.RunTimes, s)
	check(t, db.Commit(ctx, &orchestrate.Commit{TaskRun: &next, State: s, ExpectStateID: r.StateID, ExpectUpdated: r.Updated, Effects: effects}))
}

// wantClaims claims until there is no more and compares.
func wantClaims(t *testing.T, db *store.DB, keys []string, want ...int) (claims []*prefect.TaskClaim) {
	t.Helper()
	for _, n := range want {
		c := must(db.ClaimTaskRun(ctx, keys, patience))(t)
		if c == nil {
			t.Fatalf("no run, want %d", n)
		}
		if c.Run.ID != id(n) || c.Run.State == nil || c.Run.State.Type != prefect.Scheduled {
			t.Fatalf("claimed %s in %v, want run %d", c.Run.Name, c.Run.State, n)
		}
		claims = append(claims, c)
	}
	if c := must(db.ClaimTaskRun(ctx, keys, patience))(t); c != nil {
		t.Fatalf("claimed %s, want none", c.Run.Name)
	}
	return claims
}

func TestTaskQueueOrder(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		past, future := at(0), prefect.NewTime(time.Now().Add(time.Hour))
		enqueue(t, db, 1, "b", "scheduled", past)
		enqueue(t, db, 2, "a", "scheduled", past)
		enqueue(t, db, 3, "a", "retry", past)
		enqueue(t, db, 4, "a", "retry", future)
		enqueue(t, db, 5, "c", "scheduled", past)
		wantClaims(t, db, []string{"d"})
		claims := wantClaims(t, db, []string{"a", "b", "a"}, 3, 1, 2)
		check(t, db.FinishTaskClaim(ctx, claims[0]))
		check(t, db.ReturnTaskClaim(ctx, claims[2]))
		enqueue(t, db, 6, "a", "scheduled", past)
		again := wantClaims(t, db, []string{"a", "b"}, 2, 6) // one that came back goes first
		check(t, db.FinishTaskClaim(ctx, claims[2]))         // the claim of before is nobody's
		check(t, db.ReturnTaskClaim(ctx, claims[2]))
		check(t, db.ReturnTaskClaim(ctx, again[0]))
		wantClaims(t, db, []string{"a"}, 2)
		wantClaims(t, db, []string{"c"}, 5)
	})
}

func TestTaskQueueForgetsWhatIsNotScheduled(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		cancelled, deleted := enqueue(t, db, 1, "a", "scheduled", at(0)), enqueue(t, db, 2, "a", "scheduled", at(0))
		begun := enqueue(t, db, 3, "a", "scheduled", at(0))
		enqueue(t, db, 4, "a", "scheduled", at(0))
		enterState(t, db, cancelled, prefect.Cancelled)
		check(t, db.DeleteTaskRun(ctx, deleted))
		enterState(t, db, begun, prefect.Pending, queueing("scheduled")) // not SCHEDULED: not queued either
		wantClaims(t, db, []string{"a"}, 4)
		enterState(t, db, begun, prefect.Scheduled)
		wantClaims(t, db, []string{"a"})
	})
}

// TestTaskQueueIsSweptWithoutWorkers has nobody claim from the queue, and runs that
// are cancelled, finished and deleted by themselves and with their flow run.
func TestTaskQueueIsSweptWithoutWorkers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		swept := func(limit, want int) {
			t.Helper()
			if n := must(db.SweepTaskQueue(ctx, limit))(t); n != want {
				t.Errorf("%d runs were swept, want %d", n, want)
			}
		}
		var runs []uuid.UUID
		for n := range 6 {
			runs = append(runs, enqueue(t, db, n, "a", "scheduled", at(0)))
		}
		claim := must(db.ClaimTaskRun(ctx, []string{"a"}, patience))(t)
		swept(10, 0)
		enterState(t, db, runs[0], prefect.Running) // the claimed one
		enterState(t, db, runs[1], prefect.Cancelled)
		enterState(t, db, runs[2], prefect.Completed)
		check(t, db.DeleteTaskRun(ctx, runs[3]))
		swept(2, 2)
		swept(2, 1) // the deleted one is off already
		swept(2, 0)
		enterState(t, db, runs[0], prefect.Scheduled, queueing("retry"))
		check(t, db.FinishTaskClaim(ctx, claim)) // of a row that is gone
		wantClaims(t, db, []string{"a"}, 0, 4, 5)
	})
}

func TestTaskQueueLosesWhatIsDeletedWithItsFlowRun(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		one := newFlowRun(t, db, prefect.FlowRun{Name: "one"}, newState(prefect.Running, at(0)))
		two := newFlowRun(t, db, prefect.FlowRun{Name: "two"}, newState(prefect.Running, at(0)))
		enqueueOf(t, db, 1, "a", "scheduled", at(0), &one.ID)
		enqueueOf(t, db, 2, "a", "scheduled", at(0), &two.ID)
		enqueue(t, db, 3, "a", "scheduled", at(0))
		check(t, db.DeleteFlowRun(ctx, one.ID))
		check(t, db.DeleteFlow(ctx, two.FlowID))
		if n := must(db.SweepTaskQueue(ctx, 10))(t); n != 0 {
			t.Errorf("%d runs that were deleted were on the queue", n)
		}
		wantClaims(t, db, []string{"a"}, 3)
	})
}

// TestSweepTakesNothingThatIsQueuedMeanwhile sweeps all the time while a run is
// begun and queued again.
func TestSweepTakesNothingThatIsQueuedMeanwhile(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		run := enqueue(t, db, 1, "a", "scheduled", at(0))
		stop := make(chan struct{})
		var sweeps sync.WaitGroup
		defer sweeps.Wait()
		defer close(stop)
		for range 2 {
			sweeps.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if _, err := db.SweepTaskQueue(ctx, 10); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		for round := range 100 {
			enterState(t, db, run, prefect.Running)
			enterState(t, db, run, prefect.Scheduled, queueing("retry"))
			c := must(db.ClaimTaskRun(ctx, []string{"a"}, patience))(t)
			if c == nil {
				t.Fatalf("in round %d the run is off its queue", round)
			}
			check(t, db.ReturnTaskClaim(ctx, c))
		}
	})
}

func TestTaskRunIsQueuedOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		run := enqueue(t, db, 1, "a", "scheduled", at(0))
		enterState(t, db, run, prefect.Scheduled, queueing("retry"))
		claim := wantClaims(t, db, []string{"a"}, 1)[0]
		wantClaims(t, db, []string{"a"}) // it is on its way already
		check(t, db.FinishTaskClaim(ctx, claim))
		wantClaims(t, db, []string{"a"})
		enterState(t, db, run, prefect.Scheduled, queueing("scheduled"))
		wantClaims(t, db, []string{"a"}, 1)
	})
}

// TestTaskRunIsQueuedAgainUnderItsClaim has a worker begin a run, and the run come
// to its retry, before the receipt of the first delivery is worked on.
func TestTaskRunIsQueuedAgainUnderItsClaim(t *testing.T) {
	finish := func(t *testing.T, db *store.DB, c *prefect.TaskClaim) { check(t, db.FinishTaskClaim(ctx, c)) }
	giveBack := func(t *testing.T, db *store.DB, c *prefect.TaskClaim) { check(t, db.ReturnTaskClaim(ctx, c)) }
	nothing := func(*testing.T, *store.DB, *prefect.TaskClaim) {}
	past, future := at(0), prefect.NewTime(time.Now().Add(time.Hour))
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for n, test := range []struct {
			name     string
			retry    prefect.Time
			patience time.Duration
			end      func(*testing.T, *store.DB, *prefect.TaskClaim)
			comes    bool // to a worker then
		}{
			{"received", past, patience, finish, true},
			{"not received", past, patience, giveBack, true},
			{"received, due later", future, patience, finish, false},
			{"not received, due later", future, patience, giveBack, false},
			{"the claim ran out", past, -time.Second, nothing, true},
			{"the claim ran out, due later", future, -time.Second, nothing, false},
		} {
			t.Run(test.name, func(t *testing.T) {
				keys := []string{test.name}
				run := enqueue(t, db, n, test.name, "scheduled", past)
				first := must(db.ClaimTaskRun(ctx, keys, test.patience))(t)
				enterState(t, db, run, prefect.Running)
				enterStateAt(t, db, run, prefect.Scheduled, &test.retry, queueing("retry"))
				if test.patience > 0 {
					wantClaims(t, db, keys) // on its way still
				}
				test.end(t, db, first)
				var want []int
				if test.comes {
					want = append(want, n)
				}
				again := wantClaims(t, db, keys, want...)
				finish(t, db, first) // over: it takes nothing off that is not its own
				wantClaims(t, db, keys)
				for _, c := range again { // which is for good
					finish(t, db, c)
				}
				wantClaims(t, db, keys)
			})
		}
	})
}

func TestClaimsRunOut(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		enqueue(t, db, 1, "a", "scheduled", at(0))
		first := must(db.ClaimTaskRun(ctx, []string{"a"}, -time.Second))(t) // run out already
		second := must(db.ClaimTaskRun(ctx, []string{"a"}, patience))(t)
		if first == nil || second == nil || first.ID == second.ID || second.Run.ID != first.Run.ID {
			t.Fatalf("claims %+v, %+v", first, second)
		}
		check(t, db.ReturnTaskClaim(ctx, first))
		wantClaims(t, db, []string{"a"})
		check(t, db.FinishTaskClaim(ctx, second))
		wantClaims(t, db, []string{"a"})
	})
}

// TestEachRunGoesToOneWorker has many claim at once, on Postgres by two servers.
func TestEachRunGoesToOneWorker(t *testing.T) {
	eachURLAt(t, func(t *testing.T, db *store.DB, url string, _ func(string)) {
		const runs, workers = 60, 6
		for n := range runs {
			enqueue(t, db, n, "a", "scheduled", at(0))
		}
		servers := []*store.DB{db, db}
		if strings.HasPrefix(url, "postgres") {
			servers[1] = storetest.Open(t, url)
		}
		var mu sync.Mutex
		got := make(map[uuid.UUID]int)
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				for {
					c, err := servers[w%2].ClaimTaskRun(ctx, []string{"a"}, patience)
					if err != nil {
						t.Error(err)
					}
					if c == nil {
						return
					}
					if err := servers[w%2].FinishTaskClaim(ctx, c); err != nil {
						t.Error(err)
					}
					mu.Lock()
					got[c.Run.ID]++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		for n := range runs {
			if got[id(n)] != 1 {
				t.Errorf("run %d was claimed %d times", n, got[id(n)])
			}
		}
	})
}
