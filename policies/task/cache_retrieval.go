package task

import (
	"github.com/interlock-run/interlock/sdk"
	"github.com/interlock-run/interlock/sdk/abi"
)

// CacheRetrieval answers a task that is about to run with the state that was
// cached under its key.
func CacheRetrieval() sdk.Rule {
	return sdk.Rule{
		Name:        "CacheRetrieval",
		Description: "Completes a task run from the cache instead of running it",
		RunType:     sdk.TaskRun,
		From:        sdk.AnyState,
		To:          sdk.Running,
		Needs:       []string{abi.NeedCacheKey},
		Facts:       []string{abi.FactCachedState},
		Evaluate:    cacheRetrieval,
	}
}

func cacheRetrieval(c *sdk.Context) sdk.Decision {
	refresh, _ := c.Proposed().Detail(abi.DetailRefreshCache).Bool()
	cached, found := c.CachedState()
	if refresh || !found || c.Proposed().Detail(abi.DetailCacheKey).IsNull() {
		return sdk.Accept()
	}
	state := sdk.NewState{
		Type: cached.Type(), Name: "Cached",
		MessageFrom: sdk.FromCachedState, DataFrom: sdk.FromCachedState,
	}
	for _, field := range [...]string{
		abi.DetailScheduledTime, abi.DetailCacheKey, abi.DetailCacheExpiration, abi.DetailDeferred,
		abi.DetailUntrackableResult, abi.DetailPauseTimeout, abi.DetailPauseReschedule, abi.DetailPauseKey,
		abi.DetailRunInputKeyset, abi.DetailRefreshCache, abi.DetailRetriable, abi.DetailTaskParametersID,
		abi.DetailTraceparent,
	} {
		if !cached.Detail(field).IsNull() {
			state.Details = append(state.Details, sdk.DetailOf(cached, field))
		}
	}
	return sdk.Reject(state, "The task's result is in the cache")
}
