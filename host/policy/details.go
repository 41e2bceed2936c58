package policy

import (
	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/value"
)

// applyDetails writes what a decision says of state_details into d. Fields that
// are the host's alone are an error, and so is a lease that is not initial's.
func (s *stateChange) applyDetails(d *prefect.StateDetails, initial *prefect.State) error {
	if s.details.IsNull() {
		return nil
	}
	return fields(s.details, func(key string, v value.Value) error {
		switch key {
		case abi.DetailScheduledTime:
			return setPointer(v, &d.ScheduledTime, readTime)
		case abi.DetailCacheKey:
			return setText(v, &d.CacheKey)
		case abi.DetailCacheExpiration:
			return setPointer(v, &d.CacheExpiration, readTime)
		case abi.DetailDeferred:
			return setPointer(v, &d.Deferred, readBool)
		case abi.DetailUntrackableResult:
			return setBool(v, &d.UntrackableResult)
		case abi.DetailPauseTimeout:
			return setPointer(v, &d.PauseTimeout, readTime)
		case abi.DetailPauseReschedule:
			return setBool(v, &d.PauseReschedule)
		case abi.DetailPauseKey:
			return setText(v, &d.PauseKey)
		case abi.DetailRunInputKeyset:
			return setKeyset(v, &d.RunInputKeyset)
		case abi.DetailRefreshCache:
			return setPointer(v, &d.RefreshCache, readBool)
		case abi.DetailRetriable:
			return setPointer(v, &d.Retriable, readBool)
		case abi.DetailTaskParametersID:
			return setPointer(v, &d.TaskParametersID, readID)
		case abi.DetailTraceparent:
			return setText(v, &d.Traceparent)
		case abi.DetailDeploymentConcurrencyLeaseID:
			return setLease(v, &d.DeploymentConcurrencyLeaseID, initial)
		case abi.DetailFlowRunID, abi.DetailTaskRunID, abi.DetailChildFlowRunID, abi.DetailTransitionID:
			return wrong("is the host's to write")
		}
		return errUnknownField
	})
}

// setPointer reads a value into a new variable; null clears the field.
func setPointer[T any](v value.Value, dst **T, read func(value.Value, *T) error) error {
	if v.IsNull() {
		*dst = nil
		return nil
	}
	*dst = new(T)
	return read(v, *dst)
}

func setText(v value.Value, dst **string) error {
	return setPointer(v, dst, func(v value.Value, s *string) error { return readText(v, maxText, s) })
}

func setBool(v value.Value, dst *bool) error {
	*dst = false
	if v.IsNull() {
		return nil
	}
	return readBool(v, dst)
}

func setKeyset(v value.Value, dst *map[string]string) error {
	*dst = nil
	if v.IsNull() {
		return nil
	}
	keys := map[string]string{}
	*dst = keys
	return fields(v, func(key string, v value.Value) error {
		var text string
		err := readText(v, maxText, &text)
		keys[key] = text
		return err
	})
}

// setLease takes the lease that the run holds by its initial state: a new one is
// made by acquire_slots alone, and another run's is nobody's to give.
func setLease(v value.Value, dst **uuid.UUID, initial *prefect.State) error {
	var held *uuid.UUID
	if initial != nil {
		held = initial.Details.DeploymentConcurrencyLeaseID
	}
	if err := setPointer(v, dst, readID); err != nil {
		return err
	}
	if *dst != nil && (held == nil || **dst != *held) {
		return wrong("is not the lease of the initial state")
	}
	return nil
}
