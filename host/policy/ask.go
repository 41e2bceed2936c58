package policy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/host/sandbox"
	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/contract"
)

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
		return e.failAll(ctx, turns, errQuarantined.Error())
	}
	v, result, err := e.consult(ctx, m, turns)
	switch {
	case errors.Is(err, errQuarantined):
		return e.failAll(ctx, turns, err.Error())
	case err != nil:
		return e.callFailed(ctx, m, turns, err)
	}
	for i, t := range turns {
		err := e.answered(t, v, i)
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

// answered has the i-th decision of a verdict take effect, if there is one: a
// guest that cannot decide a rule says so, and nothing of those after it.
func (e *evaluation) answered(t turn, v *abi.Verdict, i int) error {
	if i < len(v.Decisions) {
		return e.apply(t, &v.Decisions[i])
	}
	return fmt.Errorf("the rule failed: %s", prefect.Cut(v.Error, abi.MaxReason))
}

var errQuarantined = errors.New("the module is in quarantine after too many errors in a row")

// builtinFuel is the work that the built-in module may do in a call: it is
// trusted, and whatever a run carries it has to decide.
const builtinFuel = 1_000_000_000

// consult asks a module and reads its answer, in a lane unless the module is the
// built-in one. A fault is noted before the lane is left, so that who waits for it
// learns of a quarantine. Errors: errQuarantined, *ContextTooLargeError, those of a
// call and of reading.
func (e *evaluation) consult(ctx context.Context, m *module, turns []turn) (*abi.Verdict, *sandbox.Result, error) {
	r := e.plan.registry
	in, err := e.context(m, turns)
	if err != nil {
		return nil, nil, err
	}
	defer r.giveBack(in)
	if m.builtin {
		return e.question(ctx, m, turns, *in)
	}
	if err := r.lanes.enter(ctx, &m.health.share); err != nil {
		return nil, nil, err
	}
	var rest time.Duration
	defer func() { r.lanes.leave(&m.health.share, rest) }()
	if m.health.quarantined() {
		return nil, nil, errQuarantined
	}
	began := time.Now()
	v, result, err := e.question(ctx, m, turns, *in)
	if err != nil && !m.health.quarantined() {
		now := time.Now()
		rest = m.health.share.failed(now, workOf(now.Sub(began), result, err))
	}
	return v, result, err
}

// question calls a module and reads its answer, and notes a fault of it.
func (e *evaluation) question(ctx context.Context, m *module, turns []turn, in []byte) (*abi.Verdict, *sandbox.Result, error) {
	result, err := e.call(ctx, m, turns, in)
	var v *abi.Verdict
	if err == nil {
		v, err = e.read(turns, result)
	}
	if err != nil && len(turns) == 1 && ctx.Err() == nil && faulty(err) {
		e.plan.registry.fault(m, turns[0].entry, err)
	}
	return v, result, err
}

const (
	// mostUnit is how long a unit of fuel takes at most, where each load waits for one
	// before it that no cache has, and mostStart what a call takes beside: making an
	// instance and ending it.
	mostUnit  = 40 * time.Nanosecond
	mostStart = time.Millisecond
)

// workOf is how much of a failed call's time it was at work: others had what it rested,
// and on a machine that is busy with other things more than its fuel can explain.
func workOf(took time.Duration, result *sandbox.Result, err error) time.Duration {
	var fuel uint64
	var failed *sandbox.CallError
	switch {
	case errors.As(err, &failed):
		fuel, took = failed.Fuel, took-failed.Rested
	case result != nil:
		fuel = result.Fuel
	}
	return max(0, min(took, mostStart+time.Duration(fuel)*mostUnit))
}

// faulty reports whether a failure is the module's own.
func faulty(err error) bool {
	var failed *sandbox.CallError
	return !errors.As(err, &failed) || failed.Kind.ModuleFault()
}

func (e *evaluation) call(ctx context.Context, m *module, turns []turn, in []byte) (*sandbox.Result, error) {
	first := turns[0].entry // the others of a group have the same limits
	o := sandbox.CallOptions{Now: e.t.Now.Time, Seed: e.seeded(), Fuel: builtinFuel}
	if !m.builtin {
		o.Fuel, o.StackBytes, o.Courteous = first.Fuel, first.StackBytes, true
	}
	return m.Call(ctx, in, o)
}

// seeded is the seed of all calls of an evaluation, made for the first one.
func (e *evaluation) seeded() string {
	if e.seed == "" {
		e.seed = seed(&e.t)
	}
	return e.seed
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

// read reads an answer, checked against what was asked.
func (e *evaluation) read(turns []turn, result *sandbox.Result) (*abi.Verdict, error) {
	c := contract.Call{
		RunType: string(e.t.RunType), Phase: e.name, Rules: make([]*abi.RuleManifest, len(turns)),
		IntendedType: string(e.t.Proposed.Type), ProposedType: string(prefect.TypeOf(e.current())), HasInitial: e.t.Initial != nil,
	}
	for i, t := range turns {
		c.Rules[i] = t.entry.rule
	}
	if e.t.Initial != nil && e.t.Initial.Details.DeploymentConcurrencyLeaseID != nil {
		c.LeaseID = e.t.Initial.Details.DeploymentConcurrencyLeaseID.String()
	}
	_, c.HasCachedState = e.t.Facts[orchestrate.CachedStateFull]
	return contract.ParseVerdict(result.Output, c)
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
		if stand.asked(&e.t) {
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
