package flow

import (
	"github.com/interlock-run/interlock/sdk"
	"github.com/interlock-run/interlock/sdk/abi"
)

// EnforceDeploymentConcurrencyOnLate cancels a run that is late because others
// have the slots of its deployment, if that is what the deployment wants of runs
// that find none.
func EnforceDeploymentConcurrencyOnLate() sdk.Rule {
	return sdk.Rule{
		Name:        "EnforceDeploymentConcurrencyOnLate",
		Description: "Cancels late runs of a deployment whose slots are taken and which cancels new ones then",
		RunType:     sdk.FlowRun,
		From:        sdk.Scheduled,
		To:          sdk.Scheduled,
		Needs:       []string{abi.NeedDeployment},
		Facts:       []string{abi.FactDeployment},
		Evaluate: func(c *sdk.Context) sdk.Decision {
			l, limited := deploymentLimit(c)
			if !c.Proposed().Named("Late") || !limited || !l.cancelsNew() || l.free() {
				return sdk.Accept()
			}
			return sdk.Reject(sdk.NewState{
				Type: sdk.Cancelled, Message: "All slots of the deployment's concurrency limit are taken.",
			}, "All slots of the deployment's concurrency limit are taken")
		},
	}
}
