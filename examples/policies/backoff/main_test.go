package main

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/interlock-run/interlock/policies/policytest"
	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/tck"
)

var suite *policytest.Suite

func TestMain(m *testing.M) {
	os.Exit(policytest.Main(m, module, ".", func(s *policytest.Suite) { suite = s }))
}

func TestContract(t *testing.T) {
	tck.Run(t, suite.Caller(), tck.Options{Configs: map[string]string{"BackoffRetry": `{"base_seconds":1}`}})
}

func retried(at, lease string) string {
	return `{"decision":"REJECT","reason":"Retrying with backoff","flags":{"set_retry_type_in_process":true,"set_resuming_false":true,"clear_pause_keys":true},
		"state":{"type":"SCHEDULED","name":"AwaitingRetry","message_from":"proposed","data_from":"proposed",
		"state_details":{"scheduled_time":"2026-11-23T` + at + `.000000Z","deployment_concurrency_lease_id":` + lease + `}}}`
}

func TestBackoffRetry(t *testing.T) {
	const (
		stands = `{"decision":"ACCEPT","flags":{"clear_retry_type":true}}`
		exact  = `{"base_seconds":2,"factor":3,"max_seconds":60,"jitter":0}`
		held   = `{"type":"RUNNING","state_details":{"deployment_concurrency_lease_id":"` + policytest.LeaseID + `"}}`
	)
	attempt := func(n string) string { return `{"run_count":` + n + `,"empirical_policy":{"retries":2000}}` }
	own := `{"run_count":2,"empirical_policy":{"retries":3,"retry_delay":30}}`
	suite.Run(t, "BackoffRetry", abi.RunTypeFlow, []policytest.Case{
		{Name: "first", Initial: "RUNNING", Proposed: "FAILED", Run: attempt("1"), Config: exact, Want: retried("18:00:02", "null")},
		{Name: "second", Initial: "RUNNING", Proposed: "FAILED", Run: attempt("2"), Config: exact, Want: retried("18:00:06", "null")},
		{Name: "third", Initial: "RUNNING", Proposed: "FAILED", Run: attempt("3"), Config: exact, Want: retried("18:00:18", "null")},
		{Name: "ceiling", Initial: "RUNNING", Proposed: "FAILED", Run: attempt("5"), Config: exact, Want: retried("18:01:00", "null")},
		{Name: "far beyond the ceiling", Initial: "RUNNING", Proposed: "FAILED", Run: attempt("2000"), Config: exact, Want: retried("18:01:00", "null")},
		{Name: "before any run", Initial: "RUNNING", Proposed: "FAILED", Run: attempt("0"), Config: exact, Want: retried("18:00:02", "null")},
		{Name: "the run's own delay", Initial: "RUNNING", Proposed: "FAILED", Run: own, Config: `{"jitter":0}`, Want: retried("18:01:00", "null")},
		{Name: "defaults", Initial: "RUNNING", Proposed: "FAILED", Run: attempt("4"), Config: `{"jitter":0}`, Want: retried("18:00:08", "null")},
		{Name: "a slot is kept", Initial: held, Proposed: "FAILED", Run: attempt("1"), Config: exact, Want: retried("18:00:02", `"`+policytest.LeaseID+`"`)},
		{Name: "no retries", Initial: "RUNNING", Proposed: "FAILED", Config: exact, Want: stands},
		{Name: "retries used up", Initial: "RUNNING", Proposed: "FAILED", Run: `{"run_count":3,"empirical_policy":{"retries":2}}`, Config: exact, Want: stands},
		{Name: "crashed", Initial: "RUNNING", Proposed: "CRASHED", Want: "-"},
	})
}

// TestJitterTakesAwayUpToItsPart asks about many transitions that differ in
// nothing but their seed.
func TestJitterTakesAwayUpToItsPart(t *testing.T) {
	now, err := time.Parse(time.RFC3339, policytest.Now)
	if err != nil {
		t.Fatal(err)
	}
	least, most := 100.0, 0.0
	for i := range 1000 {
		c := policytest.Case{
			Name: string(rune('A' + i)), Initial: "RUNNING", Proposed: "FAILED",
			Run: `{"empirical_policy":{"retries":1}}`, Config: `{"base_seconds":100,"max_seconds":100,"jitter":0.5}`,
		}
		var verdict abi.Verdict
		if err := json.Unmarshal(module.Evaluate(c.Context(t, abi.RunTypeFlow, suite.Manifest.Rule("BackoffRetry"))), &verdict); err != nil {
			t.Fatal(err)
		}
		var at time.Time
		if err := json.Unmarshal(verdict.Decisions[0].State.Details[abi.DetailScheduledTime], &at); err != nil {
			t.Fatal(err)
		}
		least, most = min(least, at.Sub(now).Seconds()), max(most, at.Sub(now).Seconds())
	}
	if least < 50 || least > 51 || most > 100 || most < 99 {
		t.Errorf("delays from %v to %v s, want 50 to 100", least, most)
	}
}
