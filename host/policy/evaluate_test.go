package policy

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/sdk/abi"
)

const (
	retry     = `"decision":"REJECT","reason":"Retrying","state":{"type":"SCHEDULED","name":"AwaitingRetry"}`
	stay      = `"decision":"REJECT","reason":"Stay","state":null`
	wait      = `"decision":"WAIT","reason":"Not yet","delay_seconds":9`
	abort     = `"decision":"ABORT","reason":"No"`
	resuming  = `"decision":"ACCEPT","run":{"empirical_policy":{"resuming":true}}`
	renewal   = `{"type":"renew_lease","lease_id":"8a3e6f5c-1111-4000-8000-000000000001","ttl_seconds":30,"on":"always"}`
	releasing = `{"type":"release_slots"}`
)

func TestTheFirstRuleThatIntervenesDecides(t *testing.T) {
	for _, c := range []struct {
		name, first, want string
		status            prefect.Status
		state             string // of the type that is written
	}{
		{"accept", `"decision":"ACCEPT"`, "A:ACCEPT B:ACCEPT T:ACCEPT Z:ACCEPT", prefect.Accept, "FAILED"},
		{"rename", `"decision":"ACCEPT","state":{"name":"Other"}`, "A:ACCEPT B:ACCEPT T:ACCEPT Z:ACCEPT", prefect.Accept, "FAILED"},
		{"rewrite", retry, "A:REJECT B:skipped T:ACCEPT Z:skipped", prefect.Reject, "SCHEDULED"},
		{"replace by the same type", `"decision":"REJECT","reason":"R","state":{"type":"FAILED"}`, "A:REJECT B:ACCEPT T:ACCEPT Z:ACCEPT", prefect.Reject, "FAILED"},
		{"stay", stay, "A:REJECT B:skipped T:ACCEPT", prefect.Reject, ""},
		{"wait", wait, "A:WAIT B:skipped T:ACCEPT", prefect.Wait, ""},
		{"abort", abort, "A:ABORT B:skipped T:ACCEPT", prefect.Abort, ""},
	} {
		// Together in one module, and each in its own: the same outcome.
		one := newGuest("one").rule("A", "*>*", says(c.first)).rule("B", "*>*", accept).
			rule("T", "*>* transform", accept).rule("Z", "*>* after", accept)
		apart := newGuests(newGuest("a").rule("A", "*>*", says(c.first)), newGuest("b").rule("B", "*>*", accept),
			newGuest("t").rule("T", "*>* transform", accept), newGuest("z").rule("Z", "*>* after", accept))
		for place, h := range map[string]*house{
			"one module":   newHouse(t, newGuests(one), "A=one", "B=one", "T=one", "Z=one"),
			"four modules": newHouse(t, apart, "A=a", "B=b", "T=t", "Z=z"),
		} {
			t.Run(c.name+", "+place, func(t *testing.T) {
				o := h.decide(transition(prefect.Running, prefect.Failed))
				if got := decisions(o); got != c.want || o.Status != c.status || string(prefect.TypeOf(o.State)) != c.state {
					t.Errorf("%s, %s %q", got, o.Status, prefect.TypeOf(o.State))
				}
			})
		}
		if calls := one.calls.Load(); calls > 2 {
			t.Errorf("%s: one module was called %d times", c.name, calls)
		}
	}
}

func TestWhoIsAsked(t *testing.T) {
	g := newGuest("g").rule("Retry", "RUNNING>FAILED", accept).rule("Any", "*>*", accept).rule("Late", "*>* after", accept).rule("Later", "*>* after", accept)
	h := newHouse(t, newGuests(g), "Late=g", "Retry=g", "Any=g", "Later=g")
	if got := decisions(h.decide(transition(prefect.Running, prefect.Failed))); got != "Retry:ACCEPT Any:ACCEPT Later:ACCEPT Late:ACCEPT" {
		t.Error(got)
	}
	if got := decisions(h.decide(transition("", prefect.Pending))); got != "Any:ACCEPT Later:ACCEPT Late:ACCEPT" {
		t.Error(got)
	}
	p := h.Plan("NoSuchPolicy", transition(prefect.Running, prefect.Failed))
	defer p.Release()
	if o, err := p.Before(t.Context(), transition(prefect.Running, prefect.Failed)); err != nil || o.Status != prefect.Accept || len(o.Rules) != 0 {
		t.Errorf("%v %v", o, err)
	}
}

func TestWhatFizzlesAsksForNothing(t *testing.T) {
	effects := `"decision":"ACCEPT","run":{"empirical_policy":{"resuming":true}},"effects":[` + renewal + `,` + releasing + `]`
	for _, c := range []struct {
		name, second     string
		patches, effects int
	}{
		{"it stands", `"decision":"ACCEPT"`, 1, 2},
		{"the type was rewritten", retry, 0, 1},
		{"nothing is written", wait, 0, 1},
		{"the state was replaced", `"decision":"REJECT","reason":"R","state":{"type":"FAILED"}`, 1, 2},
	} {
		h := newHouse(t, newGuests(newGuest("g").rule("A", "*>*", says(effects)).rule("B", "*>*", says(c.second))), "A=g", "B=g")
		o := h.decide(transition(prefect.Running, prefect.Failed))
		if len(o.Patches) != c.patches || len(o.Effects) != c.effects {
			t.Errorf("%s: patches %v, effects %v", c.name, o.Patches, o.Effects)
		}
		if c.effects == 1 && o.Effects[0].Type != orchestrate.RenewLease {
			t.Errorf("%s: %s", c.name, o.Effects[0].Type)
		}
	}
	// A transform's stand with whatever is written.
	h := newHouse(t, newGuests(newGuest("g").rule("T", "*>* transform", says(resuming)).rule("B", "*>*", says(retry))), "T=g", "B=g")
	if o := h.decide(transition(prefect.Running, prefect.Failed)); len(o.Patches) != 1 || !*o.Patches[0].Resuming {
		t.Errorf("transform: %v", o.Patches)
	}
	// And a rule's own rewrite is what it left behind.
	h = newHouse(t, newGuests(newGuest("g").rule("A", "*>*", says(retry+`,"flags":{"set_retry_type_in_process":true,"clear_pause_keys":true,"set_resuming_false":true}`))), "A=g")
	o := h.decide(transition(prefect.Running, prefect.Failed))
	if len(o.Patches) != 1 || *o.Patches[0].RetryType != "in_process" || !o.Patches[0].ClearPauseKeys || *o.Patches[0].Resuming {
		t.Errorf("own rewrite: %+v", o.Patches)
	}
}

func TestLaterCallsSeeWhatEarlierOnesDecided(t *testing.T) {
	var name, policy, scheduled string
	look := func(c *abi.Context) string {
		var run abi.FlowRun
		if err := json.Unmarshal(c.Run, &run); err != nil {
			t.Error(err)
		}
		name, policy, scheduled = c.Transition.ProposedState.Name, string(run.EmpiricalPolicy), string(c.Transition.ProposedState.Details)
		return `"decision":"ACCEPT"`
	}
	change := `"decision":"ACCEPT","state":{"name":"Renamed","state_details":{"scheduled_time":"2030-01-01T00:00:00Z"}},"run":{"empirical_policy":{"resuming":true,"pause_keys":{"add":["k"]}}}`
	h := newHouse(t, newGuests(newGuest("a").rule("A", "*>*", says(change)), newGuest("b").rule("B", "*>*", look)), "A=a", "B=b")
	tr := transition(prefect.Paused, prefect.Running)
	h.decide(tr)
	if name != "Renamed" || !strings.Contains(policy, `"resuming":true`) || !strings.Contains(policy, `"pause_keys":["k"]`) || scheduled != `{"scheduled_time":"2030-01-01T00:00:00.000000Z"}` {
		t.Errorf("%s %s %s", name, policy, scheduled)
	}
	if tr.FlowRun.Policy.Resuming != nil || tr.Proposed.Name != "Running" || tr.Proposed.Details.ScheduledTime != nil {
		t.Error("the transition was changed in place")
	}
}

func TestStatesOfDecisions(t *testing.T) {
	lease, message := uuid.New(), "it broke"
	tr := transition(prefect.Running, prefect.Failed)
	tr.Initial.Details.DeploymentConcurrencyLeaseID = &lease
	tr.Initial.Details.ScheduledTime = moment.Ptr()
	tr.Proposed.Message, tr.Proposed.Data = &message, json.RawMessage(`{"type":"result"}`)
	state := `{"type":"SCHEDULED","message_from":"proposed","data_from":"proposed","state_details":{"deployment_concurrency_lease_id":"` + lease.String() + `","retriable":true}}`
	h := newHouse(t, newGuests(newGuest("g").rule("A", "*>*", says(`"decision":"REJECT","reason":"R","state":`+state))), "A=g")
	s := h.decide(tr).State
	if s.ID != uuid.Nil || s.Name != "Scheduled" || *s.Message != message || string(s.Data) != `{"type":"result"}` || !s.Timestamp.Equal(moment.Time) {
		t.Errorf("state %+v", s)
	}
	d := s.Details
	if *d.DeploymentConcurrencyLeaseID != lease || !*d.Retriable || !d.ScheduledTime.Equal(moment.Time) || d.TransitionID != nil {
		t.Errorf("details %+v", d)
	}
	patch := `"decision":"ACCEPT","state":{"message":"m","state_details":{"deployment_concurrency_lease_id":null,"pause_reschedule":true}}`
	h = newHouse(t, newGuests(newGuest("g").rule("A", "*>*", says(patch))), "A=g")
	tr.Proposed.Details.DeploymentConcurrencyLeaseID = &lease
	s = h.decide(tr).State
	if s.ID != tr.Proposed.ID || *s.Message != "m" || s.Details.DeploymentConcurrencyLeaseID != nil || !s.Details.PauseReschedule || string(s.Data) != `{"type":"result"}` {
		t.Errorf("patched %+v", s)
	}
	if *tr.Proposed.Details.DeploymentConcurrencyLeaseID != lease || *tr.Initial.Details.DeploymentConcurrencyLeaseID != lease {
		t.Error("a lease was changed in place")
	}
}

func TestTheRecordExplains(t *testing.T) {
	g := newGuest("g").rule("A", "*>*", says(retry+`,"flags":{"clear_retry_type":true},"effects":[`+releasing+`]`))
	h := newHouse(t, newGuests(g), "Retry=g/A")
	r := h.decide(transition(prefect.Running, prefect.Failed)).Rules[0]
	if r.Name != "Retry" || r.Rule != "A" || r.Module != g.digest() || r.Builtin || r.Phase != "before" || r.Reason != "Retrying" {
		t.Errorf("%+v", r)
	}
	if string(r.Flags) != `{"clear_retry_type":true}` || string(r.Effects) != `[{"type":"release_slots","on":"stands"}]` || r.Fuel != 7 || r.Duration != 3 || r.Log != "hi" {
		t.Errorf("flags %s, effects %s, %+v", r.Flags, r.Effects, r)
	}
}
