package policy

import (
	"encoding/json"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/value"
)

// effect is a checked effect and when it applies.
type effect struct {
	orchestrate.Effect
	always bool // also when nothing is written
}

// effectShape is what an effect must and may have beside type and on.
type effectShape struct {
	needs, takes []string
	taskOnly     bool
}

// shapeOf returns the shape of an effect; ok is false for one that is not of the
// contract.
func shapeOf(name string) (shape effectShape, ok bool) {
	switch name {
	case abi.EffectAcquireSlots:
		return effectShape{needs: []string{"limit_ids", "slots", "lease"}, takes: []string{"bind"}}, true
	case abi.EffectReleaseSlots:
		return effectShape{takes: []string{"limit_ids"}}, true
	case abi.EffectRenewLease:
		return effectShape{needs: []string{"lease_id", "ttl_seconds"}}, true
	case abi.EffectDetachLease:
		return effectShape{needs: []string{"lease_id"}}, true
	case abi.EffectWriteCache:
		return effectShape{needs: []string{"cache_key"}, takes: []string{"cache_expiration"}, taskOnly: true}, true
	case abi.EffectEnqueueTaskRun:
		return effectShape{needs: []string{"queue"}, taskOnly: true}, true
	case abi.EffectEmitEvent:
		return effectShape{needs: []string{"event"}, takes: []string{"payload"}}, true
	}
	return effectShape{}, false
}

// readEffect reads one effect and checks it against its shape.
func readEffect(v value.Value, q question) (e effect, err error) {
	name, _ := v.Get("type").Text()
	if name == abi.EffectSetRunState {
		return e, at("type", wrong("%s is for modules that are permitted to, and this one is not", name))
	}
	shape, ok := shapeOf(name)
	switch {
	case !ok:
		return e, at("type", wrong("%q is no effect", cut(name, 64)))
	case shape.taskOnly && q.runType != prefect.TaskRunType:
		return e, at("type", wrong("%s is for task runs only", name))
	}
	e.Type = orchestrate.EffectType(name)
	for _, field := range shape.needs {
		if v.Get(field).Kind() == value.Absent {
			return e, at(field, wrong("is missing"))
		}
	}
	err = fields(v, func(key string, v value.Value) error {
		switch {
		case key == "type":
			return nil
		case key == "on":
			return readOn(v, name, &e.always)
		case contains(shape.needs, key), contains(shape.takes, key):
			return checkEffectField(name, key, v)
		}
		return errUnknownField
	})
	if err != nil {
		return e, err
	}
	e.Bind = name == abi.EffectAcquireSlots && !v.Get("bind").IsNull()
	e.Payload = append(json.RawMessage(nil), v.Raw()...)
	return e, nil
}

func contains(list []string, s string) bool {
	for _, have := range list {
		if have == s {
			return true
		}
	}
	return false
}

func readOn(v value.Value, effectName string, always *bool) error {
	var on string
	if err := readWord(v, &on, abi.OnStands, abi.OnAlways); err != nil {
		return err
	}
	*always = on == abi.OnAlways
	if *always && effectName != abi.EffectRenewLease {
		return wrong("can be %q for renew_lease only", abi.OnAlways)
	}
	return nil
}

// checkEffectField checks the value of one field of an effect.
func checkEffectField(effectName, key string, v value.Value) error {
	var id uuid.UUID
	var text string
	var when prefect.Time
	switch key {
	case "limit_ids":
		if effectName == abi.EffectReleaseSlots && v.IsNull() {
			return nil
		}
		if v.Kind() == value.Array && v.Len() == 0 {
			return wrong("is empty")
		}
		return readIDs(v)
	case "slots":
		var n int
		return readInt(v, 1, maxCount, &n)
	case "lease":
		return fields(v, func(key string, v value.Value) error {
			if key != "ttl_seconds" {
				return errUnknownField
			}
			if v.IsNull() {
				return nil
			}
			return readSeconds(v)
		})
	case "bind":
		if v.IsNull() {
			return nil
		}
		return readWord(v, &text, abi.DetailDeploymentConcurrencyLeaseID)
	case "lease_id":
		return readID(v, &id)
	case "ttl_seconds":
		return readSeconds(v)
	case "cache_key", "event":
		return readName(v, maxText, &text)
	case "cache_expiration":
		if v.IsNull() {
			return nil
		}
		return readTime(v, &when)
	case "queue":
		return readWord(v, &text, abi.QueueScheduled, abi.QueueRetry)
	case "payload":
		if v.Kind() != value.Object {
			return wrong("is not an object")
		}
		return nil
	}
	return errUnknownField
}
