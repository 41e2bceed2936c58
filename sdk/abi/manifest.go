package abi

// Manifest is what interlock_manifest returns, as JSON:
//
//	{"abi":1,"name":"acme-backoff","version":"1.2.0","description":"...",
//	 "rules":[{"name":"BackoffRetry","run_type":"flow_run","from":["RUNNING"],"to":["FAILED"],
//	           "kind":"rule","phase":"before","needs":[],"facts":["attempts"],"effects":[],"config_schema":{...}}]}
//
// Unknown fields are an error: they are a later version's.
type Manifest struct {
	ABI         int            `json:"abi"`     // [Version]
	Name        string         `json:"name"`    // 1 to MaxName bytes
	Version     string         `json:"version"` // the module's own, any text
	Description string         `json:"description,omitempty"`
	Rules       []RuleManifest `json:"rules"` // at least one, names unique
}

// RuleManifest is one rule of a module.
type RuleManifest struct {
	Name        string    `json:"name"` // 1 to MaxName bytes
	Description string    `json:"description,omitempty"`
	RunType     string    `json:"run_type"`        // RunTypeFlow, RunTypeTask or AnyType: both
	From        []*string `json:"from"`            // initial types: state types, nil for "no state", AnyType for all of these
	To          []*string `json:"to"`              // intended types; a proposal always has one, so nil matches nothing here
	Kind        string    `json:"kind"`            // KindRule or KindTransform; "" is KindRule
	Phase       string    `json:"phase"`           // PhaseBefore or PhaseAfter; "" is PhaseBefore
	Needs       []string  `json:"needs,omitempty"` // what has to be there for the rule to be asked, all of it: names of [Needs]
	Facts       []string  `json:"facts,omitempty"`
	Effects     []string  `json:"effects,omitempty"` // names of [Effects]: the only ones that the rule may ask for
	// ConfigSchema is a JSON Schema for the entry's config, absent for a rule
	// that takes none: then only {} is a valid config.
	ConfigSchema Raw `json:"config_schema,omitempty"`
}

// MaxName bounds the names of modules and rules, in bytes.
const MaxName = 128

// AnyType stands in From and To for every state type and no state, and in
// RunType for both kinds of run.
const AnyType = "*"

// The kinds of run.
const (
	RunTypeFlow = "flow_run"
	RunTypeTask = "task_run"
)

// The kinds of entry.
const (
	// KindRule is skipped once an earlier entry changed the type of the proposed
	// state or nulled it: the first rule that intervenes decides.
	KindRule = "rule"
	// KindTransform is never skipped. It accepts, with or without a patch, and
	// sees what the entries before it made of the proposal.
	KindTransform = "transform"
)

// The phases of a transition.
const (
	// PhaseBefore is before the state to write is settled, in the policy's order.
	PhaseBefore = "before"
	// PhaseAfter is when a state is to be written, in reverse order. Decisions are
	// ACCEPT and may carry run patches and effects only.
	PhaseAfter = "after"
)

// The state types.
const (
	Scheduled  = "SCHEDULED"
	Pending    = "PENDING"
	Running    = "RUNNING"
	Completed  = "COMPLETED"
	Failed     = "FAILED"
	Cancelled  = "CANCELLED"
	Crashed    = "CRASHED"
	Paused     = "PAUSED"
	Cancelling = "CANCELLING"
)

// StateTypes lists the state types.
func StateTypes() []string {
	return []string{Scheduled, Pending, Running, Completed, Failed, Cancelled, Crashed, Paused, Cancelling}
}

// KnownStateType reports whether name is one of [StateTypes].
func KnownStateType(name string) bool {
	switch name {
	case Scheduled, Pending, Running, Completed, Failed, Cancelled, Crashed, Paused, Cancelling:
		return true
	}
	return false
}

// Contains reports whether a From or To list names this state type, "" for no
// state.
func Contains(list []*string, stateType string) bool {
	for _, t := range list {
		switch {
		case t == nil:
			if stateType == "" {
				return true
			}
		case *t == AnyType || *t == stateType:
			return true
		}
	}
	return false
}

// Matches reports whether an entry with this rule is asked about a transition,
// by the kind of run and the intended types: the initial type ("" for no state)
// and the type that the client proposed. Needs are another matter.
func (r *RuleManifest) Matches(runType, initial, proposed string) bool {
	return (r.RunType == AnyType || r.RunType == runType) && Contains(r.From, initial) && Contains(r.To, proposed)
}

// Rule returns the rule of this name, nil if there is none.
func (m *Manifest) Rule(name string) *RuleManifest {
	for i := range m.Rules {
		if m.Rules[i].Name == name {
			return &m.Rules[i]
		}
	}
	return nil
}
