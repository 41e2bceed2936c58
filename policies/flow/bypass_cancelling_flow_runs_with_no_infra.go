package flow

import (
	"github.com/interlock-run/interlock/sdk"
	"github.com/interlock-run/interlock/sdk/abi"
)

// BypassCancellingFlowRunsWithNoInfra cancels at once what has no process that
// could be told: runs not yet started, suspended ones and those about to resume.
func BypassCancellingFlowRunsWithNoInfra() sdk.Rule {
	return sdk.Rule{
		Name:        "BypassCancellingFlowRunsWithNoInfra",
		Description: "Cancels flow runs without infrastructure at once",
		RunType:     sdk.FlowRun,
		From:        sdk.Scheduled | sdk.Paused,
		To:          sdk.Cancelling,
		Evaluate: func(c *sdk.Context) sdk.Decision {
			initial := c.Initial()
			suspended, _ := initial.Detail(abi.DetailPauseReschedule).Bool()
			switch {
			case initial.Type() == sdk.Scheduled && !c.Run().Has("infrastructure_pid"), initial.Named("Resuming"):
				return sdk.Reject(sdk.NewState{Type: sdk.Cancelled}, "The scheduled run has no infrastructure to stop")
			case initial.Type() == sdk.Paused && suspended:
				return sdk.Reject(sdk.NewState{Type: sdk.Cancelled}, "The suspended run has no infrastructure to stop")
			}
			return sdk.Accept()
		},
	}
}
