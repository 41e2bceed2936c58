package task

import (
	"github.com/interlock-run/interlock/sdk"
	"github.com/interlock-run/interlock/sdk/abi"
)

// HandleTaskTerminalStateTransitions says which ended task runs may run again.
// Those that do get all their retries anew.
func HandleTaskTerminalStateTransitions() sdk.Rule {
	return sdk.Rule{
		Name:        "HandleTaskTerminalStateTransitions",
		Description: "Says how a task run may leave a terminal state",
		RunType:     sdk.TaskRun,
		From:        sdk.Terminal,
		To:          sdk.AnyState,
		Facts:       []string{abi.FactFlowRun},
		Evaluate:    handleTaskTerminalStateTransitions,
	}
}

func handleTaskTerminalStateTransitions(c *sdk.Context) sdk.Decision {
	initial, proposed := c.Initial(), c.Proposed()
	if proposed.Type().In(sdk.Cancelling | sdk.Paused | sdk.Crashed) {
		return sdk.Abort("The run has ended as " + initial.Type().String() + " already")
	}
	kept := initial.Result() == abi.ResultObject || initial.Result() == abi.ResultOther
	if initial.Type() == sdk.Completed && kept {
		return sdk.RejectKeep("The run is COMPLETED and its result is kept")
	}
	d := sdk.Accept()
	if proposed.Type() == sdk.Running && flowRunTriesAgain(c) {
		d = sdk.AcceptWith(sdk.NewState{Name: "Retrying"})
	}
	if !proposed.Type().In(sdk.Terminal) {
		d.Run.RunCount = new(0)
	}
	return d
}

// flowRunTriesAgain reports whether the flow run is in a later attempt than the
// task run last ran in.
func flowRunTriesAgain(c *sdk.Context) bool {
	count, ok := c.Fact(abi.FactFlowRun).Get("run_count").Int()
	return ok && int64(c.Run().FlowRunRunCount()) < count
}
