// Command message_filter is a policy module that retries failed flow runs only
// when the failure's message matches a pattern.
package main

import (
	"github.com/interlock-run/interlock/sdk"
	"github.com/interlock-run/interlock/sdk/abi"
)

var module = sdk.Serve(sdk.Module{
	Name:        "message-filter",
	Version:     "1.0.0",
	Description: "Retries failed flow runs by what their failure says",
	Rules: []sdk.Rule{{
		Name:        "MessageFilterRetry",
		Description: "Retries when the message matches one of the patterns, as often and as late as the run's policy says",
		RunType:     sdk.FlowRun,
		From:        sdk.Running,
		To:          sdk.Failed,
		ConfigSchema: `{
			"type": "object",
			"properties": {
				"patterns": {"type": "array", "minItems": 1, "maxItems": 20, "items": {"type": "string", "minLength": 1, "maxLength": 200}, "description": "* stands for any text, ? for one character; the whole message has to match"},
				"ignore_case": {"type": "boolean", "default": false, "description": "of ASCII letters"}
			},
			"required": ["patterns"],
			"additionalProperties": false
		}`,
		Evaluate: retry,
	}},
})

func main() {}

func retry(c *sdk.Context) sdk.Decision {
	retries, ok := c.Run().Retries()
	if !ok || c.Run().RunCount() > retries || !worthIt(c) {
		d := sdk.Accept()
		d.Flags = sdk.ClearRetryType
		return d
	}
	d := sdk.Reject(sdk.NewState{
		Type: sdk.Scheduled, Name: "AwaitingRetry",
		MessageFrom: sdk.FromProposed, DataFrom: sdk.FromProposed,
		Details: []sdk.Detail{
			sdk.DetailTime(abi.DetailScheduledTime, c.Now().Add(c.Run().RetryDelay())),
			sdk.DetailOf(c.Initial(), abi.DetailDeploymentConcurrencyLeaseID),
		},
	}, "Retrying, as the failure's message matches")
	d.Flags = sdk.SetRetryTypeInProcess | sdk.SetResumingFalse | sdk.ClearPauseKeys
	return d
}

// worthIt reports whether the failure is one that another attempt may cure.
func worthIt(c *sdk.Context) bool {
	message := c.Proposed().Message()
	fold := c.Config().Bool("ignore_case", false)
	for _, p := range c.Config().Get("patterns").Elements() {
		if pattern, ok := p.Text(); ok && match(pattern, message, fold) {
			return true
		}
	}
	return false
}
