package sdk

import (
	"strconv"

	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/value"
)

// Decision is what a rule decides. The zero value accepts.
type Decision struct {
	kind    decisionKind
	state   NewState
	reason  string
	seconds int
	// Flags, Run and Effects apply only if the decision stands: if a state is
	// written and has the type that this decision left.
	Flags   Flags
	Run     RunPatch
	Effects []Effect
}

type decisionKind uint8

const (
	accept decisionKind = iota
	reject
	wait
	abort
)

// Accept lets the proposed state stand.
func Accept() Decision { return Decision{} }

// AcceptWith lets the proposed state stand with another name, message or
// details. Empty fields leave what is there; Type and the From fields must be.
func AcceptWith(patch NewState) Decision { return Decision{state: patch} }

// Reject has another state written instead of the proposed one.
func Reject(state NewState, reason string) Decision {
	return Decision{kind: reject, state: state, reason: reason}
}

// RejectKeep has nothing written; the client is told the run's current state.
func RejectKeep(reason string) Decision { return Decision{kind: reject, reason: reason} }

// Wait has nothing written and the client propose again after so many seconds,
// at least 1.
func Wait(seconds int, reason string) Decision {
	return Decision{kind: wait, seconds: min(max(seconds, 1), abi.MaxDelaySeconds), reason: reason}
}

// Abort has nothing written and the client give up.
func Abort(reason string) Decision { return Decision{kind: abort, reason: reason} }

// NewState is a state that a rule makes, or what it patches of one.
type NewState struct {
	Type        StateType
	Name        string // "" is the type's own name
	Message     string
	MessageFrom Source // the whole message of another state, instead of Message
	DataFrom    Source // the data of another state
	Details     []Detail
}

// Source is a state whose message or data is carried on.
type Source uint8

// The sources.
const (
	FromProposed    Source = iota + 1 // the client's proposal
	FromInitial                       // the run's current state
	FromCachedState                   // the state of the fact cached_state
)

func (s Source) String() string {
	switch s {
	case FromProposed:
		return abi.FromProposed
	case FromInitial:
		return abi.FromInitial
	case FromCachedState:
		return abi.FromCachedState
	}
	return ""
}

// Detail is a field of state_details with its new value.
type Detail struct {
	field string
	kind  detailKind
	flag  bool
	time  Time
	text  string
	raw   []byte
}

type detailKind uint8

const (
	detailNull detailKind = iota
	detailTime
	detailText
	detailBool
	detailRaw
)

// DetailTime sets a field (abi.DetailScheduledTime, ...) to a time.
func DetailTime(field string, t Time) Detail {
	return Detail{field: field, kind: detailTime, time: t}
}

// DetailText sets a field to a text.
func DetailText(field, text string) Detail {
	return Detail{field: field, kind: detailText, text: text}
}

// DetailBool sets a field to a bool.
func DetailBool(field string, b bool) Detail { return Detail{field: field, kind: detailBool, flag: b} }

// DetailNull clears a field.
func DetailNull(field string) Detail { return Detail{field: field} }

// DetailOf sets a field to what it is in another state, null included.
func DetailOf(s *State, field string) Detail {
	v := s.Detail(field)
	if v.IsNull() {
		return DetailNull(field)
	}
	return Detail{field: field, kind: detailRaw, raw: v.Raw()}
}

func (d *Detail) appendValue(b []byte) []byte {
	switch d.kind {
	case detailTime:
		return append(d.time.Append(append(b, '"')), '"')
	case detailText:
		return value.AppendString(b, d.text)
	case detailBool:
		return strconv.AppendBool(b, d.flag)
	case detailRaw:
		return append(b, d.raw...)
	}
	return append(b, "null"...)
}

// Flags are shorthands for patches of a flow run's policy.
type Flags uint8

// The flags.
const (
	SetRetryTypeInProcess Flags = 1 << iota
	SetResumingFalse
	ClearPauseKeys
	ClearRetryType
)

// RetryType is how a flow run will be tried again.
type RetryType uint8

// The retry types.
const (
	RetryNone       RetryType = iota + 1 // null
	RetryInProcess                       // by the process that runs it
	RetryReschedule                      // by a worker, from SCHEDULED
)

func (t RetryType) String() string {
	switch t {
	case RetryInProcess:
		return abi.RetryInProcess
	case RetryReschedule:
		return abi.RetryReschedule
	}
	return ""
}

// RunPatch is what a rule may change of the run. Zero fields leave what is
// there. The counts are for task runs, all else is for flow runs.
type RunPatch struct {
	Resuming        *bool
	RetryType       RetryType
	ClearPauseKeys  bool
	AddPauseKey     string // after clearing
	RunCount        *int   // before the host adds 1 for a RUNNING
	FlowRunRunCount *int
}

func (p *RunPatch) isZero() bool { return *p == RunPatch{} }

// append appends the decision as the contract has it.
func (d *Decision) append(b []byte, rule string) []byte {
	b = value.AppendString(append(b, `{"rule":`...), rule)
	switch d.kind {
	case accept:
		b = append(b, `,"decision":"ACCEPT"`...)
	case reject:
		b = append(b, `,"decision":"REJECT"`...)
	case wait:
		b = strconv.AppendInt(append(b, `,"decision":"WAIT","delay_seconds":`...), int64(d.seconds), 10)
	case abort:
		b = append(b, `,"decision":"ABORT"`...)
	}
	if d.reason != "" {
		b = value.AppendString(append(b, `,"reason":`...), d.reason)
	}
	if !d.state.isZero() {
		b = d.state.append(append(b, `,"state":`...))
	} else if d.kind == reject {
		b = append(b, `,"state":null`...)
	}
	if d.Flags != 0 {
		b = d.Flags.append(append(b, `,"flags":`...))
	}
	if !d.Run.isZero() {
		b = d.Run.append(append(b, `,"run":`...))
	}
	if len(d.Effects) > 0 {
		b = append(b, `,"effects":[`...)
		for i, e := range d.Effects {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(append(b, e.text...), '}')
		}
		b = append(b, ']')
	}
	return append(b, '}')
}

func (s *NewState) isZero() bool {
	return s.Type == 0 && s.Name == "" && s.Message == "" && s.MessageFrom == 0 && s.DataFrom == 0 && len(s.Details) == 0
}

func (s *NewState) append(b []byte) []byte {
	open := len(b)
	if s.Type != 0 {
		b = value.AppendString(append(b, `,"type":`...), s.Type.String())
	}
	if s.Name != "" {
		b = value.AppendString(append(b, `,"name":`...), s.Name)
	}
	if s.Message != "" {
		b = value.AppendString(append(b, `,"message":`...), s.Message)
	}
	if s.MessageFrom != 0 {
		b = value.AppendString(append(b, `,"message_from":`...), s.MessageFrom.String())
	}
	if s.DataFrom != 0 {
		b = value.AppendString(append(b, `,"data_from":`...), s.DataFrom.String())
	}
	if len(s.Details) > 0 {
		b = append(b, `,"state_details":{`...)
		for i := range s.Details {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(value.AppendString(b, s.Details[i].field), ':')
			b = s.Details[i].appendValue(b)
		}
		b = append(b, '}')
	}
	b[open] = '{'
	return append(b, '}')
}

func (f Flags) append(b []byte) []byte {
	names := [...]string{abi.FlagSetRetryTypeInProcess, abi.FlagSetResumingFalse, abi.FlagClearPauseKeys, abi.FlagClearRetryType}
	open := len(b)
	for i, name := range names {
		if f&(1<<i) != 0 {
			b = append(value.AppendString(append(b, ','), name), `:true`...)
		}
	}
	b[open] = '{'
	return append(b, '}')
}

func (p *RunPatch) append(b []byte) []byte {
	open := len(b)
	if p.RunCount != nil {
		b = strconv.AppendInt(append(b, `,"run_count":`...), int64(*p.RunCount), 10)
	}
	if p.FlowRunRunCount != nil {
		b = strconv.AppendInt(append(b, `,"flow_run_run_count":`...), int64(*p.FlowRunRunCount), 10)
	}
	if p.Resuming != nil || p.RetryType != 0 || p.ClearPauseKeys || p.AddPauseKey != "" {
		b = p.appendPolicy(append(b, `,"empirical_policy":`...))
	}
	b[open] = '{'
	return append(b, '}')
}

func (p *RunPatch) appendPolicy(b []byte) []byte {
	open := len(b)
	if p.Resuming != nil {
		b = strconv.AppendBool(append(b, `,"resuming":`...), *p.Resuming)
	}
	switch p.RetryType {
	case 0:
	case RetryNone:
		b = append(b, `,"retry_type":null`...)
	default:
		b = value.AppendString(append(b, `,"retry_type":`...), p.RetryType.String())
	}
	if p.ClearPauseKeys || p.AddPauseKey != "" {
		b = strconv.AppendBool(append(b, `,"pause_keys":{"clear":`...), p.ClearPauseKeys)
		if p.AddPauseKey != "" {
			b = append(value.AppendString(append(b, `,"add":[`...), p.AddPauseKey), ']')
		}
		b = append(b, '}')
	}
	b[open] = '{'
	return append(b, '}')
}
