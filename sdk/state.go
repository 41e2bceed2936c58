package sdk

import (
	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/value"
)

// State is a state as a rule sees it. The zero value is none. What a rule does not
// ask for is not read.
type State struct {
	typ     StateType
	fields  value.Value // in the context; absent for a state that a rule made
	name    text
	message text
	made    string   // the result of a state that a rule made
	patches []Detail // over details, later ones first
}

// text is a text of the context or one that a rule wrote over it.
type text struct {
	read    value.Value
	written string
	isSet   bool
}

func (t *text) set(s string) { t.written, t.isSet = s, true }

// of returns the text, which is of a state with these fields.
func (t text) of(fields value.Value, key string) text {
	if !t.isSet {
		t.read = fields.Get(key)
	}
	return t
}

func (t text) string() string {
	if t.isSet {
		return t.written
	}
	s, _ := t.read.Text()
	return s
}

// read reads a state; null is none. It returns false for what is no state.
func (s *State) read(v value.Value) bool {
	if v.IsNull() {
		return true
	}
	s.typ, s.fields = stateTypeOf(v.Get("type")), v
	return s.typ != 0
}

func resultOf(v value.Value) string {
	switch {
	case v.IsNull(), v.Is(abi.ResultNone):
		return abi.ResultNone
	case v.Is(abi.ResultObject):
		return abi.ResultObject
	case v.Is(abi.ResultUnpersisted):
		return abi.ResultUnpersisted
	case v.Is(abi.ResultEmpty):
		return abi.ResultEmpty
	}
	return abi.ResultOther
}

// Exists reports whether there is a state.
func (s *State) Exists() bool { return s.typ != 0 }

// Type returns the type, [NoState] for none.
func (s *State) Type() StateType {
	if s.typ == 0 {
		return NoState
	}
	return s.typ
}

// Name returns the name, "" for no state.
func (s *State) Name() string { return s.name.of(s.fields, "name").string() }

// Named reports whether the state has this name.
func (s *State) Named(name string) bool {
	if s.name.isSet {
		return s.name.written == name
	}
	return s.fields.Get("name").Is(name)
}

// Message returns the message, "" for none; long ones are cut at 4096 bytes.
func (s *State) Message() string { return s.wholeMessage().string() }

// wholeMessage is the message with where it comes from.
func (s *State) wholeMessage() text {
	if s.fields.Kind() == value.Absent {
		return s.message // of a state that a rule made
	}
	return s.message.of(s.fields, "message")
}

// Result tells what the state's data is: one of the contract's results.
func (s *State) Result() string {
	if s.made != "" {
		return s.made
	}
	return resultOf(s.fields.Get("result"))
}

// Detail returns a field of state_details, null or absent if it is not set.
func (s *State) Detail(field string) Value {
	for i := len(s.patches) - 1; i >= 0; i-- {
		if s.patches[i].field == field {
			v, err := value.Parse(s.patches[i].appendValue(nil))
			if err != nil {
				return Value{}
			}
			return v
		}
	}
	return s.fields.Get("state_details").Get(field)
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
