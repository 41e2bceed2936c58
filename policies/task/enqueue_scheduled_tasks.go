package task

import (
	"github.com/interlock-run/interlock/sdk"
	"github.com/interlock-run/interlock/sdk/abi"
)

// EnqueueScheduledTasks hands background task runs to the task workers once they
// are scheduled.
func EnqueueScheduledTasks() sdk.Rule {
	return sdk.Rule{
		Name:        "EnqueueScheduledTasks",
		Description: "Queues scheduled background task runs for the task workers",
		RunType:     sdk.TaskRun,
		From:        sdk.AnyState,
		To:          sdk.Scheduled,
		Effects:     []string{abi.EffectEnqueueTaskRun},
		Evaluate: func(c *sdk.Context) sdk.Decision {
			d := sdk.Accept()
			if deferred, _ := c.Proposed().Detail(abi.DetailDeferred).Bool(); deferred {
				queue := abi.QueueScheduled
				if c.Proposed().Named("AwaitingRetry") {
					queue = abi.QueueRetry
				}
				d.Effects = []sdk.Effect{sdk.EnqueueTaskRun(queue)}
			}
			return d
		},
	}
}
