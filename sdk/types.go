package sdk

import (
	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/value"
)

// StateType is a set of state types; the type of a state is a set of one.
type StateType uint16

// The state types. NoState is the initial type of a run without a state.
const (
	Scheduled StateType = 1 << iota
	Pending
	Running
	Completed
	Failed
	Cancelled
	Crashed
	Paused
	Cancelling
	NoState

	Terminal = Completed | Failed | Cancelled | Crashed
	AnyState = NoState | Scheduled | Pending | Running | Paused | Cancelling | Terminal
)

// In reports whether the type is one of set.
func (t StateType) In(set StateType) bool { return t&set != 0 }

// String returns the contract's name of a single type, "" for anything else.
func (t StateType) String() string {
	switch t {
	case Scheduled:
		return abi.Scheduled
	case Pending:
		return abi.Pending
	case Running:
		return abi.Running
	case Completed:
		return abi.Completed
	case Failed:
		return abi.Failed
	case Cancelled:
		return abi.Cancelled
	case Crashed:
		return abi.Crashed
	case Paused:
		return abi.Paused
	case Cancelling:
		return abi.Cancelling
	}
	return ""
}

// stateTypeOf reads a state type; 0 for what is none.
func stateTypeOf(v value.Value) StateType {
	var scratch [16]byte
	switch string(v.AppendText(scratch[:0])) {
	case abi.Scheduled:
		return Scheduled
	case abi.Pending:
		return Pending
	case abi.Running:
		return Running
	case abi.Completed:
		return Completed
	case abi.Failed:
		return Failed
	case abi.Cancelled:
		return Cancelled
	case abi.Crashed:
		return Crashed
	case abi.Paused:
		return Paused
	case abi.Cancelling:
		return Cancelling
	}
	return 0
}

// RunType is the kind of run that a rule is for.
type RunType uint8

// The run types.
const (
	FlowRun RunType = iota + 1
	TaskRun
	AnyRun
)

func (t RunType) String() string {
	switch t {
	case FlowRun:
		return abi.RunTypeFlow
	case TaskRun:
		return abi.RunTypeTask
	}
	return abi.AnyType
}

// Kind is whether a rule is skipped once an earlier one intervened.
type Kind uint8

// The kinds.
const (
	Intervening Kind = iota // the contract's "rule"
	Transform               // never skipped, can only accept
)

func (k Kind) String() string {
	if k == Transform {
		return abi.KindTransform
	}
	return abi.KindRule
}

// Phase is when a rule is asked.
type Phase uint8

// The phases.
const (
	Before Phase = iota // before the state to write is settled
	After               // when a state is to be written; can only patch the run and ask for effects
)

func (p Phase) String() string {
	if p == After {
		return abi.PhaseAfter
	}
	return abi.PhaseBefore
}

// Time is an instant, in microseconds since 1970 in UTC.
type Time = value.Time

// Value is a JSON value that a context carries. Values are good for one call.
type Value = value.Value
