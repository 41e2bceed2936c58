package task

import (
	"github.com/interlock-run/interlock/sdk"
	"github.com/interlock-run/interlock/sdk/abi"
)

// CopyTaskParametersID lets a background task find its parameters when it runs.
func CopyTaskParametersID() sdk.Rule {
	return sdk.Rule{
		Name:        "CopyTaskParametersID",
		Description: "Carries the id of a background task's parameters on to its start",
		RunType:     sdk.TaskRun,
		From:        sdk.Scheduled | sdk.Pending,
		To:          sdk.Pending | sdk.Running,
		Evaluate: func(c *sdk.Context) sdk.Decision {
			if !c.Proposed().Detail(abi.DetailTaskParametersID).IsNull() || c.Initial().Detail(abi.DetailTaskParametersID).IsNull() {
				return sdk.Accept()
			}
			return sdk.AcceptWith(sdk.NewState{Details: []sdk.Detail{
				sdk.DetailOf(c.Initial(), abi.DetailTaskParametersID),
			}})
		},
	}
}
