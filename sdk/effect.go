package sdk

import (
	"strconv"

	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/value"
)

// Effect is something that a decision asks the host to do in the commit of the
// transition; abi says what each does.
type Effect struct{ text []byte } // JSON without the closing brace

func effect(kind string) Effect {
	return Effect{value.AppendString([]byte(`{"type":`), kind)}
}

func (e Effect) string(key, s string) Effect {
	return Effect{value.AppendString(append(value.AppendString(append(e.text, ','), key), ':'), s)}
}

func (e Effect) raw(key, text string) Effect {
	return Effect{append(append(value.AppendString(append(e.text, ','), key), ':'), text...)}
}

func (e Effect) list(key string, all []string) Effect {
	return Effect{appendTexts(append(value.AppendString(append(e.text, ','), key), ':'), all)}
}

// Always has a [RenewLease] done even if nothing is written.
func (e Effect) Always() Effect { return e.string("on", abi.OnAlways) }

// AcquireSlots takes slots on all of the limits, or the transition is decided
// again with fresh facts. The run holds them until it releases them or the lease
// ends; ttlSeconds 0 is a lease without an end. bind names the field of the
// written state's details that gets the lease's id, "" for none.
func AcquireSlots(limitIDs []string, slots int, ttlSeconds float64, bind string) Effect {
	ttl := "null"
	if ttlSeconds > 0 {
		ttl = formatFloat(ttlSeconds)
	}
	e := effect(abi.EffectAcquireSlots).list("limit_ids", limitIDs).raw("slots", strconv.Itoa(slots)).raw("lease", `{"ttl_seconds":`+ttl+`}`)
	if bind != "" {
		e = e.string("bind", bind)
	}
	return e
}

// ReleaseSlots gives back what the run holds on these limits, without any on all.
func ReleaseSlots(limitIDs ...string) Effect {
	if len(limitIDs) == 0 {
		return effect(abi.EffectReleaseSlots).raw("limit_ids", "null")
	}
	return effect(abi.EffectReleaseSlots).list("limit_ids", limitIDs)
}

// ReleaseLease gives back what the run holds under a lease. One that is gone, or
// another run's, is left as it is.
func ReleaseLease(leaseID string) Effect {
	return effect(abi.EffectReleaseSlots).string("lease_id", leaseID)
}

// RenewLease moves a lease's end to ttlSeconds from now.
func RenewLease(leaseID string, ttlSeconds float64) Effect {
	return effect(abi.EffectRenewLease).string("lease_id", leaseID).raw("ttl_seconds", formatFloat(ttlSeconds))
}

// DetachLease takes a lease's end away; the run holds its slots on.
func DetachLease(leaseID string) Effect {
	return effect(abi.EffectDetachLease).string("lease_id", leaseID)
}

// WriteCache makes the written state the cached one of a key; expiration is a
// time or null.
func WriteCache(key string, expiration Value) Effect {
	e := effect(abi.EffectWriteCache).string("cache_key", key)
	if expiration.IsNull() {
		return e.raw("cache_expiration", "null")
	}
	return e.raw("cache_expiration", string(expiration.Raw()))
}

// EnqueueTaskRun hands the task run to task workers: abi.QueueScheduled or
// abi.QueueRetry.
func EnqueueTaskRun(queue string) Effect {
	return effect(abi.EffectEnqueueTaskRun).string("queue", queue)
}

// EmitEvent emits an event about the run. payload is the JSON of an object.
func EmitEvent(name, payload string) Effect {
	return effect(abi.EffectEmitEvent).string("event", name).raw("payload", payload)
}

func formatFloat(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
