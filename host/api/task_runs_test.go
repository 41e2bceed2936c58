package api

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// withTaskRun adds a task run in a state of this type and returns it.
func (r *rig) withTaskRun(state prefect.StateType) *prefect.TaskRun {
	run := &prefect.TaskRun{ID: uuid.New(), Name: "task", TaskKey: "t", DynamicKey: uuid.NewString(), Tags: []string{}}
	run.State = &prefect.State{ID: uuid.New(), Type: state, Name: state.DefaultName(), Timestamp: testNow, Details: prefect.NewStateDetails()}
	run.StateType = &run.State.Type
	r.taskRuns = append(r.taskRuns, run)
	r.states[run.ID] = []*prefect.State{run.State}
	return run
}

func TestCreateTaskRun(t *testing.T) {
	r := newRig(t)
	parent := r.withFlowRun(prefect.Running)
	parent.Labels = json.RawMessage(`{"team":"data"}`)
	body := `{"task_key":"t","dynamic_key":"0","flow_run_id":"` + parent.ID.String() + `","id":"` + unknown + `",
		"empirical_policy":{"retries":2,"retry_delay":[1,2.5],"retry_jitter_factor":0.5},"state":{"type":"SCHEDULED","state_details":{"deferred":true}},
		"task_inputs":{"x":[{"id":"` + unknown + `"},{"input_type":"parameter","name":"p"}],"y":[]}}`
	reply := r.want(201, "POST", "/task_runs/", body)
	run := r.taskRuns[0]
	if at(t, reply, "id") != unknown || at(t, reply, "labels", "team") != "data" || at(t, reply, "labels", "prefect.flow-run.id") != parent.ID.String() {
		t.Errorf("reply %v", reply)
	}
	if string(run.Policy.RetryDelay) != "[1,2.5]" || *run.Policy.RetryJitterFactor != 0.5 {
		t.Errorf("policy %+v", run.Policy)
	}
	if at(t, reply, "task_inputs", "x", 0, "input_type") != "task_run" || at(t, reply, "task_inputs", "x", 1, "name") != "p" {
		t.Errorf("inputs %s", run.TaskInputs)
	}
	if !*r.proposal.State.Details.Deferred || r.proposal.Client.Version != "" {
		t.Errorf("proposal %+v", r.proposal)
	}
	r.want(200, "POST", "/task_runs/", body)
	r.want(409, "POST", "/task_runs/", `{"task_key":"t","dynamic_key":"1","flow_run_id":"`+unknown+`"}`)
	r.want(201, "POST", "/task_runs/", `{"task_key":"t","dynamic_key":"2","empirical_policy":{"max_retries":3,"retry_delay_seconds":1.5}}`)
	if p := r.taskRuns[1].Policy; *p.Retries != 3 || string(p.RetryDelay) != "1.5" {
		t.Errorf("the deprecated policy fields do not count: %+v", p)
	}
	r.want(422, "POST", "/task_runs/", `{"task_key":"t"}`)
	r.want(422, "POST", "/task_runs/", `{"task_key":"t","dynamic_key":"3","cache_key":"`+strings.Repeat("é", 2001)+`"}`)
	r.want(201, "POST", "/task_runs/", `{"task_key":"t","dynamic_key":"3","cache_key":"`+strings.Repeat("é", 2000)+`"}`)
}

func TestTaskRunOperations(t *testing.T) {
	r := newRig(t)
	run := r.withTaskRun(prefect.Pending)
	path := "/task_runs/" + run.ID.String()
	if got := r.want(200, "GET", path, ""); at(t, got, "state", "type") != "PENDING" {
		t.Errorf("reply %v", got)
	}
	r.want(204, "PATCH", path, `{"name":"renamed"}`)
	if run.Name != "renamed" {
		t.Errorf("name %q", run.Name)
	}
	r.want(204, "PATCH", path, `{}`)
	if run.Name != "renamed" {
		t.Errorf("name %q after an empty PATCH", run.Name)
	}
	r.want(204, "PATCH", path, `{"name":""}`)
	if run.Name == "" || run.Name == "renamed" {
		t.Errorf("name %q, want a random one", run.Name)
	}
	reply := r.want(201, "POST", path+"/set_state", `{"state":{"type":"RUNNING"}}`, "User-Agent", "prefect/3.8.8 (API 0.8.4)")
	if at(t, reply, "status") != "ACCEPT" || r.proposal.Client.Version != "" {
		t.Errorf("reply %v to %+v", reply, r.proposal)
	}
	r.want(422, "POST", path+"/set_state", `{}`)
	r.want(204, "DELETE", path, "")
	for _, request := range [][3]string{{"DELETE", path, ""}, {"GET", path, ""}, {"PATCH", path, "{}"}} {
		if reply := r.want(404, request[0], request[1], request[2]); at(t, reply, "detail") != "Task run not found" {
			t.Errorf("%v: %v", request, reply)
		}
	}
	if reply := r.want(404, "POST", path+"/set_state", `{"state":{"type":"RUNNING"}}`); at(t, reply, "exception_message") == nil {
		t.Errorf("reply %v", reply)
	}
}

func TestStates(t *testing.T) {
	r := newRig(t)
	for path, run := range map[string]uuid.UUID{"flow": r.withFlowRun(prefect.Running).ID, "task": r.withTaskRun(prefect.Failed).ID} {
		base := "/" + path + "_run_states"
		got := r.want(200, "GET", base+"/?"+path+"_run_id="+run.String(), "")
		id := at(t, got, 0, "id").(string)
		if one := r.want(200, "GET", base+"/"+id, ""); at(t, one, "id") != id {
			t.Errorf("%s: %v", path, one)
		}
		if got := r.want(200, "GET", base+"?"+path+"_run_id="+unknown, ""); len(got.([]any)) != 0 {
			t.Errorf("states of an unknown run: %v", got)
		}
		r.want(404, "GET", base+"/"+unknown, "")
		reply := r.want(422, "GET", base, "")
		if at(t, reply, "exception_detail", 0, "type") != "missing" || at(t, reply, "exception_detail", 0, "loc", 0) != "query" {
			t.Errorf("%s: %v", path, reply)
		}
		r.want(422, "GET", base+"?"+path+"_run_id=x", "")
	}
}
