package prefect

import (
	"encoding/json"

	"github.com/google/uuid"
)

// BuiltinModule is the module name of entries that this server's own module
// decides.
const BuiltinModule = "builtin"

// HostModule is the module name of entries whose work the host does by itself,
// with every state that it writes: they mark its place in a policy and are asked
// nothing. Their names are [HostRules].
const HostModule = "host"

// HostRules lists the names of what entries of [HostModule] stand for.
func HostRules() []string { return []string{"InstrumentFlowRunStateTransitions"} }

// The names of the policies, one a kind of caller.
const (
	CoreFlowPolicy       = "CoreFlowPolicy"
	MinimalFlowPolicy    = "MinimalFlowPolicy"
	MarkLateRunsPolicy   = "MarkLateRunsPolicy"
	CoreTaskPolicy       = "CoreTaskPolicy"
	BackgroundTaskPolicy = "BackgroundTaskPolicy"
	// ClientSideTaskOrchestrationPolicy is for task runs whose client keeps the
	// slots of their tags by itself.
	ClientSideTaskOrchestrationPolicy = "ClientSideTaskOrchestrationPolicy"
	MinimalTaskPolicy                 = "MinimalTaskPolicy"
)

// OnError is what an entry does when its module fails.
type OnError string

// The failure modes. Fallback needs a built-in rule of the entry's name.
const (
	Fallback OnError = "fallback" // the built-in rule of that name decides
	Closed   OnError = "closed"   // ABORT; on a terminal proposal the built-in decides, or the rule counts as absent
	Open     OnError = "open"     // as if the rule were absent
)

// PolicyModule is a stored .wasm with what its manifest says.
type PolicyModule struct {
	Digest   string          `json:"digest"` // "sha256:" and 64 hex digits of the bytes
	Created  Time            `json:"created"`
	Size     int             `json:"size"` // bytes
	Manifest json.RawMessage `json:"manifest"`
	Wasm     []byte          `json:"-"`
}

// PolicyEntry is one place in a policy. The name is unique there and stays when
// a module takes a built-in's place.
type PolicyEntry struct {
	Name    string          `json:"name"`
	Module  string          `json:"module"` // "builtin" or a digest
	Rule    string          `json:"rule"`   // the rule's name in that module
	Config  json.RawMessage `json:"config"` // object; nil is {}
	OnError OnError         `json:"on_error"`
	// Fuel and StackBytes limit each call of an uploaded module: units of work, and
	// bytes of nested calls. 0: the server's limits.
	Fuel       uint64 `json:"fuel,omitempty"`
	StackBytes uint32 `json:"stack_bytes,omitempty"`
}

// What the limits of an entry can be. The least is what hardly any module gets
// along with, the most some tenths of a second.
const (
	MinEntryFuel       = 1_000
	MaxEntryFuel       = 1_000_000_000
	MinEntryStackBytes = 1 << 10
	MaxEntryStackBytes = 4 << 20
)

// PolicyVersion is one version of a policy's ordered list. Versions of a policy
// count up from 1; the highest is active.
type PolicyVersion struct {
	Name    string        `json:"name"`
	Version int           `json:"version"`
	Created Time          `json:"created"`
	Reason  string        `json:"reason"` // "installed", "put", "use RetryFailedFlows", "rollback to 3", ...
	Entries []PolicyEntry `json:"entries"`
}

// Decision is the record of how one proposal was decided.
type Decision struct {
	ID            uuid.UUID      `json:"id"`
	Created       Time           `json:"created"` // the now that the rules saw
	RunType       RunType        `json:"run_type"`
	RunID         uuid.UUID      `json:"run_id"`
	TransitionID  *uuid.UUID     `json:"transition_id"`
	Policy        string         `json:"policy"`
	PolicyVersion int            `json:"policy_version"`
	InitialType   *StateType     `json:"initial_type"`
	InitialName   *string        `json:"initial_name"`
	ProposedType  StateType      `json:"proposed_type"`
	ProposedName  string         `json:"proposed_name"`
	Status        Status         `json:"status"`
	Reason        *string        `json:"reason"`
	DelaySeconds  int            `json:"delay_seconds"`
	StateID       *uuid.UUID     `json:"state_id"` // the state written; nil if none was
	FinalType     *StateType     `json:"final_type"`
	FinalName     *string        `json:"final_name"`
	Tries         int            `json:"tries"` // 1, or more when races were lost
	Rules         []RuleDecision `json:"rules"` // the entries that were asked, in order
	FactsRead     []string       `json:"facts_read"`
	// Effects are those that were applied in the commit of the transition or
	// promised by it, in order: what rules asked for and did not lose again.
	Effects []AppliedEffect `json:"effects,omitempty"`
}

// AppliedEffect is an effect as the contract has it, and the id of the lease that
// it made, if any.
type AppliedEffect struct {
	Effect  json.RawMessage `json:"effect"`
	LeaseID *uuid.UUID      `json:"lease_id,omitempty"`
}

// RuleDecision is what one entry contributed to a [Decision].
type RuleDecision struct {
	Name     string          `json:"name"`
	Rule     string          `json:"rule"`
	Module   string          `json:"module"` // digest, for built-ins too: the one that decided
	Builtin  bool            `json:"builtin"`
	Phase    string          `json:"phase"`
	Decision string          `json:"decision"` // ACCEPT, REJECT, WAIT, ABORT, or "skipped"
	Reason   string          `json:"reason,omitempty"`
	Flags    json.RawMessage `json:"flags,omitempty"`
	Run      json.RawMessage `json:"run,omitempty"`
	Effects  json.RawMessage `json:"effects,omitempty"`
	Error    string          `json:"error,omitempty"`    // the policy error, when the module failed
	Handled  string          `json:"handled,omitempty"`  // the failure mode that applied
	Log      string          `json:"log,omitempty"`      // what the guest printed, capped
	Fuel     uint64          `json:"fuel,omitempty"`     // of the call, shared by rules decided in one call
	MaxFuel  uint64          `json:"max_fuel,omitempty"` // the entry's own limit, where it has one
	Duration float64         `json:"micros,omitempty"`   // microseconds of the call, shared likewise
}
