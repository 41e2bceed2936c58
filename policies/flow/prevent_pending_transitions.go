package flow

import (
	"github.com/interlock-run/interlock/sdk"
	"github.com/interlock-run/interlock/sdk/abi"
)

// PreventPendingTransitions keeps a run from being submitted twice: the second
// worker finds it PENDING or further on. Steps between named states of type
// PENDING go on, away from the plain one only.
func PreventPendingTransitions() sdk.Rule {
	return sdk.Rule{
		Name:        "PreventPendingTransitions",
		Description: "Keeps runs that are being started from being started again",
		RunType:     sdk.AnyRun,
		From:        sdk.Pending | sdk.Running | sdk.Cancelling | sdk.Cancelled,
		To:          sdk.Pending,
		Evaluate: func(c *sdk.Context) sdk.Decision {
			initial, proposed := c.Initial(), c.Proposed()
			if initial.Type() == sdk.Pending && !proposed.Named("Pending") && !proposed.Named(initial.Name()) {
				return sdk.AcceptWith(sdk.NewState{Details: []sdk.Detail{
					sdk.DetailOf(initial, abi.DetailScheduledTime),
					sdk.DetailOf(initial, abi.DetailDeploymentConcurrencyLeaseID),
				}})
			}
			return sdk.Abort("A run in state " + initial.Type().String() + " cannot become PENDING")
		},
	}
}
