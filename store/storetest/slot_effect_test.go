package storetest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store"
)

// slotted is a database with a deployment whose limit is id(71), a limit id(72)
// on the tag a and an inactive one id(73) on the tag b.
type slotted struct {
	db       *store.DB
	postgres bool
	exec     func(string)
	flowID   uuid.UUID
}

var (
	deployed = id(41)
	limits   = map[int]string{71: "deployment:" + id(41).String(), 72: "tag:a", 73: "tag:b"}
)

func eachSlotted(t *testing.T, fn func(t *testing.T, s *slotted)) {
	eachURLAt(t, func(t *testing.T, db *store.DB, url string, exec func(string)) {
		s := &slotted{db: db, postgres: strings.HasPrefix(url, "postgres"), exec: exec, flowID: newFlow(t, db, prefect.Flow{}).ID}
		now := prefect.NewTime(time.Now())
		for n, name := range limits {
			check(t, db.CreateConcurrencyLimit(ctx, &prefect.ConcurrencyLimit{ID: id(n), Created: now, Updated: now, Active: n != 73, Name: name, Limit: 1, AvgSlotOccupancySeconds: 2}))
		}
		exec(fmt.Sprintf("INSERT INTO deployment (id, name, flow_id, paused, concurrency_limit_id) VALUES ('%s', 'd', '%s', false, '%s')", deployed, s.flowID, id(71)))
		fn(t, s)
	})
}

func (s *slotted) flowRun(t *testing.T) *prefect.FlowRun {
	return newFlowRun(t, s.db, prefect.FlowRun{FlowID: s.flowID, DeploymentID: &deployed}, newState(prefect.Pending, at(0)))
}

// enter commits the next state of the run with effects and returns the run as it
// is afterwards.
func (s *slotted) enter(t *testing.T, run *prefect.FlowRun, kind prefect.StateType, effects ...orchestrate.Effect) (*prefect.FlowRun, error) {
	t.Helper()
	next := *run
	state := newState(kind, prefect.NewTime(time.Now()))
	enter(&next.RunTimes, state)
	err := s.db.Commit(ctx, &orchestrate.Commit{FlowRun: &next, State: state, ExpectStateID: run.StateID, ExpectUpdated: run.Updated, Effects: effects})
	return must(s.db.ReadFlowRun(ctx, run.ID))(t), err
}

func (s *slotted) enterTask(run *prefect.TaskRun, kind prefect.StateType, effects ...orchestrate.Effect) error {
	next := *run
	state := newState(kind, prefect.NewTime(time.Now()))
	enter(&next.RunTimes, state)
	return s.db.Commit(ctx, &orchestrate.Commit{TaskRun: &next, State: state, ExpectStateID: run.StateID, ExpectUpdated: run.Updated, Effects: effects})
}

// used is active_slots of the limits 71, 72 and 73.
func (s *slotted) used(t *testing.T) (used [3]int) {
	t.Helper()
	for i := range used {
		used[i] = must(s.db.ReadConcurrencyLimit(ctx, limits[71+i]))(t).ActiveSlots
	}
	return used
}

func (s *slotted) wantUsed(t *testing.T, when string, want ...int) {
	t.Helper()
	if got := s.used(t); got != [3]int(want) {
		t.Errorf("%s: %v slots are taken, want %v", when, got, want)
	}
}

func acquire(lease uuid.UUID, ttl string, limits ...int) orchestrate.Effect {
	ids := make([]uuid.UUID, len(limits))
	for i, n := range limits {
		ids[i] = id(n)
	}
	text, err := json.Marshal(ids)
	if err != nil {
		panic(err)
	}
	return orchestrate.Effect{Type: orchestrate.AcquireSlots, LeaseID: &lease,
		Payload: json.RawMessage(fmt.Sprintf(`{"type":"acquire_slots","limit_ids":%s,"slots":1,"lease":{"ttl_seconds":%s}}`, text, ttl))}
}

func effectOf(kind orchestrate.EffectType, members string) orchestrate.Effect {
	return orchestrate.Effect{Type: kind, Payload: json.RawMessage(`{"type":"` + string(kind) + `"` + members + `}`)}
}

func leaseID(lease uuid.UUID) string { return `,"lease_id":"` + lease.String() + `"` }

var releaseAll = effectOf(orchestrate.ReleaseSlots, `,"limit_ids":null`)

func wantLost(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, orchestrate.ErrLostRace) {
		t.Errorf("%s: got %v, want ErrLostRace", what, err)
	}
}

func TestSlotsAreTakenAllOrNoneAndGivenBackOnce(t *testing.T) {
	eachSlotted(t, func(t *testing.T, s *slotted) {
		one, two := s.flowRun(t), s.flowRun(t)
		var err error
		one, err = s.enter(t, one, prefect.Pending, acquire(id(81), "300", 71, 72))
		check(t, err)
		s.wantUsed(t, "taken", 1, 1, 0)
		_, err = s.enter(t, two, prefect.Pending, acquire(id(82), "300", 72))
		wantLost(t, "a limit that is full", err)
		_, err = s.enter(t, two, prefect.Pending, acquire(id(82), "300", 73))
		wantLost(t, "an inactive limit", err)
		_, err = s.enter(t, two, prefect.Pending, acquire(id(82), "300", 99))
		wantLost(t, "no limit", err)
		s.wantUsed(t, "nobody else got one", 1, 1, 0)

		// What a run holds already counts once, under the new lease.
		one, err = s.enter(t, one, prefect.Pending, acquire(id(83), "null", 71))
		check(t, err)
		s.wantUsed(t, "taken again", 1, 1, 0)
		// Another run's lease, and one that is gone.
		two, err = s.enter(t, two, prefect.Running, effectOf(orchestrate.ReleaseSlots, leaseID(id(83))), effectOf(orchestrate.ReleaseSlots, leaseID(id(99))), releaseAll)
		check(t, err)
		s.wantUsed(t, "given back by who has it not", 1, 1, 0)
		one, err = s.enter(t, one, prefect.Running, effectOf(orchestrate.ReleaseSlots, `,"limit_ids":["`+id(72).String()+`"]`))
		check(t, err)
		s.wantUsed(t, "one of two given back", 1, 0, 0)
		two, err = s.enter(t, two, prefect.Running, acquire(id(84), "300", 72))
		check(t, err)
		one, err = s.enter(t, one, prefect.Completed, effectOf(orchestrate.ReleaseSlots, leaseID(id(83))))
		check(t, err)
		s.wantUsed(t, "given back", 0, 1, 0)
		_, err = s.enter(t, one, prefect.Failed, releaseAll)
		check(t, err)
		s.wantUsed(t, "given back twice", 0, 1, 0)
		_, err = s.enter(t, two, prefect.Failed, effectOf(orchestrate.ReleaseSlots, leaseID(id(84))))
		check(t, err)
		s.wantUsed(t, "all given back", 0, 0, 0)
	})
}

func TestALimitThatIsGoneOrInactiveFailsNoRelease(t *testing.T) {
	eachSlotted(t, func(t *testing.T, s *slotted) {
		one, two := s.flowRun(t), s.flowRun(t)
		one, err := s.enter(t, one, prefect.Pending, acquire(id(81), "300", 71))
		check(t, err)
		two, err = s.enter(t, two, prefect.Pending, acquire(id(82), "300", 72))
		check(t, err)
		check(t, s.db.UpdateConcurrencyLimit(ctx, limits[71], func(l *prefect.ConcurrencyLimit) error { l.Active = false; return nil }))
		check(t, s.db.DeleteConcurrencyLimit(ctx, limits[72]))
		_, err = s.enter(t, one, prefect.Completed, effectOf(orchestrate.ReleaseSlots, leaseID(id(81))))
		check(t, err)
		if n := must(s.db.ReadConcurrencyLimit(ctx, limits[71]))(t).ActiveSlots; n != 0 {
			t.Errorf("the inactive limit has %d slots taken", n)
		}
		_, err = s.enter(t, two, prefect.Completed, releaseAll)
		check(t, err)
	})
}

func TestLeasesAreRenewedAndDetachedByTheirRunAlone(t *testing.T) {
	eachSlotted(t, func(t *testing.T, s *slotted) {
		one, two := s.flowRun(t), s.flowRun(t)
		renewal := effectOf(orchestrate.RenewLease, leaseID(id(81))+`,"ttl_seconds":3600`)
		one, err := s.enter(t, one, prefect.Pending, acquire(id(81), "0.000001", 71))
		check(t, err)
		_, err = s.enter(t, two, prefect.Running, renewal)
		wantLost(t, "another run's lease", err)
		one, err = s.enter(t, one, prefect.Running, renewal) // expired, but nobody took it yet
		check(t, err)
		if n := must(s.db.ExpireLeases(ctx, 10))(t); n != 0 {
			t.Errorf("%d leases expired after the renewal", n)
		}
		two, err = s.enter(t, two, prefect.Running, effectOf(orchestrate.DetachLease, leaseID(id(81))))
		check(t, err)
		one, err = s.enter(t, one, prefect.Pending, acquire(id(82), "0.000001", 71))
		check(t, err)
		one, err = s.enter(t, one, prefect.Running, effectOf(orchestrate.DetachLease, leaseID(id(82))))
		check(t, err)
		if n := must(s.db.ExpireLeases(ctx, 10))(t); n != 0 {
			t.Errorf("%d leases expired that have no end", n)
		}
		// A renewal gives a lease without an end none.
		check(t, s.db.RenewLease(ctx, id(82), prefect.NewTime(time.Now())))
		one, err = s.enter(t, one, prefect.Running, effectOf(orchestrate.RenewLease, leaseID(id(82))+`,"ttl_seconds":0.000001`))
		check(t, err)
		if n := must(s.db.ExpireLeases(ctx, 10))(t); n != 0 {
			t.Errorf("%d leases expired that have no end", n)
		}
		_, err = s.enter(t, one, prefect.Pending, effectOf(orchestrate.RenewLease, leaseID(id(81))+`,"ttl_seconds":60`))
		wantLost(t, "a lease that is gone", err)

		// With nothing written, a condition that fails is passed over.
		check(t, s.db.Commit(ctx, &orchestrate.Commit{FlowRun: two, ExpectStateID: two.StateID, ExpectUpdated: two.Updated, Effects: []orchestrate.Effect{renewal}}))
		s.wantUsed(t, "at last", 1, 0, 0)
	})
}

func TestEndlessLeasesEndWithTheirRun(t *testing.T) {
	eachSlotted(t, func(t *testing.T, s *slotted) {
		// A flow run whose slots nobody gave back, and a task run whose client
		// vanished before its flow run was ended.
		flow := s.flowRun(t)
		task := newTaskRun(t, s.db, prefect.TaskRun{FlowRunID: &flow.ID, Tags: []string{"a"}}, newState(prefect.Pending, at(0)))
		flow, err := s.enter(t, flow, prefect.Running, acquire(id(81), "null", 71))
		check(t, err)
		check(t, s.enterTask(task, prefect.Running, acquire(id(82), "null", 72)))
		if n := must(s.db.ExpireLeases(ctx, 10))(t); n != 0 {
			t.Fatalf("%d leases of living runs expired", n)
		}
		flow, err = s.enter(t, flow, prefect.Crashed)
		check(t, err)
		if n := must(s.db.ExpireLeases(ctx, 10))(t); n != 2 {
			t.Errorf("%d leases expired, want both", n)
		}
		s.wantUsed(t, "after the sweep", 0, 0, 0)

		// Deleting a run gives back what it and its task runs hold, at once.
		flow, err = s.enter(t, flow, prefect.Running, acquire(id(83), "300", 71))
		check(t, err)
		task = must(s.db.ReadTaskRun(ctx, task.ID))(t)
		check(t, s.enterTask(task, prefect.Running, acquire(id(84), "null", 72)))
		check(t, s.db.DeleteFlowRun(ctx, flow.ID))
		s.wantUsed(t, "after the delete", 0, 0, 0)

		alone := newTaskRun(t, s.db, prefect.TaskRun{Tags: []string{"a"}}, newState(prefect.Pending, at(0)))
		check(t, s.enterTask(alone, prefect.Running, acquire(id(85), "null", 72)))
		check(t, s.db.DeleteTaskRun(ctx, alone.ID))
		s.wantUsed(t, "after the delete of a task run", 0, 0, 0)

		other := s.flowRun(t)
		_, err = s.enter(t, other, prefect.Running, acquire(id(86), "null", 72))
		check(t, err)
		s.wantUsed(t, "before the delete of the flow", 0, 1, 0)
		check(t, s.db.DeleteFlow(ctx, s.flowID))
		if l := must(s.db.ReadConcurrencyLimit(ctx, "tag:a"))(t); l.ActiveSlots != 0 {
			t.Errorf("%d slots are taken by the runs of a deleted flow", l.ActiveSlots)
		}
	})
}

func TestFactsAboutSlots(t *testing.T) {
	eachSlotted(t, func(t *testing.T, s *slotted) {
		run := s.flowRun(t)
		keys := orchestrate.FactKeys{RunType: prefect.FlowRunType, RunID: run.ID, DeploymentID: &deployed, LeaseID: ptr(id(99)),
			Now: prefect.NewTime(time.Now()), Names: []string{"deployment", "run_slots"}}
		limitFact := func(used, mine int) string {
			return fmt.Sprintf(`{"id":"%s","limit":1,"active":true,"used":%d,"mine":%d}`, id(71), used, mine)
		}
		facts := func(limit, slots string) json.RawMessage {
			return json.RawMessage(fmt.Sprintf(`{"deployment":{"id":"%s","found":true,"limit":%s,"collision_strategy":"ENQUEUE","grace_period_seconds":null},"run_slots":%s}`, deployed, limit, slots))
		}
		gone := fmt.Sprintf(`{"lease_id":"%s","limit_id":null,"slots":0,"expires_at":null,"held":false}`, id(99))
		wantJSON(t, "before", must(s.db.Facts(ctx, keys))(t), facts(limitFact(0, 0), "["+gone+"]"))

		_, err := s.enter(t, run, prefect.Pending, acquire(id(81), "null", 71))
		check(t, err)
		held := fmt.Sprintf(`{"lease_id":"%s","limit_id":"%s","slots":1,"expires_at":null,"held":true}`, id(81), id(71))
		wantJSON(t, "held, and another lease named", must(s.db.Facts(ctx, keys))(t), facts(limitFact(1, 1), "["+held+","+gone+"]"))
		keys.LeaseID = ptr(id(81))
		wantJSON(t, "held", must(s.db.Facts(ctx, keys))(t), facts(limitFact(1, 1), "["+held+"]"))

		keys.RunID = uuid.New()
		s.exec(fmt.Sprintf(`UPDATE deployment SET concurrency_options = '{"collision_strategy":"CANCEL_NEW","grace_period_seconds":90}' WHERE id = '%s'`, deployed))
		wantJSON(t, "another run", must(s.db.Facts(ctx, keys))(t), json.RawMessage(fmt.Sprintf(
			`{"deployment":{"id":"%s","found":true,"limit":%s,"collision_strategy":"CANCEL_NEW","grace_period_seconds":90},
			"run_slots":[{"lease_id":"%s","limit_id":null,"slots":0,"expires_at":null,"held":false}]}`, deployed, limitFact(1, 0), id(81))))
		keys.DeploymentID, keys.LeaseID = nil, nil
		wantJSON(t, "nothing to hold slots for", must(s.db.Facts(ctx, keys))(t), json.RawMessage(`{"deployment":null,"run_slots":null}`))

		task := newTaskRun(t, s.db, prefect.TaskRun{Tags: []string{"b", "a", "a", "c"}}, newState(prefect.Pending, at(0)))
		check(t, s.enterTask(task, prefect.Running, acquire(id(82), "null", 72)))
		wantJSON(t, "tags", must(s.db.Facts(ctx, orchestrate.FactKeys{RunType: prefect.TaskRunType, RunID: task.ID, Tags: task.Tags, Now: keys.Now, Names: []string{"tag_limits"}}))(t),
			json.RawMessage(fmt.Sprintf(`{"tag_limits":[{"id":"%s","tag":"a","limit":1,"active":true,"used":1,"mine":1,"avg_slot_occupancy_seconds":2},
				{"id":"%s","tag":"b","limit":1,"active":false,"used":0,"mine":0,"avg_slot_occupancy_seconds":2}]}`, id(72), id(73))))
	})
}

// TestTheLastTryCannotLoseItsSlot has somebody else ask for the only slot between
// the facts of an exclusive transition and its commit. On SQLite nobody can: there
// is one writer.
func TestTheLastTryCannotLoseItsSlot(t *testing.T) {
	eachSlotted(t, func(t *testing.T, s *slotted) {
		run := s.flowRun(t)
		keys := orchestrate.FactKeys{RunType: prefect.FlowRunType, RunID: run.ID, DeploymentID: &deployed, Now: prefect.NewTime(time.Now()), Names: []string{"deployment"}}
		err := s.db.Exclusive(ctx, prefect.FlowRunType, run.ID, func(exclusive orchestrate.Store) error {
			if _, err := exclusive.Facts(ctx, keys); err != nil {
				return err
			}
			if s.postgres {
				impatient, stop := context.WithTimeout(ctx, 200*time.Millisecond)
				defer stop()
				if _, taken, err := s.db.AcquireSlots(impatient, prefect.SlotRequest{Names: []string{limits[71]}, Slots: 1}); taken || err == nil {
					t.Error("the slot was taken by somebody else")
				}
			}
			next := *run
			state := newState(prefect.Pending, prefect.NewTime(time.Now()))
			enter(&next.RunTimes, state)
			return exclusive.Commit(ctx, &orchestrate.Commit{FlowRun: &next, State: state, ExpectStateID: run.StateID, ExpectUpdated: run.Updated,
				Effects: []orchestrate.Effect{acquire(id(81), "300", 71)}})
		})
		check(t, err)
		s.wantUsed(t, "afterwards", 1, 0, 0)
	})
}

// TestARunCanEndWhateverIsAskedFor: a module may ask for slots that do not exist.
func TestARunCanEndWhateverIsAskedFor(t *testing.T) {
	eachSlotted(t, func(t *testing.T, s *slotted) {
		run := s.flowRun(t)
		ask := func(limit uuid.UUID) orchestrate.Effect {
			return orchestrate.Effect{Type: orchestrate.AcquireSlots, Payload: fmt.Appendf(nil, `{"type":"acquire_slots","limit_ids":["%s","%s"],"slots":1}`, id(71), limit)}
		}
		last := func(kind prefect.StateType) error {
			return s.db.Exclusive(ctx, prefect.FlowRunType, run.ID, func(x orchestrate.Store) error {
				next := *run
				state := newState(kind, prefect.NewTime(time.Now()))
				enter(&next.RunTimes, state)
				return x.Commit(ctx, &orchestrate.Commit{FlowRun: &next, State: state, ExpectStateID: run.StateID, ExpectUpdated: run.Updated,
					Effects: []orchestrate.Effect{ask(uuid.New())}})
			})
		}
		if err := last(prefect.Running); !errors.Is(err, orchestrate.ErrLostRace) || !strings.Contains(err.Error(), "acquire_slots") {
			t.Errorf("a state that is not terminal: %v", err)
		}
		check(t, last(prefect.Failed))
		if got := must(s.db.ReadFlowRun(ctx, run.ID))(t); *got.StateType != prefect.Failed {
			t.Errorf("the run is %s", *got.StateType)
		}
		s.wantUsed(t, "after an effect that could not be", 0, 0, 0)
	})
}
