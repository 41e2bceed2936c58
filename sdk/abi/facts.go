package abi

import "strings"

// The facts that a rule may declare. The host computes a fact's key from the
// run, the initial state and the client's proposal; a null key is the fact
// null, without a read. "found": false says that the row is gone.
const (
	// FactDeployment, of run.deployment_id:
	//
	//	{"id","found":true,"limit":{"id","limit":5,"active":true,"used":3,"mine":0}|null,
	//	 "collision_strategy":"ENQUEUE","grace_period_seconds":null}
	//
	// limit is the deployment's concurrency limit; an inactive one holds nobody
	// back. used counts all slots taken, mine those of them that this run holds.
	// collision_strategy is ENQUEUE or CANCEL_NEW.
	FactDeployment = "deployment"
	// FactRunSlots, of the run, if it has a deployment, tags or a lease named by its
	// initial state; oldest lease first:
	//
	//	[{"lease_id","limit_id","slots":1,"expires_at":time|null,"held":true}]
	//
	// A lease without an expiry is held until it is released. One that the initial
	// state names and that is gone, or not the run's, comes last with limit_id null,
	// slots 0 and held false.
	FactRunSlots = "run_slots"
	// FactFlowRun, of a task run's flow_run_id:
	//
	//	{"id","found":true,"run_count":2,"state":{"type","name","state_details":{"pause_timeout","pause_reschedule"}}|null}
	FactFlowRun = "flow_run"
	// FactTagLimits, of a task run's tags, ordered by name:
	//
	//	[{"id","tag","limit":5,"active":true,"used":3,"mine":0,"avg_slot_occupancy_seconds":2.0}]
	FactTagLimits = "tag_limits"
	// FactCachedState, of the proposal's cache_key unless it has refresh_cache:
	//
	//	{"id","type","name","message","state_details":{},"result":"object"}
	FactCachedState = "cached_state"
	// FactAttempts, of the run: its stays in RUNNING, the present one included,
	// oldest first, the newest MaxAttempts:
	//
	//	[{"number":1,"started":time,"ended":time|null,"type":"SCHEDULED"|null,"name":"AwaitingRetry"|null,"message":text|null}]
	//
	// type, name and message are of the state that ended it: an attempt that was
	// retried ends in AwaitingRetry with the failure's message.
	FactAttempts = "attempts"
	// FactRecentOutcomes is written with a window in seconds, 1 to MaxWindow:
	// "recent_outcomes:3600". It counts the runs that ended within it, of the same
	// flow and of the same deployment (null without one); for a task run, those of
	// the same task_key (null without a flow run):
	//
	//	{"window_seconds":3600,"flow":{"COMPLETED":3,"FAILED":1,"CANCELLED":0,"CRASHED":0}|null,"deployment":{...}|null,"task":{...}|null}
	FactRecentOutcomes = "recent_outcomes"
	// FactWorkQueue, of run.work_queue_id:
	//
	//	{"id","found":true,"name","work_pool_name":text|null,"status":text,"is_paused":false,"concurrency_limit":null,"priority":1}
	FactWorkQueue = "work_queue"
	// FactParentTaskRun, of run.parent_task_run_id:
	//
	//	{"id","found":true,"name","flow_run_id":id|null,"run_count":1,"tags":[],"state":{"type","name"}|null}
	FactParentTaskRun = "parent_task_run"

	// What can be big in a run, as the API has it. These cost no read.
	FactParameters   = "parameters"    // flow runs: object
	FactContext      = "context"       // flow runs: object
	FactJobVariables = "job_variables" // flow runs: object
	FactTaskInputs   = "task_inputs"   // task runs: object
)

// MaxAttempts bounds the fact attempts, MaxWindow the window of
// recent_outcomes, in seconds.
const (
	MaxAttempts = 100
	MaxWindow   = 7 * 24 * 3600
)

// Facts lists the names of the facts.
func Facts() []string {
	return []string{
		FactDeployment, FactRunSlots, FactFlowRun, FactTagLimits, FactCachedState,
		FactAttempts, FactRecentOutcomes, FactWorkQueue, FactParentTaskRun,
		FactParameters, FactContext, FactJobVariables, FactTaskInputs,
	}
}

// ParseFact splits a fact as a manifest declares it into its name and the window
// in seconds, 0 for a fact without one. ok is false for what is not of the list.
func ParseFact(declared string) (name string, window int, ok bool) {
	name, suffix, hasWindow := strings.Cut(declared, ":")
	known := false
	for _, f := range Facts() {
		known = known || f == name
	}
	if !known || hasWindow != (name == FactRecentOutcomes) {
		return "", 0, false
	}
	if !hasWindow {
		return name, 0, true
	}
	for _, c := range []byte(suffix) {
		if c < '0' || c > '9' || window > MaxWindow {
			return "", 0, false
		}
		window = window*10 + int(c-'0')
	}
	if window < 1 || window > MaxWindow || suffix[0] == '0' {
		return "", 0, false
	}
	return name, window, true
}
