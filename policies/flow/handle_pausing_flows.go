package flow

import (
	"github.com/interlock-run/interlock/sdk"
	"github.com/interlock-run/interlock/sdk/abi"
)

// HandlePausingFlows says which runs may pause, and remembers the key of a pause,
// so that it fires once. A pause without a key is not remembered: the reference
// makes a key up for it that nothing can ever ask for again.
func HandlePausingFlows() sdk.Rule {
	return sdk.Rule{
		Name:        "HandlePausingFlows",
		Description: "Says when a flow run may pause or suspend",
		RunType:     sdk.FlowRun,
		From:        sdk.AnyState,
		To:          sdk.Paused,
		Evaluate:    handlePausingFlows,
	}
}

func handlePausingFlows(c *sdk.Context) sdk.Decision {
	initial, proposed, run := c.Initial(), c.Proposed(), c.Run()
	verb := "pause"
	if proposed.Named("Suspended") {
		verb = "suspend"
	}
	suspends, _ := proposed.Detail(abi.DetailPauseReschedule).Bool()
	key, hasKey := proposed.Detail(abi.DetailPauseKey).Text()
	switch {
	case !initial.Exists():
		return sdk.Abort("A run without a state cannot " + verb)
	case initial.Type() != sdk.Running:
		return sdk.RejectKeep("Only a running flow can " + verb)
	case hasKey && run.HasPauseKey(key):
		return sdk.RejectKeep("This " + verb + " has fired already")
	case suspends && run.Has("parent_task_run_id"):
		return sdk.Abort("A subflow cannot " + verb)
	case suspends && !run.Has("deployment_id"):
		return sdk.Abort("A run without a deployment cannot " + verb)
	}
	d := sdk.Accept()
	d.Run.AddPauseKey = key
	return d
}
