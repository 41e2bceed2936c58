// Package flow has the built-in rules for flow runs, one a file, and those that
// flow runs and task runs share. They decide what the reference decides; where
// one decides otherwise on purpose, its comment says so.
package flow

import "github.com/interlock-run/interlock/sdk"

// Rules lists the rules of this package.
func Rules() []sdk.Rule {
	return []sdk.Rule{
		PreserveDeploymentConcurrencyLeaseID(),
		PreventDuplicateTransitions(),
		HandleFlowTerminalStateTransitions(),
		EnforceCancellingToCancelledTransition(),
		BypassCancellingFlowRunsWithNoInfra(),
		PreventPendingTransitions(),
		ValidateDeploymentConcurrencyAtRunning(),
		SecureFlowConcurrencySlots(),
		RemoveDeploymentConcurrencyLeaseForOldClientVersions(),
		EnsureOnlyScheduledFlowsMarkedLate(),
		EnforceDeploymentConcurrencyOnLate(),
		HandlePausingFlows(),
		HandleResumingPausedFlows(),
		CopyScheduledTime(),
		WaitForScheduledTime(),
		RetryFailedFlows(),
		PreventResultDataLoss(),
		ReleaseFlowConcurrencySlots(),
	}
}
