package flow

import (
	"github.com/interlock-run/interlock/sdk"
	"github.com/interlock-run/interlock/sdk/abi"
)

// SecureFlowConcurrencySlots lets a run of a deployment with a concurrency limit
// become PENDING only with a slot, so that a worker starts nothing that may not
// run. A slot that the run holds already, as during a retry in process, is
// counted once.
func SecureFlowConcurrencySlots() sdk.Rule {
	return sdk.Rule{
		Name:         "SecureFlowConcurrencySlots",
		Description:  "Takes a slot of the deployment's concurrency limit, or puts the run off or cancels it; not for workers 3.0.0rc20 to 3.0.3, which take it themselves",
		RunType:      sdk.FlowRun,
		From:         sdk.AnyState &^ (sdk.Pending | sdk.Running | sdk.Cancelling),
		To:           sdk.Pending,
		Needs:        []string{abi.NeedDeployment},
		Facts:        []string{abi.FactDeployment},
		Effects:      []string{abi.EffectAcquireSlots},
		ConfigSchema: `{"type":"object","additionalProperties":false,"properties":{` + leaseSchema + `,"concurrency_slot_wait_seconds":{"type":"number","minimum":0}}}`,
		Evaluate:     secureFlowConcurrencySlots,
	}
}

func secureFlowConcurrencySlots(c *sdk.Context) sdk.Decision {
	if managesSlots(c.ClientVersion()) {
		return sdk.Accept()
	}
	if found, _ := c.Fact(abi.FactDeployment).Get("found").Bool(); !found {
		return sdk.Abort("The run's deployment is gone")
	}
	l, limited := deploymentLimit(c)
	switch {
	case !limited:
		return sdk.Accept()
	case l.slots == 0:
		return sdk.Abort("The deployment's concurrency limit is 0: the run could never start")
	case l.free():
		return sdk.Decision{Effects: []sdk.Effect{l.acquire(c)}}
	case l.cancelsNew():
		return sdk.Reject(sdk.NewState{
			Type: sdk.Cancelled, Message: "All slots of the deployment's concurrency limit are taken.",
		}, "All slots of the deployment's concurrency limit are taken")
	}
	wait := c.Config().Float(settingSlotWait, defaultSlotWait)
	return sdk.Reject(sdk.NewState{
		Type: sdk.Scheduled, Name: "AwaitingConcurrencySlot",
		Details: []sdk.Detail{sdk.DetailTime(abi.DetailScheduledTime, c.Now().Add(wait))},
	}, "All slots of the deployment's concurrency limit are taken")
}

// managesSlots reports whether the client is one of the workers that took
// deployments' slots by themselves.
func managesSlots(v sdk.Version) bool {
	for _, version := range [...]string{"3.0.0rc20", "3.0.0", "3.0.1", "3.0.2", "3.0.3"} {
		if v.Is(version) {
			return true
		}
	}
	return false
}
