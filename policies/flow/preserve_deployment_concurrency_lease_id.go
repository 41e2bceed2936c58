package flow

import (
	"github.com/interlock-run/interlock/sdk"
	"github.com/interlock-run/interlock/sdk/abi"
)

// PreserveDeploymentConcurrencyLeaseID carries the lease of the run's slot from
// state to state. What a client says of a lease never gets here, so there is
// nothing to keep but the run's own.
func PreserveDeploymentConcurrencyLeaseID() sdk.Rule {
	return sdk.Rule{
		Name:        "PreserveDeploymentConcurrencyLeaseId",
		Description: "Carries the lease of a deployment's slot on from state to state",
		RunType:     sdk.FlowRun,
		From:        sdk.AnyState,
		To:          sdk.AnyState,
		Kind:        sdk.Transform,
		Needs:       []string{abi.NeedLease},
		Evaluate: func(c *sdk.Context) sdk.Decision {
			if !c.Proposed().Exists() || !c.Proposed().Detail(abi.DetailDeploymentConcurrencyLeaseID).IsNull() {
				return sdk.Accept()
			}
			return sdk.AcceptWith(sdk.NewState{Details: []sdk.Detail{
				sdk.DetailOf(c.Initial(), abi.DetailDeploymentConcurrencyLeaseID),
			}})
		},
	}
}
