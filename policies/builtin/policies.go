package builtin

// The names of the policies.
const (
	CoreFlowPolicy       = "CoreFlowPolicy"
	MinimalFlowPolicy    = "MinimalFlowPolicy"
	MarkLateRunsPolicy   = "MarkLateRunsPolicy"
	CoreTaskPolicy       = "CoreTaskPolicy"
	BackgroundTaskPolicy = "BackgroundTaskPolicy"
	MinimalTaskPolicy    = "MinimalTaskPolicy"
)

// Policy is a policy as it is before anybody changes it.
type Policy struct {
	Name    string
	Entries []Entry // in order
}

// Entry is one place in a policy. Its name is the name of the built-in rule that
// stands there, and its failure mode is fallback.
type Entry struct {
	Name string
	// Settings are the config's keys that the server fills from its settings.
	Settings []string
}

// SettingMaxCacheKeyLength is PREFECT_SERVER_TASKS_MAX_CACHE_KEY_LENGTH, in
// characters.
const SettingMaxCacheKeyLength = "max_cache_key_length"

// Policies returns the default policies, in the reference's order. Where the
// reference has entries that are not here, the host does their work (events, the
// lease id that travels on) or nothing does it yet (slots).
func Policies() []Policy {
	cacheInsertion := Entry{Name: "CacheInsertion", Settings: []string{SettingMaxCacheKeyLength}}
	return []Policy{
		{CoreFlowPolicy, []Entry{
			{Name: "PreventDuplicateTransitions"},
			{Name: "HandleFlowTerminalStateTransitions"},
			{Name: "EnforceCancellingToCancelledTransition"},
			{Name: "BypassCancellingFlowRunsWithNoInfra"},
			{Name: "PreventPendingTransitions"},
			{Name: "EnsureOnlyScheduledFlowsMarkedLate"},
			{Name: "HandlePausingFlows"},
			{Name: "HandleResumingPausedFlows"},
			{Name: "CopyScheduledTime"},
			{Name: "WaitForScheduledTime"},
			{Name: "RetryFailedFlows"},
		}},
		{MinimalFlowPolicy, []Entry{
			{Name: "PreventResultDataLoss"},
			{Name: "BypassCancellingFlowRunsWithNoInfra"},
		}},
		{MarkLateRunsPolicy, []Entry{
			{Name: "EnsureOnlyScheduledFlowsMarkedLate"},
		}},
		{CoreTaskPolicy, []Entry{
			{Name: "CacheRetrieval"},
			{Name: "HandleTaskTerminalStateTransitions"},
			{Name: "PreventRunningTasksFromStoppedFlows"},
			{Name: "CopyScheduledTime"},
			{Name: "WaitForScheduledTime"},
			{Name: "RetryFailedTasks"},
			{Name: "RenameReruns"},
			{Name: "UpdateFlowRunTrackerOnTasks"},
			cacheInsertion,
		}},
		{BackgroundTaskPolicy, []Entry{
			{Name: "PreventPendingTransitions"},
			{Name: "CacheRetrieval"},
			{Name: "HandleTaskTerminalStateTransitions"},
			{Name: "CopyScheduledTime"},
			{Name: "CopyTaskParametersID"},
			{Name: "WaitForScheduledTime"},
			{Name: "RetryFailedTasks"},
			{Name: "RenameReruns"},
			{Name: "UpdateFlowRunTrackerOnTasks"},
			cacheInsertion,
			{Name: "EnqueueScheduledTasks"},
		}},
		{MinimalTaskPolicy, nil},
	}
}
