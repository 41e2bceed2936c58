package flow

import (
	"github.com/interlock-run/interlock/sdk"
	"github.com/interlock-run/interlock/sdk/abi"
)

// HandleFlowTerminalStateTransitions says which ended flow runs may run again.
// Those that do start with a clean record of pauses.
func HandleFlowTerminalStateTransitions() sdk.Rule {
	return sdk.Rule{
		Name:        "HandleFlowTerminalStateTransitions",
		Description: "Says how a flow run may leave a terminal state",
		RunType:     sdk.FlowRun,
		From:        sdk.Terminal,
		To:          sdk.AnyState,
		Evaluate:    handleFlowTerminalStateTransitions,
	}
}

func handleFlowTerminalStateTransitions(c *sdk.Context) sdk.Decision {
	initial, proposed := c.Initial(), c.Proposed()
	ends := proposed.Type().In(sdk.Terminal)
	switch {
	case proposed.Type().In(sdk.Cancelling | sdk.Paused | sdk.Crashed):
		return sdk.Abort("The run has ended as " + initial.Type().String() + " already")
	case initial.Type() == sdk.Completed && !ends && hasResult(initial):
		return sdk.RejectKeep("The run is COMPLETED and its result is kept")
	case losesResult(initial, proposed):
		return sdk.RejectKeep(reasonLosesResult)
	case proposed.Type() == sdk.Scheduled && !c.Run().Has("deployment_id"):
		return sdk.Abort("A run without a deployment cannot be scheduled again")
	}
	d := sdk.Accept()
	if !ends && knowsPauses(c) {
		d.Run.Resuming = new(false)
		d.Run.ClearPauseKeys = true
		d.Run.RetryType = sdk.RetryNone
		if proposed.Type() == sdk.Scheduled {
			d.Run.RetryType = sdk.RetryReschedule
		}
	}
	return d
}

const reasonLosesResult = "The run is COMPLETED with a result that the proposed state would lose"

// losesResult reports whether a COMPLETED would replace one with a result by one
// without.
func losesResult(initial, proposed *sdk.State) bool {
	return initial.Type() == sdk.Completed && proposed.Type() == sdk.Completed && hasResult(initial) &&
		proposed.Result() != abi.ResultObject && proposed.Result() != abi.ResultEmpty
}

// hasResult reports whether a state has data that a client could read again.
func hasResult(s *sdk.State) bool { return s.Result() == abi.ResultObject }
