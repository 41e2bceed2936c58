package slots

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
)

// Each test here is about a slot that the reference loses, gives away or gives
// back twice; RATIONALE.md has the list.

func TestASlotIsKeptInAPauseAndGivenBackOnce(t *testing.T) {
	eachTown(t, func(w *town) {
		d := w.deployment(2)
		one, two := w.flowRun(&d), w.flowRun(&d)
		w.start(one)
		w.start(two)
		w.set(one, propose(prefect.Paused), prefect.Accept, "Paused")
		w.wantUsed("one waits in its process", d, 2)
		w.set(one, propose(prefect.Running), prefect.Accept, "Running")
		w.set(one, propose(prefect.Completed), prefect.Accept, "Completed")
		w.wantUsed("one has ended", d, 1)
		w.set(one, propose(prefect.Failed, byForce), prefect.Accept, "Failed")
		w.wantUsed("it ended twice", d, 1)

		w.set(two, propose(prefect.Paused, suspending), prefect.Accept, "Paused")
		w.wantUsed("two is suspended", d, 0)
		w.set(two, propose(prefect.Scheduled, named("Resuming")), prefect.Accept, "Resuming")
		w.start(two)
		w.wantUsed("two is back", d, 1)
		w.set(two, propose(prefect.Completed), prefect.Accept, "Completed")
		w.wantUsed("at the end", d, 0)
	})
}

func TestWhatARunNeverHeldIsNotGivenBack(t *testing.T) {
	eachTown(t, func(w *town) {
		d := w.deployment(1)
		holder := w.flowRun(&d)
		w.start(holder)
		for name, p := range map[string][]orchestrate.Proposal{
			"run locally":      {propose(prefect.Running)},
			"made by force":    {propose(prefect.Running, byForce)},
			"by an old worker": {propose(prefect.Pending, byAnOldWorker), propose(prefect.Running, byAnOldWorker)},
		} {
			run := w.flowRun(&d)
			for _, next := range p {
				w.set(run, next, prefect.Accept, next.State.Type.DefaultName())
			}
			w.set(run, propose(prefect.Completed), prefect.Accept, "Completed")
			w.wantUsed(name, d, 1)
		}
	})
}

func TestARefusalFreesNobodysSlot(t *testing.T) {
	eachTown(t, func(w *town) {
		d := w.deployment(1)
		slow, fast := w.flowRun(&d), w.flowRun(&d)
		w.set(slow, propose(prefect.Pending), prefect.Accept, "Pending")
		w.pass(301 * time.Second)
		if n := w.sweep(); n != 1 {
			t.Fatalf("%d leases expired", n)
		}
		w.start(fast)
		w.set(slow, propose(prefect.Running), prefect.Reject, "Cancelled")
		w.wantUsed("the slow one lost its slot", d, 1)
		w.set(fast, propose(prefect.Completed), prefect.Accept, "Completed")
		w.wantUsed("at the end", d, 0)
	})
}

func TestASlotThatWasLostIsTakenAgain(t *testing.T) {
	eachTown(t, func(w *town) {
		d := w.deployment(1)
		run := w.flowRun(&d)
		first := w.set(run, propose(prefect.Pending), prefect.Accept, "Pending").Details.DeploymentConcurrencyLeaseID
		w.pass(301 * time.Second)
		w.sweep()
		w.wantUsed("its lease has ended", d, 0)
		second := w.set(run, propose(prefect.Running), prefect.Accept, "Running").Details.DeploymentConcurrencyLeaseID
		if second == nil || *second == *first {
			t.Errorf("the run names the lease %v, as before", second)
		}
		w.wantUsed("it runs", d, 1)
		w.set(run, propose(prefect.Completed), prefect.Accept, "Completed")
		w.wantUsed("at the end", d, 0)
	})
}

func TestARunCanEndWhateverBecameOfItsLimit(t *testing.T) {
	eachTown(t, func(w *town) {
		for name, change := range map[string]func(d uuid.UUID){
			"inactive": func(d uuid.UUID) { w.change(limitOf(d), func(l *prefect.ConcurrencyLimit) { l.Active = false }) },
			"taken from it": func(d uuid.UUID) {
				w.exec("UPDATE deployment SET concurrency_limit_id = NULL WHERE id = '" + d.String() + "'")
			},
			"deleted":                  func(d uuid.UUID) { w.must(w.db.DeleteConcurrencyLimit(t.Context(), limitOf(d))) },
			"deleted with the rows":    func(d uuid.UUID) { w.exec("DELETE FROM concurrency_limit_v2 WHERE name = '" + limitOf(d) + "'") },
			"the deployment's deleted": func(d uuid.UUID) { w.exec("DELETE FROM deployment WHERE id = '" + d.String() + "'") },
		} {
			d := w.deployment(1)
			run := w.flowRun(&d)
			w.start(run)
			change(d)
			w.set(run, propose(prefect.Completed), prefect.Accept, "Completed")
			if l, err := w.db.ReadConcurrencyLimit(t.Context(), limitOf(d)); err == nil && l.ActiveSlots != 0 {
				t.Errorf("%s: %d slots are taken by nobody", name, l.ActiveSlots)
			}
		}
	})
}

func TestAnInactiveLimitHoldsNobodyBack(t *testing.T) {
	eachTown(t, func(w *town) {
		d := w.deployment(1)
		w.start(w.flowRun(&d))
		w.change(limitOf(d), func(l *prefect.ConcurrencyLimit) { l.Active = false })
		free := w.flowRun(&d)
		w.set(free, propose(prefect.Pending), prefect.Accept, "Pending")
		w.set(free, propose(prefect.Running), prefect.Accept, "Running")
		w.wantUsed("one without a slot runs", d, 1)
	})
}

func TestForceAndDeletingLeakNoLease(t *testing.T) {
	eachTown(t, func(w *town) {
		d := w.deployment(2)
		forced, deleted := w.flowRun(&d), w.flowRun(&d)
		lease := w.start(forced)
		w.start(deleted)
		s := w.set(forced, propose(prefect.Cancelling, byForce), prefect.Accept, "Cancelling")
		if got := s.Details.DeploymentConcurrencyLeaseID; got == nil || *got != lease {
			t.Errorf("the forced state names the lease %v", got)
		}
		w.wantUsed("it is being cancelled", d, 2)
		w.set(forced, propose(prefect.Cancelled), prefect.Accept, "Cancelled")
		w.wantUsed("it is cancelled", d, 1)
		w.must(w.db.DeleteFlowRun(t.Context(), deleted))
		w.wantUsed("the other is deleted", d, 0)
		w.pass(time.Hour)
		if n := w.sweep(); n != 0 {
			t.Errorf("%d leases were left", n)
		}
	})
}

func TestARetryKeepsItsSlotAndACancelledOneGivesItBack(t *testing.T) {
	eachTown(t, func(w *town) {
		d := w.deployment(1)
		run := &prefect.FlowRun{FlowID: w.flow, DeploymentID: &d, Name: "r"}
		retries := 2
		run.Policy.Retries = &retries
		_, err := w.CreateFlowRun(t.Context(), run, propose(prefect.Scheduled))
		w.must(err)
		lease := w.start(run.ID)
		s := w.set(run.ID, propose(prefect.Failed), prefect.Reject, "AwaitingRetry")
		if got := s.Details.DeploymentConcurrencyLeaseID; got == nil || *got != lease {
			t.Errorf("while it waits it names the lease %v", got)
		}
		w.wantUsed("it waits in its process", d, 1)
		w.set(run.ID, propose(prefect.Running), prefect.Accept, "Running")
		w.set(run.ID, propose(prefect.Failed), prefect.Reject, "AwaitingRetry")
		w.set(run.ID, propose(prefect.Cancelled), prefect.Accept, "Cancelled")
		w.wantUsed("it was cancelled while it waited", d, 0)
	})
}

func TestARunThatHasToWaitTakesNothing(t *testing.T) {
	eachTown(t, func(w *town) {
		d := w.deployment(5)
		run := w.flowRun(&d)
		later := w.clock().Add(400 * time.Second)
		w.set(run, propose(prefect.Pending, func(p *orchestrate.Proposal) { p.State.Details.ScheduledTime = &later }), prefect.Accept, "Pending")
		w.pass(200 * time.Second)
		w.set(run, propose(prefect.Running), prefect.Wait, "Pending")
		w.pass(110 * time.Second) // its first lease would have ended by now
		if n := w.sweep(); n != 0 {
			t.Errorf("the lease was not renewed by a proposal that has to wait")
		}
		w.exec("DELETE FROM interlock_slot_lease")
		w.exec("DELETE FROM interlock_slot_holding")
		w.exec("UPDATE concurrency_limit_v2 SET active_slots = 0")
		for range 3 {
			w.set(run, propose(prefect.Running), prefect.Wait, "Pending")
		}
		w.wantUsed("it waits without a slot", d, 0)
	})
}

func TestAClientsLeaseIsNotBelieved(t *testing.T) {
	eachTown(t, func(w *town) {
		one, two := w.deployment(1), w.deployment(1)
		victim, thief := w.flowRun(&one), w.flowRun(&two)
		lease := w.start(victim)
		w.start(thief)
		theirs := func(p *orchestrate.Proposal) { p.State.Details.DeploymentConcurrencyLeaseID = &lease }
		w.set(thief, propose(prefect.Running, theirs), prefect.Accept, "Running")
		w.set(thief, propose(prefect.Completed, theirs), prefect.Accept, "Completed")
		w.wantUsed("the victim's", one, 1)
		w.wantUsed("the thief's", two, 0)
	})
}

func TestAnOldClientKeepsItsSlotUntilItsRunEnds(t *testing.T) {
	eachTown(t, func(w *town) {
		d := w.deployment(1)
		run := w.flowRun(&d)
		w.set(run, propose(prefect.Pending, byAnOldClient), prefect.Accept, "Pending")
		w.set(run, propose(prefect.Running, byAnOldClient), prefect.Accept, "Running")
		w.pass(24 * time.Hour)
		if n := w.sweep(); n != 0 {
			t.Errorf("%d leases of a run that cannot renew them expired", n)
		}
		w.set(run, propose(prefect.Completed, byAnOldClient), prefect.Accept, "Completed")
		w.wantUsed("at the end", d, 0)
	})
}

func TestARefusedPendingKeepsTheLease(t *testing.T) {
	eachTown(t, func(w *town) {
		d := w.deployment(1)
		run := w.flowRun(&d)
		lease := w.start(run)
		w.set(run, propose(prefect.Paused), prefect.Accept, "Paused")
		s := w.set(run, propose(prefect.Pending), prefect.Reject, "Paused") // SecureFlow took a slot before this was refused
		if got := s.Details.DeploymentConcurrencyLeaseID; got == nil || *got != lease {
			t.Errorf("the reply names the lease %v", got)
		}
		w.wantUsed("it is paused still", d, 1)
		w.set(run, propose(prefect.Running), prefect.Accept, "Running")
		w.set(run, propose(prefect.Completed), prefect.Accept, "Completed")
		w.wantUsed("at the end", d, 0)
	})
}

func TestALimitOf0OnOneTagTakesNoSlotOfAnother(t *testing.T) {
	eachTown(t, func(w *town) {
		w.limit("tag:none", 0)
		w.limit("tag:some", 1)
		w.setTask(w.taskRun(nil, "some", "none"), propose(prefect.Running), prefect.Abort, "Pending")
		if n := w.used("tag:some"); n != 0 {
			t.Errorf("%d slots of the other limit are taken", n)
		}
	})
}

func TestTagSlotsAreTakenInTheTransitionAndCountOnce(t *testing.T) {
	eachTown(t, func(w *town) {
		w.limit("tag:a", 1)
		one, two := w.taskRun(nil, "a"), w.taskRun(nil, "a", "free")
		w.setTask(one, propose(prefect.Running), prefect.Accept, "Running")
		w.setTask(one, propose(prefect.Running), prefect.Accept, "Rerunning") // the reference wants a second slot
		w.setTask(two, propose(prefect.Running), prefect.Wait, "Pending")
		w.change("tag:a", func(l *prefect.ConcurrencyLimit) { l.Active = false })
		w.setTask(one, propose(prefect.Completed), prefect.Accept, "Completed")
		w.change("tag:a", func(l *prefect.ConcurrencyLimit) { l.Active = true })
		if n := w.used("tag:a"); n != 0 {
			t.Errorf("%d slots are taken by nobody", n)
		}
		w.setTask(two, propose(prefect.Running), prefect.Accept, "Running")
		w.setTask(two, propose(prefect.Paused, byForce), prefect.Accept, "Paused")
		if n := w.used("tag:a"); n != 0 {
			t.Errorf("%d slots are taken after the force", n)
		}
	})
}

func TestALateRunIsCancelledWhereItsDeploymentWantsThat(t *testing.T) {
	eachTown(t, func(w *town) {
		d := w.deployment(1)
		w.exec(`UPDATE deployment SET concurrency_options = '{"collision_strategy":"CANCEL_NEW"}'`)
		late := func(p *orchestrate.Proposal) { p.Policy, p.State.Name = prefect.MarkLateRunsPolicy, "Late" }
		first, second := w.flowRun(&d), w.flowRun(&d)
		w.set(first, propose(prefect.Scheduled, late), prefect.Accept, "Late")
		w.start(first)
		w.set(second, propose(prefect.Scheduled, late), prefect.Reject, "Cancelled")
		w.wantUsed("the first one's", d, 1)
	})
}
