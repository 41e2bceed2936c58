package flow

import (
	"github.com/interlock-run/interlock/sdk"
	"github.com/interlock-run/interlock/sdk/abi"
)

// HandleResumingPausedFlows says how a run may leave a pause. One that goes on
// is marked as resuming before its run count is taken, so that a pause does not
// use up a retry; runs that end, are cancelled or are refused are not marked. The
// reference marks all of them, after the count.
func HandleResumingPausedFlows() sdk.Rule {
	return sdk.Rule{
		Name:        "HandleResumingPausedFlows",
		Description: "Says how a flow run may leave PAUSED",
		RunType:     sdk.FlowRun,
		From:        sdk.Paused,
		To:          sdk.AnyState,
		Evaluate:    handleResumingPausedFlows,
	}
}

func handleResumingPausedFlows(c *sdk.Context) sdk.Decision {
	initial, proposed := c.Initial(), c.Proposed()
	if !proposed.Type().In(sdk.Running | sdk.Scheduled | sdk.Cancelling | sdk.Terminal) {
		return sdk.RejectKeep("A paused run cannot become " + proposed.Type().String())
	}
	suspended, _ := initial.Detail(abi.DetailPauseReschedule).Bool()
	if suspended && !c.Run().Has("deployment_id") {
		return sdk.RejectKeep("A suspended run without a deployment cannot go on")
	}
	if proposed.Type() == sdk.Cancelling {
		// The process of a blocking pause lives on and has to be told, however late.
		return sdk.Accept()
	}
	if deadline, ok := initial.Detail(abi.DetailPauseTimeout).Time(); ok && deadline.Before(c.Now()) {
		return sdk.Reject(sdk.NewState{
			Type: sdk.Failed, Message: "The flow run was paused and not resumed in time.",
		}, "The pause has timed out and cannot be left any more")
	}
	d := sdk.Accept()
	if proposed.Type().In(sdk.Running | sdk.Scheduled) {
		d.Run.Resuming = new(true)
	}
	return d
}
