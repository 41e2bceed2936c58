package orchestrate

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

func TestTheNextTransitionOfARunReadsNothing(t *testing.T) {
	b := newBench()
	run := b.flow(prefect.Pending)
	mustSet(t, b, run, propose(prefect.Running).transition(uuid.New()))
	if b.store.reads != 1 {
		t.Fatalf("the first transition read the run %d times", b.store.reads)
	}
	r := mustSet(t, b, run, propose(prefect.Completed).transition(uuid.New()))
	if b.store.reads != 1 || r.Status != prefect.Accept || r.State.Type != prefect.Completed {
		t.Errorf("the second one read it %d times more and got %+v", b.store.reads-1, r)
	}
	states := []prefect.StateType{}
	for _, c := range b.store.commits {
		states = append(states, c.State.Type)
	}
	if len(states) != 2 || b.notified != 2 {
		t.Errorf("%d commits, %v, %d notices", len(states), states, b.notified)
	}
}

func TestWhatIsRememberedIsNotBelieved(t *testing.T) {
	b := newBench()
	run := b.flow(prefect.Pending)
	mustSet(t, b, run, propose(prefect.Running))
	// Another replica moves the run on.
	moved := *b.store.flows[run.ID]
	moved.State = stateAt(prefect.Paused, moved.Updated)
	moved.Updated = moved.Updated.Add(time.Second)
	moved.RunCount = 7
	b.store.flows[run.ID] = &moved
	var seen []prefect.StateType
	b.policies.before = func(tr *Transition) *Outcome {
		seen = append(seen, tr.Initial.Type)
		return &Outcome{Status: prefect.Accept, State: tr.Proposed.Copy()}
	}
	mustSet(t, b, run, propose(prefect.Running))
	if len(seen) != 2 || seen[0] != prefect.Running || seen[1] != prefect.Paused {
		t.Errorf("decided on %v, want what is remembered and then what is there", seen)
	}
	if got := b.store.flows[run.ID].RunCount; got != 8 {
		t.Errorf("run_count is %d, want 8", got)
	}
}

func TestARefusalIsNeverMadeFromMemory(t *testing.T) {
	b := newBench()
	run := b.flow(prefect.Pending)
	mustSet(t, b, run, propose(prefect.Running))
	moved := *b.store.flows[run.ID]
	moved.State = stateAt(prefect.Completed, moved.Updated)
	b.store.flows[run.ID] = &moved
	b.policies.before = func(tr *Transition) *Outcome {
		return &Outcome{Status: prefect.Abort, Reason: "no"}
	}
	r := mustSet(t, b, run, propose(prefect.Running))
	if r.State.Type != prefect.Completed {
		t.Errorf("the refusal shows the state %s, want the one that is there", r.State.Type)
	}
}

func TestARefusalIsDecidedOnce(t *testing.T) {
	b := newBench()
	run := b.flow(prefect.Pending)
	mustSet(t, b, run, propose(prefect.Running))
	asked := 0
	b.policies.before = func(tr *Transition) *Outcome {
		asked++
		return &Outcome{Status: prefect.Abort, Reason: "no"}
	}
	p := propose(prefect.Paused).transition(uuid.New())
	if r := mustSet(t, b, run, p); r.Status != prefect.Abort || asked != 1 {
		t.Errorf("%+v after %d evaluations", r, asked)
	}
}

func TestARunThatWasMadeIsRemembered(t *testing.T) {
	b := newBench()
	for first, reads := range map[prefect.StateType]int{prefect.Pending: 0, prefect.Scheduled: 1} {
		run := &prefect.FlowRun{Name: "r"}
		if _, err := b.CreateFlowRun(context.Background(), run, propose(first)); err != nil {
			t.Fatal(err)
		}
		if run.Tags == nil || string(run.Parameters) != "{}" || string(run.Context) != "{}" {
			t.Errorf("the run has %+v", run)
		}
		b.store.reads = 0
		r := mustSet(t, b, run, propose(prefect.Running).transition(uuid.New()))
		if b.store.reads != reads || r.Status != prefect.Accept {
			t.Errorf("%s to RUNNING: %s after %d reads, want %d", first, r.Status, b.store.reads, reads)
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	var r recent
	first := uuid.New()
	for i := range 3 * maxRecent {
		run := &prefect.FlowRun{ID: uuid.New()}
		if i == 0 {
			run.ID = first
		}
		r.remember(&Commit{FlowRun: run, State: &prefect.State{}})
	}
	if len(r.runs) > 2*maxRecent || len(r.order) > 2*maxRecent {
		t.Errorf("%d runs are remembered", len(r.runs))
	}
	if _, found := r.recall(prefect.FlowRunType, first); found {
		t.Error("the oldest run was not forgotten")
	}
	big := &prefect.FlowRun{ID: uuid.New(), Parameters: make([]byte, maxRecentBytes+1)}
	r.remember(&Commit{FlowRun: big, State: &prefect.State{}})
	if _, found := r.recall(prefect.FlowRunType, big.ID); found {
		t.Error("a run with big parameters is remembered")
	}
}

func TestRacesOnWhatIsRemembered(t *testing.T) {
	b := newBench()
	run := b.flow(prefect.Pending)
	mustSet(t, b, run, propose(prefect.Running))
	b.store.lose = 1
	r, err := b.SetFlowRunState(context.Background(), run.ID, propose(prefect.Completed))
	if err != nil || r.State.Type != prefect.Completed || b.store.reads != 2 {
		t.Errorf("got %+v, %v after %d reads", r, err, b.store.reads)
	}
}
