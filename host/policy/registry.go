package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/host/sandbox"
	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/contract"
)

// pollInterval is how often other processes' changes are looked for where the
// database does not tell of them.
const pollInterval = 500 * time.Millisecond

// Config is what a [Registry] is made of.
type Config struct {
	Store   Store
	Modules Modules
	// Limits are those that Modules apply. Zero fields stand for their defaults.
	Limits sandbox.Limits
	// Builtin is the wasm of the rules that come with this binary.
	Builtin []byte
	// Defaults are the policies of this binary; Name and Entries are read. They are
	// installed where the database has none.
	Defaults []prefect.PolicyVersion
	// Settings are configs of built-in rules by rule name, from the server's
	// settings, for entries that have none of their own.
	Settings map[string]json.RawMessage
	// QuarantineAfter is how many errors in a row keep a module from being asked; 0
	// stands for 5.
	QuarantineAfter int
	Now             func() prefect.Time
	Logger          *slog.Logger
	// Publish stores and publishes an event of the server's own, as one that a
	// client sent; nil: nobody is told.
	Publish func(ctx context.Context, events ...*prefect.Event) error
}

// Registry keeps the policies and lets them decide. It is safe for concurrent
// use.
type Registry struct {
	config  Config
	log     *slog.Logger
	library *library
	builtin *module
	limits  sandbox.Limits // of calls

	active  atomic.Pointer[snapshot]
	change  sync.Mutex // one change or reload at a time
	buffers sync.Pool  // of *[]byte, for contexts
	lanes   *lanes

	announcing sync.WaitGroup
}

var _ orchestrate.Evaluator = (*Registry)(nil)

// Open loads the built-in module, installs its policies where they are missing
// and prepares what the database has. A stored module that does not load any
// more is reported and handled by the failure mode of its entries. Errors: the
// built-in does not load, the database does not answer.
func Open(ctx context.Context, c Config) (*Registry, error) {
	r := &Registry{config: c, log: c.Logger, library: newLibrary(c.Modules, c.QuarantineAfter), lanes: newLanes(), limits: c.Limits.WithDefaults()}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	r.buffers.New = func() any { return new([]byte) }
	builtin, err := r.library.load(sandbox.Hurry(ctx), c.Builtin)
	if err != nil {
		return nil, fmt.Errorf("built-in policies: %w", err)
	}
	builtin.builtin = true
	r.builtin = r.library.retain(builtin.Digest(), builtin)
	if err := r.open(ctx); err != nil {
		r.library.put(r.builtin)
		return nil, err
	}
	return r, nil
}

func (r *Registry) open(ctx context.Context) error {
	if err := r.install(ctx); err != nil {
		return fmt.Errorf("install policies: %w", err)
	}
	if err := r.reload(ctx); err != nil {
		return fmt.Errorf("load policies: %w", err)
	}
	return nil
}

// Close lets go of the modules once the evaluations that use them are done;
// proposals are answered Unavailable from then on. Watch must have ended.
func (r *Registry) Close() {
	defer r.announcing.Wait()
	r.change.Lock()
	defer r.change.Unlock()
	if s := r.active.Swap(&snapshot{}); s != nil && s.library != nil {
		s.release()
		r.library.put(r.builtin)
	}
}

// Plan chooses the entries that are asked about a transition.
func (r *Registry) Plan(policy string, t *orchestrate.Transition) orchestrate.Plan {
	s := r.active.Load()
	for !s.hold() {
		if s.library == nil {
			return closedPlan{orchestrate.NoPolicies{}.Plan(policy, t)}
		}
		s = r.active.Load()
	}
	p := &plan{registry: r, snapshot: s}
	if known := s.policies[policy]; known != nil {
		p.version = known.version.Version
		p.cell = known.cell(t)
	}
	if p.cell == nil {
		p.cell = &cell{}
	}
	return p
}

// closedPlan is what a closed registry answers: nothing is decided.
type closedPlan struct{ orchestrate.Plan }

func (closedPlan) Before(context.Context, *orchestrate.Transition) (*orchestrate.Outcome, error) {
	return nil, prefect.Errorf(prefect.Unavailable, "the server is stopping")
}

// Watch keeps up with the changes of other processes until ctx ends. What cannot
// be loaded leaves the last good policies in place.
func (r *Registry) Watch(ctx context.Context) {
	told := make(chan struct{}, 1)
	go func() {
		err := r.config.Store.ListenPolicies(ctx, func() {
			select {
			case told <- struct{}{}:
			default:
			}
		})
		if err != nil && ctx.Err() == nil {
			r.log.Warn("changes of policies are polled for", "error", err)
		}
	}()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-told:
		}
		if err := r.refresh(ctx); err != nil && ctx.Err() == nil {
			r.log.Error("policies are kept as they were", "error", err)
		}
	}
}

// refresh reloads if the database has changed.
func (r *Registry) refresh(ctx context.Context) error {
	revision, err := r.config.Store.PolicyRevision(ctx)
	if err != nil || revision == r.active.Load().revision {
		return err
	}
	r.change.Lock()
	defer r.change.Unlock()
	return r.reload(ctx)
}

// reload builds a snapshot of what the database has and makes it the active one.
// Only Open may call it without change.
func (r *Registry) reload(ctx context.Context) error {
	// Read before the policies: should they change in between, the next look at
	// the revision finds it moved.
	revision, err := r.config.Store.PolicyRevision(ctx)
	if err != nil {
		return err
	}
	versions, err := r.config.Store.ActivePolicies(ctx)
	if err != nil {
		return err
	}
	next := &snapshot{revision: revision, library: r.library, policies: map[string]*table{}}
	next.holders.Store(1)
	for _, v := range versions {
		t, err := r.prepare(ctx, next, v)
		if err != nil {
			next.release()
			return err
		}
		if t != nil {
			next.policies[v.Name] = t
		}
	}
	if old := r.active.Swap(next); old != nil {
		old.release()
	}
	return nil
}

// prepare makes a table of a stored policy. What is wrong with a module is no
// error but an entry that cannot be asked.
func (r *Registry) prepare(ctx context.Context, s *snapshot, v *prefect.PolicyVersion) (*table, error) {
	run, known := runTypeOf(v.Name)
	if !known {
		r.log.Warn("a stored policy is used by nothing", "policy", v.Name)
		return nil, nil
	}
	entries := make([]*entry, 0, len(v.Entries))
	for _, stored := range v.Entries {
		if stored.Module == prefect.HostModule {
			continue // the host does its part whether it is listed or not
		}
		e, err := r.prepareEntry(ctx, s, run, stored)
		if err != nil {
			return nil, err
		}
		if e.broken != "" {
			r.log.Error("a policy's module cannot be used", "policy", v.Name, "entry", e.Name,
				"module", e.Module, "reason", e.broken, "handled", string(e.OnError))
		}
		e.needs = needsOf(e.rule)
		entries = append(entries, e)
	}
	return newTable(v, run, entries), nil
}

func (r *Registry) prepareEntry(ctx context.Context, s *snapshot, run prefect.RunType, stored prefect.PolicyEntry) (*entry, error) {
	e := &entry{PolicyEntry: stored, config: stored.Config}
	if len(e.config) == 0 || string(e.config) == "null" {
		e.config = json.RawMessage("{}")
	}
	if stored.Module == prefect.BuiltinModule {
		e.module, e.rule = r.builtin, r.builtin.manifest.Rule(stored.Rule)
		if config := r.config.Settings[stored.Rule]; config != nil && string(e.config) == "{}" {
			e.config = config
		}
		if e.rule == nil {
			// A newer server's rule. Failing closed everywhere would stop all runs.
			e.OnError = prefect.Open
			return e.breakOff(fmt.Sprintf("this server has no built-in rule %q", stored.Rule), nil), nil
		}
		return e, nil
	}
	e.fallback = r.standIn(run, stored.Name)
	m, err := r.library.get(ctx, stored.Module, func() ([]byte, error) { return r.bytes(ctx, stored.Module) })
	var outage *outage
	switch {
	case errors.As(err, &outage):
		return nil, outage.err
	case err != nil:
		return e.breakOff(err.Error(), r.storedRule(ctx, stored)), nil
	}
	s.modules = append(s.modules, m)
	e.module, e.rule = m, m.manifest.Rule(stored.Rule)
	if e.rule == nil {
		return e.breakOff(fmt.Sprintf("the module has no rule %q", stored.Rule), nil), nil
	}
	return e, nil
}

// breakOff makes e an entry that cannot be asked. It stands where its rule is
// known to, else where the built-in in its stead does, else everywhere.
func (e *entry) breakOff(why string, rule *abi.RuleManifest) *entry {
	e.broken, e.module = why, nil
	switch {
	case rule != nil:
		e.rule = rule
	case e.fallback != nil:
		e.rule = e.fallback.rule
	default:
		anything := abi.AnyType
		e.rule = &abi.RuleManifest{
			Name: e.Rule, RunType: abi.AnyType, From: []*string{&anything}, To: []*string{&anything},
			Kind: abi.KindRule, Phase: abi.PhaseBefore,
		}
	}
	return e
}

// standIn returns the built-in rule of that name as an entry, nil for none.
func (r *Registry) standIn(run prefect.RunType, name string) *entry {
	rule := r.builtin.manifest.Rule(name)
	if rule == nil || rule.RunType != abi.AnyType && rule.RunType != string(run) {
		return nil
	}
	config := r.config.Settings[name]
	if config == nil {
		config = json.RawMessage("{}")
	}
	return &entry{
		PolicyEntry: prefect.PolicyEntry{Name: name, Module: prefect.BuiltinModule, Rule: name, OnError: prefect.Fallback},
		config:      config, rule: rule, needs: needsOf(rule), module: r.builtin,
	}
}

// outage is an error of the database, not of a module.
type outage struct{ err error }

func (o *outage) Error() string { return o.err.Error() }

// bytes reads a module. Only its absence counts as a fault of the module.
func (r *Registry) bytes(ctx context.Context, digest string) ([]byte, error) {
	stored, err := r.config.Store.ReadModule(ctx, digest)
	switch {
	case prefect.CodeOf(err) == prefect.NotFound:
		return nil, errors.New("the module is not stored any more")
	case err != nil:
		return nil, &outage{err}
	}
	return stored.Wasm, nil
}

// storedRule returns what the stored manifest of a module that does not load
// says of an entry's rule, nil if that is lost too.
func (r *Registry) storedRule(ctx context.Context, e prefect.PolicyEntry) *abi.RuleManifest {
	stored, err := r.config.Store.ReadModule(ctx, e.Module)
	if err != nil {
		return nil
	}
	manifest, err := contract.ParseManifest(stored.Manifest)
	if err != nil {
		return nil
	}
	return manifest.Rule(e.Rule)
}

// runTypeOf returns the kind of run that a policy is for; known is false for a
// name that no caller uses.
func runTypeOf(policy string) (run prefect.RunType, known bool) {
	switch policy {
	case prefect.CoreFlowPolicy, prefect.MinimalFlowPolicy, prefect.MarkLateRunsPolicy:
		return prefect.FlowRunType, true
	case prefect.CoreTaskPolicy, prefect.BackgroundTaskPolicy, prefect.MinimalTaskPolicy, prefect.ClientSideTaskOrchestrationPolicy:
		return prefect.TaskRunType, true
	}
	return "", false
}
