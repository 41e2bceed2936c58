package flow

import (
	"github.com/interlock-run/interlock/sdk"
	"github.com/interlock-run/interlock/sdk/abi"
)

// CopyScheduledTime lets a run that is about to start keep the time it was
// scheduled for, unless the client proposes another.
func CopyScheduledTime() sdk.Rule {
	return sdk.Rule{
		Name:        "CopyScheduledTime",
		Description: "Carries the scheduled time on from SCHEDULED to PENDING",
		RunType:     sdk.AnyRun,
		From:        sdk.Scheduled,
		To:          sdk.Pending,
		Needs:       []string{abi.NeedScheduledTime},
		Evaluate: func(c *sdk.Context) sdk.Decision {
			if !c.Proposed().Detail(abi.DetailScheduledTime).IsNull() || c.Initial().Detail(abi.DetailScheduledTime).IsNull() {
				return sdk.Accept()
			}
			return sdk.AcceptWith(sdk.NewState{Details: []sdk.Detail{
				sdk.DetailOf(c.Initial(), abi.DetailScheduledTime),
			}})
		},
	}
}
