package abi

// Verdict is what interlock_evaluate returns, as JSON. All lists and all fields
// are closed: what is not named here makes the verdict invalid.
//
// Decisions answers the rules of the call in order, one each. A guest that
// cannot decide sets Error; Decisions then answers the rules before the one that
// failed, and the host treats the failing one by its entry's failure mode.
type Verdict struct {
	Decisions []Decision `json:"decisions"`
	Error     string     `json:"error,omitempty"`
}

// Decision is what one rule decides.
type Decision struct {
	Rule     string `json:"rule"`     // the name in the call
	Decision string `json:"decision"` // Accept, Reject, Wait, Abort or Skipped
	// State is for Accept a patch of the proposed state (no Type, no From
	// fields), for Reject the state to write instead, or null: write nothing,
	// answer the current state. Always null for the others.
	State        *DecisionState `json:"state,omitempty"`
	DelaySeconds int            `json:"delay_seconds,omitempty"` // Wait: 1 to MaxDelaySeconds
	Reason       string         `json:"reason,omitempty"`        // required for Reject, Wait and Abort
	Flags        Flags          `json:"flags,omitzero"`          // flow runs only
	Run          *RunPatch      `json:"run,omitempty"`
	Effects      []Effect       `json:"effects,omitempty"`
}

// The decisions.
const (
	Accept = "ACCEPT"
	Reject = "REJECT"
	Wait   = "WAIT"
	Abort  = "ABORT"
	// Skipped answers a rule (never a transform) of a call in which an earlier
	// rule changed the type or nulled the proposal. A host ignores whatever else
	// a guest answers there.
	Skipped = "SKIPPED"
)

// MaxDelaySeconds bounds a WAIT: a year.
const MaxDelaySeconds = 366 * 24 * 3600

// MaxReason bounds a reason, in bytes.
const MaxReason = 4096

// DecisionState is a state in a decision. The host gives it an id and a
// timestamp, and a name after its type when there is none.
type DecisionState struct {
	Type    string  `json:"type,omitempty"`    // Reject: a state type. Accept: absent
	Name    *string `json:"name,omitempty"`    // Reject: null is the type's own name. Accept: null leaves it
	Message *string `json:"message,omitempty"` // Reject: null is none. Accept: null leaves it
	// MessageFrom carries the whole message of another state on, instead of
	// Message; DataFrom likewise its data. Reject only.
	MessageFrom string `json:"message_from,omitempty"` // one of the From constants
	DataFrom    string `json:"data_from,omitempty"`    // one of the From constants
	// Details for Reject are all that the new state has; for Accept a merge patch:
	// null clears a field. Fields of HostDetails are the host's alone.
	Details map[string]Raw `json:"state_details,omitempty"`
}

// Where a message or data is carried from.
const (
	FromProposed    = "proposed"
	FromInitial     = "initial"
	FromCachedState = "cached_state" // the fact's state
)

// The fields of state_details that a decision may write, with the kind of
// their values.
const (
	DetailScheduledTime     = "scheduled_time"     // time
	DetailCacheKey          = "cache_key"          // text
	DetailCacheExpiration   = "cache_expiration"   // time
	DetailDeferred          = "deferred"           // bool
	DetailUntrackableResult = "untrackable_result" // bool
	DetailPauseTimeout      = "pause_timeout"      // time
	DetailPauseReschedule   = "pause_reschedule"   // bool
	DetailPauseKey          = "pause_key"          // text
	DetailRunInputKeyset    = "run_input_keyset"   // object of text
	DetailRefreshCache      = "refresh_cache"      // bool
	DetailRetriable         = "retriable"          // bool
	DetailTaskParametersID  = "task_parameters_id" // id
	DetailTraceparent       = "traceparent"        // text
	// DetailDeploymentConcurrencyLeaseID may only be the initial state's or null:
	// a new one is bound by an acquire_slots effect.
	DetailDeploymentConcurrencyLeaseID = "deployment_concurrency_lease_id"
)

// The fields of state_details that a decision must not write.
const (
	DetailFlowRunID      = "flow_run_id"
	DetailTaskRunID      = "task_run_id"
	DetailChildFlowRunID = "child_flow_run_id"
	DetailTransitionID   = "transition_id"
)

// Flags are shorthands for patches of a flow run's empirical_policy. False is as
// good as absent. They are dropped with a decision that does not stand.
type Flags struct {
	SetRetryTypeInProcess bool `json:"set_retry_type_in_process,omitempty"` // retry_type = "in_process"
	SetResumingFalse      bool `json:"set_resuming_false,omitempty"`        // resuming = false
	ClearPauseKeys        bool `json:"clear_pause_keys,omitempty"`          // pause_keys = []
	ClearRetryType        bool `json:"clear_retry_type,omitempty"`          // retry_type = null
}

// The names of the flags.
const (
	FlagSetRetryTypeInProcess = "set_retry_type_in_process"
	FlagSetResumingFalse      = "set_resuming_false"
	FlagClearPauseKeys        = "clear_pause_keys"
	FlagClearRetryType        = "clear_retry_type"
)

// RunPatch is what a decision may write of the run's row: EmpiricalPolicy for
// flow runs, the counts for task runs. Of a decision in PhaseBefore it applies
// before the host's bookkeeping (run_count + 1 at RUNNING), in PhaseAfter after
// it.
type RunPatch struct {
	EmpiricalPolicy *PolicyPatch `json:"empirical_policy,omitempty"`
	RunCount        *int         `json:"run_count,omitempty"`
	FlowRunRunCount *int         `json:"flow_run_run_count,omitempty"`
}

// PolicyPatch is merged into empirical_policy as the row has it at commit.
type PolicyPatch struct {
	Resuming  *bool           `json:"resuming,omitempty"`
	RetryType Raw             `json:"retry_type,omitempty"` // "in_process", "reschedule" or null; absent leaves it
	PauseKeys *PauseKeysPatch `json:"pause_keys,omitempty"`
}

// PauseKeysPatch clears the set, then adds to it.
type PauseKeysPatch struct {
	Clear bool     `json:"clear,omitempty"`
	Add   []string `json:"add,omitempty"`
}

// The values of retry_type.
const (
	RetryInProcess  = "in_process"
	RetryReschedule = "reschedule"
)
