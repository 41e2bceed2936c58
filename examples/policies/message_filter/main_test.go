package main

import (
	"os"
	"strings"
	"testing"

	"github.com/interlock-run/interlock/policies/policytest"
	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/tck"
)

var suite *policytest.Suite

func TestMain(m *testing.M) {
	os.Exit(policytest.Main(m, module, ".", func(s *policytest.Suite) { suite = s }))
}

func TestContract(t *testing.T) {
	tck.Run(t, suite.Caller(), tck.Options{Configs: map[string]string{"MessageFilterRetry": `{"patterns":["*Value*"]}`}})
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		fold, want bool
	}{
		{"*", "", false, true},
		{"*", "anything\nat all", false, true},
		{"", "", false, true},
		{"", "x", false, false},
		{"abc", "abc", false, true},
		{"abc", "abcd", false, false},
		{"abcd", "abc", false, false},
		{"ABC", "abc", false, false},
		{"ABC", "abc", true, true},
		{"[abc]", "[ABC]", true, true},
		{"@", "`", true, false},
		{"*Timeout*", "read Timeout: 5", false, true},
		{"*Timeout", "Timeout Timeout", false, true},
		{"*Timeout", "Timeout!", false, false},
		{"a*b*c", "a-b-b-c", false, true},
		{"a*b*c", "a-c-b", false, false},
		{"a?c", "aéc", false, true},
		{"a?c", "ac", false, false},
		{"??", "é", false, false},
		{"*é?", "caf\u00e9!", false, true},
		{"**", "x", false, true},
		{"*?", "", false, false},
		{strings.Repeat("*a", 500) + "b", strings.Repeat("a", 4096), false, false},
	} {
		if got := match(c.pattern, c.s, c.fold); got != c.want {
			t.Errorf("match(%.40q, %.40q, %v) = %v", c.pattern, c.s, c.fold, got)
		}
	}
}

func TestMessageFilterRetry(t *testing.T) {
	const (
		stands  = `{"decision":"ACCEPT","flags":{"clear_retry_type":true}}`
		network = `{"patterns":["*ConnectionError*","*Timeout*"]}`
		refused = `{"type":"FAILED","message":"Flow run encountered an exception: ConnectionError: refused"}`
		retries = `{"empirical_policy":{"retries":2,"retry_delay":60}}`
		retried = `{"decision":"REJECT","reason":"Retrying, as the failure's message matches",
			"flags":{"set_retry_type_in_process":true,"set_resuming_false":true,"clear_pause_keys":true},
			"state":{"type":"SCHEDULED","name":"AwaitingRetry","message_from":"proposed","data_from":"proposed",
			"state_details":{"scheduled_time":"` + policytest.Later + `","deployment_concurrency_lease_id":null}}}`
	)
	suite.Run(t, "MessageFilterRetry", abi.RunTypeFlow, []policytest.Case{
		{Name: "matches", Initial: "RUNNING", Proposed: refused, Run: retries, Config: network, Want: retried},
		{Name: "matches in other letters", Initial: "RUNNING", Proposed: refused, Run: retries, Config: `{"patterns":["*CONNECTIONERROR*"],"ignore_case":true}`, Want: retried},
		{Name: "does not match", Initial: "RUNNING", Proposed: `{"type":"FAILED","message":"Flow run encountered an exception: ValueError"}`, Run: retries, Config: network, Want: stands},
		{Name: "no message", Initial: "RUNNING", Proposed: "FAILED", Run: retries, Config: network, Want: stands},
		{Name: "no retries left", Initial: "RUNNING", Proposed: refused, Run: `{"run_count":3,"empirical_policy":{"retries":2}}`, Config: network, Want: stands},
		{Name: "no retries at all", Initial: "RUNNING", Proposed: refused, Config: network, Want: stands},
		{Name: "completed", Initial: "RUNNING", Proposed: "COMPLETED", Want: "-"},
	})
}
