package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/host/sandbox"
	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/value"
)

// scratch is the memory of a call, used again and again.
type scratch struct {
	context []byte
	doc     value.Doc
}

// ask has one module decide the turns, which are all of its entries, in one
// call if it can. What fails is handled here; an error is the host's.
func (e *evaluation) ask(ctx context.Context, turns []turn) error {
	turns = e.waiting(turns)
	if len(turns) == 0 {
		return nil
	}
	m := turns[0].entry.module
	switch {
	case m == nil:
		return e.failAll(ctx, turns, turns[0].entry.broken)
	case m.health.quarantined() && !m.builtin:
		return e.failAll(ctx, turns, "the module is in quarantine after too many errors in a row")
	}
	s := e.plan.registry.takeScratch()
	defer e.plan.registry.scratch.Put(s)
	result, err := e.call(ctx, m, turns, s)
	if err != nil {
		return e.callFailed(ctx, m, turns, err)
	}
	v, err := e.read(turns, s, result)
	if err != nil {
		return e.callFailed(ctx, m, turns, err)
	}
	for i, t := range turns {
		err := error(wrong("%s", v.failed))
		if i < len(v.decisions) {
			err = e.apply(t, &v.decisions[i])
		}
		e.measure(t, i == 0, result)
		if err != nil {
			e.plan.registry.fault(m, t.entry, err)
			if err := e.fail(ctx, t, err.Error()); err != nil {
				return err
			}
			return e.ask(ctx, turns[i+1:])
		}
	}
	m.health.success()
	return nil
}

func (e *evaluation) call(ctx context.Context, m *module, turns []turn, s *scratch) (*sandbox.Result, error) {
	entries := make([]*entry, len(turns))
	for i, t := range turns {
		entries[i] = t.entry
	}
	c := call{
		phase: e.name, entries: entries, t: &e.t, proposed: e.proposed, intended: e.t.Proposed.Type,
		final: e.final, status: e.status, seed: seed(&e.t),
	}
	s.context = appendContext(s.context[:0], &c)
	return m.Call(ctx, s.context, sandbox.CallOptions{Now: e.t.Now.Time, Seed: c.seed})
}

// seed is the only source of chance that a module has. A proposal without a
// transition id has the state's that it starts from.
func seed(t *orchestrate.Transition) string {
	run, second := t.RunID().String(), "none"
	switch {
	case t.Proposed.Details.TransitionID != nil:
		second = t.Proposed.Details.TransitionID.String()
	case t.Initial != nil:
		second = t.Initial.ID.String()
	}
	return run + "/" + second
}

// read reads an answer and checks that it answers these turns.
func (e *evaluation) read(turns []turn, s *scratch, result *sandbox.Result) (*verdict, error) {
	_, cached := e.t.Facts[orchestrate.CachedStateFull]
	q := question{runType: e.t.RunType, phase: e.name, initial: e.t.Initial, cached: cached}
	v, err := readVerdict(&s.doc, result.Output, q)
	if err != nil {
		return nil, err
	}
	if len(v.decisions) > len(turns) || len(v.decisions) == len(turns) != (v.failed == "") {
		return nil, at("decisions", wrong("answers %d of %d rules", len(v.decisions), len(turns)))
	}
	for i := range v.decisions {
		if want := turns[i].entry.rule.Name; v.decisions[i].rule != want {
			return nil, at("decisions", atIndex(i, at("rule", wrong("is not %q, whose turn it is", want))))
		}
	}
	return v, nil
}

// measure records what a call cost, and at its first turn what it printed.
func (e *evaluation) measure(t turn, first bool, result *sandbox.Result) {
	r := &e.rules[t.place]
	r.Fuel, r.Duration = result.Fuel, float64(result.Duration)/float64(time.Microsecond)
	if first {
		r.Log = string(result.Log)
	}
}

// callFailed handles a call without a usable answer. When several entries were
// asked, it is not known whose fault it is: each is asked alone.
func (e *evaluation) callFailed(ctx context.Context, m *module, turns []turn, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var failed *sandbox.CallError
	if errors.As(err, &failed) && !failed.Kind.ModuleFault() {
		return e.busy(ctx, m, turns, failed)
	}
	e.plan.registry.fault(m, turns[0].entry, err)
	if len(turns) > 1 {
		for i := range turns {
			if err := e.ask(ctx, turns[i:i+1]); err != nil {
				return err
			}
		}
		return nil
	}
	if failed != nil {
		r := &e.rules[turns[0].place]
		r.Log, r.Fuel = string(failed.Log), failed.Fuel
	}
	return e.fail(ctx, turns[0], err.Error())
}

// busy handles a module that could not be asked now. It is nobody's fault, so
// what would end in an ABORT is left to the client to repeat.
func (e *evaluation) busy(ctx context.Context, m *module, turns []turn, failed *sandbox.CallError) error {
	for _, t := range turns {
		if m.builtin || t.entry.OnError == prefect.Closed {
			return prefect.Errorf(prefect.Unavailable, "policy %s cannot be asked now: %w", t.entry.Name, failed)
		}
	}
	return e.failAll(ctx, turns, failed.Error())
}

func (e *evaluation) failAll(ctx context.Context, turns []turn, cause string) error {
	for _, t := range turns {
		for _, t := range e.waiting([]turn{t}) {
			if err := e.fail(ctx, t, cause); err != nil {
				return err
			}
		}
	}
	return nil
}

// fail handles a turn without a decision by the entry's failure mode. Whatever
// that is, a run can end: on the way to a terminal state the built-in decides
// instead of an ABORT, or nobody does.
func (e *evaluation) fail(ctx context.Context, t turn, cause string) error {
	own := e.phase.entries[t.place]
	r := e.note(t, skipped)
	if r.Error != "" {
		cause = r.Error + "; the built-in rule: " + cause
	}
	r.Error = cause
	ending := e.t.Proposed.Type.Terminal() || prefect.TypeOf(e.final).Terminal()
	stand := own.fallback
	switch {
	case stand != nil && t.entry == own && (own.OnError == prefect.Fallback || own.OnError == prefect.Closed && ending):
		r.Handled = string(prefect.Fallback)
		if stand.matches(e.t.RunType, prefect.TypeOf(e.t.Initial), e.t.Proposed.Type) {
			return e.ask(ctx, []turn{{t.place, stand}})
		}
	case own.OnError == prefect.Open, ending, e.nothingToGuard():
		r.Handled = string(prefect.Open)
	default:
		r.Handled, r.Decision = string(prefect.Closed), abi.Abort
		e.status, e.delay = prefect.Abort, 0
		e.reason = fmt.Sprintf("The policy %s failed and lets nothing pass then.", own.Name)
		r.Reason = e.reason
		e.proposed, e.final = nil, nil
	}
	return nil
}

// nothingToGuard reports whether the proposal was turned down already.
func (e *evaluation) nothingToGuard() bool { return e.name == abi.PhaseBefore && e.proposed == nil }

// source returns the state that a message or data is carried from.
func (e *evaluation) source(from string) (*prefect.State, error) {
	switch from {
	case abi.FromInitial:
		return e.t.Initial, nil
	case abi.FromCachedState:
		s := &prefect.State{}
		if err := json.Unmarshal(e.t.Facts[orchestrate.CachedStateFull], s); err != nil {
			return nil, wrong("the cached state cannot be read: %v", err)
		}
		return s, nil
	}
	return e.proposed, nil
}
