// Command backoff is a policy module that lets failed flow runs wait longer with
// each attempt: exponential backoff, with jitter and a ceiling.
package main

import (
	"math"

	"github.com/interlock-run/interlock/sdk"
	"github.com/interlock-run/interlock/sdk/abi"
)

var module = sdk.Serve(sdk.Module{
	Name:        "backoff",
	Version:     "1.0.0",
	Description: "Retries failed flow runs with exponential backoff",
	Rules: []sdk.Rule{{
		Name:        "BackoffRetry",
		Description: "Waits base_seconds * factor^(attempt-1), at most max_seconds, less a random part",
		RunType:     sdk.FlowRun,
		From:        sdk.Running,
		To:          sdk.Failed,
		ConfigSchema: `{
			"type": "object",
			"properties": {
				"base_seconds": {"type": "number", "minimum": 0, "description": "delay after the first attempt; by default the run's own retry_delay, else 1"},
				"factor": {"type": "number", "minimum": 1, "default": 2, "description": "how many times longer each delay is"},
				"max_seconds": {"type": "number", "minimum": 0, "default": 3600, "description": "the ceiling"},
				"jitter": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.1, "description": "the greatest part of a delay that chance takes away"}
			},
			"additionalProperties": false
		}`,
		Evaluate: retry,
	}},
})

func main() {}

// retry does what the built-in RetryFailedFlows does, at other times.
func retry(c *sdk.Context) sdk.Decision {
	retries, ok := c.Run().Retries()
	if !ok || c.Run().RunCount() > retries {
		d := sdk.Accept()
		d.Flags = sdk.ClearRetryType
		return d
	}
	d := sdk.Reject(sdk.NewState{
		Type: sdk.Scheduled, Name: "AwaitingRetry",
		MessageFrom: sdk.FromProposed, DataFrom: sdk.FromProposed,
		Details: []sdk.Detail{
			sdk.DetailTime(abi.DetailScheduledTime, c.Now().Add(delay(c))),
			sdk.DetailOf(c.Initial(), abi.DetailDeploymentConcurrencyLeaseID),
		},
	}, "Retrying with backoff")
	d.Flags = sdk.SetRetryTypeInProcess | sdk.SetResumingFalse | sdk.ClearPauseKeys
	return d
}

// delay returns the seconds until the next attempt.
func delay(c *sdk.Context) float64 {
	config := c.Config()
	base := 1.0
	if own := c.Run().RetryDelay(); own > 0 {
		base = own
	}
	attempt := max(c.Run().RunCount(), 1)
	seconds := config.Float("base_seconds", base) * math.Pow(config.Float("factor", 2), float64(attempt-1))
	// Written so that an overflow, or 0 times one, is the ceiling too.
	if ceiling := config.Float("max_seconds", 3600); !(seconds < ceiling) {
		seconds = ceiling
	}
	return seconds * (1 - config.Float("jitter", 0.1)*c.Chance().Float64())
}
