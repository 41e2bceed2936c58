package flow

import (
	"github.com/interlock-run/interlock/sdk"
	"github.com/interlock-run/interlock/sdk/abi"
)

// ReleaseFlowConcurrencySlots gives a run's slot back when the run ends or leaves
// its process. It keeps the slot while the process lives on: during a retry in
// process, and during a pause that the process waits out; the reference gives the
// slot back at a pause although nothing takes it again. What the run does not
// hold cannot be given back, so nothing is ever given back twice.
func ReleaseFlowConcurrencySlots() sdk.Rule {
	return sdk.Rule{
		Name:        "ReleaseFlowConcurrencySlots",
		Description: "Gives the slot of the deployment's concurrency limit back",
		RunType:     sdk.FlowRun,
		From:        sdk.AnyState &^ (sdk.Terminal | sdk.NoState),
		To:          sdk.AnyState,
		Kind:        sdk.Transform,
		Phase:       sdk.After,
		Needs:       []string{abi.NeedLease},
		Effects:     []string{abi.EffectReleaseSlots},
		Evaluate: func(c *sdk.Context) sdk.Decision {
			lease, _ := c.Initial().Detail(abi.DetailDeploymentConcurrencyLeaseID).Text()
			if lease == "" || keepsSlot(c.Final(), c.Rejected()) {
				return sdk.Accept()
			}
			return sdk.Decision{Effects: []sdk.Effect{sdk.ReleaseLease(lease)}}
		},
	}
}

// keepsSlot reports whether a run in this state needs its slot; rejected says
// that the state is another than the client's.
func keepsSlot(s *sdk.State, rejected bool) bool {
	switch s.Type() {
	case sdk.Pending, sdk.Running, sdk.Cancelling:
		return true
	case sdk.Scheduled:
		return rejected && s.Named("AwaitingRetry")
	case sdk.Paused:
		suspended, _ := s.Detail(abi.DetailPauseReschedule).Bool()
		return !suspended
	}
	return false
}
