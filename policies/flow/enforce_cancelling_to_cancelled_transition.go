package flow

import "github.com/interlock-run/interlock/sdk"

// EnforceCancellingToCancelledTransition lets a flow run that is being cancelled
// become CANCELLED and nothing else.
func EnforceCancellingToCancelledTransition() sdk.Rule {
	return sdk.Rule{
		Name:        "EnforceCancellingToCancelledTransition",
		Description: "Lets CANCELLING lead to CANCELLED only",
		RunType:     sdk.FlowRun,
		From:        sdk.Cancelling,
		To:          sdk.AnyState &^ sdk.Cancelled,
		Evaluate: func(*sdk.Context) sdk.Decision {
			return sdk.RejectKeep("A run that is being cancelled can only become CANCELLED")
		},
	}
}
