package flow

import (
	"github.com/interlock-run/interlock/sdk"
	"github.com/interlock-run/interlock/sdk/abi"
)

// RemoveDeploymentConcurrencyLeaseForOldClientVersions lets runs whose client
// does not renew leases keep their slot without one, until they end.
func RemoveDeploymentConcurrencyLeaseForOldClientVersions() sdk.Rule {
	return sdk.Rule{
		Name:        "RemoveDeploymentConcurrencyLeaseForOldClientVersions",
		Description: "Takes the end off a lease that the client, before 3.4.11, will not renew",
		RunType:     sdk.FlowRun,
		From:        sdk.Pending,
		To:          sdk.Running | sdk.Cancelling,
		Needs:       []string{abi.NeedLease},
		Effects:     []string{abi.EffectDetachLease},
		Evaluate: func(c *sdk.Context) sdk.Decision {
			lease, _ := c.Initial().Detail(abi.DetailDeploymentConcurrencyLeaseID).Text()
			if lease == "" || keepsLeases(c) {
				return sdk.Accept()
			}
			return sdk.Decision{Effects: []sdk.Effect{sdk.DetachLease(lease)}}
		},
	}
}
