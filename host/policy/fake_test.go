package policy

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/host/sandbox"
	"github.com/interlock-run/interlock/sdk/abi"
)

var moment = prefect.NewTime(time.Date(2026, 11, 23, 18, 0, 0, 123456000, time.UTC))

// guest is a module of Go functions: one a rule, which gets the context of the
// call and returns its decision without the rule's name.
type guest struct {
	name  string
	rules map[string]func(c *abi.Context) string
	order []abi.RuleManifest
	calls atomic.Int64
	asked atomic.Pointer[sandbox.CallOptions] // the last call's
	fail  func() (*sandbox.Result, error)     // instead of an answer, when it gives one
}

func newGuest(name string) *guest {
	return &guest{name: name, rules: map[string]func(*abi.Context) string{}}
}

// declaredEffects are the effects that the rules of guests may ask for: all but
// detach_lease.
func declaredEffects() []string {
	return slices.DeleteFunc(abi.Effects(), func(name string) bool { return name == abi.EffectDetachLease })
}

// rule adds a rule; spec is "RUNNING>FAILED", "*>*", with " transform" and
// " after", needs and facts behind it.
func (g *guest) rule(name, spec string, decide func(c *abi.Context) string) *guest {
	words := strings.Fields(spec)
	from, to, _ := strings.Cut(words[0], ">")
	r := abi.RuleManifest{Name: name, RunType: abi.AnyType, From: []*string{&from}, To: []*string{&to}, Kind: abi.KindRule, Phase: abi.PhaseBefore}
	for _, word := range words[1:] {
		switch word {
		case abi.KindTransform:
			r.Kind = word
		case abi.PhaseAfter:
			r.Phase = word
		default:
			if need, is := strings.CutPrefix(word, "needs="); is {
				r.Needs = append(r.Needs, need)
			} else {
				r.Facts = append(r.Facts, word)
			}
		}
	}
	g.order = append(g.order, r)
	g.rules[name] = decide
	return g
}

func (g *guest) wasm() []byte   { return []byte(g.name) }
func (g *guest) digest() string { return sandbox.Digest(g.wasm()) }

func (g *guest) manifest() []byte {
	rules := []map[string]any{}
	for _, r := range g.order {
		m := map[string]any{"name": r.Name, "run_type": r.RunType, "from": r.From, "to": r.To, "kind": r.Kind, "phase": r.Phase, "facts": append([]string{}, r.Facts...), "effects": declaredEffects()}
		if r.Needs != nil {
			m["needs"] = r.Needs
		}
		if r.ConfigSchema != nil {
			m["config_schema"] = json.RawMessage(r.ConfigSchema)
		}
		rules = append(rules, m)
	}
	text, err := json.Marshal(map[string]any{"abi": 1, "name": g.name, "version": "1", "rules": rules})
	if err != nil {
		panic(err)
	}
	return text
}

// answer is what a guest with an SDK does: rules out of turn are skipped.
func (g *guest) answer(in []byte) ([]byte, error) {
	var c abi.Context
	if err := json.Unmarshal(in, &c); err != nil {
		return nil, err
	}
	var all []string
	for _, call := range c.Rules {
		all = append(all, fmt.Sprintf(`{"rule":%q,%s}`, call.Name, g.rules[call.Name](&c)))
	}
	return []byte(`{"decisions":[` + strings.Join(all, ",") + `]}`), nil
}

// guests is a Modules of Go functions by their name.
type guests struct {
	mu   sync.Mutex
	all  map[string]*guest
	open map[string]int // loads without their close, by digest
}

func newGuests(all ...*guest) *guests {
	g := &guests{all: map[string]*guest{}, open: map[string]int{}}
	for _, one := range all {
		g.all[one.name] = one
	}
	return g
}

func (g *guests) Load(_ context.Context, wasm []byte) (Module, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	one := g.all[string(wasm)]
	if one == nil {
		return nil, &sandbox.RefusedError{Offset: 3, Reason: "no magic"}
	}
	g.open[one.digest()]++
	return &loadedGuest{one, g}, nil
}

func (g *guests) opened(digest string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open[digest]
}

type loadedGuest struct {
	guest *guest
	from  *guests
}

func (l *loadedGuest) Digest() string   { return l.guest.digest() }
func (l *loadedGuest) Manifest() []byte { return l.guest.manifest() }

func (l *loadedGuest) Close(context.Context) error {
	l.from.mu.Lock()
	defer l.from.mu.Unlock()
	l.from.open[l.guest.digest()]--
	return nil
}

func (l *loadedGuest) Call(_ context.Context, in []byte, o sandbox.CallOptions) (*sandbox.Result, error) {
	l.guest.calls.Add(1)
	l.guest.asked.Store(&o)
	if l.from.opened(l.guest.digest()) == 0 {
		return nil, &sandbox.CallError{Kind: sandbox.KindTrap, Reason: "called after it was closed"}
	}
	if l.guest.fail != nil {
		if result, err := l.guest.fail(); result != nil || err != nil {
			return result, err
		}
	}
	out, err := l.guest.answer(in)
	if err != nil {
		return nil, &sandbox.CallError{Kind: sandbox.KindTrap, Reason: err.Error()}
	}
	return &sandbox.Result{Output: out, Fuel: 7, Duration: 3 * time.Microsecond, Log: []byte("hi")}, nil
}

// shelf is a Store in memory. Registries that share one are processes on one
// database.
type shelf struct {
	mu       sync.Mutex
	modules  map[string]*prefect.PolicyModule
	versions map[string][]*prefect.PolicyVersion
	revision int64
	audit    []*prefect.PolicyAudit
	broken   error // what every read answers
}

func newShelf() *shelf {
	return &shelf{modules: map[string]*prefect.PolicyModule{}, versions: map[string][]*prefect.PolicyVersion{}}
}

func (s *shelf) SaveModule(_ context.Context, m *prefect.PolicyModule, a *prefect.PolicyAudit) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, there := s.modules[m.Digest]
	if !there {
		s.modules[m.Digest] = m
	}
	s.audit = append(s.audit, a)
	return !there, nil
}

func (s *shelf) ReadModule(_ context.Context, digest string) (*prefect.PolicyModule, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.modules[digest]; m != nil {
		return m, s.broken
	}
	return nil, prefect.Errorf(prefect.NotFound, "no module")
}

func (s *shelf) ListModules(context.Context) ([]*prefect.PolicyModule, error) { return nil, nil }

func (s *shelf) DeleteModule(_ context.Context, digest string, a *prefect.PolicyAudit) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.modules, digest)
	s.audit = append(s.audit, a)
	s.revision++
	return nil
}

func (s *shelf) ActivePolicies(context.Context) (all []*prefect.PolicyVersion, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, versions := range s.versions {
		all = append(all, versions[0])
	}
	return all, s.broken
}

func (s *shelf) ReadPolicyVersions(_ context.Context, name string) ([]*prefect.PolicyVersion, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.versions[name]), s.broken
}

func (s *shelf) SavePolicyVersion(_ context.Context, v *prefect.PolicyVersion, expect int, a *prefect.PolicyAudit) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.versions[v.Name]) != expect {
		return prefect.Errorf(prefect.Conflict, "stale")
	}
	v.Version, a.Version = expect+1, expect+1
	s.audit = append(s.audit, a)
	s.versions[v.Name] = append([]*prefect.PolicyVersion{v}, s.versions[v.Name]...)
	s.revision++
	return nil
}

func (s *shelf) PolicyRevision(context.Context) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revision, s.broken
}

func (s *shelf) AddPolicyAudit(_ context.Context, a *prefect.PolicyAudit) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.audit = append(s.audit, a)
	return nil
}

func (s *shelf) FilterPolicyAudit(context.Context, prefect.PolicyAuditFilter) ([]*prefect.PolicyAudit, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.audit), nil
}

func (s *shelf) ListenPolicies(context.Context, func()) error { return nil }

func (s *shelf) FilterDecisions(context.Context, prefect.DecisionFilter) ([]*prefect.Decision, error) {
	return nil, nil
}

// house is a Registry on fakes.
type house struct {
	*Registry
	t       *testing.T
	shelf   *shelf
	modules *guests
	logged  *strings.Builder
	events  *announced
}

// announced is the events that a registry published.
type announced struct {
	mu  sync.Mutex
	all []*prefect.Event
}

func (a *announced) publish(_ context.Context, events ...*prefect.Event) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, events...)
	return nil
}

// entries makes entries of "Name", "Name=guest", "Name=guest/Rule" or with "!open"
// and the like behind it.
func entries(t *testing.T, modules *guests, specs ...string) []prefect.PolicyEntry {
	t.Helper()
	var all []prefect.PolicyEntry
	for _, spec := range specs {
		spec, mode, _ := strings.Cut(spec, "!")
		name, place, foreign := strings.Cut(spec, "=")
		e := prefect.PolicyEntry{Name: name, Module: prefect.BuiltinModule, Rule: name, OnError: prefect.OnError(mode)}
		if foreign {
			module, rule, named := strings.Cut(place, "/")
			g := modules.all[module]
			if g == nil {
				t.Fatalf("no guest %q", module)
			}
			e.Module = g.digest()
			if named {
				e.Rule = rule
			}
		}
		if e.OnError == "" && !foreign {
			e.OnError = prefect.Fallback
		}
		all = append(all, e)
	}
	return all
}

// newHouse opens a registry whose built-in module is the guest "core" and whose
// CoreFlowPolicy has these entries.
func newHouse(t *testing.T, modules *guests, specs ...string) *house {
	t.Helper()
	return reopen(t, newShelf(), modules, specs...)
}

func reopen(t *testing.T, s *shelf, modules *guests, specs ...string) *house {
	t.Helper()
	if modules.all["core"] == nil {
		modules.all["core"] = newGuest("core").rule("Nothing", "*>*", accept)
	}
	for _, g := range modules.all {
		if g.name != "core" {
			s.modules[g.digest()] = &prefect.PolicyModule{Digest: g.digest(), Wasm: g.wasm(), Manifest: g.manifest()}
		}
	}
	h := &house{t: t, shelf: s, modules: modules, logged: &strings.Builder{}, events: &announced{}}
	var err error
	h.Registry, err = Open(context.Background(), Config{
		Store: s, Modules: modules, Builtin: []byte("core"),
		Defaults: []prefect.PolicyVersion{{Name: prefect.CoreFlowPolicy, Entries: entries(t, modules, specs...)}},
		Now:      func() prefect.Time { return moment },
		Publish:  h.events.publish,
		Logger:   slog.New(slog.NewTextHandler(h.logged, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

func accept(*abi.Context) string { return `"decision":"ACCEPT"` }

// says returns a rule that always decides this.
func says(decision string) func(*abi.Context) string {
	return func(*abi.Context) string { return decision }
}

// transition makes a flow run's transition between two types.
func transition(initial, proposed prefect.StateType) *orchestrate.Transition {
	t := &orchestrate.Transition{
		RunType: prefect.FlowRunType, FlowRun: &prefect.FlowRun{ID: uuid.New(), FlowID: uuid.New(), Name: "otter"}, Now: moment,
		Proposed: &prefect.State{ID: uuid.New(), Type: proposed, Timestamp: moment, Details: prefect.NewStateDetails()},
	}
	t.Proposed.Normalize(moment)
	if initial != "" {
		t.Initial = &prefect.State{ID: uuid.New(), Type: initial, Timestamp: moment.Add(-time.Minute), Details: prefect.NewStateDetails()}
		t.Initial.Normalize(moment)
	}
	return t
}

// decide runs both phases of CoreFlowPolicy.
func (h *house) decide(tr *orchestrate.Transition) *orchestrate.Outcome {
	h.t.Helper()
	o, err := h.try(tr)
	if err != nil {
		h.t.Fatal(err)
	}
	return o
}

func (h *house) try(tr *orchestrate.Transition) (*orchestrate.Outcome, error) {
	p := h.Plan(prefect.CoreFlowPolicy, tr)
	defer p.Release()
	o, err := p.Before(context.Background(), tr)
	if err == nil && o.State != nil {
		err = p.After(context.Background(), tr, o)
	}
	return o, err
}

// decisions tells the record in short: "A:ACCEPT B:skipped".
func decisions(o *orchestrate.Outcome) string {
	var all []string
	for _, r := range o.Rules {
		text := r.Name + ":" + r.Decision
		if r.Handled != "" {
			text += "(" + r.Handled + ")"
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}
