package policy

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/host/sandbox"
	"github.com/interlock-run/interlock/sdk/abi"
)

// callError is a guest that fails that way.
func callError(kind sandbox.CallErrorKind) func(g *guest) {
	return func(g *guest) {
		g.fail = func() (*sandbox.Result, error) {
			return nil, &sandbox.CallError{Kind: kind, Reason: "it broke", Log: []byte("last words"), Fuel: 5}
		}
	}
}

// output is a guest that answers this.
func output(text string) func(g *guest) {
	return func(g *guest) {
		g.fail = func() (*sandbox.Result, error) { return &sandbox.Result{Output: []byte(text)}, nil }
	}
}

// failures are the ways in which a module can fail that count as its own.
func failures() map[string]func(*guest) {
	decision := func(d string) func(*guest) { return output(`{"decisions":[{"rule":"A",` + d + `}]}`) }
	return map[string]func(*guest){
		"trap": callError(sandbox.KindTrap), "deadline": callError(sandbox.KindDeadline), "fuel": callError(sandbox.KindFuel),
		"output": callError(sandbox.KindOutput), "memory": callError(sandbox.KindMemory),
		"not JSON":              output(`{"decisions":`),
		"not an object":         output(`[]`),
		"no decision":           output(`{"decisions":[]}`),
		"an error":              output(`{"decisions":[],"error":"I cannot"}`),
		"another rule":          output(`{"decisions":[{"rule":"B","decision":"ACCEPT"}]}`),
		"a key twice":           decision(`"decision":"ACCEPT","decision":"ACCEPT"`),
		"unknown decision":      decision(`"decision":"MAYBE"`),
		"unknown field":         decision(`"decision":"ACCEPT","colour":"red"`),
		"unknown flag":          decision(`"decision":"ACCEPT","flags":{"set_everything":true}`),
		"unknown effect":        decision(`"decision":"ACCEPT","effects":[{"type":"drop_table"}]`),
		"an effect not allowed": decision(`"decision":"ACCEPT","effects":[{"type":"set_run_state","run_type":"flow_run","run_id":"8a3e6f5c-1111-4000-8000-000000000001","copy_written":true}]`),
		"an effect undeclared":  decision(`"decision":"ACCEPT","effects":[{"type":"detach_lease","lease_id":"8a3e6f5c-1111-4000-8000-000000000001"}]`),
		"unknown type":          decision(`"decision":"REJECT","reason":"r","state":{"type":"DONE"}`),
		"a read-only field":     decision(`"decision":"ACCEPT","run":{"run_count":0}`),
		"a type changed":        decision(`"decision":"ACCEPT","state":{"type":"RUNNING"}`),
		"a host's detail":       decision(`"decision":"ACCEPT","state":{"state_details":{"flow_run_id":null}}`),
		"another's lease":       decision(`"decision":"ACCEPT","state":{"state_details":{"deployment_concurrency_lease_id":"8a3e6f5c-1111-4000-8000-000000000001"}}`),
		"no reason":             decision(`"decision":"ABORT"`),
		"no delay":              decision(`"decision":"WAIT","reason":"r"`),
		"skipped in turn":       decision(`"decision":"SKIPPED"`),
		"deep nesting":          output(strings.Repeat("[", 100_000)),
	}
}

// failing is a house whose first entry is A of a module that fails that way, in
// the place of the built-in A, which rejects.
func failing(t *testing.T, mode string, fail func(*guest)) (*house, *guest) {
	bad := newGuest("bad").rule("A", "*>*", accept)
	fail(bad)
	core := newGuest("core").rule("A", "RUNNING>*", says(retry)).rule("B", "*>*", accept)
	return newHouse(t, newGuests(core, bad), "A=bad!"+mode, "B"), bad
}

func TestFailureModes(t *testing.T) {
	for _, c := range []struct {
		name, mode        string
		initial, proposed prefect.StateType
		want              string
		status            prefect.Status
	}{
		{"fallback", "fallback", prefect.Running, prefect.Paused, "A:REJECT(fallback) B:skipped", prefect.Reject},
		{"fallback, not for this type", "fallback", prefect.Pending, prefect.Running, "A:skipped(fallback) B:ACCEPT", prefect.Accept},
		{"open", "open", prefect.Running, prefect.Paused, "A:skipped(open) B:ACCEPT", prefect.Accept},
		{"open, ending", "open", prefect.Running, prefect.Failed, "A:skipped(open) B:ACCEPT", prefect.Accept},
		{"closed", "closed", prefect.Running, prefect.Paused, "A:ABORT(closed) B:skipped", prefect.Abort},
		{"closed, ending: the built-in decides", "closed", prefect.Running, prefect.Failed, "A:REJECT(fallback) B:skipped", prefect.Reject},
		{"closed, ending: the built-in has no say", "closed", prefect.Pending, prefect.Crashed, "A:skipped(fallback) B:ACCEPT", prefect.Accept},
	} {
		for kind, fail := range failures() {
			t.Run(c.name+", "+kind, func(t *testing.T) {
				h, bad := failing(t, c.mode, fail)
				o := h.decide(transition(c.initial, c.proposed))
				if got := decisions(o); got != c.want || o.Status != c.status {
					t.Fatalf("%s, %s", got, o.Status)
				}
				r := o.Rules[0]
				if r.Error == "" {
					t.Error("the record does not tell of the error")
				}
				decided := sandbox.Digest([]byte("core"))
				if r.Decision != abi.Reject {
					decided = bad.digest()
				}
				if r.Module != decided || r.Builtin != (r.Decision == abi.Reject) {
					t.Errorf("the record names %s, built-in %v", r.Module, r.Builtin)
				}
			})
		}
	}
}

func TestClosedWithoutABuiltInLetsARunEnd(t *testing.T) {
	bad := newGuest("bad").rule("Mine", "*>*", accept)
	callError(sandbox.KindTrap)(bad)
	h := newHouse(t, newGuests(bad), "Mine=bad!closed")
	for _, proposed := range prefect.StateTypes() {
		bad.calls.Store(0)
		h.library.readmit(bad.digest())
		o := h.decide(transition(prefect.Running, proposed))
		if written := o.State != nil; written != proposed.Terminal() {
			t.Errorf("%s: %s", proposed, decisions(o))
		}
		if o.State == nil && (o.Status != prefect.Abort || !strings.Contains(o.Reason, "Mine")) {
			t.Errorf("%s: %s %q", proposed, o.Status, o.Reason)
		}
	}
}

func TestAFailedBuiltInIsTheEndOfTheFallback(t *testing.T) {
	bad := newGuest("bad").rule("A", "*>*", accept)
	core := newGuest("core").rule("A", "*>*", accept)
	callError(sandbox.KindTrap)(bad)
	h := newHouse(t, newGuests(core, bad), "A=bad!fallback")
	callError(sandbox.KindFuel)(core)
	o := h.decide(transition(prefect.Running, prefect.Paused))
	if decisions(o) != "A:ABORT(closed)" || !strings.Contains(o.Rules[0].Error, "trap") || !strings.Contains(o.Rules[0].Error, "fuel") {
		t.Errorf("%s: %s", decisions(o), o.Rules[0].Error)
	}
	if o = h.decide(transition(prefect.Running, prefect.Completed)); o.State == nil {
		t.Errorf("the run cannot end: %s", decisions(o))
	}
}

func TestAfterPhaseFailures(t *testing.T) {
	for _, c := range []struct {
		mode     string
		proposed prefect.StateType
		want     string
		status   prefect.Status
	}{
		{"closed", prefect.Running, "B:ACCEPT Z:ABORT(closed) Y:skipped", prefect.Abort},
		{"closed", prefect.Completed, "B:ACCEPT Z:skipped(open) Y:ACCEPT", prefect.Accept},
		{"open", prefect.Running, "B:ACCEPT Z:skipped(open) Y:ACCEPT", prefect.Accept},
	} {
		bad := newGuest("bad").rule("Z", "*>* after transform", accept)
		callError(sandbox.KindTrap)(bad)
		good := newGuest("good").rule("B", "*>*", says(resuming)).rule("Y", "*>* after transform", says(resuming))
		h := newHouse(t, newGuests(bad, good), "B=good", "Y=good", "Z=bad!"+c.mode)
		o := h.decide(transition(prefect.Pending, c.proposed))
		if decisions(o) != c.want || o.Status != c.status || (o.State == nil) != (c.status == prefect.Abort) {
			t.Errorf("%s %s: %s %s", c.mode, c.proposed, decisions(o), o.Status)
		}
		if patches := len(o.Patches); patches != map[bool]int{true: 0, false: 2}[o.State == nil] {
			t.Errorf("%s %s: %d patches", c.mode, c.proposed, patches)
		}
	}
}

func TestOneRuleOfACallFails(t *testing.T) {
	g := newGuest("g").rule("A", "*>*", accept).rule("B", "*>*", says(`"decision":"NO"`)).rule("C", "*>*", says(wait))
	h := newHouse(t, newGuests(g), "A=g!open", "B=g!open", "C=g!open")
	o := h.decide(transition(prefect.Running, prefect.Paused))
	if got := decisions(o); got != "A:ACCEPT B:skipped(open) C:WAIT" || o.Rules[0].Error != "" || o.Rules[2].Error != "" {
		t.Error(got)
	}
	// The guest says itself which one failed.
	told := newGuest("told").rule("A", "*>*", accept).rule("B", "*>*", accept).rule("C", "*>*", says(wait))
	h = newHouse(t, newGuests(told), "A=told!open", "B=told!open", "C=told!open")
	told.fail = func() (*sandbox.Result, error) {
		if told.calls.Load() > 1 {
			return nil, nil
		}
		return &sandbox.Result{Output: []byte(`{"decisions":[{"rule":"A","decision":"ACCEPT"}],"error":"no such luck"}`)}, nil
	}
	o = h.decide(transition(prefect.Running, prefect.Paused))
	if got := decisions(o); got != "A:ACCEPT B:skipped(open) C:WAIT" || !strings.Contains(o.Rules[1].Error, "no such luck") || told.calls.Load() != 2 {
		t.Errorf("%s, %d calls", got, told.calls.Load())
	}
}

func TestWhatIsNobodysFault(t *testing.T) {
	for _, kind := range []sandbox.CallErrorKind{sandbox.KindBusy, sandbox.KindClosed} {
		h, bad := failing(t, "closed", callError(kind))
		for range 2 * quarantineAfter {
			if _, err := h.try(transition(prefect.Running, prefect.Paused)); prefect.CodeOf(err) != prefect.Unavailable {
				t.Fatalf("%s, closed: %v", kind, err)
			}
		}
		if h.Quarantined(bad.digest()) {
			t.Errorf("%s: in quarantine", kind)
		}
		h, _ = failing(t, "fallback", callError(kind))
		if o := h.decide(transition(prefect.Running, prefect.Paused)); decisions(o) != "A:REJECT(fallback) B:skipped" {
			t.Errorf("%s, fallback: %s", kind, decisions(o))
		}
	}
	h, bad := failing(t, "closed", callError(sandbox.KindCancelled))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	tr := transition(prefect.Running, prefect.Paused)
	p := h.Plan(prefect.CoreFlowPolicy, tr)
	defer p.Release()
	if _, err := p.Before(ctx, tr); !errors.Is(err, context.Canceled) || h.Quarantined(bad.digest()) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestQuarantine(t *testing.T) {
	h, bad := failing(t, "fallback", callError(sandbox.KindTrap))
	tr := transition(prefect.Running, prefect.Paused)
	fail := bad.fail
	for i := 1; i < quarantineAfter; i++ {
		h.decide(tr)
	}
	bad.fail = nil // one success begins the count anew
	h.decide(tr)
	bad.fail = fail
	for i := 1; i < quarantineAfter; i++ {
		h.decide(tr)
	}
	if h.Quarantined(bad.digest()) {
		t.Fatal("in quarantine before five errors in a row")
	}
	h.decide(tr)
	calls := bad.calls.Load()
	o := h.decide(tr)
	if !h.Quarantined(bad.digest()) || bad.calls.Load() != calls {
		t.Fatalf("%d calls, quarantine %v", bad.calls.Load()-calls, h.Quarantined(bad.digest()))
	}
	if decisions(o) != "A:REJECT(fallback) B:skipped" || !strings.Contains(o.Rules[0].Error, "quarantine") {
		t.Errorf("%s: %s", decisions(o), o.Rules[0].Error)
	}
	if !strings.Contains(h.logged.String(), "quarantine") {
		t.Error("nothing was logged")
	}
	// A new version of the policy does not heal it; readmission does.
	if _, err := h.PutPolicy(t.Context(), prefect.CoreFlowPolicy, entries(t, h.modules, "B"), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := h.PutPolicy(t.Context(), prefect.CoreFlowPolicy, entries(t, h.modules, "A=bad"), 2); err != nil {
		t.Fatal(err)
	}
	if h.decide(tr); bad.calls.Load() != calls {
		t.Error("asked in quarantine after a swap")
	}
	if err := h.Readmit(t.Context(), "sha256:0"); prefect.CodeOf(err) != prefect.NotFound {
		t.Errorf("readmit nobody: %v", err)
	}
	bad.fail = nil
	if err := h.Readmit(t.Context(), bad.digest()); err != nil {
		t.Fatal(err)
	}
	if o = h.decide(tr); decisions(o) != "A:ACCEPT" || bad.calls.Load() != calls+1 {
		t.Errorf("readmitted: %s", decisions(o))
	}
}

func TestTheBuiltInIsNeverInQuarantine(t *testing.T) {
	core := newGuest("core").rule("A", "*>*", accept)
	h := newHouse(t, newGuests(core), "A")
	callError(sandbox.KindTrap)(core)
	for range 2 * quarantineAfter {
		h.decide(transition(prefect.Running, prefect.Paused))
	}
	if core.calls.Load() != 2*quarantineAfter {
		t.Errorf("%d calls", core.calls.Load())
	}
}

func TestQuarantineAfter(t *testing.T) {
	for set, want := range map[int]int64{0: quarantineAfter, 2: 2, 1000: 10} {
		h, bad := failing(t, "fallback", callError(sandbox.KindTrap))
		h.library.after = newLibrary(h.modules, set).after
		for _, health := range h.library.health {
			health.after = h.library.after
		}
		for range 10 {
			h.decide(transition(prefect.Running, prefect.Paused))
		}
		if n := bad.calls.Load(); n != want {
			t.Errorf("after %d: %d calls, want %d", set, n, want)
		}
	}
}
