package abi

// Context is what interlock_evaluate is given, as UTF-8 JSON. A guest must
// ignore fields that it does not know. Times are RFC 3339 in UTC with six digits
// of fraction: "2026-11-23T18:00:00.000000Z"; ids are lower-case UUIDs.
//
// One call asks consecutive entries of one module, in order; all see the same
// Context, and each sees what the ones before it in the call decided, which is
// the guest's work (the SDK's). Between calls it is the host's work: the
// proposed state and the run of a later call are as the earlier calls left them.
//
// What users write can make a context large. A host sends none that might be more
// than the call's fuel and memory suffice for, but each up to [SureContext].
type Context struct {
	ABI        int            `json:"abi"`      // [Version]
	Phase      string         `json:"phase"`    // PhaseBefore or PhaseAfter
	Now        string         `json:"now"`      // the only clock there is
	Seed       string         `json:"seed"`     // "<run id>/<transition id>": the only source of chance
	RunType    string         `json:"run_type"` // RunTypeFlow or RunTypeTask
	Rules      []RuleCall     `json:"rules"`    // in the order to answer; in PhaseAfter reversed already
	Transition Transition     `json:"transition"`
	Run        Raw            `json:"run"`             // FlowRun or TaskRun below; in PhaseAfter with the columns as they will be written
	Facts      map[string]Raw `json:"facts"`           // what the rules of the call declare, by the name in the manifest
	Final      *Final         `json:"final,omitempty"` // PhaseAfter only
}

// SureContext is the size in bytes up to which a context is sent in any case.
const SureContext = 24 << 10

// RuleCall is one entry that is asked.
type RuleCall struct {
	Name   string `json:"name"`   // the rule's name in the module
	Config Raw    `json:"config"` // object, valid against the rule's schema
}

// Transition is what is being decided.
type Transition struct {
	ID           *string `json:"id"`            // the client's transition id
	InitialState *State  `json:"initial_state"` // null for a run without a state
	// ProposedState is the client's proposal as the entries before this call left
	// it: patched, replaced, or null once nothing is to be written. In PhaseAfter
	// it is the proposal as the client made it.
	ProposedState *State `json:"proposed_state"`
	// IntendedType is the type that the client proposed. A rule (not a transform)
	// is asked only while the proposed state still has it.
	IntendedType string `json:"intended_type"`
	Force        bool   `json:"force"`
	Client       Client `json:"client"`
}

// Final is the state that is about to be written, and the status of the reply.
type Final struct {
	Status string `json:"status"` // Accept or Reject
	State  State  `json:"state"`
}

// State is a state without its data, which is opaque and stays with the host.
type State struct {
	ID        *string `json:"id"` // null for a state not written yet
	Type      string  `json:"type"`
	Name      string  `json:"name"`
	Timestamp string  `json:"timestamp"`
	Message   *string `json:"message"` // at most MaxMessage bytes, cut at a rune
	Result    string  `json:"result"`  // one of the Result constants
	Details   Raw     `json:"state_details"`
}

// MaxMessage bounds a state's message in a context, in bytes. The whole message
// stays with the host: MessageFrom in a decision carries it on uncut.
const MaxMessage = 4096

// What stands for a state's data, which is never shown.
const (
	ResultNone        = "none"        // null, or [], "", 0, false: nothing that could be lost
	ResultEmpty       = "empty"       // {}
	ResultObject      = "object"      // a non-empty object whose "type" is not "unpersisted"
	ResultUnpersisted = "unpersisted" // an object whose "type" is "unpersisted"
	ResultOther       = "other"       // any other value that is not an object
)

// Client is who proposes. What cannot be read is null, never an error.
type Client struct {
	Version    *string `json:"version"` // "3.4.11rc1", of a User-Agent "prefect/3.4.11rc1 (API ...)"
	Release    []int   `json:"release"` // [3,4,11]
	Prerelease bool    `json:"prerelease"`
	APIVersion *string `json:"api_version"` // "0.8.4", of X-PREFECT-API-VERSION
	APIRelease []int   `json:"api_release"` // [0,8,4]
}

// FlowRun is the run of a flow run's transition: every field of the API's flow
// run but for parameters, context and job_variables, which are facts, and the
// state itself.
type FlowRun struct {
	ID                     string   `json:"id"`
	Created                string   `json:"created"`
	Name                   string   `json:"name"`
	FlowID                 string   `json:"flow_id"`
	DeploymentID           *string  `json:"deployment_id"`
	DeploymentVersion      *string  `json:"deployment_version"`
	WorkQueueID            *string  `json:"work_queue_id"`
	WorkQueueName          *string  `json:"work_queue_name"`
	WorkPoolID             *string  `json:"work_pool_id"`
	WorkPoolName           *string  `json:"work_pool_name"`
	FlowVersion            *string  `json:"flow_version"`
	IdempotencyKey         *string  `json:"idempotency_key"`
	EmpiricalPolicy        Raw      `json:"empirical_policy"` // {"retries","retry_delay","pause_keys","resuming","retry_type",...}
	Tags                   []string `json:"tags"`
	Labels                 Raw      `json:"labels"` // object
	ParentTaskRunID        *string  `json:"parent_task_run_id"`
	RunCount               int      `json:"run_count"`
	ExpectedStartTime      *string  `json:"expected_start_time"`
	NextScheduledStartTime *string  `json:"next_scheduled_start_time"`
	StartTime              *string  `json:"start_time"`
	EndTime                *string  `json:"end_time"`
	TotalRunTime           float64  `json:"total_run_time"` // seconds
	AutoScheduled          bool     `json:"auto_scheduled"`
	InfrastructurePID      *string  `json:"infrastructure_pid"`
}

// TaskRun is the run of a task run's transition, without its task_inputs, which
// are a fact.
type TaskRun struct {
	ID                     string   `json:"id"`
	Created                string   `json:"created"`
	Name                   string   `json:"name"`
	FlowRunID              *string  `json:"flow_run_id"`
	TaskKey                string   `json:"task_key"`
	DynamicKey             string   `json:"dynamic_key"`
	CacheKey               *string  `json:"cache_key"`
	CacheExpiration        *string  `json:"cache_expiration"`
	TaskVersion            *string  `json:"task_version"`
	EmpiricalPolicy        Raw      `json:"empirical_policy"` // {"retries","retry_delay": null, number or list,"retry_jitter_factor",...}
	Tags                   []string `json:"tags"`
	Labels                 Raw      `json:"labels"`
	RunCount               int      `json:"run_count"`
	FlowRunRunCount        int      `json:"flow_run_run_count"`
	ExpectedStartTime      *string  `json:"expected_start_time"`
	NextScheduledStartTime *string  `json:"next_scheduled_start_time"`
	StartTime              *string  `json:"start_time"`
	EndTime                *string  `json:"end_time"`
	TotalRunTime           float64  `json:"total_run_time"`
}
