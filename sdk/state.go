package sdk

import (
	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/value"
)

// State is a state as a rule sees it. The zero value is none.
type State struct {
	typ     StateType
	name    text
	message text
	result  string
	details value.Value
	patches []Detail // over details, later ones first
}

var noState = State{}

// text is a text of the context or one that a rule wrote over it.
type text struct {
	read    value.Value
	written string
	isSet   bool
}

func (t *text) set(s string) { t.written, t.isSet = s, true }

func (t *text) string() string {
	if t.isSet {
		return t.written
	}
	s, _ := t.read.Text()
	return s
}

// readState reads a state; null is none, and anything else no state at all.
func readState(v value.Value) (s State, ok bool) {
	if v.IsNull() {
		return noState, true
	}
	s = State{
		typ:     stateTypeOf(v.Get("type")),
		name:    text{read: v.Get("name")},
		message: text{read: v.Get("message")},
		result:  resultOf(v.Get("result")),
		details: v.Get("state_details"),
	}
	return s, s.typ != 0
}

func resultOf(v value.Value) string {
	for _, result := range [...]string{abi.ResultNone, abi.ResultEmpty, abi.ResultObject, abi.ResultUnpersisted} {
		if v.Is(result) {
			return result
		}
	}
	if v.IsNull() {
		return abi.ResultNone
	}
	return abi.ResultOther
}

// Exists reports whether there is a state.
func (s State) Exists() bool { return s.typ != 0 }

// Type returns the type, [NoState] for none.
func (s State) Type() StateType {
	if s.typ == 0 {
		return NoState
	}
	return s.typ
}

// Name returns the name, "" for no state.
func (s State) Name() string { return s.name.string() }

// Named reports whether the state has this name.
func (s State) Named(name string) bool {
	if s.name.isSet {
		return s.name.written == name
	}
	return s.name.read.Is(name)
}

// Message returns the message, "" for none; long ones are cut at 4096 bytes.
func (s State) Message() string { return s.message.string() }

// Result tells what the state's data is: one of the contract's results.
func (s State) Result() string {
	if s.result == "" {
		return abi.ResultNone
	}
	return s.result
}

// Detail returns a field of state_details, null or absent if it is not set.
func (s State) Detail(field string) Value {
	for i := len(s.patches) - 1; i >= 0; i-- {
		if s.patches[i].field == field {
			v, err := value.Parse(s.patches[i].appendValue(nil))
			if err != nil {
				return Value{}
			}
			return v
		}
	}
	return s.details.Get(field)
}

// patch lays what a decision writes over s.
func (s *State) patch(p *NewState) {
	if s.typ == 0 {
		return
	}
	if p.Name != "" {
		s.name.set(p.Name)
	}
	if p.Message != "" {
		s.message.set(p.Message)
	}
	if len(p.Details) > 0 {
		s.patches = append(append([]Detail(nil), s.patches...), p.Details...)
	}
}

// defaultName returns the name of a state that was given none.
func (t StateType) defaultName() string {
	name := []byte(t.String())
	for i := 1; i < len(name); i++ {
		name[i] |= 0x20
	}
	return string(name)
}
