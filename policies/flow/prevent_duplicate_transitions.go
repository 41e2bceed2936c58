package flow

import (
	"github.com/interlock-run/interlock/sdk"
	"github.com/interlock-run/interlock/sdk/abi"
)

// PreventDuplicateTransitions answers a request that came twice with the state
// that it led to.
func PreventDuplicateTransitions() sdk.Rule {
	return sdk.Rule{
		Name:        "PreventDuplicateTransitions",
		Description: "Takes the same transition once",
		RunType:     sdk.FlowRun,
		From:        sdk.AnyState,
		To:          sdk.AnyState,
		Needs:       []string{abi.NeedRepeat},
		Evaluate: func(c *sdk.Context) sdk.Decision {
			id, ok := c.Proposed().Detail(abi.DetailTransitionID).Text()
			if ok && c.Initial().Detail(abi.DetailTransitionID).Is(id) {
				return sdk.RejectKeep("This transition has been made already")
			}
			return sdk.Accept()
		},
	}
}
