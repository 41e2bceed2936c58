package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/host/sandbox"
	"github.com/interlock-run/interlock/sdk/abi"
)

// manyTags are tags of 44 bytes.
func manyTags(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%044d", i)
	}
	return all
}

func TestAContextThatIsTooLargeIsNobodysFault(t *testing.T) {
	for mode, want := range map[string]string{
		"fallback": "A:REJECT(fallback) B:skipped", "closed": "A:ABORT(closed) B:skipped", "open": "A:skipped(open) B:ACCEPT",
	} {
		bad := newGuest("bad").rule("A", "*>*", accept)
		core := newGuest("core").rule("A", "*>*", says(retry)).rule("B", "*>*", accept)
		h := newHouse(t, newGuests(core, bad), "A=bad!"+mode, "B")
		tr := transition(prefect.Running, prefect.Paused)
		tr.FlowRun.Tags = manyTags(20_000)
		for range 2 * quarantineAfter {
			o := h.decide(tr)
			if got := decisions(o); got != want {
				t.Fatalf("%s: %s", mode, got)
			}
			if e := o.Rules[0].Error; !strings.HasPrefix(e, "context too large: 9") || !strings.HasSuffix(e, " bytes, limit 25000") {
				t.Errorf("%s: the record says %q", mode, e)
			}
		}
		if h.Quarantined(bad.digest()) || bad.calls.Load() != 0 {
			t.Errorf("%s: in quarantine %v, %d calls", mode, h.Quarantined(bad.digest()), bad.calls.Load())
		}
		for _, s := range h.Standings() {
			if counted := uint64(2 * quarantineAfter); s.Digest == bad.digest() && (s.TooLarge != counted || s.BadVerdicts != 0) {
				t.Errorf("%s: counted %d too large, %d verdicts", mode, s.TooLarge, s.BadVerdicts)
			}
		}
		tr.FlowRun.Tags = manyTags(500)
		if h.decide(tr); bad.calls.Load() != 1 {
			t.Errorf("%s: not asked about a context that it can take", mode)
		}
	}
}

// Only the entry whose fact is too large goes without an answer.
func TestAGroupWithALargeFactIsAskedOneByOne(t *testing.T) {
	g := newGuest("g").rule("A", "*>*", accept).rule("B", "*>* parameters", accept).rule("C", "*>*", says(wait))
	h := newHouse(t, newGuests(g), "A=g!open", "B=g!open", "C=g!open")
	tr := transition(prefect.Running, prefect.Paused)
	tr.Facts = orchestrate.Facts{"parameters": json.RawMessage(`"` + strings.Repeat("x", 30_000) + `"`)}
	o := h.decide(tr)
	if got := decisions(o); got != "A:ACCEPT B:skipped(open) C:WAIT" || g.calls.Load() != 2 {
		t.Errorf("%s, %d calls", got, g.calls.Load())
	}
}

func TestContextLimit(t *testing.T) {
	l := sandbox.Limits{}.WithDefaults()
	wide := l
	wide.MemoryPages = 1024
	uploaded, core := &module{}, &module{builtin: true}
	for _, c := range []struct {
		module *module
		fuel   uint64
		limits *sandbox.Limits
		want   int
	}{
		{uploaded, 0, &l, 25_000}, {uploaded, 1000, &l, 24 << 10}, {uploaded, 12_000_000, &l, 30_000},
		{uploaded, prefect.MaxEntryFuel, &l, 48 << 10}, {uploaded, prefect.MaxEntryFuel, &wide, 768 << 10},
		{core, 0, &l, 192 << 10},
	} {
		e := &entry{module: c.module, PolicyEntry: prefect.PolicyEntry{Fuel: c.fuel}}
		if got := contextLimit(e, c.limits); got != c.want {
			t.Errorf("built-in %v, fuel %d, %d pages: %d, want %d", c.module.builtin, c.fuel, c.limits.MemoryPages, got, c.want)
		}
	}
}

// A Go guest takes what it is sent, whatever that holds, with the fuel it has.
func TestAGuestTakesContextsUpToTheLimit(t *testing.T) {
	guest := builtins(t).builtin.Module
	limits := sandbox.Limits{}.WithDefaults()
	for _, fuel := range []uint64{0, 50_000_000} {
		limit := contextLimit(&entry{module: &module{}, PolicyEntry: prefect.PolicyEntry{Fuel: fuel}}, &limits)
		for what, fill := range map[string]func(r *prefect.FlowRun, n int){
			"tags":    func(r *prefect.FlowRun, n int) { r.Tags = manyTags(n / 47) },
			"empty":   func(r *prefect.FlowRun, n int) { r.Tags = make([]string, n/3) },
			"escapes": func(r *prefect.FlowRun, n int) { r.Name = strings.Repeat("\x01", n/6) },
			"digits":  func(r *prefect.FlowRun, n int) { r.Labels = json.RawMessage(`[` + strings.Repeat("1,", n/2-1) + `1]`) },
		} {
			q := richCall()
			q.entries = []*entry{{rule: &abi.RuleManifest{Name: "RetryFailedFlows"}}}
			small := len(appendContext(nil, q))
			fill(q.t.FlowRun, limit-small-10)
			in := appendContext(nil, q)
			if len(in) > limit || len(in) < limit-200 {
				t.Fatalf("%s: %d bytes", what, len(in))
			}
			if _, err := guest.Call(t.Context(), in, sandbox.CallOptions{Now: moment.Time, Fuel: fuel}); err != nil {
				t.Errorf("%d bytes of %s, fuel %d: %v", len(in), what, fuel, err)
			}
		}
	}
}

// What rules have to see in full may be large too: limits of many tags.
func TestTheBuiltInTakesManyLimits(t *testing.T) {
	r := builtins(t)
	tr := costTransition(prefect.TaskRunType, prefect.Pending, prefect.Running)
	tr.TaskRun.Tags = manyTags(1)
	one := `{"id":"8a3e6f5c-1111-4000-8000-000000000001","tag":"a tag of the usual kind","limit":3,"active":true,"used":2,"mine":1,"avg_slot_occupancy_seconds":2.5}`
	for size, want := range map[int]string{190 << 10: "", 200 << 10: "context too large"} {
		tr.Facts["tag_limits"] = json.RawMessage("[" + strings.Repeat(one+",", size/(len(one)+1)) + one + "]")
		plan := r.Plan(prefect.CoreTaskPolicy, tr)
		o, err := plan.Before(t.Context(), tr)
		plan.Release()
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(o.Rules, func(r prefect.RuleDecision) bool { return r.Name == "SecureTaskConcurrencySlots" })
		if rule := o.Rules[at]; !strings.HasPrefix(rule.Error, want) || (rule.Error == "") != (want == "") {
			t.Errorf("%d bytes: %+v", size, rule)
		}
	}
}

// burden gives a run more of everything than a guest has room for. From RUNNING it
// is what JSON writes in six bytes each.
func burden(t *orchestrate.Transition) {
	filling := "x"
	if prefect.TypeOf(t.Initial) == prefect.Running {
		filling = "\x01"
	}
	long, much := ptr(strings.Repeat(filling, 1<<16)), json.RawMessage(`{"a":[`+strings.Repeat("1,", 1<<15)+`1]}`)
	t.Proposed.Message, t.Proposed.Details.Traceparent, t.Proposed.Name = long, long, *long
	t.Proposed.Details.RunInputKeyset = map[string]string{*long: *long}
	if t.Initial != nil {
		t.Initial.Message, t.Initial.Details.CacheKey, t.Initial.Details.PauseKey = long, long, long
	}
	if r := t.FlowRun; r != nil {
		r.Tags, r.Labels, r.Parameters = manyTags(5000), much, much
		r.Name, r.IdempotencyKey, r.FlowVersion, r.DeploymentVersion, r.InfrastructurePID = *long, long, long, long, long
		r.Policy.PauseKeys = append([]string{"1"}, manyTags(5000)...)
		return
	}
	r := t.TaskRun
	r.Tags, r.Labels, r.TaskInputs = manyTags(5000), much, much
	r.Name, r.TaskKey, r.DynamicKey, r.CacheKey, r.TaskVersion = *long, *long, *long, long, long
}

// The built-in rules decide whatever a run carries, and as they would if they were
// told all of it.
func TestTheBuiltInDecidesAboutLargeRuns(t *testing.T) {
	r := builtins(t)
	both := &fullToo{Module: r.builtin.Module}
	r.builtin.Module = both
	asked := 0
	for _, p := range r.active.Load().policies {
		for _, initial := range append(prefect.StateTypes(), "") {
			for _, proposed := range prefect.StateTypes() {
				tr := costTransition(p.run, initial, proposed)
				tr.Proposed.Details.RunInputKeyset = map[string]string{"response": "r"}
				if tr.FlowRun != nil {
					tr.FlowRun.Tags, tr.FlowRun.Labels, tr.FlowRun.Policy.PauseKeys = []string{"a"}, json.RawMessage(`{"a":1}`), []string{"0", "1"}
				}
				both.about = tr
				asked += undisturbed(t, r, p.version.Name, tr)
				tr = costTransition(p.run, initial, proposed)
				burden(tr)
				both.about = nil
				asked += undisturbed(t, r, p.version.Name, tr)
			}
		}
	}
	if asked < 500 {
		t.Errorf("%d rules were asked", asked)
	}
	for _, what := range both.differ {
		t.Error(what)
	}
}

// undisturbed has a policy decide and reports rules that failed. It returns how
// many were asked.
func undisturbed(t *testing.T, r *Registry, policy string, tr *orchestrate.Transition) int {
	t.Helper()
	plan := r.Plan(policy, tr)
	defer plan.Release()
	o, err := plan.Before(t.Context(), tr)
	if err == nil && o.State != nil {
		err = plan.After(t.Context(), tr, o)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range o.Rules {
		if rule.Error != "" {
			t.Errorf("%s, %s to %s: %s: %s", policy, prefect.TypeOf(tr.Initial), tr.Proposed.Type, rule.Name, rule.Error)
		}
	}
	return len(o.Rules)
}

// fullToo is the built-in module, which is asked a second time with the whole run.
type fullToo struct {
	Module
	about  *orchestrate.Transition // nil: not again
	differ []string
}

func (f *fullToo) Call(ctx context.Context, in []byte, o sandbox.CallOptions) (*sandbox.Result, error) {
	result, err := f.Module.Call(ctx, in, o)
	if err != nil || f.about == nil {
		return result, err
	}
	var whole map[string]json.RawMessage
	if err := json.Unmarshal(in, &whole); err != nil {
		return nil, err
	}
	e := encoder{}
	if f.about.FlowRun != nil {
		e.flowRun(f.about.FlowRun, nil)
	} else {
		e.taskRun(f.about.TaskRun)
	}
	whole["run"] = bytes.TrimSuffix(e.b, []byte(","))
	text, err := json.Marshal(whole)
	if err != nil {
		return nil, err
	}
	if again, err := f.Module.Call(ctx, text, o); err != nil {
		f.differ = append(f.differ, err.Error())
	} else if !bytes.Equal(again.Output, result.Output) {
		f.differ = append(f.differ, fmt.Sprintf("%s\nlean: %s\nfull: %s", in, result.Output, again.Output))
	}
	return result, nil
}
