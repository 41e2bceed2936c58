package flow

import (
	"github.com/interlock-run/interlock/sdk"
	"github.com/interlock-run/interlock/sdk/abi"
)

// WaitForScheduledTime makes a client wait until the time that its run is
// scheduled for, by this server's clock.
func WaitForScheduledTime() sdk.Rule {
	return sdk.Rule{
		Name:        "WaitForScheduledTime",
		Description: "Holds a run back until its scheduled time",
		RunType:     sdk.AnyRun,
		From:        sdk.Scheduled | sdk.Pending,
		To:          sdk.Running,
		Needs:       []string{abi.NeedScheduledTime},
		Evaluate: func(c *sdk.Context) sdk.Decision {
			due, ok := c.Initial().Detail(abi.DetailScheduledTime).Time()
			if !ok {
				return sdk.Accept()
			}
			if seconds := roundedSeconds(due - c.Now()); seconds > 0 {
				return sdk.Wait(seconds, "Its scheduled time has not come yet")
			}
			return sdk.Accept()
		},
	}
}

// roundedSeconds rounds half a second and less down, as the reference does.
func roundedSeconds(d sdk.Time) int {
	const second = 1_000_000
	if d <= second/2 {
		return 0
	}
	seconds := (d - second/2 + second - 1) / second
	return int(min(seconds, abi.MaxDelaySeconds))
}
