package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/sdk/abi"
)

// until polls a condition; only a test that fails waits for the deadline.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if done() {
			return
		}
	}
	t.Fatal("never: " + what)
}

func active(t *testing.T, h *house) *prefect.PolicyVersion {
	t.Helper()
	v, err := h.Policy(t.Context(), prefect.CoreFlowPolicy)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func names(entries []prefect.PolicyEntry) string {
	var all []string
	for _, e := range entries {
		all = append(all, e.Name)
	}
	return strings.Join(all, " ")
}

func TestPoliciesAreInstalledAndKeptUp(t *testing.T) {
	modules := newGuests(newGuest("core").rule("A", "*>*", accept).rule("B", "*>*", accept))
	h := newHouse(t, modules, "A")
	if v := active(t, h); v.Version != 1 || v.Reason != "installed" || names(v.Entries) != "A" {
		t.Fatalf("%+v", v)
	}
	if v := active(t, reopen(t, h.shelf, modules, "A")); v.Version != 1 {
		t.Errorf("the same binary again made version %d", v.Version)
	}
	h = reopen(t, h.shelf, modules, "A", "B")
	if v := active(t, h); v.Version != 2 || v.Reason != "installed" || names(v.Entries) != "A B" {
		t.Errorf("a newer binary: %+v", v)
	}
	if _, err := h.PutPolicy(t.Context(), prefect.CoreFlowPolicy, entries(t, modules, "B"), 2); err != nil {
		t.Fatal(err)
	}
	h = reopen(t, h.shelf, modules, "B", "A")
	if v := active(t, h); v.Version != 3 || names(v.Entries) != "B" || !strings.Contains(h.logged.String(), "without=[A]") {
		t.Errorf("changed by hand: %+v\n%s", v, h.logged)
	}
}

func TestSwapAndRollback(t *testing.T) {
	g := newGuest("g").rule("A", "*>*", says(wait))
	modules := newGuests(newGuest("core").rule("A", "*>*", says(retry)), g)
	h := newHouse(t, modules, "A")
	tr := transition(prefect.Running, prefect.Failed)
	old := h.Plan(prefect.CoreFlowPolicy, tr)

	v, err := h.PutPolicy(t.Context(), prefect.CoreFlowPolicy, entries(t, modules, "A=g"), 1)
	if err != nil || v.Version != 2 || v.Reason != "put" || v.Entries[0].OnError != prefect.Fallback || string(v.Entries[0].Config) != "{}" {
		t.Fatalf("%+v %v", v, err)
	}
	if o := h.decide(tr); o.Status != prefect.Wait || o.Rules[0].Module != g.digest() {
		t.Errorf("after the swap: %s", decisions(o))
	}
	if _, err := h.PutPolicy(t.Context(), prefect.CoreFlowPolicy, entries(t, modules, "A"), 1); prefect.CodeOf(err) != prefect.Conflict {
		t.Errorf("stale: %v", err)
	}
	if v, err = h.Rollback(t.Context(), prefect.CoreFlowPolicy, 1); err != nil || v.Version != 3 || v.Reason != "rollback to 1" {
		t.Fatalf("%+v %v", v, err)
	}
	if o := h.decide(tr); o.Status != prefect.Reject {
		t.Errorf("after the rollback: %s", decisions(o))
	}
	if modules.opened(g.digest()) != 0 {
		t.Error("a module that nobody uses is open")
	}
	if o, err := old.Before(t.Context(), tr); err != nil || o.Status != prefect.Reject || old.Version() != 1 {
		t.Errorf("the old plan: %v %v", o, err)
	}
	old.Release()
	versions, err := h.Versions(t.Context(), prefect.CoreFlowPolicy)
	if err != nil || len(versions) != 3 || versions[0].Version != 3 {
		t.Errorf("versions %v %v", versions, err)
	}
	for name, err := range map[string]error{
		"policy":   second(h.Policy(t.Context(), "No")),
		"versions": second(h.Versions(t.Context(), "No")),
		"put":      second(h.PutPolicy(t.Context(), "No", nil, 0)),
		"rollback": second(h.Rollback(t.Context(), prefect.CoreFlowPolicy, 9)),
	} {
		if prefect.CodeOf(err) != prefect.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestAModuleStaysOpenWhileItIsUsed(t *testing.T) {
	g := newGuest("g").rule("A", "*>*", accept)
	modules := newGuests(g)
	h := newHouse(t, modules, "A=g")
	tr := transition(prefect.Running, prefect.Failed)
	p := h.Plan(prefect.CoreFlowPolicy, tr)
	if _, err := h.PutPolicy(t.Context(), prefect.CoreFlowPolicy, nil, 1); err != nil {
		t.Fatal(err)
	}
	if modules.opened(g.digest()) != 1 {
		t.Fatal("closed under an evaluation")
	}
	if o, err := p.Before(t.Context(), tr); err != nil || decisions(o) != "A:ACCEPT" {
		t.Errorf("%v %v", o, err)
	}
	p.Release()
	if modules.opened(g.digest()) != 0 {
		t.Error("left open")
	}
	h.Close()
	if modules.opened(modules.all["core"].digest()) != 0 {
		t.Error("the built-in was left open")
	}
	if _, err := h.try(tr); prefect.CodeOf(err) != prefect.Unavailable {
		t.Errorf("decided by a closed registry: %v", err)
	}
}

func TestSwapsUnderLoad(t *testing.T) {
	var specs []string
	modules := newGuests()
	for i := range 3 {
		name := fmt.Sprint("g", i)
		modules.all[name] = newGuest(name).rule("A", "*>*", says(fmt.Sprintf(`"decision":"ABORT","reason":"%s"`, name)))
		specs = append(specs, "A="+name)
	}
	h := newHouse(t, modules, specs[0])
	h.lanes.patience = time.Minute // the machine's speed is not the question
	var mu sync.Mutex
	byVersion := map[int]string{1: "g0"}
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 8 {
		clients.Add(1)
		go func() {
			defer clients.Done()
			tr := transition(prefect.Running, prefect.Paused)
			for {
				select {
				case <-stop:
					return
				default:
				}
				p := h.Plan(prefect.CoreFlowPolicy, tr)
				o, err := p.Before(context.Background(), tr)
				version := p.Version()
				p.Release()
				mu.Lock()
				want := byVersion[version]
				mu.Unlock()
				if err != nil || want != "" && (o.Reason != want || o.Rules[0].Module != modules.all[want].digest() || o.Rules[0].Error != "") {
					t.Errorf("version %d: %+v %v, want %s", version, o, err, want)
					return
				}
			}
		}()
	}
	for i := 1; i <= 200; i++ {
		spec := specs[i%3]
		mu.Lock()
		byVersion[i+1] = strings.TrimPrefix(spec, "A=")
		mu.Unlock()
		if _, err := h.PutPolicy(context.Background(), prefect.CoreFlowPolicy, entries(t, modules, spec), i); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	clients.Wait()
	open := 0
	for _, g := range modules.all {
		open += modules.opened(g.digest())
	}
	if open != 2 { // the built-in and the active one
		t.Errorf("%d modules are open", open)
	}
}

func TestAnotherProcessTakesASwapOver(t *testing.T) {
	g := newGuest("g").rule("A", "*>*", says(abort))
	modules := newGuests(g)
	here := newHouse(t, modules)
	there := reopen(t, here.shelf, modules)
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() { there.Watch(ctx) })
	t.Cleanup(func() { cancel(); watching.Wait() })
	if _, err := here.PutPolicy(ctx, prefect.CoreFlowPolicy, entries(t, modules, "A=g"), 1); err != nil {
		t.Fatal(err)
	}
	tr := transition(prefect.Running, prefect.Paused)
	until(t, "the other process decides by the new policy", func() bool { return there.decide(tr).Status == prefect.Abort })

	here.shelf.mu.Lock()
	here.shelf.broken = errors.New("the database is down")
	here.shelf.mu.Unlock()
	if err := there.refresh(ctx); err == nil {
		t.Error("no error from a database that is down")
	}
	if there.decide(tr).Status != prefect.Abort {
		t.Error("the last good policies were not kept")
	}
	here.shelf.mu.Lock()
	here.shelf.broken = nil
	here.shelf.mu.Unlock()
}

func TestAStoredModuleThatDoesNotLoadAnyMore(t *testing.T) {
	for _, c := range []struct{ mode, want string }{
		{"fallback", "A:REJECT(fallback)"}, {"closed", "A:ABORT(closed)"}, {"open", "A:skipped(open)"},
	} {
		modules := newGuests(newGuest("core").rule("A", "*>*", says(retry)), newGuest("g").rule("A", "RUNNING>*", accept))
		h := newHouse(t, modules, "A=g!"+c.mode)
		h.Close()
		specs := "A=g!" + c.mode
		defaults := entries(t, modules, specs)
		modules.mu.Lock()
		delete(modules.all, "g")
		modules.mu.Unlock()
		again, err := Open(t.Context(), Config{Store: h.shelf, Modules: modules, Builtin: []byte("core"), Now: func() prefect.Time { return moment },
			Defaults: []prefect.PolicyVersion{{Name: prefect.CoreFlowPolicy, Entries: defaults}}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(again.Close)
		h.Registry = again
		o := h.decide(transition(prefect.Running, prefect.Paused))
		if got := decisions(o); got != c.want || !strings.Contains(o.Rules[0].Error, "no magic") {
			t.Errorf("%s: %s %+v", c.mode, got, o.Rules)
		}
		if o := h.decide(transition(prefect.Pending, prefect.Paused)); len(o.Rules) != 0 {
			t.Errorf("%s: asked where the stored manifest has no match: %s", c.mode, decisions(o))
		}
	}
}

func TestARuleOfANewerServerStopsNobody(t *testing.T) {
	modules := newGuests(newGuest("core").rule("A", "*>*", accept))
	h := newHouse(t, modules, "A", "Later")
	if o := h.decide(transition(prefect.Pending, prefect.Running)); decisions(o) != "A:ACCEPT Later:skipped(open)" {
		t.Error(decisions(o))
	}
}

func TestOpenWithoutItsOwnModule(t *testing.T) {
	_, err := Open(t.Context(), Config{Store: newShelf(), Modules: newGuests(), Builtin: []byte("core")})
	if err == nil || !strings.Contains(err.Error(), "built-in") {
		t.Error(err)
	}
}

func TestInvalidPoliciesChangeNothing(t *testing.T) {
	schema := abi.Raw(`{"type":"object","properties":{"base":{"type":"number","minimum":1}},"required":["base"],"additionalProperties":false}`)
	g := newGuest("g").rule("A", "*>*", accept).rule("T", "*>* transform", accept).rule("Z", "*>* after", accept).rule("Config", "*>*", accept).rule("Task", "*>*", accept)
	g.order[3].ConfigSchema = schema
	g.order[4].RunType = abi.RunTypeTask
	modules := newGuests(newGuest("core").rule("A", "*>*", accept), g)
	h := newHouse(t, modules, "A")
	entry := func(name, rule, config, mode string) prefect.PolicyEntry {
		return prefect.PolicyEntry{Name: name, Module: g.digest(), Rule: rule, Config: json.RawMessage(config), OnError: prefect.OnError(mode)}
	}
	good := entry("A", "A", "", "")
	for name, c := range map[string]struct {
		entries []prefect.PolicyEntry
		loc     string
	}{
		"no name":              {[]prefect.PolicyEntry{entry("", "A", "", "")}, "[body entries 0 name]"},
		"a name twice":         {[]prefect.PolicyEntry{good, good}, "[body entries 1 name]"},
		"unknown module":       {[]prefect.PolicyEntry{{Name: "X", Module: "sha256:0", Rule: "A"}}, "[body entries 0 module]"},
		"unknown rule":         {[]prefect.PolicyEntry{good, entry("X", "Nope", "", "")}, "[body entries 1 rule]"},
		"unknown built-in":     {[]prefect.PolicyEntry{{Name: "X", Module: "builtin", Rule: "X"}}, "[body entries 0 rule]"},
		"for another run":      {[]prefect.PolicyEntry{entry("X", "Task", "", "")}, "[body entries 0 rule]"},
		"a transform for rule": {[]prefect.PolicyEntry{entry("A", "T", "", "")}, "[body entries 0 rule]"},
		"after for before":     {[]prefect.PolicyEntry{entry("A", "Z", "", "")}, "[body entries 0 rule]"},
		"no such mode":         {[]prefect.PolicyEntry{entry("A", "A", "", "maybe")}, "[body entries 0 on_error]"},
		"nothing to fall back": {[]prefect.PolicyEntry{entry("X", "A", "", "fallback")}, "[body entries 0 on_error]"},
		"config not wanted":    {[]prefect.PolicyEntry{entry("X", "A", `{"a":1}`, "")}, "[body entries 0 config]"},
		"config no object":     {[]prefect.PolicyEntry{entry("X", "Config", `[]`, "")}, "[body entries 0 config]"},
		"config lacks a field": {[]prefect.PolicyEntry{entry("X", "Config", `{}`, "")}, "[body entries 0 config]"},
		"config out of range":  {[]prefect.PolicyEntry{entry("X", "Config", `{"base":0}`, "")}, "[body entries 0 config base]"},
		"too many":             {slices.Repeat([]prefect.PolicyEntry{good}, maxEntries+1), "[body entries]"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := h.PutPolicy(t.Context(), prefect.CoreFlowPolicy, c.entries, 1)
			var invalid *prefect.Error
			if !errors.As(err, &invalid) || invalid.Code != prefect.Invalid || len(invalid.Fields) != 1 {
				t.Fatalf("%v %+v", err, invalid)
			}
			if got := fmt.Sprint(invalid.Fields[0].Loc); got != c.loc || invalid.Fields[0].Msg == "" || invalid.Fields[0].Type == "" {
				t.Errorf("%+v, want %s", invalid.Fields[0], c.loc)
			}
		})
	}
	if v := active(t, h); v.Version != 1 {
		t.Errorf("version %d is active", v.Version)
	}
	if modules.opened(g.digest()) != 0 {
		t.Error("a module that was looked at is left open")
	}
	all := []prefect.PolicyEntry{entry("A", "A", "null", ""), entry("X", "Config", `{"base":2}`, ""), entry("Y", "T", "", "open")}
	v, err := h.PutPolicy(t.Context(), prefect.CoreFlowPolicy, all, 1)
	if err != nil {
		t.Fatal(err)
	}
	if v.Entries[0].OnError != prefect.Fallback || v.Entries[1].OnError != prefect.Closed || v.Entries[2].OnError != prefect.Open {
		t.Errorf("modes %+v", v.Entries)
	}
}

func TestModulesAreAdmitted(t *testing.T) {
	ok, bad := newGuest("ok").rule("A", "*>*", accept), newGuest("bad").rule("A", "*>*", accept)
	bad.order[0].ConfigSchema = abi.Raw(`{"type":"thing"}`)
	none := newGuest("none")
	modules := newGuests(ok, bad, none)
	h := newHouse(t, newGuests())
	h.library.modules = modules
	m, created, err := h.AddModule(t.Context(), ok.wasm())
	if err != nil || !created || m.Digest != ok.digest() || m.Size != 2 || !json.Valid(m.Manifest) {
		t.Fatalf("%+v %v %v", m, created, err)
	}
	if m, created, err = h.AddModule(t.Context(), ok.wasm()); err != nil || created || m.Digest != ok.digest() {
		t.Errorf("again: %v %v", created, err)
	}
	if manifest, err := h.Check(t.Context(), ok.wasm()); err != nil || !json.Valid(manifest) {
		t.Errorf("check: %s %v", manifest, err)
	}
	for name, want := range map[string]string{"what": "at byte 3", "bad": "config_schema", "none": "rules"} {
		_, _, err := h.AddModule(t.Context(), []byte(name))
		var invalid *prefect.Error
		if !errors.As(err, &invalid) || invalid.Code != prefect.Invalid || len(invalid.Fields) != 1 || !strings.Contains(invalid.Fields[0].Msg, want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := h.Check(t.Context(), []byte(name)); prefect.CodeOf(err) != prefect.Invalid {
			t.Errorf("check %s: %v", name, err)
		}
	}
	for _, g := range modules.all {
		if modules.opened(g.digest()) != 0 {
			t.Errorf("%s is left open", g.name)
		}
	}
}
