package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/sdk/abi"
)

// contribution is what a decision asks for, should it stand.
type contribution struct {
	transform bool
	left      prefect.StateType // the type of the state after the decision, "" for none
	patch     *orchestrate.RunPatch
	effects   []effect
}

// effect is an effect and when it is done.
type effect struct {
	orchestrate.Effect
	always bool // also when nothing is written
}

// apply has a decision take effect on the evaluation. An error is a policy error
// of that entry, and then nothing has.
func (e *evaluation) apply(t turn, d *abi.Decision) error {
	if d.Decision == abi.Skipped {
		e.note(t, skipped)
		return nil
	}
	next, err := e.next(d)
	if err != nil {
		return err
	}
	effects, err := readEffects(t.entry.rule.Effects, d.Effects)
	if err != nil {
		return err
	}
	e.proposed = next
	if d.Decision != abi.Accept {
		e.status, e.reason, e.delay = prefect.Status(d.Decision), d.Reason, d.DelaySeconds
	}
	e.contribute(t.entry.transform(), patchOf(d), effects)

	r := e.note(t, d.Decision)
	r.Reason = d.Reason
	return recordAsked(r, d)
}

// next returns the proposed state as a decision leaves it.
func (e *evaluation) next(d *abi.Decision) (*prefect.State, error) {
	switch {
	case d.Decision == abi.Accept && d.State == nil:
		return e.proposed, nil
	case d.Decision == abi.Accept && e.proposed == nil:
		return nil, errors.New("a state is patched, but none is going to be written")
	case d.Decision == abi.Accept:
		return e.patchedState(d.State)
	case d.Decision == abi.Reject && d.State != nil:
		return e.newState(d.State)
	}
	return nil, nil
}

func (e *evaluation) patchedState(change *abi.DecisionState) (*prefect.State, error) {
	s := e.proposed.Copy()
	if change.Name != nil {
		s.Name = *change.Name
	}
	if change.Message != nil {
		s.Message = change.Message
	}
	if err := applyDetails(&s.Details, change.Details); err != nil {
		return nil, err
	}
	s.Normalize(e.t.Now)
	return s, nil
}

// newState makes the state that a REJECT asks for. Its id is left to the
// orchestrator.
func (e *evaluation) newState(change *abi.DecisionState) (*prefect.State, error) {
	s := &prefect.State{
		Type: prefect.StateType(change.Type), Timestamp: e.t.Now, Message: change.Message, Details: prefect.NewStateDetails(),
	}
	if change.Name != nil {
		s.Name = *change.Name
	}
	if err := applyDetails(&s.Details, change.Details); err != nil {
		return nil, err
	}
	if change.MessageFrom != "" {
		from, err := e.source(change.MessageFrom)
		if err != nil {
			return nil, err
		}
		s.Message = from.Message
	}
	if change.DataFrom != "" {
		from, err := e.source(change.DataFrom)
		if err != nil {
			return nil, err
		}
		s.Data = from.Data
	}
	s.Normalize(e.t.Now)
	return s, nil
}

// source returns the state that a message or data is carried from.
func (e *evaluation) source(from string) (*prefect.State, error) {
	switch from {
	case abi.FromInitial:
		return e.t.Initial, nil
	case abi.FromCachedState:
		s := &prefect.State{}
		if err := json.Unmarshal(e.t.Facts[orchestrate.CachedStateFull], s); err != nil {
			return nil, fmt.Errorf("the cached state cannot be read: %w", err)
		}
		return s, nil
	}
	return e.proposed, nil
}

// contribute keeps what a decision asks for until it is known whether it stands.
// Later calls see the run as patched already.
func (e *evaluation) contribute(transform bool, patch *orchestrate.RunPatch, effects []effect) {
	if patch == nil && len(effects) == 0 {
		return
	}
	left := prefect.TypeOf(e.proposed)
	if e.name == abi.PhaseAfter {
		left = e.final.Type
	}
	e.given = append(e.given, contribution{transform, left, patch, effects})
	switch {
	case patch == nil:
	case e.t.FlowRun != nil:
		run := *e.t.FlowRun
		patch.ApplyFlowRun(&run)
		e.t.FlowRun = &run
	default:
		run := *e.t.TaskRun
		patch.ApplyTaskRun(&run)
		e.t.TaskRun = &run
	}
}

// standing returns what stands when a state of this type is written, "" for
// none: what a rule asked for lives as long as the type that it left behind.
func (e *evaluation) standing(written prefect.StateType) (patches []orchestrate.RunPatch, effects []orchestrate.Effect) {
	for _, c := range e.given {
		stands := written != "" && (c.transform || c.left == written)
		if stands && c.patch != nil {
			patches = append(patches, *c.patch)
		}
		for _, wanted := range c.effects {
			if stands || wanted.always {
				effects = append(effects, wanted.Effect)
			}
		}
	}
	return patches, effects
}

// patchOf returns the patch that flags and run of a decision amount to, nil for
// none. What run says wins.
func patchOf(d *abi.Decision) *orchestrate.RunPatch {
	if d.Flags == (abi.Flags{}) && d.Run == nil {
		return nil
	}
	p := &orchestrate.RunPatch{ClearPauseKeys: d.Flags.ClearPauseKeys}
	inProcess, null, no := abi.RetryInProcess, "", false
	if d.Flags.SetResumingFalse {
		p.Resuming = &no
	}
	if d.Flags.ClearRetryType {
		p.RetryType = &null
	}
	if d.Flags.SetRetryTypeInProcess {
		p.RetryType = &inProcess
	}
	if d.Run == nil {
		return p
	}
	p.RunCount, p.FlowRunRunCount = d.Run.RunCount, d.Run.FlowRunRunCount
	if policy := d.Run.EmpiricalPolicy; policy != nil {
		patchPolicy(p, policy)
	}
	return p
}

func patchPolicy(p *orchestrate.RunPatch, policy *abi.PolicyPatch) {
	if policy.Resuming != nil {
		p.Resuming = policy.Resuming
	}
	if policy.RetryType != nil {
		kind := ""
		for _, known := range []string{abi.RetryInProcess, abi.RetryReschedule} {
			if string(policy.RetryType) == `"`+known+`"` {
				kind = known
			}
		}
		p.RetryType = &kind
	}
	if policy.PauseKeys != nil {
		p.ClearPauseKeys = p.ClearPauseKeys || policy.PauseKeys.Clear
		p.AddPauseKeys = policy.PauseKeys.Add
	}
}

// readEffects makes effects ready for the store. An error is one that the rule
// did not declare, or may not ask for.
func readEffects(declared []string, asked []abi.Effect) ([]effect, error) {
	var all []effect
	for _, a := range asked {
		if !slices.Contains(declared, a.Type) {
			return nil, fmt.Errorf("the effect %s is not among those that the rule's manifest declares", a.Type)
		}
		if a.Type == abi.EffectSetRunState {
			return nil, fmt.Errorf("the effect %s is for modules that are permitted to, and this one is not", a.Type)
		}
		payload, err := json.Marshal(a)
		if err != nil {
			return nil, fmt.Errorf("effect %s: %w", a.Type, err)
		}
		all = append(all, effect{
			Effect: orchestrate.Effect{Type: orchestrate.EffectType(a.Type), Payload: payload, Bind: a.Bind != ""},
			always: a.On == abi.OnAlways,
		})
	}
	return all, nil
}

// recordAsked records what a decision asked for, whether it will stand or not.
func recordAsked(r *prefect.RuleDecision, d *abi.Decision) error {
	for _, part := range []struct {
		there bool
		value any
		dst   *json.RawMessage
	}{
		{d.Flags != (abi.Flags{}), d.Flags, &r.Flags},
		{d.Run != nil, d.Run, &r.Run},
		{len(d.Effects) > 0, d.Effects, &r.Effects},
	} {
		if !part.there {
			continue
		}
		text, err := json.Marshal(part.value)
		if err != nil {
			return fmt.Errorf("record: %w", err)
		}
		*part.dst = text
	}
	return nil
}
