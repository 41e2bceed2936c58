package policy

import (
	"context"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/sdk/abi"
)

// skipped is the decision in the record of an entry that had no say.
const skipped = "skipped"

// evaluation is one proposal on its way through the entries of a phase.
type evaluation struct {
	plan     *plan
	phase    *phase
	name     string                 // of the phase
	t        orchestrate.Transition // its run is as the decisions so far left it
	proposed *prefect.State         // as the decisions so far left it; nil once nothing is to be written
	final    *prefect.State         // phase after: what is going to be written; nil once an entry failed closed

	status prefect.Status
	reason string
	delay  int
	given  []contribution
	rules  []prefect.RuleDecision // one an entry of the phase
	seed   string                 // see seeded
}

// turn is an entry's turn in an evaluation.
type turn struct {
	place int    // in the phase
	entry *entry // who is asked: the entry of that place, or the built-in in its stead
}

// Before asks the entries of phase before.
func (p *plan) Before(ctx context.Context, t *orchestrate.Transition) (*orchestrate.Outcome, error) {
	e := p.evaluation(&p.cell.before, abi.PhaseBefore, t)
	e.status = prefect.Accept
	if err := e.run(ctx); err != nil {
		return nil, err
	}
	o := &orchestrate.Outcome{Status: e.status, State: e.proposed, Reason: e.reason, DelaySeconds: e.delay, Rules: e.rules}
	o.Patches, o.Effects = e.standing(prefect.TypeOf(o.State))
	return o, nil
}

// After asks the entries of phase after.
func (p *plan) After(ctx context.Context, t *orchestrate.Transition, o *orchestrate.Outcome) error {
	if len(p.cell.after.entries) == 0 {
		return nil
	}
	e := p.evaluation(&p.cell.after, abi.PhaseAfter, t)
	e.final, e.status, e.reason, e.delay = o.State, o.Status, o.Reason, o.DelaySeconds
	if err := e.run(ctx); err != nil {
		return err
	}
	o.Rules = append(o.Rules, e.rules...)
	if e.final == nil {
		o.Status, o.State, o.Reason, o.DelaySeconds, o.Patches, o.Effects = e.status, nil, e.reason, 0, nil, nil
		return nil
	}
	patches, effects := e.standing(e.final.Type)
	o.Patches, o.Effects = append(o.Patches, patches...), append(o.Effects, effects...)
	return nil
}

func (p *plan) evaluation(ph *phase, name string, t *orchestrate.Transition) *evaluation {
	e := &evaluation{plan: p, phase: ph, name: name, t: *t, proposed: t.Proposed.Copy()}
	if len(ph.entries) > 0 {
		e.rules = make([]prefect.RuleDecision, len(ph.entries))
	}
	return e
}

func (e *evaluation) run(ctx context.Context) error {
	for _, g := range e.phase.groups {
		turns := make([]turn, 0, g.end-g.first)
		for i := g.first; i < g.end; i++ {
			turns = append(turns, turn{i, e.phase.entries[i]})
		}
		if err := e.ask(ctx, turns); err != nil {
			return err
		}
	}
	return nil
}

// current returns the state that is going to be written as things stand.
func (e *evaluation) current() *prefect.State {
	if e.name == abi.PhaseAfter {
		return e.final
	}
	return e.proposed
}

// passed reports whether a rule comes too late: the type that the client
// proposed is not what is going to be written.
func (e *evaluation) passed() bool {
	return prefect.TypeOf(e.current()) != e.t.Proposed.Type
}

// waiting returns the turns that are still to be taken, and records the others.
func (e *evaluation) waiting(turns []turn) []turn {
	if !e.passed() {
		return turns
	}
	var left []turn
	for _, t := range turns {
		if t.entry.transform() && !e.closed() {
			left = append(left, t)
			continue
		}
		e.note(t, skipped)
	}
	return left
}

// closed reports whether an entry of phase after failed closed: nobody is asked
// any more.
func (e *evaluation) closed() bool { return e.name == abi.PhaseAfter && e.final == nil }

// note records whose turn it was and what was decided. What stands there of an
// earlier failure stays.
func (e *evaluation) note(t turn, decision string) *prefect.RuleDecision {
	r := &e.rules[t.place]
	r.Name, r.Rule, r.Phase, r.Decision = e.phase.entries[t.place].Name, t.entry.rule.Name, e.name, decision
	r.Module, r.Builtin = t.entry.digest(), t.entry.Module == prefect.BuiltinModule
	r.MaxFuel = t.entry.Fuel
	return r
}
