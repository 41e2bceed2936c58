package policy

import (
	"encoding/json"
	"math"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/value"
)

const (
	maxVerdict = 256 << 10 // bytes
	maxMessage = 64 << 10  // of a state, bytes
	maxText    = 4096      // of names and keys, bytes
	maxEffects = 32        // of one decision
	maxKeys    = 256       // pause keys in one patch
	maxCount   = 1 << 30   // of a run count
)

// verdict is what a module answered, read but not applied yet.
type verdict struct {
	decisions []decision
	failed    string // what kept the guest from deciding the rule after the last of decisions
}

// decision is what one rule decides. The raw texts are for the record.
type decision struct {
	rule    string
	kind    string // of abi's decisions
	state   *stateChange
	delay   int
	reason  string
	patch   orchestrate.RunPatch
	patched bool
	effects []effect

	rawFlags, rawRun, rawEffects json.RawMessage
}

// stateChange is the state of a decision: a patch for ACCEPT, a whole state for
// REJECT. Its details refer to the text of the verdict.
type stateChange struct {
	kind        prefect.StateType
	name        *string
	message     *string
	messageFrom string
	dataFrom    string
	details     value.Value
}

// question is what a call asked, as far as the answer must fit to it.
type question struct {
	runType prefect.RunType
	phase   string
	initial *prefect.State
	cached  bool // the fact cached_state is there
}

// readVerdict reads an answer. The error says where it breaks the contract; then
// nothing of it counts.
func readVerdict(doc *value.Doc, text []byte, q question) (*verdict, error) {
	if len(text) > maxVerdict {
		return nil, wrong("the verdict is larger than %d bytes", maxVerdict)
	}
	root, err := doc.Parse(text)
	if err != nil {
		return nil, wrong("the verdict is not JSON: %v", err)
	}
	if err := noDuplicates(root); err != nil {
		return nil, err
	}
	v := &verdict{}
	err = fields(root, func(key string, member value.Value) error {
		switch key {
		case "decisions":
			return elements(member, maxRules, func(member value.Value) error {
				d, err := readDecision(member, q)
				v.decisions = append(v.decisions, d)
				return err
			})
		case "error":
			return readText(member, maxMessage, &v.failed)
		}
		return errUnknownField
	})
	return v, err
}

func readDecision(v value.Value, q question) (d decision, err error) {
	if err := readWord(v.Get("decision"), &d.kind, abi.Accept, abi.Reject, abi.Wait, abi.Abort, abi.Skipped); err != nil {
		return d, at("decision", err)
	}
	var fromFlags, fromRun orchestrate.RunPatch
	err = fields(v, func(key string, v value.Value) error {
		switch key {
		case "rule":
			return readText(v, abi.MaxName, &d.rule)
		case "decision":
			return nil
		case "state":
			return d.readState(v, q)
		case "delay_seconds":
			return readInt(v, 0, abi.MaxDelaySeconds, &d.delay)
		case "reason":
			return readText(v, abi.MaxReason, &d.reason)
		case "flags":
			d.rawFlags = rawOf(v)
			return readFlags(v, q, &fromFlags)
		case "run":
			d.rawRun = rawOf(v)
			return readRunPatch(v, q, &fromRun)
		case "effects":
			d.rawEffects = rawOf(v)
			return elements(v, maxEffects, func(v value.Value) error {
				e, err := readEffect(v, q)
				d.effects = append(d.effects, e)
				return err
			})
		}
		return errUnknownField
	})
	if err != nil {
		return d, err
	}
	d.patched = d.rawFlags != nil || d.rawRun != nil
	d.patch = merged(fromFlags, fromRun)
	return d, d.check(q)
}

// rawOf copies the text of a value, nil for null, {} and [].
func rawOf(v value.Value) json.RawMessage {
	if v.IsNull() || v.Kind() != value.Text && v.Len() == 0 {
		return nil
	}
	return append(json.RawMessage(nil), v.Raw()...)
}

// check holds a decision against what its kind needs and allows.
func (d *decision) check(q question) error {
	switch {
	case d.kind == abi.Wait && d.delay < 1:
		return at("delay_seconds", wrong("is missing: a WAIT takes at least 1"))
	case d.kind != abi.Wait && d.delay != 0:
		return at("delay_seconds", wrong("is for a WAIT only"))
	case d.kind != abi.Accept && d.kind != abi.Skipped && d.reason == "":
		return at("reason", wrong("is missing: a %s has one", d.kind))
	case d.kind == abi.Reject && d.state == nil && q.initial == nil:
		return at("state", wrong("is null, but the run has no state to keep"))
	case q.phase == abi.PhaseAfter && d.kind != abi.Accept && d.kind != abi.Skipped:
		return at("decision", wrong("is %s, but in phase after nothing can be turned down", d.kind))
	}
	return nil
}

// readState reads the state of an ACCEPT or a REJECT.
func (d *decision) readState(v value.Value, q question) error {
	if v.IsNull() {
		return nil
	}
	if d.kind != abi.Accept && d.kind != abi.Reject {
		return wrong("is for ACCEPT and REJECT only")
	}
	if q.phase == abi.PhaseAfter {
		return wrong("cannot be changed in phase after")
	}
	s := &stateChange{}
	err := fields(v, func(key string, v value.Value) error {
		switch key {
		case "type":
			return readStateType(v, &s.kind)
		case "name":
			return readOptional(v, &s.name, maxText)
		case "message":
			return readOptional(v, &s.message, maxMessage)
		case "message_from":
			return readFrom(v, q, &s.messageFrom)
		case "data_from":
			return readFrom(v, q, &s.dataFrom)
		case "state_details":
			s.details = v
			var scratch prefect.StateDetails
			return s.applyDetails(&scratch, q.initial)
		}
		return errUnknownField
	})
	switch {
	case err != nil:
		return err
	case d.kind == abi.Reject && s.kind == "":
		return at("type", wrong("is missing: a REJECT has the whole state"))
	case d.kind == abi.Accept && (s.kind != "" || s.messageFrom != "" || s.dataFrom != ""):
		return wrong("of an ACCEPT can change name, message and state_details only")
	case s.message != nil && s.messageFrom != "":
		return wrong("has both message and message_from")
	}
	d.state = s
	return nil
}

func readStateType(v value.Value, dst *prefect.StateType) error {
	if v.IsNull() {
		return nil
	}
	text, _ := v.Text()
	if !prefect.StateType(text).Valid() {
		return wrong("%q is no state type", cut(text, 64))
	}
	*dst = prefect.StateType(text)
	return nil
}

// readOptional reads a text or null.
func readOptional(v value.Value, dst **string, limit int) error {
	if v.IsNull() {
		return nil
	}
	var text string
	if err := readText(v, limit, &text); err != nil {
		return err
	}
	*dst = &text
	return nil
}

// readFrom reads which state a message or data is carried from.
func readFrom(v value.Value, q question, dst *string) error {
	if v.IsNull() || v.Is("") {
		return nil
	}
	if err := readWord(v, dst, abi.FromProposed, abi.FromInitial, abi.FromCachedState); err != nil {
		return err
	}
	switch {
	case *dst == abi.FromInitial && q.initial == nil:
		return wrong("is initial, but the run has no state")
	case *dst == abi.FromCachedState && !q.cached:
		return wrong("is cached_state, but that fact is not there")
	}
	return nil
}

// readFlags reads the shorthands for patches of a flow run's policy.
func readFlags(v value.Value, q question, p *orchestrate.RunPatch) error {
	if v.IsNull() {
		return nil
	}
	no, inProcess, null := false, abi.RetryInProcess, ""
	return fields(v, func(key string, v value.Value) error {
		var set bool
		switch key {
		case abi.FlagSetRetryTypeInProcess, abi.FlagSetResumingFalse, abi.FlagClearPauseKeys, abi.FlagClearRetryType:
			if err := readBool(v, &set); err != nil {
				return err
			}
		default:
			return errUnknownField
		}
		switch {
		case !set:
		case q.runType != prefect.FlowRunType:
			return wrong("is for flow runs only")
		case key == abi.FlagSetRetryTypeInProcess:
			p.RetryType = &inProcess
		case key == abi.FlagSetResumingFalse:
			p.Resuming = &no
		case key == abi.FlagClearPauseKeys:
			p.ClearPauseKeys = true
		case p.RetryType == nil:
			p.RetryType = &null
		}
		return nil
	})
}

// readRunPatch reads the columns that a decision may change.
func readRunPatch(v value.Value, q question, p *orchestrate.RunPatch) error {
	if v.IsNull() {
		return nil
	}
	count := func(v value.Value, dst **int) error {
		if q.runType != prefect.TaskRunType {
			return wrong("can be changed on task runs only")
		}
		var n int
		if err := readInt(v, 0, maxCount, &n); err != nil {
			return err
		}
		*dst = &n
		return nil
	}
	return fields(v, func(key string, v value.Value) error {
		switch key {
		case "empirical_policy":
			if q.runType != prefect.FlowRunType {
				return wrong("can be changed on flow runs only")
			}
			return readPolicyPatch(v, p)
		case "run_count":
			return count(v, &p.RunCount)
		case "flow_run_run_count":
			return count(v, &p.FlowRunRunCount)
		}
		return wrong("cannot be changed by a policy")
	})
}

func readPolicyPatch(v value.Value, p *orchestrate.RunPatch) error {
	return fields(v, func(key string, v value.Value) error {
		switch key {
		case "resuming":
			p.Resuming = new(bool)
			return readBool(v, p.Resuming)
		case "retry_type":
			p.RetryType = new(string)
			if v.IsNull() {
				return nil
			}
			return readWord(v, p.RetryType, abi.RetryInProcess, abi.RetryReschedule)
		case "pause_keys":
			return fields(v, func(key string, v value.Value) error {
				switch key {
				case "clear":
					return readBool(v, &p.ClearPauseKeys)
				case "add":
					return elements(v, maxKeys, func(v value.Value) error {
						var text string
						err := readName(v, maxText, &text)
						p.AddPauseKeys = append(p.AddPauseKeys, text)
						return err
					})
				}
				return errUnknownField
			})
		}
		return wrong("cannot be changed by a policy")
	})
}

// merged is flags with what run says on top.
func merged(flags, run orchestrate.RunPatch) orchestrate.RunPatch {
	if run.Resuming == nil {
		run.Resuming = flags.Resuming
	}
	if run.RetryType == nil {
		run.RetryType = flags.RetryType
	}
	run.ClearPauseKeys = run.ClearPauseKeys || flags.ClearPauseKeys
	return run
}

// readSeconds reads a number above 0.
func readSeconds(v value.Value) error {
	if f, ok := v.Float(); !ok || f <= 0 || math.IsInf(f, 0) || f > abi.MaxDelaySeconds*100 {
		return wrong("is not a number of seconds above 0")
	}
	return nil
}

func readIDs(v value.Value) error {
	return elements(v, maxKeys, func(v value.Value) error {
		var id uuid.UUID
		return readID(v, &id)
	})
}
