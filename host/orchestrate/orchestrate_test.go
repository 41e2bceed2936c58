package orchestrate

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

func TestAnAcceptedProposalIsWritten(t *testing.T) {
	b := newBench()
	run := b.flow(prefect.Pending)
	lease, foreign, id := uuid.New(), uuid.New(), uuid.New()
	run.State.Details.DeploymentConcurrencyLeaseID = &lease
	p := propose(prefect.Running).transition(id)
	d := &p.State.Details
	d.DeploymentConcurrencyLeaseID, d.FlowRunID, d.TaskRunID, d.ChildFlowRunID = &foreign, &foreign, &foreign, &foreign

	r := mustSet(t, b, run, p)
	if r.Status != prefect.Accept || !r.Written || r.State.Name != "Running" || r.Details.Type != "accept_details" {
		t.Fatalf("reply %+v", r)
	}
	got := r.State.Details
	if *got.DeploymentConcurrencyLeaseID != lease || *got.FlowRunID != run.ID || got.TaskRunID != nil || got.ChildFlowRunID != nil || *got.TransitionID != id {
		t.Errorf("details %+v", got)
	}
	if *d.FlowRunID != foreign {
		t.Error("the client's state was changed in place")
	}
	c := b.store.commits[0]
	if *c.ExpectStateID != run.State.ID || !c.ExpectUpdated.Equal(t0.Time) || c.Create {
		t.Errorf("compares %v %v", c.ExpectStateID, c.ExpectUpdated)
	}
	if text, err := json.Marshal(c.Decision); err != nil || !strings.Contains(string(text), `"rules":[],"facts_read":[]`) {
		t.Errorf("record %s %v", text, err)
	}
	if c.FlowRun.RunCount != 1 || !c.FlowRun.StartTime.Equal(r.State.Timestamp.Time) {
		t.Errorf("columns %+v", c.FlowRun.RunTimes)
	}
	if run.RunCount != 0 {
		t.Error("the run that was read has been changed in place")
	}
	if b.notified != 1 || len(c.Outbox) != 1 || c.Outbox[0].Kind != prefect.OutboxEvent || c.Outbox[0].Key != "prefect.flow-run.Running" {
		t.Errorf("notified %d, outbox %v", b.notified, c.Outbox)
	}
	if change := payload[prefect.FlowRunStateChange](t, c.Outbox[0]); change.RunCount != 1 || change.Written.ID != r.State.ID || change.Initial.Type != prefect.Pending {
		t.Errorf("event %+v", change)
	}
}

func TestTheDecisionIsRecorded(t *testing.T) {
	b := newBench()
	run := b.flow(prefect.Running)
	b.policies.facts = []string{"attempts"}
	b.policies.before = func(t *Transition) *Outcome {
		s := stateAt(prefect.Scheduled, t.Now)
		s.ID, s.Name = uuid.Nil, "AwaitingRetry"
		return &Outcome{Status: prefect.Reject, State: s, Reason: "Retrying", Rules: []prefect.RuleDecision{{Name: "R"}}}
	}
	id := uuid.New()
	r := mustSet(t, b, run, propose(prefect.Failed).transition(id))
	if r.State.ID == uuid.Nil {
		t.Error("the policy's state was given no id")
	}
	d := b.store.decisions[0]
	want := &prefect.Decision{
		ID: d.ID, Created: r.State.Timestamp, RunType: prefect.FlowRunType, RunID: run.ID, TransitionID: &id,
		Policy: prefect.CoreFlowPolicy, PolicyVersion: 7, InitialType: &run.State.Type, InitialName: &run.State.Name,
		ProposedType: prefect.Failed, ProposedName: "Failed", Status: prefect.Reject, Reason: d.Reason,
		StateID: &r.State.ID, FinalType: &r.State.Type, FinalName: &r.State.Name, Tries: 1,
		Rules: []prefect.RuleDecision{{Name: "R"}}, FactsRead: []string{"attempts"},
	}
	if !reflect.DeepEqual(d, want) || *d.Reason != "Retrying" {
		t.Errorf("record %+v\nwant   %+v", d, want)
	}
}

func TestWhatIsTurnedDownIsOnlyRecorded(t *testing.T) {
	for _, o := range []Outcome{
		{Status: prefect.Wait, Reason: "Not yet", DelaySeconds: 12},
		{Status: prefect.Abort, Reason: "No"},
		{Status: prefect.Reject, Reason: "Stay"},
	} {
		t.Run(string(o.Status), func(t *testing.T) {
			b := newBench()
			run := b.flow(prefect.Scheduled)
			b.policies.before = func(*Transition) *Outcome { return &o }
			b.policies.after = func(*Transition, *Outcome) { t.Error("phase after was asked") }
			p := propose(prefect.Running).transition(uuid.New())
			for tries := 1; tries <= 2; tries++ { // nothing was written, so the repetition is decided anew
				r := mustSet(t, b, run, p)
				if r.Written || r.Status != o.Status || r.State.ID != run.State.ID || r.Details.DelaySeconds != o.DelaySeconds || *r.Details.Reason != o.Reason {
					t.Errorf("reply %+v", r)
				}
				if len(b.store.commits) != tries {
					t.Fatalf("%d commits", len(b.store.commits))
				}
			}
			c := b.store.commits[0]
			if c.State != nil || c.Decision == nil || len(c.Outbox) != 0 || c.FlowRun.RunCount != 0 || b.notified != 0 {
				t.Errorf("commit %+v", c)
			}
		})
	}
}

func TestLostRacesAreDecidedAgain(t *testing.T) {
	for _, c := range []struct{ lose, tries, exclusive int }{{0, 1, 0}, {1, 2, 0}, {2, 3, 0}, {3, 4, 1}} {
		b := newBench()
		run := b.flow(prefect.Pending)
		b.store.lose = c.lose
		r := mustSet(t, b, run, propose(prefect.Running))
		if !r.Written || b.store.exclusive != c.exclusive || b.store.decisions[0].Tries != c.tries || len(b.store.commits) != 1 {
			t.Errorf("lost %d: %d tries, %d exclusive", c.lose, b.store.decisions[0].Tries, b.store.exclusive)
		}
		seen := b.policies.seen
		if len(seen) != c.tries {
			t.Errorf("lost %d: asked %d times", c.lose, len(seen))
		}
		for i := 1; i < len(seen); i++ {
			if !seen[i].Now.After(seen[i-1].Now.Time) || seen[i].FlowRun == seen[i-1].FlowRun {
				t.Errorf("lost %d: try %d is not afresh", c.lose, i+1)
			}
		}
		if !r.State.Timestamp.Equal(seen[len(seen)-1].Now.Time) {
			t.Errorf("lost %d: written at %v", c.lose, r.State.Timestamp)
		}
	}
}

func TestEndlessRacesEnd(t *testing.T) {
	b := newBench()
	run := b.flow(prefect.Pending)
	b.store.lose = 1000
	_, err := b.SetFlowRunState(context.Background(), run.ID, propose(prefect.Running))
	if prefect.CodeOf(err) != prefect.Unavailable || len(b.store.commits) != 0 || b.notified != 0 {
		t.Errorf("%v, %d commits", err, len(b.store.commits))
	}
}

func TestARepeatedProposalGetsTheStoredReply(t *testing.T) {
	for _, force := range []bool{false, true} {
		b := newBench()
		flow, task := b.flow(prefect.Running), b.task(prefect.Running)
		b.policies.before = func(t *Transition) *Outcome {
			return &Outcome{Status: prefect.Reject, State: stateAt(prefect.Scheduled, t.Now), Reason: "Retrying"}
		}
		p := propose(prefect.Failed).transition(uuid.New())
		p.Force = force
		set := map[string]func() (*prefect.OrchestrationResult, error){
			"flow": func() (*prefect.OrchestrationResult, error) {
				return b.SetFlowRunState(context.Background(), flow.ID, p)
			},
			"task": func() (*prefect.OrchestrationResult, error) {
				return b.SetTaskRunState(context.Background(), task.ID, p)
			},
		}
		for name, set := range set {
			first, err := set()
			if err != nil {
				t.Fatal(err)
			}
			commits := len(b.store.commits)
			again, err := set()
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(first, again) || !again.Written || len(b.store.commits) != commits {
				t.Errorf("%s, force %v: %+v, then %+v", name, force, first, again)
			}
		}
	}
}

func TestWhichPolicyDecides(t *testing.T) {
	b := newBench()
	late := propose(prefect.Scheduled)
	late.Policy = prefect.MarkLateRunsPolicy
	forced := propose(prefect.Running)
	forced.Force = true
	deferred := propose(prefect.Scheduled)
	yes := true
	deferred.State.Details.Deferred = &yes
	forcedDeferred := deferred
	forcedDeferred.Force = true
	for _, c := range []struct {
		name   string
		run    prefect.RunType
		p      Proposal
		create bool
		want   string
	}{
		{"flow run", prefect.FlowRunType, propose(prefect.Running), false, prefect.CoreFlowPolicy},
		{"flow run, forced", prefect.FlowRunType, forced, false, prefect.MinimalFlowPolicy},
		{"flow run, created", prefect.FlowRunType, Proposal{}, true, prefect.MinimalFlowPolicy},
		{"flow run, deferred means nothing", prefect.FlowRunType, deferred, false, prefect.CoreFlowPolicy},
		{"late", prefect.FlowRunType, late, false, prefect.MarkLateRunsPolicy},
		{"task run", prefect.TaskRunType, propose(prefect.Running), false, prefect.CoreTaskPolicy},
		{"task run, forced", prefect.TaskRunType, forced, false, prefect.MinimalTaskPolicy},
		{"task run, created", prefect.TaskRunType, Proposal{}, true, prefect.MinimalTaskPolicy},
		{"task run, deferred", prefect.TaskRunType, deferred, false, prefect.BackgroundTaskPolicy},
		{"task run, deferred and forced", prefect.TaskRunType, forcedDeferred, false, prefect.BackgroundTaskPolicy},
		{"task run, created deferred", prefect.TaskRunType, deferred, true, prefect.BackgroundTaskPolicy},
	} {
		if got := policyFor(c.run, c.p, c.create); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	mustSet(t, b, b.flow(prefect.Pending), forced)
	if b.policies.policy[0] != prefect.MinimalFlowPolicy || b.store.decisions[0].Policy != prefect.MinimalFlowPolicy {
		t.Errorf("asked %v", b.policies.policy)
	}
}

func TestASubflowTakesItsParentAlong(t *testing.T) {
	b := newBench()
	parent, run := b.task(prefect.Pending), b.flow(prefect.Pending)
	run.ParentTaskRunID = &parent.ID
	p := propose(prefect.Running)
	message := "hello"
	p.State.Message, p.State.Data = &message, json.RawMessage(`{"type":"x"}`)
	r := mustSet(t, b, run, p)
	nested := b.store.commits[0].Nested
	if len(nested) != 1 || nested[0].Decision != nil {
		t.Fatalf("nested %v", nested)
	}
	c, s := nested[0], nested[0].State
	if s.ID == r.State.ID || s.Type != prefect.Running || *s.Message != message || string(s.Data) != `{"type":"x"}` {
		t.Errorf("parent's state %+v", s)
	}
	if *s.Details.ChildFlowRunID != run.ID || *s.Details.TaskRunID != parent.ID || s.Details.FlowRunID != nil {
		t.Errorf("parent's details %+v", s.Details)
	}
	if *r.State.Details.TaskRunID != parent.ID || r.State.Details.ChildFlowRunID != nil {
		t.Errorf("subflow's details %+v", r.State.Details)
	}
	if c.TaskRun.RunCount != 1 || *c.ExpectStateID != parent.State.ID || !c.ExpectUpdated.Equal(parent.Updated.Time) {
		t.Errorf("parent's commit %+v", c)
	}
	if got := b.policies.policy; len(got) != 2 || got[1] != prefect.MinimalTaskPolicy {
		t.Errorf("policies %v", got)
	}

	gone := uuid.New()
	run.ParentTaskRunID = &gone
	b.store.flows[run.ID] = run
	if _, err := b.SetFlowRunState(context.Background(), run.ID, propose(prefect.Completed)); prefect.CodeOf(err) != prefect.NotFound {
		t.Errorf("parent gone: %v", err)
	}
}

func TestRunsAreCreatedWithTheirFirstState(t *testing.T) {
	b := newBench()
	flow := &prefect.FlowRun{Name: "otter", FlowID: uuid.New()}
	created, err := b.CreateFlowRun(context.Background(), flow, Proposal{})
	if err != nil || !created {
		t.Fatal(created, err)
	}
	if flow.ID.Version() != 7 || flow.State.Type != prefect.Pending || *flow.StateName != "Pending" || flow.ExpectedStartTime == nil || flow.Created.IsZero() {
		t.Errorf("created %+v", flow)
	}
	c := b.store.commits[0]
	if !c.Create || c.ExpectStateID != nil || c.Decision.InitialType != nil || !b.policies.seen[0].Force || b.notified != 1 {
		t.Errorf("commit %+v", c)
	}
	task := &prefect.TaskRun{ID: uuid.New(), TaskKey: "k", DynamicKey: "0"}
	if created, err = b.CreateTaskRun(context.Background(), task, propose(prefect.Scheduled)); err != nil || !created {
		t.Fatal(created, err)
	}
	if task.State.Type != prefect.Scheduled || task.NextScheduledStartTime == nil || *task.State.Details.TaskRunID != task.ID {
		t.Errorf("created %+v", task)
	}
}

func TestARunThatIsThereIsNotCreatedAgain(t *testing.T) {
	b := newBench()
	there := b.flow(prefect.Running)
	b.store.existing = &there.ID
	run := &prefect.FlowRun{Name: "badger"}
	created, err := b.CreateFlowRun(context.Background(), run, propose(prefect.Scheduled))
	if err != nil || created || run.ID != there.ID || run.Name != "otter" || run.State.Type != prefect.Running {
		t.Errorf("%v %v %+v", created, err, run)
	}
	task := b.task(prefect.Completed)
	b.store.existing = &task.ID
	again := &prefect.TaskRun{}
	if created, err = b.CreateTaskRun(context.Background(), again, Proposal{}); err != nil || created || again.ID != task.ID {
		t.Errorf("%v %v %+v", created, err, again)
	}
	if b.notified != 0 || len(b.store.commits) != 0 {
		t.Errorf("%d commits, notified %d", len(b.store.commits), b.notified)
	}
}

func TestServicesFixAndExpectStates(t *testing.T) {
	b := newBench()
	run := b.flow(prefect.Cancelling)
	fixed, seen := uuid.New(), run.State.ID
	p := propose(prefect.Cancelled)
	p.StateID, p.ExpectStateID = &fixed, &seen
	for range 2 { // the second is a repetition
		if r := mustSet(t, b, run, p); r.Status != prefect.Accept || !r.Written || r.State.ID != fixed {
			t.Errorf("reply %+v", r)
		}
	}
	other := uuid.New()
	p.StateID = &other
	if r := mustSet(t, b, run, p); r.Status != prefect.Abort || r.Written || r.State.ID != fixed {
		t.Errorf("moved on: %+v", r)
	}
	if len(b.store.commits) != 1 {
		t.Errorf("%d commits", len(b.store.commits))
	}
}

func TestCancellingHasATimeout(t *testing.T) {
	b := newBench()
	run := b.flow(prefect.Running)
	r := mustSet(t, b, run, propose(prefect.Cancelling))
	items := b.store.commits[0].Outbox
	if len(items) != 2 || items[1].Kind != prefect.OutboxCancellingTimeout {
		t.Fatalf("outbox %v", items)
	}
	timeout := payload[prefect.CancellingTimeout](t, items[1])
	if timeout.FlowRunID != run.ID || timeout.StateID != r.State.ID || timeout.CancelledID == uuid.Nil || !timeout.Due.Equal(r.State.Timestamp.Add(300*time.Second).Time) {
		t.Errorf("timeout %+v", timeout)
	}
}

func TestPatchesGoBeforeAndAfterTheBookkeeping(t *testing.T) {
	b := newBench()
	run := b.task(prefect.Completed)
	run.RunCount = 5
	zero, nine := 0, 9
	b.policies.before = func(t *Transition) *Outcome {
		return &Outcome{Status: prefect.Accept, State: t.Proposed.Copy(), Patches: []RunPatch{{RunCount: &zero}}}
	}
	b.policies.after = func(tr *Transition, o *Outcome) {
		if tr.TaskRun.RunCount != 1 || *tr.TaskRun.StateType != prefect.Running {
			t.Errorf("phase after sees run_count %d, %v", tr.TaskRun.RunCount, *tr.TaskRun.StateType)
		}
		o.Patches = append(o.Patches, RunPatch{FlowRunRunCount: &nine})
	}
	if _, err := b.SetTaskRunState(context.Background(), run.ID, propose(prefect.Running)); err != nil {
		t.Fatal(err)
	}
	if got := b.store.commits[0].TaskRun; got.RunCount != 1 || got.FlowRunRunCount != 9 {
		t.Errorf("run_count %d, flow_run_run_count %d", got.RunCount, got.FlowRunRunCount)
	}
}

func TestEffects(t *testing.T) {
	b := newBench()
	run := b.flow(prefect.Scheduled)
	b.policies.before = func(t *Transition) *Outcome {
		return &Outcome{Status: prefect.Accept, State: t.Proposed.Copy(), Effects: []Effect{
			{Type: AcquireSlots, Payload: json.RawMessage(`{}`), Bind: true}, {Type: "emit_event", Payload: json.RawMessage(`{"event":"x"}`)},
		}}
	}
	r := mustSet(t, b, run, propose(prefect.Pending))
	c := b.store.commits[0]
	if len(c.Effects) != 1 || c.Effects[0].LeaseID == nil || *r.State.Details.DeploymentConcurrencyLeaseID != *c.Effects[0].LeaseID {
		t.Errorf("effects %+v, details %+v", c.Effects, r.State.Details)
	}
	if len(c.Outbox) != 2 || c.Outbox[1].Kind != prefect.OutboxPolicyEvent {
		t.Fatalf("outbox %v", c.Outbox)
	}
	event := payload[prefect.PolicyEvent](t, c.Outbox[1])
	if event.Event != "x" || event.ID == uuid.Nil || event.FlowRun.FlowRunID != run.ID || event.FlowRun.Written.ID != r.State.ID {
		t.Errorf("event %+v", event)
	}
}

func TestQueueingATaskRunWakesThoseWhoWait(t *testing.T) {
	b := newBench()
	run := b.task(prefect.Pending)
	woken := 0
	b.Notify = func() { woken++ }
	b.policies.before = func(t *Transition) *Outcome {
		return &Outcome{Status: prefect.Accept, State: t.Proposed.Copy(), Effects: []Effect{{Type: EnqueueTaskRun, Payload: json.RawMessage(`{"queue":"retry"}`)}}}
	}
	if _, err := b.SetTaskRunState(context.Background(), run.ID, propose(prefect.Scheduled)); err != nil {
		t.Fatal(err)
	}
	if c := b.store.commits[0]; len(c.Effects) != 1 || len(c.Outbox) != 0 || woken != 1 {
		t.Errorf("effects %v, outbox %v, woken %d times", c.Effects, c.Outbox, woken)
	}
}

func TestOnlyDeclaredFactsAreRead(t *testing.T) {
	b := newBench()
	run := b.flow(prefect.Running)
	deployment := uuid.New()
	run.DeploymentID, run.Parameters = &deployment, json.RawMessage(`{"x":1}`)
	mustSet(t, b, run, propose(prefect.Paused))
	b.policies.facts = []string{"parameters"}
	mustSet(t, b, run, propose(prefect.Running))
	if len(b.store.asked) != 0 || string(b.policies.seen[1].Facts["parameters"]) != `{"x":1}` {
		t.Fatalf("asked %v, facts %v", b.store.asked, b.policies.seen[1].Facts)
	}
	b.policies.facts = []string{"deployment", "parameters", "recent_outcomes:60"}
	b.store.facts = Facts{"deployment": json.RawMessage(`{}`)}
	mustSet(t, b, run, propose(prefect.Completed))
	k := b.store.asked[0]
	if !reflect.DeepEqual(k.Names, []string{"deployment", "recent_outcomes:60"}) || *k.DeploymentID != deployment || k.RunID != run.ID || k.Attempts.RunID != run.ID {
		t.Errorf("keys %+v", k)
	}
	if got := b.policies.seen[2].Facts; string(got["deployment"]) != `{}` || string(got["parameters"]) != `{"x":1}` {
		t.Errorf("facts %v", got)
	}
}

func TestWhatIsNoProposal(t *testing.T) {
	b := newBench()
	run := b.flow(prefect.Running)
	for name, p := range map[string]Proposal{"no state": {}, "no such type": propose("DONE")} {
		if _, err := b.SetFlowRunState(context.Background(), run.ID, p); prefect.CodeOf(err) != prefect.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := b.SetFlowRunState(context.Background(), uuid.New(), propose(prefect.Running)); prefect.CodeOf(err) != prefect.NotFound {
		t.Errorf("unknown run: %v", err)
	}
}
