package policy

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/sdk/abi"
)

func TestARuleWithoutWhatItNeedsIsNotAsked(t *testing.T) {
	id := uuid.New()
	for need, arrange := range map[string]func(tr *orchestrate.Transition){
		abi.NeedDeployment:    func(tr *orchestrate.Transition) { tr.FlowRun.DeploymentID = &id },
		abi.NeedTags:          func(tr *orchestrate.Transition) { tr.FlowRun.Tags = []string{"a"} },
		abi.NeedLease:         func(tr *orchestrate.Transition) { tr.Initial.Details.DeploymentConcurrencyLeaseID = &id },
		abi.NeedScheduledTime: func(tr *orchestrate.Transition) { tr.Initial.Details.ScheduledTime = moment.Ptr() },
		abi.NeedCacheKey:      func(tr *orchestrate.Transition) { tr.Proposed.Details.CacheKey = ptr("k") },
		abi.NeedRepeat: func(tr *orchestrate.Transition) {
			tr.Initial.Details.TransitionID, tr.Proposed.Details.TransitionID = &id, ptr(id)
		},
	} {
		g := newGuest("g").rule("Plain", "*>*", accept).rule("Needs", "*>* needs="+need+" attempts", accept).
			rule("Last", "*>*", accept).rule("After", "*>* after needs="+need+" work_queue", accept)
		h := newHouse(t, newGuests(g), "Plain=g", "Needs=g", "Last=g", "After=g")
		bare := transition(prefect.Running, prefect.Failed)
		bare.Initial.Details.TransitionID, bare.Proposed.Details.TransitionID = ptr(uuid.New()), ptr(uuid.New())
		plan := h.Plan(prefect.CoreFlowPolicy, bare)
		if facts := plan.Facts(); len(facts) != 0 {
			t.Errorf("%s: facts %v for rules that are not asked", need, facts)
		}
		plan.Release()
		if got := decisions(h.decide(bare)); got != "Plain:ACCEPT Last:ACCEPT" || g.calls.Load() != 1 {
			t.Errorf("without %s: %s in %d calls", need, got, g.calls.Load())
		}
		g.calls.Store(0)
		arrange(bare)
		if got := decisions(h.decide(bare)); got != "Plain:ACCEPT Needs:ACCEPT Last:ACCEPT After:ACCEPT" || g.calls.Load() != 2 {
			t.Errorf("with %s: %s in %d calls", need, got, g.calls.Load())
		}
	}
}

func TestAllThatARuleNeedsHasToBeThere(t *testing.T) {
	g := newGuest("g").rule("Both", "*>* needs=deployment needs=lease", accept).rule("One", "*>* needs=lease", accept)
	h := newHouse(t, newGuests(g), "Both=g", "One=g")
	tr := transition(prefect.Running, prefect.Failed)
	for _, want := range []string{"", "One:ACCEPT", "Both:ACCEPT One:ACCEPT"} {
		if got := decisions(h.decide(tr)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if tr.Initial.Details.DeploymentConcurrencyLeaseID != nil {
			tr.FlowRun.DeploymentID = ptr(uuid.New())
		}
		tr.Initial.Details.DeploymentConcurrencyLeaseID = ptr(uuid.New())
	}
}

func TestTheBuiltInInsteadIsAskedOnlyForWhatItNeeds(t *testing.T) {
	for _, c := range []struct{ builtin, want string }{
		{"*>*", "A:REJECT(fallback)"},
		{"*>* needs=tags", "A:skipped(fallback)"},
	} {
		bad := newGuest("bad").rule("A", "*>*", says(`"decision":"NO"`))
		h := newHouse(t, newGuests(bad, newGuest("core").rule("A", c.builtin, says(stay))), "A=bad!fallback")
		if got := decisions(h.decide(transition(prefect.Running, prefect.Paused))); got != c.want {
			t.Errorf("%s: %s", c.builtin, got)
		}
	}
}

func TestEntriesOfTheHostAreAskedNothing(t *testing.T) {
	g := newGuest("g").rule("A", "*>*", accept)
	h := newHouse(t, newGuests(g), "A=g")
	list := entries(t, h.modules, "A=g")
	host := prefect.PolicyEntry{Name: prefect.HostRules()[0], Module: prefect.HostModule, Rule: prefect.HostRules()[0]}
	if _, err := h.PutPolicy(t.Context(), prefect.CoreFlowPolicy, append(list, host), 1); err != nil {
		t.Fatal(err)
	}
	if got := decisions(h.decide(transition(prefect.Running, prefect.Failed))); got != "A:ACCEPT" {
		t.Error(got)
	}
	host.Name, host.Rule = "RetryFailedFlows", "RetryFailedFlows"
	if _, err := h.PutPolicy(t.Context(), prefect.CoreFlowPolicy, append(list, host), 2); err == nil || !strings.Contains(err.Error(), "not valid") {
		t.Errorf("the host does not retry: %v", err)
	}
}

// TestAPlainRunCostsNoCallAndNoRead takes a flow run without deployment, tags and
// retries, and a task run likewise, from their first state to their end.
func TestAPlainRunCostsNoCallAndNoRead(t *testing.T) {
	r := builtins(t)
	flow := []prefect.StateType{"", prefect.Pending, prefect.Running, prefect.Completed}
	for i := range len(flow) - 1 {
		tr := transition(flow[i], flow[i+1])
		policy := prefect.CoreFlowPolicy
		if tr.Initial == nil {
			policy = prefect.MinimalFlowPolicy
		} else {
			tr.Initial.Details.TransitionID = ptr(uuid.New())
		}
		tr.Proposed.Details.TransitionID = ptr(uuid.New())
		p := r.Plan(policy, tr)
		o, err := p.Before(t.Context(), tr)
		if err == nil {
			err = p.After(t.Context(), tr, o)
		}
		if err != nil || o.Status != prefect.Accept || len(o.Rules) != 0 || len(p.Facts()) != 0 {
			t.Errorf("%s to %s: %v %v, facts %v", flow[i], flow[i+1], decisions(o), err, p.Facts())
		}
		p.Release()
	}
	// Rules about slots are asked of a task run no more than of a flow run.
	for _, kinds := range [][2]prefect.StateType{{prefect.Pending, prefect.Running}, {prefect.Running, prefect.Completed}} {
		tr := transition(kinds[0], kinds[1])
		tr.RunType, tr.FlowRun, tr.TaskRun = prefect.TaskRunType, nil, &prefect.TaskRun{ID: uuid.New()}
		p := r.Plan(prefect.CoreTaskPolicy, tr)
		for _, fact := range []string{abi.FactTagLimits, abi.FactRunSlots, abi.FactCachedState} {
			if slices.Contains(p.Facts(), fact) {
				t.Errorf("%s to %s reads %s", kinds[0], kinds[1], fact)
			}
		}
		p.Release()
	}
}
