package task

import (
	"github.com/interlock-run/interlock/sdk"
	"github.com/interlock-run/interlock/sdk/abi"
)

// PreventRunningTasksFromStoppedFlows lets tasks of a flow run only run while the
// flow run does. While it is paused they are paused with it.
func PreventRunningTasksFromStoppedFlows() sdk.Rule {
	return sdk.Rule{
		Name:        "PreventRunningTasksFromStoppedFlows",
		Description: "Keeps tasks from running when their flow run does not",
		RunType:     sdk.TaskRun,
		From:        sdk.AnyState,
		To:          sdk.Running,
		Facts:       []string{abi.FactFlowRun},
		Evaluate:    preventRunningTasksFromStoppedFlows,
	}
}

func preventRunningTasksFromStoppedFlows(c *sdk.Context) sdk.Decision {
	flowRun := c.Fact(abi.FactFlowRun)
	if found, _ := flowRun.Get("found").Bool(); !found {
		return sdk.Accept()
	}
	state := flowRun.Get("state")
	switch {
	case state.Get("type").Is(abi.Running):
		return sdk.Accept()
	case state.Get("type").Is(abi.Paused):
		details := state.Get("state_details")
		suspended, _ := details.Get(abi.DetailPauseReschedule).Bool()
		paused := sdk.NewState{Type: sdk.Paused, Name: "NotReady", Details: []sdk.Detail{
			sdk.DetailBool(abi.DetailPauseReschedule, suspended),
		}}
		if deadline, ok := details.Get(abi.DetailPauseTimeout).Time(); ok {
			paused.Details = append(paused.Details, sdk.DetailTime(abi.DetailPauseTimeout, deadline))
		}
		id, _ := flowRun.Get("id").Text()
		return sdk.Reject(paused, "The flow run "+id+" is paused; its tasks run once it is resumed")
	}
	return sdk.Abort("The flow run of this task is not running")
}
