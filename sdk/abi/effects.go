package abi

// Effect is something that a decision asks the host to do in the commit of the
// transition. Type says which of the other fields it has; any other field makes
// the verdict invalid.
type Effect struct {
	Type string `json:"type"`
	On   string `json:"on,omitempty"` // OnStands or OnAlways; "" is OnStands

	LimitIDs        []string     `json:"limit_ids,omitempty"`        // acquire_slots: at least one; release_slots: null is all
	Slots           int          `json:"slots,omitempty"`            // acquire_slots: at least 1
	Lease           *EffectLease `json:"lease,omitempty"`            // acquire_slots
	Bind            string       `json:"bind,omitempty"`             // acquire_slots
	LeaseID         string       `json:"lease_id,omitempty"`         // renew_lease, detach_lease; release_slots: null is any
	TTLSeconds      float64      `json:"ttl_seconds,omitempty"`      // renew_lease: above 0
	CacheKey        string       `json:"cache_key,omitempty"`        // write_cache
	CacheExpiration *string      `json:"cache_expiration,omitempty"` // write_cache: null for never
	Queue           string       `json:"queue,omitempty"`            // enqueue_task_run
	Event           string       `json:"event,omitempty"`            // emit_event
	Payload         Raw          `json:"payload,omitempty"`          // emit_event: object
	RunType         string       `json:"run_type,omitempty"`         // set_run_state
	RunID           string       `json:"run_id,omitempty"`           // set_run_state
	State           Raw          `json:"state,omitempty"`            // set_run_state: {"type","name","message","state_details"}
	CopyWritten     bool         `json:"copy_written,omitempty"`     // set_run_state: instead of state
	StateDetails    Raw          `json:"state_details,omitempty"`    // set_run_state: merged into the state
}

// EffectLease is the lease over the slots of acquire_slots.
type EffectLease struct {
	TTLSeconds *float64 `json:"ttl_seconds"` // null: held until it is released
}

// The effects.
const (
	// EffectAcquireSlots takes slots on all of limit_ids or on none; the run is
	// the holder, and what it holds of them already is given up for it. Condition:
	// each limit is there, active and has as many free. Without a lease, or with one
	// without ttl_seconds, the run holds them until it releases them, ends or is
	// deleted.
	//
	//	{"type":"acquire_slots","limit_ids":[..],"slots":1,"lease":{"ttl_seconds":300|null},"bind":"deployment_concurrency_lease_id"}
	//
	// With bind the host mints the lease's id and puts it into that field of the
	// details of the state written.
	EffectAcquireSlots = "acquire_slots"
	// EffectReleaseSlots gives back what this run holds: on these limits or on all,
	// under this lease or under any. Holding none is no error, and a limit that is
	// gone or inactive none either.
	//
	//	{"type":"release_slots","limit_ids":[..]|null,"lease_id":id|null}
	EffectReleaseSlots = "release_slots"
	// EffectRenewLease moves a lease's expiry to now + ttl_seconds. Condition: it
	// is alive and the run's.
	//
	//	{"type":"renew_lease","lease_id","ttl_seconds":300}
	EffectRenewLease = "renew_lease"
	// EffectDetachLease takes the expiry of a lease of the run away: the run holds
	// it until it releases it, ends or is deleted. One that is gone stays so.
	//
	//	{"type":"detach_lease","lease_id"}
	EffectDetachLease = "detach_lease"
	// EffectWriteCache makes the state written findable by the key. Task runs only.
	//
	//	{"type":"write_cache","cache_key","cache_expiration":time|null}
	EffectWriteCache = "write_cache"
	// EffectEnqueueTaskRun puts the task run, which is written as SCHEDULED, on the
	// queue of the task workers, from its scheduled time on.
	//
	//	{"type":"enqueue_task_run","queue":"scheduled"|"retry"}
	EffectEnqueueTaskRun = "enqueue_task_run"
	// EffectEmitEvent emits an event about the run, after the commit. Its name is of
	// 1 to MaxEventName bytes and not one of the server's own (prefect.*,
	// interlock.*), its payload an object of at most MaxEventPayload bytes, {} if
	// it is left out.
	//
	//	{"type":"emit_event","event":"acme.retry.delayed","payload":{}}
	EffectEmitEvent = "emit_event"
	// EffectSetRunState forces a state on another run, in the same commit. Only
	// for modules that are permitted to.
	//
	//	{"type":"set_run_state","run_type","run_id","state":{..}|"copy_written":true,"state_details":{..}}
	EffectSetRunState = "set_run_state"
)

// Effects lists the names of the effects.
func Effects() []string {
	return []string{
		EffectAcquireSlots, EffectReleaseSlots, EffectRenewLease, EffectDetachLease,
		EffectWriteCache, EffectEnqueueTaskRun, EffectEmitEvent, EffectSetRunState,
	}
}

// When an effect is done.
const (
	// OnStands: a state is written and has the type that this decision left. The
	// default.
	OnStands = "stands"
	// OnAlways: also when nothing is written; a condition that fails then is
	// ignored. Only for renew_lease.
	OnAlways = "always"
)

// The queues of enqueue_task_run.
const (
	QueueScheduled = "scheduled"
	QueueRetry     = "retry"
)

// The bounds of an event that a rule emits, in bytes.
const (
	MaxEventName    = 256
	MaxEventPayload = 64 << 10
)
