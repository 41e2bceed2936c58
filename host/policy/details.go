package policy

import (
	"encoding/json"
	"fmt"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/sdk/abi"
)

// applyDetails writes what a decision says of state_details into d; null clears
// a field.
func applyDetails(d *prefect.StateDetails, details map[string]abi.Raw) error {
	for key, text := range details {
		field := cleared(d, key)
		if field == nil {
			return fmt.Errorf("state_details has no field %q to write", key)
		}
		if err := readDetail(field, text); err != nil {
			return fmt.Errorf("state_details.%s: %w", key, err)
		}
	}
	return nil
}

// readDetail reads a detail into its field, which is empty. What rules write most, a
// time or null, needs no reflection.
func readDetail(field any, text []byte) error {
	if string(text) == "null" {
		return nil
	}
	if at, is := field.(**prefect.Time); is {
		t := new(prefect.Time)
		if err := t.UnmarshalJSON(text); err != nil {
			return err
		}
		*at = t
		return nil
	}
	return json.Unmarshal(text, field)
}

// cleared empties the field of that name and returns a pointer to it: what it
// pointed to may be another state's. nil for a field that no decision may write.
func cleared(d *prefect.StateDetails, key string) any {
	switch key {
	case abi.DetailScheduledTime:
		return empty(&d.ScheduledTime)
	case abi.DetailCacheKey:
		return empty(&d.CacheKey)
	case abi.DetailCacheExpiration:
		return empty(&d.CacheExpiration)
	case abi.DetailDeferred:
		return empty(&d.Deferred)
	case abi.DetailUntrackableResult:
		return empty(&d.UntrackableResult)
	case abi.DetailPauseTimeout:
		return empty(&d.PauseTimeout)
	case abi.DetailPauseReschedule:
		return empty(&d.PauseReschedule)
	case abi.DetailPauseKey:
		return empty(&d.PauseKey)
	case abi.DetailRunInputKeyset:
		return empty(&d.RunInputKeyset)
	case abi.DetailRefreshCache:
		return empty(&d.RefreshCache)
	case abi.DetailRetriable:
		return empty(&d.Retriable)
	case abi.DetailTaskParametersID:
		return empty(&d.TaskParametersID)
	case abi.DetailTraceparent:
		return empty(&d.Traceparent)
	case abi.DetailDeploymentConcurrencyLeaseID:
		return empty(&d.DeploymentConcurrencyLeaseID)
	}
	return nil
}

func empty[T any](field *T) *T {
	var zero T
	*field = zero
	return field
}
