package api

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

const unknown = "12345678-1234-1234-1234-123456789012"

// withFlow adds a flow and returns its id.
func (r *rig) withFlow() uuid.UUID {
	f := &prefect.Flow{ID: uuid.New(), Name: "f" + uuid.NewString(), Tags: []string{}, Labels: json.RawMessage(`{"team":"data","kept":1}`)}
	r.flows = append(r.flows, f)
	return f.ID
}

// withFlowRun adds a flow run in a state of this type and returns it.
func (r *rig) withFlowRun(state prefect.StateType) *prefect.FlowRun {
	run := &prefect.FlowRun{ID: uuid.New(), FlowID: r.withFlow(), Name: "run", Tags: []string{}}
	run.State = &prefect.State{ID: uuid.New(), Type: state, Name: state.DefaultName(), Timestamp: testNow, Details: prefect.NewStateDetails()}
	run.StateType = &run.State.Type
	r.flowRuns = append(r.flowRuns, run)
	r.states[run.ID] = []*prefect.State{run.State}
	return run
}

func TestCreateFlowRun(t *testing.T) {
	r := newRig(t)
	flow := r.withFlow()
	body := `{"flow_id":"` + flow.String() + `","labels":{"kept":2,"own":true},"idempotency_key":"k",
		"empirical_policy":{"max_retries":2,"retry_delay_seconds":3},"parameters":{"a":[1]},"name":null}`
	reply := r.want(201, "POST", "/flow_runs/", body)
	run := r.flowRuns[0]
	if want := `{"kept":2,"own":true,"prefect.flow.id":"` + flow.String() + `","team":"data"}`; string(run.Labels) != want {
		t.Errorf("labels %s, want %s", run.Labels, want)
	}
	if run.Policy.Retries == nil || *run.Policy.Retries != 2 || run.Policy.RetryDelay == nil || *run.Policy.RetryDelay != 3 {
		t.Errorf("the deprecated policy fields do not count: %+v", run.Policy)
	}
	if name := at(t, reply, "name").(string); !strings.Contains(name, "-") {
		t.Errorf("name %q, want a random one", name)
	}
	if !r.proposal.Force || r.proposal.State != nil {
		t.Errorf("proposal %+v, want a forced one without a state", r.proposal)
	}
	again := r.want(200, "POST", "/flow_runs", body)
	if at(t, again, "id") != at(t, reply, "id") {
		t.Error("the same idempotency key made another run")
	}
	r.want(409, "POST", "/flow_runs/", `{"flow_id":"`+unknown+`"}`)
	r.want(404, "POST", "/flow_runs/", `{"flow_id":"`+flow.String()+`","work_pool_name":"p"}`)
}

func TestCreatedByAutomation(t *testing.T) {
	r := newRig(t)
	body := `{"flow_id":"` + r.withFlow().String() + `"}`
	r.want(201, "POST", "/flow_runs/", body, "Prefect-Automation-Id", unknown, "Prefect-Automation-Name", "bmlnaHRseQ==")
	by := r.flowRuns[0].CreatedBy
	if by == nil || by.ID.String() != unknown || *by.Type != "AUTOMATION" || *by.DisplayValue != "nightly" {
		t.Errorf("created_by %+v", by)
	}
	r.want(201, "POST", "/flow_runs/", body, "Prefect-Automation-Id", unknown)
	if r.flowRuns[1].CreatedBy != nil {
		t.Error("half of the headers made a creator")
	}
}

func TestUpdateFlowRun(t *testing.T) {
	r := newRig(t)
	run := r.withFlowRun(prefect.Running)
	pid, version := "host:1", "v1"
	run.InfrastructurePID, run.FlowVersion, run.Tags = &pid, &version, []string{"a"}
	path := "/flow_runs/" + run.ID.String()
	r.want(204, "PATCH", path, `{"name":"new","flow_version":null}`)
	if run.Name != "new" || run.FlowVersion != nil || run.InfrastructurePID == nil || len(run.Tags) != 1 {
		t.Errorf("after the PATCH: %+v", run)
	}
	r.want(204, "PATCH", path, `{"empirical_policy":{"retries":1}}`)
	if run.Policy.Retries == nil || run.Policy.PauseKeys == nil || run.Policy.Resuming == nil {
		t.Errorf("policy after the PATCH: %+v", run.Policy)
	}
	r.want(204, "PATCH", path, `{"job_variables":null}`)
	r.want(400, "PATCH", path, `{"job_variables":{"a":1}}`)
	r.want(422, "PATCH", path, `{"tags":null}`)
	r.want(422, "PATCH", path, `{"state":{}}`)
	r.want(404, "PATCH", "/flow_runs/"+unknown, `{}`)
	r.want(404, "PATCH", "/flow_runs/x", `{}`)
}

func TestFlowRunLabels(t *testing.T) {
	r := newRig(t)
	run := r.withFlowRun(prefect.Running)
	run.Labels = json.RawMessage(`{"a":1,"b":2}`)
	r.want(204, "PATCH", "/flow_runs/"+run.ID.String()+"/labels", `{"b":"x","c":true}`)
	if want := `{"a":1,"b":"x","c":true}`; string(run.Labels) != want {
		t.Errorf("labels %s, want %s", run.Labels, want)
	}
	reply := r.want(404, "PATCH", "/flow_runs/"+unknown+"/labels", `{"a":1}`)
	if at(t, reply, "exception_message") == nil {
		t.Errorf("reply %v", reply)
	}
	r.want(422, "PATCH", "/flow_runs/"+run.ID.String()+"/labels", `{"a":[1]}`)
	r.want(422, "PATCH", "/flow_runs/"+run.ID.String()+"/labels", `[]`)
}

func TestReadAndDeleteFlowRun(t *testing.T) {
	r := newRig(t)
	run := r.withFlowRun(prefect.Running)
	path := "/flow_runs/" + run.ID.String()
	for _, p := range []string{path, path + "/", strings.ToUpper(path[11:]), strings.ReplaceAll(path[11:], "-", "")} {
		if !strings.HasPrefix(p, "/") {
			p = "/flow_runs/" + p
		}
		if got := at(t, r.want(200, "GET", p, ""), "id"); got != run.ID.String() {
			t.Errorf("%s: id %v", p, got)
		}
	}
	r.want(204, "DELETE", path, "")
	r.want(404, "DELETE", path, "")
	reply := r.want(404, "GET", path, "")
	if at(t, reply, "detail") != "Flow run not found" {
		t.Errorf("reply %v", reply)
	}
}

func TestSetFlowRunState(t *testing.T) {
	r := newRig(t)
	run := r.withFlowRun(prefect.Pending)
	path := "/flow_runs/" + run.ID.String() + "/set_state"
	reply := r.want(201, "POST", path, `{"state":{"type":"RUNNING","message":"go","data":{"type":"unpersisted"},"state_details":{"transition_id":"`+unknown+`"}}}`,
		"User-Agent", "prefect/3.4.11rc1 (API 0.8.4)", "X-PREFECT-API-VERSION", "0.8.3")
	p := r.proposal
	if p.State.Type != prefect.Running || p.State.Name != "" || *p.State.Message != "go" || p.State.Details.TransitionID.String() != unknown || p.Force {
		t.Errorf("proposal %+v", p)
	}
	if p.State.Details.Deferred == nil || *p.State.Details.Deferred {
		t.Error("deferred is not false by default")
	}
	if p.Client.Version != "3.4.11rc1" || p.Client.APIVersion != "0.8.3" {
		t.Errorf("client %+v", p.Client)
	}
	if at(t, reply, "status") != "ACCEPT" || at(t, reply, "details", "type") != "accept_details" || at(t, reply, "state", "type") != "RUNNING" {
		t.Errorf("reply %v", reply)
	}
	r.result = &prefect.OrchestrationResult{Status: prefect.Wait, Details: prefect.DetailsFor(prefect.Wait, "later", 7)}
	reply = r.want(200, "POST", path, `{"state":{"type":"RUNNING"},"force":"yes"}`)
	if !r.proposal.Force || at(t, reply, "state") != nil || at(t, reply, "details", "delay_seconds") != 7.0 || at(t, reply, "details", "reason") != "later" {
		t.Errorf("reply %v", reply)
	}
	r.want(422, "POST", path, `{"state":{"type":"running"}}`)
	r.want(422, "POST", path, `{"state":{"type":"RUNNING","id":"`+unknown+`"}}`)
	reply = r.want(404, "POST", "/flow_runs/"+unknown+"/set_state", `{"state":{"type":"RUNNING"}}`)
	if at(t, reply, "exception_message") == nil {
		t.Errorf("reply %v", reply)
	}
	r.fail = errors.New("disk on fire at /var/lib")
	reply = r.want(500, "POST", path, `{"state":{"type":"RUNNING"}}`)
	if at(t, reply, "exception_message") != "Internal Server Error" {
		t.Errorf("reply %v", reply)
	}
}

func TestClientVersion(t *testing.T) {
	for agent, want := range map[string]string{
		"prefect/3.8.8 (API 0.8.4)": "3.8.8", "prefect/3.4.11rc1 (API x)": "3.4.11rc1", "prefect/3.0.0.post1+dev (API 0)": "3.0.0.post1+dev",
		"": "", "curl/8": "", "prefect/3.8 (API 0.8.4)": "", "prefect/3.8.8": "", "prefect/3.8.8 (API )": "", "prefect/3.8.8 (API a b)": "",
		"prefect/a.b.c (API 0.8.4)": "", "prefect/3.8.8-x (API 0.8.4)": "", "prefect/3.8.8 (API 0.8.4) ": "", "prefect/.. (API 1)": "",
	} {
		if got := clientVersion(agent); got != want {
			t.Errorf("%q: %q, want %q", agent, got, want)
		}
	}
}

func TestBulkSetState(t *testing.T) {
	r := newRig(t)
	a, b := r.withFlowRun(prefect.Running), r.withFlowRun(prefect.Running)
	reply := r.want(200, "POST", "/flow_runs/bulk_set_state", `{"state":{"type":"CANCELLING"},"flow_runs":{"name":{"any_":["x"]}},"limit":7}`)
	if at(t, reply, "results", 0, "flow_run_id") != a.ID.String() || at(t, reply, "results", 1, "flow_run_id") != b.ID.String() {
		t.Errorf("reply %v", reply)
	}
	if r.page.Limit != 7 || r.asked.FlowRuns.Name.Any[0] != "x" {
		t.Errorf("asked for %+v, %+v", r.asked, r.page)
	}
	reply = r.want(200, "POST", "/flow_runs/bulk_delete", `{}`)
	if r.page.Limit != bulkLimit || at(t, reply, "deleted", 1) != b.ID.String() || len(r.flowRuns) != 0 {
		t.Errorf("reply %v", reply)
	}
	r.want(422, "POST", "/flow_runs/bulk_set_state", `{}`)
	r.want(422, "POST", "/flow_runs/bulk_set_state", `{"state":{"type":"FAILED"},"limit":51}`)
	r.want(422, "POST", "/flow_runs/bulk_delete", `{"limit":0}`)
}

func TestResume(t *testing.T) {
	r := newRig(t)
	running := r.withFlowRun(prefect.Running)
	reply := r.want(200, "POST", "/flow_runs/"+running.ID.String()+"/resume", "")
	if at(t, reply, "status") != "ABORT" || at(t, reply, "state") != nil {
		t.Errorf("reply %v", reply)
	}
	paused := r.withFlowRun(prefect.Paused)
	path := "/flow_runs/" + paused.ID.String() + "/resume"
	r.want(201, "POST", path, "")
	if r.proposal.State.Type != prefect.Running || r.proposal.Force {
		t.Errorf("proposal %+v", r.proposal)
	}
	paused.State.Details.PauseReschedule = true
	r.want(201, "POST", path, `{"run_input":null}`)
	if s := r.proposal.State; s.Type != prefect.Scheduled || s.Name != "Resuming" || !s.Details.ScheduledTime.Equal(testNow.Time) {
		t.Errorf("proposal %+v", s)
	}
	r.want(404, "POST", "/flow_runs/"+unknown+"/resume", "")
	r.want(422, "POST", path, `{"run_input":[]}`)
}

func TestResumeWithInput(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Compile = func([]byte) (func([]byte) error, error) {
			return func(value []byte) error {
				if strings.Contains(string(value), "bad") {
					return errors.New("bad value")
				}
				return nil
			}, nil
		}
	})
	run := r.withFlowRun(prefect.Paused)
	run.State.Details.RunInputKeyset = map[string]string{"schema": "s", "response": "r"}
	path := "/flow_runs/" + run.ID.String() + "/resume"
	refused := func(body string) {
		t.Helper()
		reply := r.want(200, "POST", path, body)
		if at(t, reply, "status") != "REJECT" || at(t, reply, "details", "type") != "abort_details" || at(t, reply, "state", "type") != "PAUSED" {
			t.Errorf("%s: reply %v", body, reply)
		}
	}
	refused(`{"run_input":{"a":1}}`) // there is no schema yet
	r.inputs = append(r.inputs, &prefect.FlowRunInput{FlowRunID: run.ID, Key: "s", Value: `{"type":"object"}`})
	refused(`{"run_input":{"a":"bad"}}`)
	refused(`{"run_input":{"a":{"__prefect_kind":"jinja","template":"x"}}}`)
	r.want(201, "POST", path, `{"run_input":{"a":{"__prefect_kind":"json","value":"[1.0,12345678901234567890]"},"b":[{"__prefect_kind":"none","value":98765432109876543210}]}}`)
	in, err := r.ReadFlowRunInput(t.Context(), run.ID, "r")
	if err != nil || in.Value != `{"a":[1.0,12345678901234567890],"b":[98765432109876543210]}` {
		t.Errorf("stored input %+v, %v", in, err)
	}
}
