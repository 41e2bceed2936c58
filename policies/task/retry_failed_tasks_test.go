package task

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/interlock-run/interlock/policies/policytest"
	"github.com/interlock-run/interlock/sdk/abi"
)

func TestRetryFailedTasks(t *testing.T) {
	retried := func(after int) string {
		at := "2026-11-23T18:00:" + string([]byte{byte('0' + after/10), byte('0' + after%10)}) + ".000000Z"
		return `{"decision":"REJECT","reason":"Retrying","state":{"type":"SCHEDULED","name":"AwaitingRetry","message_from":"proposed","data_from":"proposed",
			"state_details":{"scheduled_time":"` + at + `"}}}`
	}
	of := func(policy, count string) string {
		return `{"empirical_policy":` + policy + `,"run_count":` + count + `}`
	}
	const list = `{"retries":9,"retry_delay":[1,2,30]}`
	run(t, "RetryFailedTasks", []policytest.Case{
		{Name: "no retries", Initial: "RUNNING", Proposed: "FAILED", Want: accepted},
		{Name: "retries 0", Initial: "RUNNING", Proposed: "FAILED", Run: of(`{"retries":0}`, "1"), Want: accepted},
		{Name: "at once", Initial: "RUNNING", Proposed: "FAILED", Run: of(`{"retries":1}`, "1"), Want: retried(0)},
		{Name: "used up", Initial: "RUNNING", Proposed: "FAILED", Run: of(`{"retries":1}`, "2"), Want: accepted},
		{Name: "a number", Initial: "RUNNING", Proposed: "FAILED", Run: of(`{"retries":1,"retry_delay":10}`, "1"), Want: retried(10)},
		{Name: "first of a list", Initial: "RUNNING", Proposed: "FAILED", Run: of(list, "1"), Want: retried(1)},
		{Name: "second of a list", Initial: "RUNNING", Proposed: "FAILED", Run: of(list, "2"), Want: retried(2)},
		{Name: "beyond a list", Initial: "RUNNING", Proposed: "FAILED", Run: of(list, "7"), Want: retried(30)},
		{Name: "before a list", Initial: "RUNNING", Proposed: "FAILED", Run: of(list, "0"), Want: retried(30)},
		{Name: "an empty list", Initial: "RUNNING", Proposed: "FAILED", Run: of(`{"retries":1,"retry_delay":[]}`, "1"), Want: retried(0)},
		{Name: "jitter of nothing", Initial: "RUNNING", Proposed: "FAILED", Run: of(`{"retries":1,"retry_jitter_factor":0.5}`, "1"), Want: retried(0)},
		{Name: "final", Initial: "RUNNING", Proposed: `{"type":"FAILED","state_details":{"retriable":false}}`, Run: of(`{"retries":1}`, "1"), Want: accepted},
		{Name: "said to be retriable", Initial: "RUNNING", Proposed: `{"type":"FAILED","state_details":{"retriable":true}}`, Run: of(`{"retries":1}`, "1"), Want: retried(0)},
		{Name: "pending", Initial: "PENDING", Proposed: "FAILED", Want: "-"},
	})
}

// TestRetriesAreSpread asks for a delay of 10 s with a jitter of half as much in
// many transitions.
func TestRetriesAreSpread(t *testing.T) {
	now, err := time.Parse(time.RFC3339Nano, policytest.Now)
	if err != nil {
		t.Fatal(err)
	}
	rule := suite.Manifest.Rule("RetryFailedTasks")
	sum, least, most := 0.0, math.Inf(1), 0.0
	const n = 2000
	for i := range n {
		c := policytest.Case{
			Name: string(rune('A' + i)), Initial: "RUNNING", Proposed: "FAILED",
			Run: `{"empirical_policy":{"retries":1,"retry_delay":10,"retry_jitter_factor":0.5}}`,
		}
		var verdict abi.Verdict
		if err := json.Unmarshal(suite.Native.Evaluate(c.Context(t, abi.RunTypeTask, rule)), &verdict); err != nil {
			t.Fatal(err)
		}
		var at time.Time
		if err := json.Unmarshal(verdict.Decisions[0].State.Details[abi.DetailScheduledTime], &at); err != nil {
			t.Fatal(err)
		}
		d := at.Sub(now).Seconds()
		sum, least, most = sum+d, min(least, d), max(most, d)
	}
	lower := 10 * math.Log2(math.Exp2(1.5)/(math.Exp2(1.5)-1))
	if least < lower || least > lower+0.5 || most > 15 || most < 14.5 || math.Abs(sum/n-10) > 1 {
		t.Errorf("from %v to %v, %v on average; want %v to 15, about 10", least, most, sum/n, lower)
	}
}

func TestClampedPoisson(t *testing.T) {
	for _, c := range []struct{ mean, clamp, u, want float64 }{
		{0, 0.3, 0.5, 0},
		{-1, 0.3, 0.5, 0},
		{10, 0, 0.5, 10},
		{10, 0.3, 0, 10 * math.Log2(math.Exp2(1.3)/(math.Exp2(1.3)-1))},
		{10, 0.3, 1, 13},
		{10, 60, 0, 0},
		{1, 60, 1, -math.Log(1e-10)},
	} {
		if got := ClampedPoisson(c.mean, c.clamp, c.u); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
