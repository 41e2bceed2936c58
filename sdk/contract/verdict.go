package contract

import (
	"errors"
	"strconv"

	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/value"
)

// MaxVerdict bounds a verdict in bytes, MaxEffects the effects of a decision.
const (
	MaxVerdict = 1 << 20
	MaxEffects = 32
)

// maxTTLSeconds bounds the life of a lease: a hundred years.
const maxTTLSeconds = 100 * 366 * 24 * 3600

// Call is what a verdict is checked against: the call that it answers.
type Call struct {
	RunType string
	Phase   string
	// Rules are the rules of the call, in order.
	Rules []*abi.RuleManifest
	// IntendedType is the type that the client proposed, ProposedType that of the
	// proposed state in the context, "" for none.
	IntendedType string
	ProposedType string
	HasInitial   bool // the run has a state
	// LeaseID is deployment_concurrency_lease_id of the initial state's details.
	LeaseID string
	// Facts are the facts in the context: data and messages can be carried from
	// cached_state only if it is there and not null.
	HasCachedState bool
}

// ParseVerdict reads the verdict that answers c and checks all of it that can be
// checked without reading the database. It returns one decision for each rule,
// or, when the verdict's Error is set, for each rule before the one that failed.
// A rule that an earlier decision of the verdict put out of turn is
// [abi.Skipped], whatever the guest answered.
func ParseVerdict(text []byte, c Call) (*abi.Verdict, error) {
	if len(text) > MaxVerdict {
		return nil, errors.New("the verdict is larger than " + strconv.Itoa(MaxVerdict) + " bytes")
	}
	v, err := value.Parse(text)
	if err != nil {
		return nil, errors.New("the verdict is not JSON: " + err.Error())
	}
	verdict, err := readVerdict(v, c, false)
	if err != nil {
		verdict, err = readVerdict(v, c, true)
	}
	if err != nil {
		return nil, err
	}
	return verdict, nil
}

// readVerdict is ParseVerdict of what is JSON. Its errors are of use only if it
// locates them.
func readVerdict(v value.Value, c Call, locate bool) (*abi.Verdict, error) {
	r := verdictReader{reader: reader{locate: locate}, call: c, proposed: c.ProposedType}
	verdict := new(abi.Verdict)
	r.object("verdict", v, func(key, path string, v value.Value) bool {
		switch key {
		case "decisions":
			r.elements(path, v, func(path string, v value.Value) {
				if len(verdict.Decisions) == len(c.Rules) {
					r.fail(path, "there are more decisions than rules")
					return
				}
				verdict.Decisions = append(verdict.Decisions, r.decision(path, v, c.Rules[len(verdict.Decisions)]))
			})
		case "error":
			verdict.Error = r.text(path, v)
			if verdict.Error == "" {
				r.fail(path, "empty")
			}
		default:
			return false
		}
		return true
	})
	switch answered := len(verdict.Decisions); {
	case verdict.Error == "" && answered < len(c.Rules):
		r.fail("verdict", strconv.Itoa(answered)+" decisions for "+strconv.Itoa(len(c.Rules))+" rules")
	case verdict.Error != "" && answered == len(c.Rules):
		r.fail("verdict", "an error beside an answer to every rule")
	}
	return verdict, r.err
}

type verdictReader struct {
	reader
	call     Call
	proposed string // the type of the proposed state as the decisions so far left it, "" for none
}

// decision reads the answer of one rule.
func (r *verdictReader) decision(path string, v value.Value, rule *abi.RuleManifest) abi.Decision {
	outOfTurn := rule.Kind != abi.KindTransform && r.proposed != r.call.IntendedType
	if outOfTurn && v.Get("rule").Is(rule.Name) {
		return abi.Decision{Rule: rule.Name, Decision: abi.Skipped}
	}
	var d abi.Decision
	var state value.Value
	r.object(path, v, func(key, path string, v value.Value) bool {
		switch key {
		case "rule":
			d.Rule = r.text(path, v)
		case "decision":
			d.Decision = r.oneOf(path, v, abi.Accept, abi.Reject, abi.Wait, abi.Abort)
		case "state":
			if !v.IsNull() {
				state = v
			}
		case "delay_seconds":
			if !v.IsNull() {
				d.DelaySeconds = r.int(path, v, 0, abi.MaxDelaySeconds)
			}
		case "reason":
			if !v.IsNull() {
				d.Reason = r.reason(path, v)
			}
		case "flags":
			if !v.IsNull() {
				d.Flags = r.flags(path, v)
			}
		case "run":
			if !v.IsNull() {
				d.Run = r.runPatch(path, v)
			}
		case "effects":
			if !v.IsNull() {
				d.Effects = r.effects(path, v)
			}
		default:
			return false
		}
		return true
	})
	if r.err == nil && d.Rule != rule.Name {
		r.fail(path, "answers "+strconv.Quote(d.Rule)+" where "+strconv.Quote(rule.Name)+" was asked")
	}
	if r.err == nil {
		r.shape(path, &d, state, rule)
	}
	return d
}

// shape checks that the parts of a decision go together, and reads its state.
func (r *verdictReader) shape(path string, d *abi.Decision, state value.Value, rule *abi.RuleManifest) {
	hasState := state.Kind() != value.Absent
	if hasState && (d.Decision == abi.Accept || d.Decision == abi.Reject) {
		d.State = r.state(r.at(path, ".", "state", ""), state, d.Decision)
	}
	switch d.Decision {
	case "":
		r.fail(path, "decision is missing")
	case abi.Accept:
		if d.Reason != "" || d.DelaySeconds != 0 {
			r.fail(path, "ACCEPT takes neither reason nor delay_seconds")
		}
		if rule.Phase == abi.PhaseAfter && (hasState || d.Flags != (abi.Flags{})) {
			r.fail(path, "a rule of the after phase may return run patches and effects only")
		}
		return
	case abi.Reject:
		if !hasState && !r.call.HasInitial {
			r.fail(path, "REJECT without a state needs a run that has one")
		}
	default:
		if hasState {
			r.fail(path, d.Decision+" takes no state")
		}
	}
	switch {
	case rule.Phase == abi.PhaseAfter || rule.Kind == abi.KindTransform:
		r.fail(path, "a "+kindName(rule)+" can only ACCEPT")
	case d.Reason == "":
		r.fail(path, d.Decision+" needs a reason")
	case (d.Decision == abi.Wait) != (d.DelaySeconds > 0):
		r.fail(path, "delay_seconds is for WAIT, from 1 on")
	}
	if r.proposed = ""; d.State != nil {
		r.proposed = d.State.Type
	}
}

// reason reads a reason, of which it takes up no more than there may be.
func (r *verdictReader) reason(path string, v value.Value) string {
	const escaped = 6 // bytes for one, at most
	if len(v.Raw()) <= escaped*abi.MaxReason+2 {
		if s := r.text(path, v); len(s) <= abi.MaxReason {
			return s
		}
	}
	r.fail(path, "longer than "+strconv.Itoa(abi.MaxReason)+" bytes")
	return ""
}

func kindName(rule *abi.RuleManifest) string {
	if rule.Kind == abi.KindTransform {
		return "transform"
	}
	return "rule of the after phase"
}

func (r *verdictReader) flags(path string, v value.Value) abi.Flags {
	var f abi.Flags
	r.object(path, v, func(key, path string, v value.Value) bool {
		switch key {
		case abi.FlagSetRetryTypeInProcess:
			f.SetRetryTypeInProcess = r.bool(path, v)
		case abi.FlagSetResumingFalse:
			f.SetResumingFalse = r.bool(path, v)
		case abi.FlagClearPauseKeys:
			f.ClearPauseKeys = r.bool(path, v)
		case abi.FlagClearRetryType:
			f.ClearRetryType = r.bool(path, v)
		default:
			return false
		}
		return true
	})
	if f != (abi.Flags{}) && r.call.RunType != abi.RunTypeFlow {
		r.fail(path, "flags are for flow runs")
	}
	if f.SetRetryTypeInProcess && f.ClearRetryType {
		r.fail(path, "retry_type is both set and cleared")
	}
	return f
}

func (r *verdictReader) runPatch(path string, v value.Value) *abi.RunPatch {
	p := new(abi.RunPatch)
	flow := r.call.RunType == abi.RunTypeFlow
	r.object(path, v, func(key, path string, v value.Value) bool {
		switch {
		case key == "empirical_policy" && flow:
			if !v.IsNull() {
				p.EmpiricalPolicy = r.policyPatch(path, v)
			}
		case key == "run_count" && !flow:
			if !v.IsNull() {
				n := r.int(path, v, 0, maxRunCount)
				p.RunCount = &n
			}
		case key == "flow_run_run_count" && !flow:
			if !v.IsNull() {
				n := r.int(path, v, 0, maxRunCount)
				p.FlowRunRunCount = &n
			}
		default:
			r.fail(path, "a decision cannot write this of a "+r.call.RunType)
		}
		return true
	})
	return p
}

// maxRunCount is what the column holds.
const maxRunCount = 1<<31 - 1

func (r *verdictReader) policyPatch(path string, v value.Value) *abi.PolicyPatch {
	p := new(abi.PolicyPatch)
	r.object(path, v, func(key, path string, v value.Value) bool {
		switch key {
		case "resuming":
			if !v.IsNull() {
				b := r.bool(path, v)
				p.Resuming = &b
			}
		case "retry_type":
			if !v.IsNull() {
				r.oneOf(path, v, abi.RetryInProcess, abi.RetryReschedule)
			}
			p.RetryType = raw(v)
		case "pause_keys":
			if !v.IsNull() {
				p.PauseKeys = r.pauseKeys(path, v)
			}
		default:
			r.fail(path, "a decision cannot write this of a policy")
		}
		return true
	})
	return p
}

func (r *verdictReader) pauseKeys(path string, v value.Value) *abi.PauseKeysPatch {
	p := new(abi.PauseKeysPatch)
	r.object(path, v, func(key, path string, v value.Value) bool {
		switch key {
		case "clear":
			p.Clear = r.bool(path, v)
		case "add":
			p.Add = r.texts(path, v, nil)
		default:
			return false
		}
		return true
	})
	return p
}
