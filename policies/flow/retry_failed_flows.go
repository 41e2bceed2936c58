package flow

import (
	"github.com/interlock-run/interlock/sdk"
	"github.com/interlock-run/interlock/sdk/abi"
)

// RetryFailedFlows turns a failure into AwaitingRetry while the run has retries
// left. The message and the data of the failure are kept, and so is the slot that
// the run holds. Clients below API 0.8.3 get no help with their failed tasks.
func RetryFailedFlows() sdk.Rule {
	return sdk.Rule{
		Name:        "RetryFailedFlows",
		Description: "Retries a failed flow run as often and as late as its policy says",
		RunType:     sdk.FlowRun,
		From:        sdk.Running,
		To:          sdk.Failed,
		Evaluate:    retryFailedFlows,
	}
}

func retryFailedFlows(c *sdk.Context) sdk.Decision {
	run := c.Run()
	retries, ok := run.Retries()
	if !ok || run.RunCount() > retries {
		// What failed for good may still be tried again by hand, by other means.
		d := sdk.Accept()
		d.Flags = sdk.ClearRetryType
		return d
	}
	d := sdk.Reject(sdk.NewState{
		Type: sdk.Scheduled, Name: "AwaitingRetry",
		MessageFrom: sdk.FromProposed, DataFrom: sdk.FromProposed,
		Details: []sdk.Detail{
			sdk.DetailTime(abi.DetailScheduledTime, c.Now().Add(run.RetryDelay())),
			sdk.DetailOf(c.Initial(), abi.DetailDeploymentConcurrencyLeaseID),
		},
	}, "Retrying")
	if knowsPauses(c) {
		d.Flags = sdk.SetRetryTypeInProcess | sdk.SetResumingFalse | sdk.ClearPauseKeys
	}
	return d
}

// knowsPauses reports whether the client speaks an API that has pauses. One that
// does not say is a new one.
func knowsPauses(c *sdk.Context) bool {
	version := c.APIVersion()
	return !version.Known() || version.AtLeast(0, 8, 4)
}
