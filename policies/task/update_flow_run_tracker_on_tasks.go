package task

import (
	"github.com/interlock-run/interlock/sdk"
	"github.com/interlock-run/interlock/sdk/abi"
)

// UpdateFlowRunTrackerOnTasks notes in which attempt of its flow run a task run
// runs. A flow run that is gone is no reason to fail, other than in the reference.
func UpdateFlowRunTrackerOnTasks() sdk.Rule {
	return sdk.Rule{
		Name:        "UpdateFlowRunTrackerOnTasks",
		Description: "Notes the flow run's attempt on the task run",
		RunType:     sdk.TaskRun,
		From:        sdk.AnyState,
		To:          sdk.Running,
		Facts:       []string{abi.FactFlowRun},
		Evaluate: func(c *sdk.Context) sdk.Decision {
			d := sdk.Accept()
			if count, ok := c.Fact(abi.FactFlowRun).Get("run_count").Int(); ok && count >= 0 {
				d.Run.FlowRunRunCount = new(int(count))
			}
			return d
		},
	}
}
