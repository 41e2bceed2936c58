package flow

import (
	"github.com/interlock-run/interlock/sdk"
	"github.com/interlock-run/interlock/sdk/abi"
)

// ValidateDeploymentConcurrencyAtRunning sees to it that a run still has the slot
// that it took when it became PENDING. While the run was prepared its lease may
// have ended: then another free slot will do, and without one the run is
// cancelled, since what it needs is running already and cannot be put off. The
// lease is renewed even if the run has to wait.
func ValidateDeploymentConcurrencyAtRunning() sdk.Rule {
	return sdk.Rule{
		Name:         "ValidateDeploymentConcurrencyAtRunning",
		Description:  "Renews the lease of the run's slot, or takes another slot, for clients from 3.4.11",
		RunType:      sdk.FlowRun,
		From:         sdk.Pending,
		To:           sdk.Running,
		Needs:        []string{abi.NeedDeployment, abi.NeedLease},
		Facts:        []string{abi.FactDeployment, abi.FactRunSlots},
		Effects:      []string{abi.EffectRenewLease, abi.EffectAcquireSlots},
		ConfigSchema: `{"type":"object","additionalProperties":false,"properties":{` + leaseSchema + `}}`,
		Evaluate:     validateDeploymentConcurrencyAtRunning,
	}
}

func validateDeploymentConcurrencyAtRunning(c *sdk.Context) sdk.Decision {
	lease, _ := c.Initial().Detail(abi.DetailDeploymentConcurrencyLeaseID).Text()
	l, limited := deploymentLimit(c)
	switch {
	case lease == "" || !keepsLeases(c) || !limited:
		return sdk.Accept()
	case holds(c, lease, l.id):
		return sdk.Decision{Effects: []sdk.Effect{sdk.RenewLease(lease, l.leaseSeconds(c)).Always()}}
	case l.free():
		return sdk.Decision{Effects: []sdk.Effect{l.acquire(c)}}
	}
	return sdk.Reject(sdk.NewState{
		Type: sdk.Cancelled, Message: "The run lost its slot of the deployment's concurrency limit while it was prepared, and no other is free.",
	}, "The run's slot is lost and no other is free")
}

// holds reports whether the run holds a slot of the limit under the lease.
func holds(c *sdk.Context, lease, limit string) bool {
	for _, slot := range c.Fact(abi.FactRunSlots).Elements() {
		held, _ := slot.Get("held").Bool()
		if held && slot.Get("lease_id").Is(lease) && slot.Get("limit_id").Is(limit) {
			return true
		}
	}
	return false
}
