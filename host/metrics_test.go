package host

import (
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestMetrics(t *testing.T) {
	url := serve(t, func(*Config) {})
	flow := post(t, url+"/flows/", `{"name":"f"}`)
	run := post(t, url+"/flow_runs/", `{"flow_id":"`+flow+`","state":{"type":"PENDING"}}`)
	for _, state := range []string{"RUNNING", "FAILED"} {
		post(t, url+"/flow_runs/"+run+"/set_state", `{"state":{"type":"`+state+`"}}`)
	}
	get(t, url+"/nowhere")
	code, text := get(t, url+"/metrics")
	if code != http.StatusOK {
		t.Fatalf("%d %s", code, text)
	}
	line := regexp.MustCompile(`^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{([a-z_]+="[^"]*",?)+\})? ([0-9.e+-]+|\+Inf))$`)
	names := map[string]bool{}
	for l := range strings.Lines(text) {
		l = strings.TrimSuffix(l, "\n")
		if !line.MatchString(l) {
			t.Errorf("not in Prometheus' form: %s", l)
		}
		if words := strings.Fields(l); words[0] == "#" && words[1] == "TYPE" {
			if names[words[2]] {
				t.Errorf("%s comes twice", words[2])
			}
			names[words[2]] = true
		}
	}
	for _, want := range []string{
		`interlock_http_requests_total{method="POST",route="/flow_runs/{id}/set_state",status="201"} 2`,
		`interlock_http_requests_total{method="any",route="none",status="404"} 1`,
		`interlock_http_request_duration_seconds_count{method="POST",route="/flow_runs"} 1`,
		`interlock_transitions_total{run_type="flow_run",policy="CoreFlowPolicy",proposed="FAILED",status="ACCEPT"} 1`,
		`interlock_outbox_rows{kind="cancelling_timeout"} 0`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("lacks %s", want)
		}
	}
	if !regexp.MustCompile(`interlock_module_calls_total\{module="sha256:[0-9a-f]{64}"\} [1-9]`).MatchString(text) {
		t.Error("no calls of the built-in module")
	}
	documented(t, names)
	if t.Failed() {
		t.Log(text)
	}
	if code, _ := get(t, serve(t, func(c *Config) { c.Metrics, c.Policies = false, false })+"/metrics"); code != http.StatusNotFound {
		t.Errorf("switched off: %d", code)
	}
}

// documented checks that docs/operating.md names each metric, some by their ends.
func documented(t *testing.T, names map[string]bool) {
	t.Helper()
	doc, err := os.ReadFile("../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range names {
		end := strings.TrimPrefix(name, "interlock_module")
		if !strings.Contains(string(doc), "`"+name+"`") && !strings.Contains(string(doc), "`"+end+"`") {
			t.Errorf("docs/operating.md does not tell of %s", name)
		}
	}
}

// post sends JSON and returns the id in the reply.
func post(t *testing.T, url, body string) string {
	t.Helper()
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var reply struct {
		ID string
	}
	if err := json.NewDecoder(resp.Body).Decode(&reply); err != nil || resp.StatusCode >= 300 {
		t.Fatalf("POST %s: %d %v", url, resp.StatusCode, err)
	}
	return reply.ID
}
