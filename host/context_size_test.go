package host

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	. "github.com/interlock-run/interlock/host/sandbox/wasmtest"
)

// TestARunWithVeryManyTagsIsRetried takes runs whose context no uploaded module
// could take all the way: with the built-in rules alone, and with a module in the
// place of the retries, which must not suffer for it.
func TestARunWithVeryManyTagsIsRetried(t *testing.T) {
	const manifest = `{"abi":1,"name":"acme","version":"1","rules":[{"name":"Mine","run_type":"flow_run","from":["RUNNING"],"to":["FAILED"]}]}`
	const verdict = `{"decisions":[{"rule":"Mine","decision":"ACCEPT"}]}`
	m := PolicyOf(&Builder{}, manifest, 2)
	m.Data(FreeAt, []byte(verdict))
	url := serve(t, func(c *Config) { c.QuarantineAfter, c.Services = 2, false })
	var module struct {
		Digest      string
		Quarantined bool
	}
	send(t, "POST", url+"/interlock/modules", "application/wasm", m.Evaluate(nil, Pack(FreeAt, uint32(len(verdict)))), &module)
	tags := make([]string, 20_000)
	for i := range tags {
		tags[i] = fmt.Sprintf("%044d", i)
	}
	list, err := json.Marshal(tags)
	if err != nil {
		t.Fatal(err)
	}
	flow := post(t, url+"/flows/", `{"name":"f"}`)

	retried(t, url, flow, string(list), "")
	replaceRetries(t, url, module.Digest)
	for range 3 {
		retried(t, url, flow, string(list), "context too large")
	}
	send(t, "GET", url+"/interlock/modules/"+module.Digest, "", nil, &module)
	if module.Quarantined {
		t.Error("the module is in quarantine for what was not its fault")
	}
	_, text := get(t, url+"/metrics")
	for _, want := range []string{
		`interlock_module_failures_total{module="` + module.Digest + `",kind="context"} 3`,
		`interlock_module_calls_total{module="` + module.Digest + `"} 0`,
		`interlock_policy_decisions_total{policy="CoreFlowPolicy",entry="RetryFailedFlows",decision="REJECT",handled="fallback"} 3`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// replaceRetries puts a module's rule Mine in the place of RetryFailedFlows.
func replaceRetries(t *testing.T, url, digest string) {
	t.Helper()
	var policy struct {
		Version int              `json:"version"`
		Entries []map[string]any `json:"entries"`
	}
	_, text := get(t, url+"/interlock/policies/CoreFlowPolicy")
	if err := json.Unmarshal([]byte(text), &policy); err != nil {
		t.Fatal(err)
	}
	for _, e := range policy.Entries {
		if e["name"] == "RetryFailedFlows" {
			e["module"], e["rule"], e["on_error"] = digest, "Mine", "fallback"
		}
	}
	body, err := json.Marshal(policy)
	if err != nil {
		t.Fatal(err)
	}
	var ignored any
	send(t, "PUT", url+"/interlock/policies/CoreFlowPolicy", "application/json", body, &ignored)
}

// retried has a run with one retry fail, and looks that it is retried and what the
// record says of the entry's module: an error that begins like that, or none.
func retried(t *testing.T, url, flow, tags, failure string) {
	t.Helper()
	run := post(t, url+"/flow_runs/", `{"flow_id":"`+flow+`","state":{"type":"PENDING"},"empirical_policy":{"retries":1},"tags":`+tags+`}`)
	set := url + "/flow_runs/" + run + "/set_state"
	var reply struct {
		Status string
		State  struct{ Type, Name string }
	}
	send(t, "POST", set, "application/json", []byte(`{"state":{"type":"RUNNING"}}`), &reply)
	send(t, "POST", set, "application/json", []byte(`{"state":{"type":"FAILED"}}`), &reply)
	if reply.Status != "REJECT" || reply.State.Name != "AwaitingRetry" {
		t.Errorf("the failure was answered with %+v", reply)
	}
	var decisions []struct {
		Rules []struct{ Name, Decision, Error, Handled string }
	}
	_, text := get(t, url+"/interlock/decisions?flow_run_id="+run)
	if err := json.Unmarshal([]byte(text), &decisions); err != nil {
		t.Fatal(err)
	}
	rules := decisions[len(decisions)-1].Rules
	for _, r := range rules {
		if r.Name == "RetryFailedFlows" && (r.Decision != "REJECT" || !strings.HasPrefix(r.Error, failure) || (r.Error == "") != (failure == "")) {
			t.Errorf("the record says %+v", r)
		}
	}
}
