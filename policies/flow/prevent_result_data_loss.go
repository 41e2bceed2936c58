package flow

import "github.com/interlock-run/interlock/sdk"

// PreventResultDataLoss keeps the result of a COMPLETED run even when a state is
// set by force.
func PreventResultDataLoss() sdk.Rule {
	return sdk.Rule{
		Name:        "PreventResultDataLoss",
		Description: "Keeps a result from being overwritten by none",
		RunType:     sdk.FlowRun,
		From:        sdk.Terminal,
		To:          sdk.Terminal,
		Evaluate: func(c *sdk.Context) sdk.Decision {
			if losesResult(c.Initial(), c.Proposed()) {
				return sdk.RejectKeep(reasonLosesResult)
			}
			return sdk.Accept()
		},
	}
}
