package flow

import (
	"testing"

	"github.com/interlock-run/interlock/policies/policytest"
	"github.com/interlock-run/interlock/sdk/abi"
)

// retried is the decision to try again, with placeholders for what varies.
func retried(scheduled, lease, flags string) string {
	return `{"decision":"REJECT","reason":"Retrying","state":{"type":"SCHEDULED","name":"AwaitingRetry","message_from":"proposed","data_from":"proposed",
		"state_details":{"scheduled_time":"` + scheduled + `","deployment_concurrency_lease_id":` + lease + `}}` + flags + `}`
}

func TestRetryFailedFlows(t *testing.T) {
	const (
		stands = `{"decision":"ACCEPT","flags":{"clear_retry_type":true}}`
		flags  = `,"flags":{"set_retry_type_in_process":true,"set_resuming_false":true,"clear_pause_keys":true}`
		lease  = `{"type":"RUNNING","state_details":{"deployment_concurrency_lease_id":"` + policytest.LeaseID + `"}}`
	)
	suite.Run(t, "RetryFailedFlows", abi.RunTypeFlow, []policytest.Case{
		{Name: "no retries", Initial: "RUNNING", Proposed: "FAILED", Want: stands},
		{Name: "retries 0, first run", Initial: "RUNNING", Proposed: "FAILED", Run: `{"empirical_policy":{"retries":0},"run_count":1}`, Want: stands},
		{Name: "retries 0, run count 0", Initial: "RUNNING", Proposed: "FAILED", Run: `{"empirical_policy":{"retries":0},"run_count":0}`, Want: retried(policytest.Now, "null", flags)},
		{Name: "first failure", Initial: "RUNNING", Proposed: "FAILED", Run: `{"empirical_policy":{"retries":2},"run_count":1}`, Want: retried(policytest.Now, "null", flags)},
		{Name: "last retry", Initial: "RUNNING", Proposed: "FAILED", Run: `{"empirical_policy":{"retries":2},"run_count":2}`, Want: retried(policytest.Now, "null", flags)},
		{Name: "retries used up", Initial: "RUNNING", Proposed: "FAILED", Run: `{"empirical_policy":{"retries":2,"retry_type":"in_process"},"run_count":3}`, Want: stands},
		{Name: "delay", Initial: "RUNNING", Proposed: "FAILED", Run: `{"empirical_policy":{"retries":1,"retry_delay":60}}`, Want: retried(policytest.Later, "null", flags)},
		{Name: "delay null", Initial: "RUNNING", Proposed: "FAILED", Run: `{"empirical_policy":{"retries":1,"retry_delay":null}}`, Want: retried(policytest.Now, "null", flags)},
		{Name: "a slot is kept", Initial: lease, Proposed: "FAILED", Run: `{"empirical_policy":{"retries":1}}`, Want: retried(policytest.Now, `"`+policytest.LeaseID+`"`, flags)},
		{Name: "API 0.8.4", Initial: "RUNNING", Proposed: "FAILED", Run: `{"empirical_policy":{"retries":1}}`, Client: `{"api_version":"0.8.4","api_release":[0,8,4]}`, Want: retried(policytest.Now, "null", flags)},
		{Name: "API 0.8.3 has no pauses", Initial: "RUNNING", Proposed: "FAILED", Run: `{"empirical_policy":{"retries":1}}`, Client: `{"api_version":"0.8.3","api_release":[0,8,3]}`, Want: retried(policytest.Now, "null", "")},
		{Name: "policy without the field", Initial: "RUNNING", Proposed: "FAILED", Run: `{"empirical_policy":{"retries":"2"}}`, Want: stands},
		{Name: "completed", Initial: "RUNNING", Proposed: "COMPLETED", Want: "-"},
		{Name: "crashed", Initial: "RUNNING", Proposed: "CRASHED", Want: "-"},
		{Name: "from pending", Initial: "PENDING", Proposed: "FAILED", Want: "-"},
		{Name: "no state", Proposed: "FAILED", Want: "-"},
	})
}
