package task

import (
	"github.com/interlock-run/interlock/sdk"
	"github.com/interlock-run/interlock/sdk/abi"
)

// RetryFailedTasks turns a failure into AwaitingRetry while the task run has
// retries left and the client does not call the failure final.
func RetryFailedTasks() sdk.Rule {
	return sdk.Rule{
		Name:        "RetryFailedTasks",
		Description: "Retries a failed task run as often and as late as its policy says",
		RunType:     sdk.TaskRun,
		From:        sdk.Running,
		To:          sdk.Failed,
		Evaluate:    retryFailedTasks,
	}
}

func retryFailedTasks(c *sdk.Context) sdk.Decision {
	run := c.Run()
	retries, ok := run.Retries()
	if retriable, said := c.Proposed().Detail(abi.DetailRetriable).Bool(); said && !retriable || !ok || run.RunCount() > retries {
		return sdk.Accept()
	}
	delay := retryDelay(run.Policy("retry_delay"), run.RunCount())
	if jitter, _ := run.Policy("retry_jitter_factor").Float(); jitter > 0 && delay > 0 {
		delay = ClampedPoisson(delay, jitter, c.Chance().Float64())
	}
	return sdk.Reject(sdk.NewState{
		Type: sdk.Scheduled, Name: "AwaitingRetry",
		MessageFrom: sdk.FromProposed, DataFrom: sdk.FromProposed,
		Details: []sdk.Detail{sdk.DetailTime(abi.DetailScheduledTime, c.Now().Add(delay))},
	}, "Retrying")
}

// retryDelay returns the seconds to wait after an attempt: a number is for all of
// them, a list has one each and its last for the rest.
func retryDelay(policy sdk.Value, runCount int) float64 {
	if seconds, ok := policy.Float(); ok {
		return seconds
	}
	delay := 0.0
	for i, item := range policy.Elements() {
		delay, _ = item.Float()
		if i == runCount-1 {
			break
		}
	}
	return delay
}
