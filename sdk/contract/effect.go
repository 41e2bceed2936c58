package contract

import (
	"strconv"
	"strings"

	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/value"
)

func (r *verdictReader) effects(path string, v value.Value) []abi.Effect {
	var all []abi.Effect
	r.elements(path, v, func(path string, v value.Value) {
		if len(all) == MaxEffects {
			r.fail(path, "there are more than "+strconv.Itoa(MaxEffects)+" effects")
			return
		}
		all = append(all, r.effect(path, v))
	})
	return all
}

// effect reads one effect. Which fields it has hangs on its type.
func (r *verdictReader) effect(path string, v value.Value) abi.Effect {
	e := abi.Effect{Type: r.oneOf(r.at(path, ".", "type", ""), v.Get("type"), abi.Effects()...), On: abi.OnStands}
	if r.err != nil {
		return e
	}
	r.object(path, v, func(key, path string, v value.Value) bool {
		switch key {
		case "type":
			return true
		case "on":
			e.On = r.oneOf(path, v, abi.OnStands, abi.OnAlways)
			return true
		}
		return r.effectField(&e, key, path, v)
	})
	if r.err == nil {
		r.effectShape(path, &e)
	}
	return e
}

func (r *verdictReader) effectField(e *abi.Effect, key, path string, v value.Value) bool {
	switch e.Type + "." + key {
	case "acquire_slots.limit_ids", "release_slots.limit_ids":
		if v.IsNull() {
			return true
		}
		e.LimitIDs = r.texts(path, v, r.id)
	case "acquire_slots.slots":
		e.Slots = r.int(path, v, 1, maxRunCount)
	case "acquire_slots.lease":
		if v.IsNull() {
			return true
		}
		e.Lease = r.lease(path, v)
	case "acquire_slots.bind":
		if v.IsNull() {
			return true
		}
		e.Bind = r.oneOf(path, v, abi.DetailDeploymentConcurrencyLeaseID)
	case "release_slots.lease_id", "renew_lease.lease_id", "detach_lease.lease_id":
		if v.IsNull() && e.Type == abi.EffectReleaseSlots {
			return true
		}
		e.LeaseID = r.text(path, v)
		r.id(path, e.LeaseID)
	case "renew_lease.ttl_seconds":
		e.TTLSeconds = r.seconds(path, v)
	case "write_cache.cache_key":
		e.CacheKey = r.text(path, v)
	case "write_cache.cache_expiration":
		if v.IsNull() {
			return true
		}
		r.time(path, v)
		e.CacheExpiration = r.optionalText(path, v)
	case "enqueue_task_run.queue":
		e.Queue = r.oneOf(path, v, abi.QueueScheduled, abi.QueueRetry)
	case "emit_event.event":
		e.Event = r.text(path, v)
		r.eventName(path, e.Event)
	case "emit_event.payload":
		if e.Payload = r.objectText(path, v); len(e.Payload) > abi.MaxEventPayload {
			r.fail(path, "the payload is larger than "+strconv.Itoa(abi.MaxEventPayload)+" bytes")
		}
	case "set_run_state.run_type":
		e.RunType = r.oneOf(path, v, abi.RunTypeFlow, abi.RunTypeTask)
	case "set_run_state.run_id":
		e.RunID = r.text(path, v)
		r.id(path, e.RunID)
	case "set_run_state.state":
		if v.IsNull() {
			return true
		}
		e.State = r.objectText(path, v)
		r.state(path, v, abi.Reject)
	case "set_run_state.copy_written":
		e.CopyWritten = r.bool(path, v)
	case "set_run_state.state_details":
		if v.IsNull() {
			return true
		}
		e.StateDetails = r.objectText(path, v)
		r.details(path, v)
	default:
		return false
	}
	return true
}

// eventName keeps a rule from announcing in the server's name what did not
// happen.
func (r *verdictReader) eventName(path, name string) {
	switch {
	case r.err != nil || name == "": // which effectShape tells
	case len(name) > abi.MaxEventName:
		r.fail(path, "the name is longer than "+strconv.Itoa(abi.MaxEventName)+" bytes")
	case strings.HasPrefix(name, "prefect.") || strings.HasPrefix(name, "interlock."):
		r.fail(path, "events named prefect.* and interlock.* are the server's own")
	}
}

func (r *verdictReader) lease(path string, v value.Value) *abi.EffectLease {
	l := new(abi.EffectLease)
	r.object(path, v, func(key, path string, v value.Value) bool {
		if key != "ttl_seconds" {
			return false
		}
		if !v.IsNull() {
			ttl := r.seconds(path, v)
			l.TTLSeconds = &ttl
		}
		return true
	})
	return l
}

// effectShape checks what an effect must have and where it may stand.
func (r *verdictReader) effectShape(path string, e *abi.Effect) {
	missing := ""
	switch e.Type {
	case abi.EffectAcquireSlots:
		if len(e.LimitIDs) == 0 {
			missing = "limit_ids"
		} else if e.Slots == 0 {
			missing = "slots"
		}
		if e.Bind != "" && e.Lease == nil {
			missing = "lease"
		}
	case abi.EffectRenewLease:
		if e.LeaseID == "" {
			missing = "lease_id"
		} else if e.TTLSeconds == 0 {
			missing = "ttl_seconds"
		}
	case abi.EffectDetachLease:
		if e.LeaseID == "" {
			missing = "lease_id"
		}
	case abi.EffectWriteCache:
		if e.CacheKey == "" {
			missing = "cache_key"
		}
	case abi.EffectEnqueueTaskRun:
		if e.Queue == "" {
			missing = "queue"
		}
	case abi.EffectEmitEvent:
		if e.Event == "" {
			missing = "event"
		}
	case abi.EffectSetRunState:
		switch {
		case e.RunType == "":
			missing = "run_type"
		case e.RunID == "":
			missing = "run_id"
		case (e.State == nil) == !e.CopyWritten:
			missing = "either state or copy_written"
		}
	}
	if missing != "" {
		r.fail(path, e.Type+" lacks "+missing)
	}
	if e.On == abi.OnAlways && e.Type != abi.EffectRenewLease {
		r.fail(path, `only renew_lease may be "on":"always"`)
	}
	if (e.Type == abi.EffectWriteCache || e.Type == abi.EffectEnqueueTaskRun) && r.call.RunType != abi.RunTypeTask {
		r.fail(path, e.Type+" is for task runs")
	}
}
