package task

import (
	"github.com/interlock-run/interlock/sdk"
	"github.com/interlock-run/interlock/sdk/abi"
)

// ReleaseTaskConcurrencySlots gives back the slots of a task run that leaves
// RUNNING.
func ReleaseTaskConcurrencySlots() sdk.Rule {
	return sdk.Rule{
		Name:        "ReleaseTaskConcurrencySlots",
		Description: "Gives back the slots of the concurrency limits on the run's tags",
		RunType:     sdk.TaskRun,
		From:        sdk.Running | sdk.Cancelling,
		To:          sdk.AnyState,
		Kind:        sdk.Transform,
		Phase:       sdk.After,
		Needs:       []string{abi.NeedTags},
		Facts:       []string{abi.FactRunSlots},
		Effects:     []string{abi.EffectReleaseSlots},
		Evaluate: func(c *sdk.Context) sdk.Decision {
			if c.Final().Type().In(sdk.Running|sdk.Cancelling) || c.Fact(abi.FactRunSlots).Len() == 0 {
				return sdk.Accept()
			}
			return sdk.Decision{Effects: []sdk.Effect{sdk.ReleaseSlots()}}
		},
	}
}
