package task

import "github.com/interlock-run/interlock/sdk"

// RenameReruns shows by the state's name that a task run is not on its first try.
func RenameReruns() sdk.Rule {
	return sdk.Rule{
		Name:        "RenameReruns",
		Description: "Names the states of task runs that run again",
		RunType:     sdk.TaskRun,
		From:        sdk.AnyState,
		To:          sdk.Running,
		Evaluate: func(c *sdk.Context) sdk.Decision {
			switch {
			case !c.Initial().Exists() || c.Run().RunCount() <= 0:
				return sdk.Accept()
			case c.Initial().Named("AwaitingRetry"):
				return sdk.AcceptWith(sdk.NewState{Name: "Retrying"})
			}
			return sdk.AcceptWith(sdk.NewState{Name: "Rerunning"})
		},
	}
}
