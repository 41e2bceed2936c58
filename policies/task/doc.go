// Package task has the built-in rules for task runs, one a file. The ones that
// task runs share with flow runs are in package flow.
package task

import "github.com/interlock-run/interlock/sdk"

// Rules lists the rules of this package.
func Rules() []sdk.Rule {
	return []sdk.Rule{
		CacheRetrieval(),
		HandleTaskTerminalStateTransitions(),
		PreventRunningTasksFromStoppedFlows(),
		SecureTaskConcurrencySlots(),
		CopyTaskParametersID(),
		RetryFailedTasks(),
		RenameReruns(),
		UpdateFlowRunTrackerOnTasks(),
		CacheInsertion(),
		ReleaseTaskConcurrencySlots(),
		EnqueueScheduledTasks(),
	}
}
