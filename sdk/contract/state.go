package contract

import (
	"strconv"

	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/value"
)

// state reads the state of an ACCEPT (a patch) or of a REJECT.
func (r *verdictReader) state(path string, v value.Value, decision string) *abi.DecisionState {
	s := new(abi.DecisionState)
	r.object(path, v, func(key, path string, v value.Value) bool {
		switch key {
		case "type":
			if t := r.optionalText(path, v); t != nil {
				s.Type = *t
			}
		case "name":
			s.Name = r.optionalText(path, v)
		case "message":
			s.Message = r.optionalText(path, v)
		case "message_from":
			s.MessageFrom = r.from(path, v)
		case "data_from":
			s.DataFrom = r.from(path, v)
		case "state_details":
			if !v.IsNull() {
				s.Details = r.details(path, v)
			}
		default:
			return false
		}
		return true
	})
	if r.err != nil {
		return s
	}
	if decision != abi.Reject {
		if s.Type != "" || s.MessageFrom != "" || s.DataFrom != "" {
			r.fail(path, "ACCEPT may patch name, message and state_details only")
		}
		return s
	}
	switch {
	case !abi.KnownStateType(s.Type):
		r.fail(path, "there is no state type "+strconv.Quote(s.Type))
	case s.Message != nil && s.MessageFrom != "":
		r.fail(path, "has both message and message_from")
	}
	return s
}

func (r *verdictReader) from(path string, v value.Value) string {
	if v.IsNull() {
		return ""
	}
	from := r.oneOf(path, v, abi.FromProposed, abi.FromInitial, abi.FromCachedState)
	if from == abi.FromCachedState && !r.call.HasCachedState {
		r.fail(path, "there is no cached state")
	}
	if from == abi.FromInitial && !r.call.HasInitial {
		r.fail(path, "there is no initial state")
	}
	return from
}

func (r *verdictReader) details(path string, v value.Value) map[string]abi.Raw {
	all := make(map[string]abi.Raw, 4)
	r.object(path, v, func(key, path string, v value.Value) bool {
		if !r.detail(key, path, v) {
			return false
		}
		all[key] = raw(v)
		return true
	})
	return all
}

// detail checks one field of state_details; null is good for all of them.
func (r *verdictReader) detail(key, path string, v value.Value) bool {
	switch key {
	case abi.DetailFlowRunID, abi.DetailTaskRunID, abi.DetailChildFlowRunID, abi.DetailTransitionID:
		r.fail(path, "is the host's to write")
		return true
	case abi.DetailScheduledTime, abi.DetailCacheExpiration, abi.DetailPauseTimeout,
		abi.DetailCacheKey, abi.DetailPauseKey, abi.DetailTraceparent,
		abi.DetailDeferred, abi.DetailUntrackableResult, abi.DetailPauseReschedule, abi.DetailRefreshCache, abi.DetailRetriable,
		abi.DetailTaskParametersID, abi.DetailDeploymentConcurrencyLeaseID, abi.DetailRunInputKeyset:
	default:
		return false
	}
	if v.IsNull() {
		return true
	}
	switch key {
	case abi.DetailScheduledTime, abi.DetailCacheExpiration, abi.DetailPauseTimeout:
		r.time(path, v)
	case abi.DetailCacheKey, abi.DetailPauseKey, abi.DetailTraceparent:
		r.text(path, v)
	case abi.DetailTaskParametersID:
		r.id(path, r.text(path, v))
	case abi.DetailDeploymentConcurrencyLeaseID:
		if id := r.text(path, v); id != r.call.LeaseID {
			r.fail(path, "is not the initial state's lease")
		}
	case abi.DetailRunInputKeyset:
		r.object(path, v, func(_, path string, v value.Value) bool {
			r.text(path, v)
			return true
		})
	default:
		r.bool(path, v)
	}
	return true
}

func (r *verdictReader) time(path string, v value.Value) {
	s := r.text(path, v)
	if _, ok := value.ParseTime(s); r.err == nil && !ok {
		r.fail(path, strconv.Quote(s)+" is not an RFC 3339 time")
	}
}
