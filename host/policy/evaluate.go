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
}

// turn is an entry's turn in an evaluation.
type turn struct {
	place int    // in the phase
	entry *entry // who is asked: the entry of that place, or the built-in in its stead
}

// contribution is what a decision asks for, should it stand.
type contribution struct {
	transform bool
	left      prefect.StateType // the type of the state after the decision, "" for none
	patch     orchestrate.RunPatch
	patched   bool
	effects   []effect
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

// passed reports whether a rule comes too late: the type that the client
// proposed is not what will be written.
func (e *evaluation) passed() bool {
	now := e.proposed
	if e.name == abi.PhaseAfter {
		now = e.final
	}
	return prefect.TypeOf(now) != e.t.Proposed.Type
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

// apply has a decision take effect on the evaluation. An error is a policy error
// of that entry, and then nothing has.
func (e *evaluation) apply(t turn, d *decision) error {
	transform := t.entry.transform()
	switch {
	case !transform && e.passed():
		e.note(t, skipped)
		return nil
	case d.kind == abi.Skipped:
		return at("decision", wrong("is SKIPPED, but it was the rule's turn"))
	case transform && d.kind != abi.Accept:
		return at("decision", wrong("is %s, but a transform can only ACCEPT", d.kind))
	case transform && d.state != nil && e.proposed == nil:
		return at("state", wrong("patches a state, but nothing is going to be written"))
	}
	next, err := e.next(d)
	if err != nil {
		return err
	}
	e.proposed = next
	if d.kind != abi.Accept {
		e.status, e.reason, e.delay = prefect.Status(d.kind), d.reason, d.delay
	}
	e.contribute(transform, d)

	r := e.note(t, d.kind)
	r.Reason, r.Flags, r.Run, r.Effects = d.reason, d.rawFlags, d.rawRun, d.rawEffects
	return nil
}

// next returns the proposed state as a decision leaves it.
func (e *evaluation) next(d *decision) (*prefect.State, error) {
	switch {
	case d.kind == abi.Accept && d.state == nil:
		return e.proposed, nil
	case d.kind == abi.Accept:
		return e.patchedState(d.state)
	case d.kind == abi.Reject && d.state != nil:
		return e.newState(d.state)
	}
	return nil, nil
}

func (e *evaluation) patchedState(change *stateChange) (*prefect.State, error) {
	s := e.proposed.Copy()
	if change.name != nil {
		s.Name = *change.name
	}
	if change.message != nil {
		s.Message = change.message
	}
	if err := change.applyDetails(&s.Details, e.t.Initial); err != nil {
		return nil, err
	}
	s.Normalize(e.t.Now)
	return s, nil
}

// newState makes the state that a REJECT asks for. Its id is left to the
// orchestrator.
func (e *evaluation) newState(change *stateChange) (*prefect.State, error) {
	s := &prefect.State{Type: change.kind, Timestamp: e.t.Now, Message: change.message, Details: prefect.NewStateDetails()}
	if change.name != nil {
		s.Name = *change.name
	}
	if err := change.applyDetails(&s.Details, e.t.Initial); err != nil {
		return nil, err
	}
	if change.messageFrom != "" {
		from, err := e.source(change.messageFrom)
		if err != nil {
			return nil, err
		}
		s.Message = from.Message
	}
	if change.dataFrom != "" {
		from, err := e.source(change.dataFrom)
		if err != nil {
			return nil, err
		}
		s.Data = from.Data
	}
	s.Normalize(e.t.Now)
	return s, nil
}

// contribute keeps what a decision asks for until it is known whether it stands.
// Later calls see the run as patched already.
func (e *evaluation) contribute(transform bool, d *decision) {
	if !d.patched && len(d.effects) == 0 {
		return
	}
	left := prefect.TypeOf(e.proposed)
	if e.name == abi.PhaseAfter {
		left = e.final.Type
	}
	e.given = append(e.given, contribution{transform, left, d.patch, d.patched, d.effects})
	if !d.patched {
		return
	}
	if e.t.FlowRun != nil {
		run := *e.t.FlowRun
		d.patch.ApplyFlowRun(&run)
		e.t.FlowRun = &run
	} else {
		run := *e.t.TaskRun
		d.patch.ApplyTaskRun(&run)
		e.t.TaskRun = &run
	}
}

// standing returns what stands when a state of this type is written, "" for
// none: a rule's contribution lives as long as the type that it left behind.
func (e *evaluation) standing(written prefect.StateType) (patches []orchestrate.RunPatch, effects []orchestrate.Effect) {
	for _, c := range e.given {
		stands := written != "" && (c.transform || c.left == written)
		if stands && c.patched {
			patches = append(patches, c.patch)
		}
		for _, wanted := range c.effects {
			if stands || wanted.always {
				effects = append(effects, wanted.Effect)
			}
		}
	}
	return patches, effects
}

// note records whose turn it was and what was decided. What stands there of an
// earlier failure stays.
func (e *evaluation) note(t turn, decision string) *prefect.RuleDecision {
	r := &e.rules[t.place]
	r.Name, r.Rule, r.Phase, r.Decision = e.phase.entries[t.place].Name, t.entry.rule.Name, e.name, decision
	r.Module, r.Builtin = t.entry.digest(), t.entry.Module == prefect.BuiltinModule
	return r
}
