package flow

import "github.com/interlock-run/interlock/sdk"

// EnsureOnlyScheduledFlowsMarkedLate keeps runs that have moved on, or that are
// Late already, from being marked late.
func EnsureOnlyScheduledFlowsMarkedLate() sdk.Rule {
	return sdk.Rule{
		Name:        "EnsureOnlyScheduledFlowsMarkedLate",
		Description: "Lets scheduled flow runs be marked Late once",
		RunType:     sdk.FlowRun,
		From:        sdk.AnyState,
		To:          sdk.Scheduled,
		Evaluate: func(c *sdk.Context) sdk.Decision {
			initial := c.Initial()
			switch {
			case !initial.Exists() || !c.Proposed().Named("Late"):
				return sdk.Accept()
			case initial.Type() != sdk.Scheduled:
				return sdk.RejectKeep("Only a scheduled run can be late")
			case initial.Named("Late"):
				return sdk.RejectKeep("The run is marked late already")
			}
			return sdk.Accept()
		},
	}
}
