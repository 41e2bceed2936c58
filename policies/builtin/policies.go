package builtin

// The names of the policies.
const (
	CoreFlowPolicy       = "CoreFlowPolicy"
	MinimalFlowPolicy    = "MinimalFlowPolicy"
	MarkLateRunsPolicy   = "MarkLateRunsPolicy"
	CoreTaskPolicy       = "CoreTaskPolicy"
	BackgroundTaskPolicy = "BackgroundTaskPolicy"
	MinimalTaskPolicy    = "MinimalTaskPolicy"
	// ClientSideTaskOrchestrationPolicy is CoreTaskPolicy without slots; nothing in
	// the server asks for it, as in the reference.
	ClientSideTaskOrchestrationPolicy = "ClientSideTaskOrchestrationPolicy"
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
	// Host says that the host does this by itself and that no rule is asked.
	Host bool
}

// The settings that entries take, by the names that the reference has for them
// under PREFECT_SERVER_TASKS_, PREFECT_SERVER_DEPLOYMENTS_ and
// PREFECT_SERVER_CONCURRENCY_. Those of slots are in seconds.
const (
	SettingMaxCacheKeyLength              = "max_cache_key_length" // in characters
	SettingTagConcurrencySlotWaitSeconds  = "tag_concurrency_slot_wait_seconds"
	SettingConcurrencySlotWaitSeconds     = "concurrency_slot_wait_seconds"
	SettingInitialDeploymentLeaseDuration = "initial_deployment_lease_duration"
)

// Policies returns the default policies, in the reference's order.
func Policies() []Policy {
	cacheInsertion := Entry{Name: "CacheInsertion", Settings: []string{SettingMaxCacheKeyLength}}
	secureFlow := Entry{Name: "SecureFlowConcurrencySlots", Settings: []string{SettingInitialDeploymentLeaseDuration, SettingConcurrencySlotWaitSeconds}}
	validate := Entry{Name: "ValidateDeploymentConcurrencyAtRunning", Settings: []string{SettingInitialDeploymentLeaseDuration}}
	secureTask := Entry{Name: "SecureTaskConcurrencySlots", Settings: []string{SettingTagConcurrencySlotWaitSeconds}}
	instrument := Entry{Name: "InstrumentFlowRunStateTransitions", Host: true}
	return []Policy{
		{CoreFlowPolicy, []Entry{
			{Name: "PreserveDeploymentConcurrencyLeaseId"},
			{Name: "PreventDuplicateTransitions"},
			{Name: "HandleFlowTerminalStateTransitions"},
			{Name: "EnforceCancellingToCancelledTransition"},
			{Name: "BypassCancellingFlowRunsWithNoInfra"},
			{Name: "PreventPendingTransitions"},
			validate,
			secureFlow,
			{Name: "RemoveDeploymentConcurrencyLeaseForOldClientVersions"},
			{Name: "EnsureOnlyScheduledFlowsMarkedLate"},
			{Name: "HandlePausingFlows"},
			{Name: "HandleResumingPausedFlows"},
			{Name: "CopyScheduledTime"},
			{Name: "WaitForScheduledTime"},
			{Name: "RetryFailedFlows"},
			instrument,
			{Name: "ReleaseFlowConcurrencySlots"},
		}},
		{MinimalFlowPolicy, []Entry{
			{Name: "PreventResultDataLoss"},
			{Name: "BypassCancellingFlowRunsWithNoInfra"},
			instrument,
			{Name: "ReleaseFlowConcurrencySlots"},
		}},
		{MarkLateRunsPolicy, []Entry{
			{Name: "EnsureOnlyScheduledFlowsMarkedLate"},
			{Name: "EnforceDeploymentConcurrencyOnLate"},
			instrument,
		}},
		{CoreTaskPolicy, []Entry{
			{Name: "CacheRetrieval"},
			{Name: "HandleTaskTerminalStateTransitions"},
			{Name: "PreventRunningTasksFromStoppedFlows"},
			secureTask,
			{Name: "CopyScheduledTime"},
			{Name: "WaitForScheduledTime"},
			{Name: "RetryFailedTasks"},
			{Name: "RenameReruns"},
			{Name: "UpdateFlowRunTrackerOnTasks"},
			cacheInsertion,
			{Name: "ReleaseTaskConcurrencySlots"},
		}},
		{ClientSideTaskOrchestrationPolicy, []Entry{
			{Name: "CacheRetrieval"},
			{Name: "HandleTaskTerminalStateTransitions"},
			{Name: "PreventRunningTasksFromStoppedFlows"},
			{Name: "CopyScheduledTime"},
			{Name: "WaitForScheduledTime"},
			{Name: "RetryFailedTasks"},
			{Name: "RenameReruns"},
			{Name: "UpdateFlowRunTrackerOnTasks"},
			cacheInsertion,
			{Name: "ReleaseTaskConcurrencySlots"},
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
			{Name: "ReleaseTaskConcurrencySlots"},
			{Name: "EnqueueScheduledTasks"},
		}},
		{MinimalTaskPolicy, []Entry{
			{Name: "ReleaseTaskConcurrencySlots"},
		}},
	}
}
