package api

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/interlock-run/interlock/host/api/bind"
	"github.com/interlock-run/interlock/host/prefect"
)

// reference runs a script in the virtual environment that `make venv` makes,
// with in as its standard input, and decodes what it prints as JSON into out.
func reference(t *testing.T, script, in string, out any) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(root, ".build", "venv", "bin", "python"), "-c", script)
	cmd.Env = append(os.Environ(), "PREFECT_HOME="+t.TempDir(), "PREFECT_SERVER_ANALYTICS_ENABLED=false", "PREFECT_LOGGING_LEVEL=ERROR")
	cmd.Stdin = strings.NewReader(in)
	cmd.Stderr = os.Stderr
	printed, err := cmd.Output()
	if err != nil {
		t.Fatalf("the reference did not answer (make venv installs it): %v", err)
	}
	if err := json.Unmarshal(printed, out); err != nil {
		t.Fatalf("the reference printed no JSON: %v: %.200s", err, printed)
	}
}

// validateScript validates bodies as the reference's routes do and prints the
// refused fields of each, as "loc type".
const validateScript = `
import json, sys
from typing import List
from pydantic import TypeAdapter, ValidationError
import prefect.server.schemas as schemas
adapters = {}
def adapter(name):
    if name not in adapters:
        model = getattr(schemas.actions, name.strip("[]"), None) or getattr(schemas.filters, name.strip("[]"))
        adapters[name] = TypeAdapter(List[model] if name.startswith("[") else model)
    return adapters[name]
out = []
for name, body in json.load(sys.stdin):
    try:
        adapter(name).validate_python(json.loads(body), from_attributes=True)
        out.append([])
    except ValidationError as e:
        out.append([" ".join([".".join(str(p) for p in x["loc"]), x["type"]]) for x in e.errors(include_url=False)])
print(json.dumps(out))
`

// bodies are what both sides validate: a schema's name and a body.
func bodies() [][2]string {
	const id = `"12345678-1234-1234-1234-123456789012"`
	list := [][2]string{}
	add := func(schema string, all ...string) {
		for _, b := range all {
			list = append(list, [2]string{schema, b})
		}
	}
	add("FlowCreate", `{}`, `[]`, `"x"`, `1`, `{"name":1,"x":2,"tags":null}`, `{"name":""}`, `{"name":"a>b"}`, `{"name":"a\nb"}`, `{"name":"é"}`,
		`{"name":"a","tags":[1,"b",null,[]]}`, `{"name":"a","tags":{}}`, `{"name":"a","labels":null}`, `{"name":"a","labels":[]}`,
		`{"name":"a","labels":{"a":1,"b":1.5,"c":true,"d":"x"}}`, `{"name":"a","labels":{"a":null,"b":[1],"c":{}}}`, `{"NAME":"a"}`)
	add("FlowUpdate", `{}`, `{"tags":["a"]}`, `{"tags":null}`, `{"name":"x"}`)
	ints := []string{`1`, `"3"`, `" 4 "`, `"+5"`, `"-6"`, `"007"`, `"1_000"`, `"1__0"`, `"_1"`, `"1_"`, `"1.0"`, `"1.00"`, `"1."`, `".0"`, `"1.5"`, `"1e3"`, `""`, `"x"`, `"0x10"`,
		`1.0`, `1.5`, `1e3`, `-1e-3`, `true`, `false`, `null`, `[]`, `{}`, `[1]`, `"1,000"`, `"１"`, `"--1"`, `"1 2"`}
	for _, v := range ints {
		add("FlowRunCreate", `{"flow_id":`+id+`,"empirical_policy":{"retries":`+v+`}}`)
		add("[LogCreate]", `[{"name":"n","message":"m","timestamp":"2020-01-01T00:00:00Z","level":`+v+`}]`)
	}
	for _, v := range append(ints, `"1e5"`, `"inf_"`, `1e300`, `"1.5 "`, `"0x1p-2"`) {
		add("TaskRunCreate", `{"task_key":"a","dynamic_key":"b","empirical_policy":{"retry_jitter_factor":`+strings.ReplaceAll(v, "-", "")+`}}`)
	}
	for _, v := range []string{`true`, `false`, `0`, `1`, `2`, `-1`, `1.0`, `0.0`, `0.5`, `"true"`, `"TRUE"`, `"t"`, `"Yes"`, `"y"`, `"on"`, `"off"`, `"0"`, `"1"`, `"2"`, `""`, `" true"`, `null`, `[]`, `{}`} {
		add("StateCreate", `{"type":"RUNNING","state_details":{"deferred":`+v+`,"pause_reschedule":`+v+`}}`)
		add("FlowFilter", `{"tags":{"is_null_":`+v+`}}`)
	}
	for _, v := range []string{`"x"`, `""`, `1`, `null`, `[]`, `"urn:uuid:12345678-1234-1234-1234-123456789012"`, `"{12345678-1234-1234-1234-123456789012}"`, `"(12345678-1234-1234-1234-123456789012)"`,
		`"12345678123412341234123456789012"`, `"12345678-1234-1234-1234-12345678901"`, `"12345678-1234-1234-1234-12345678901g"`, `"ABCDEF78-1234-1234-1234-123456789012"`} {
		add("FlowRunCreate", `{"flow_id":`+v+`,"parent_task_run_id":`+v+`}`)
		add("FlowRunFilter", `{"id":{"any_":[`+v+`]}}`)
	}
	for _, v := range []string{`"2020-01-01T00:00:00Z"`, `"2020-01-01T00:00:00+02:00"`, `"2020-01-01 00:00:00"`, `"2020-01-01"`, `"2020-01-01T00:00"`, `"2020-01-01T00:00:00.123456789Z"`, `"2020-13-01T00:00:00Z"`,
		`"2020-02-30"`, `"x"`, `1.5e9`, `1500000000000`, `0`, `-1`, `1e20`, `true`, `null`, `[]`, `{}`} {
		add("StateCreate", `{"type":"RUNNING","state_details":{"scheduled_time":`+v+`}}`)
		add("[LogCreate]", `[{"name":"n","message":"m","level":1,"timestamp":`+v+`}]`)
	}
	add("StateCreate", `{}`, `{"type":"running"}`, `{"type":5}`, `{"type":null}`, `{"type":"FAILED","id":1,"timestamp":2}`, `{"type":"FAILED","state_details":null}`, `{"type":"FAILED","state_details":[]}`,
		`{"type":"FAILED","state_details":{"bogus":1}}`, `{"type":"FAILED","state_details":{"run_input_keyset":{"a":1,"b":"c"}}}`, `{"type":"FAILED","state_details":{"run_input_keyset":null}}`,
		`{"type":"FAILED","data":[1,{"a":null}],"name":null,"message":null}`, `{"type":"FAILED","name":1,"message":[]}`, `{"type":"SCHEDULED","state_details":{"untrackable_result":null,"pause_timeout":null}}`)
	add("FlowRunCreate", `{}`, `{"flow_id":`+id+`,"parameters":[],"context":null,"tags":"x","job_variables":[],"idempotency_key":5,"work_pool_name":{}}`, `{"flow_id":`+id+`,"state":{"type":"x"}}`, `{"flow_id":`+id+`,"state":[]}`,
		`{"flow_id":`+id+`,"state":null,"name":null,"job_variables":null,"labels":null,"deployment_id":null}`, `{"flow_id":`+id+`,"name":"","unknown":1}`,
		`{"flow_id":`+id+`,"empirical_policy":{"retry_delay":1.5,"pause_keys":"x","resuming":3,"retry_type":"z","max_retries":null,"zz":1}}`, `{"flow_id":`+id+`,"empirical_policy":{"pause_keys":["a","a",1],"retry_type":null}}`,
		`{"flow_id":`+id+`,"empirical_policy":{"pause_keys":null,"resuming":null}}`, `{"flow_id":`+id+`,"empirical_policy":{"retry_delay_seconds":1.5}}`, `{"flow_id":`+id+`,"empirical_policy":{"retry_delay_seconds":2,"max_retries":3}}`)
	add("FlowRunUpdate", `{}`, `{"name":null,"flow_version":null,"infrastructure_pid":null,"job_variables":null}`, `{"parameters":null,"tags":null}`, `{"empirical_policy":{"retries":[]}}`, `{"state":{}}`, `{"infrastructure_pid":5}`)
	add("TaskRunUpdate", `{}`, `{"name":null}`, `{"name":""}`, `{"tags":[]}`)
	for _, v := range []string{`null`, `1`, `1.5`, `"2"`, `"x"`, `[1,2]`, `[1,2.5]`, `["x"]`, `[]`, `{}`, `true`, `[null]`, `[` + strings.Repeat("1,", 50) + `1]`, `[` + strings.Repeat("1,", 49) + `1]`} {
		add("TaskRunCreate", `{"task_key":"a","dynamic_key":"b","empirical_policy":{"retry_delay":`+v+`}}`)
	}
	for _, v := range []string{`null`, `[]`, `{"a":5}`, `{"a":[5]}`, `{"a":[{}]}`, `{"a":[{"id":` + id + `}]}`, `{"a":[{"input_type":"flow_run","id":` + id + `}]}`, `{"a":[{"input_type":"task_run","id":"x"}]}`,
		`{"a":[{"input_type":"parameter","name":"p"},{"input_type":"constant","type":"t"}]}`, `{"a":[{"input_type":"parameter"}]}`, `{"a":[],"b":[{"name":"x","extra":1}]}`} {
		add("TaskRunCreate", `{"task_key":"a","dynamic_key":"b","task_inputs":`+v+`}`)
	}
	add("TaskRunCreate", `{}`, `{"task_key":1,"dynamic_key":null}`, `{"task_key":"a","dynamic_key":"b","id":"x","flow_run_id":1,"cache_expiration":"x"}`, `{"task_key":"a","dynamic_key":"b","empirical_policy":{"retry_jitter_factor":-1}}`,
		`{"task_key":"a","dynamic_key":"b","cache_key":"`+strings.Repeat("x", 2001)+`"}`, `{"task_key":"a","dynamic_key":"b","id":null,"state":null,"labels":null}`)
	add("[LogCreate]", `[1]`, `[{}]`, `[{"name":"a","level":1,"message":"m","timestamp":"2020-01-01T00:00:00Z","z":1,"flow_run_id":null,"task_run_id":"x"}]`, `[]`)
	add("FlowFilter", `[]`, `{"zz":1}`, `{"operator":"x"}`, `{"operator":null}`, `{"operator":"or_"}`, `{"id":[]}`, `{"id":{"any_":null}}`, `{"id":{"any_":"x"}}`, `{"id":{"zz":1}}`, `{"name":{"any_":[1],"like_":5}}`, `{"deployment":{"is_null_":1}}`, `{"tags":{"all_":{}}}`)
	add("FlowRunFilter", `{"state":{"type":{"any_":["x"]}}}`, `{"state":{"type":{"any_":["FAILED"],"not_any_":null},"name":null}}`, `{"start_time":{"before_":"x","is_null_":null}}`, `{"created_by":{"id_":["x"],"type_":[1]}}`, `{"parent_flow_run_id":{"any_":[]}}`,
		`{"work_queue_name":{"any_":["a"],"is_null_":false}}`, `{"tags":{"any_":[],"all_":[1]}}`, `{"idempotency_key":{"not_any_":"x"}}`)
	add("TaskRunFilter", `{"state":{"type":{"any_":["X"]}}}`, `{"subflow_runs":{"exists_":2}}`, `{"flow_run_id":{"is_null_":true}}`, `{"deployment_id":{}}`)
	add("LogFilter", `{"level":{"ge_":"x","le_":1.5}}`, `{"timestamp":{"after_":5}}`, `{"task_run_id":{"is_null_":1}}`, `{"text":{}}`, `{"text":{"query":"`+strings.Repeat("x", 201)+`"}}`, `{"text":{"query":5}}`, `{"text":null}`)
	add("DeploymentFilter", `{"paused":{"eq_":"x"}}`, `{"concurrency_limit":{"ge_":1}}`, `{"flow_or_deployment_name":{"like_":1}}`)
	add("WorkPoolFilter", `{"type":{"any_":[1]}}`, `{"name":5}`)
	add("WorkQueueFilter", `{"name":{"startswith_":"x"}}`, `{"id":{"any_":[1]}}`)
	for _, v := range []string{`1`, `0`, `-1`, `"60"`, `"PT1H"`, `"P1D"`, `"x"`, `true`, `null`, `[]`, `{}`, `1e20`, `0.5`, `"01:00"`, `"1 day, 02:00:00"`} {
		add("DeploymentScheduleCreate", `{"schedule":{"interval":`+v+`}}`)
	}
	for _, v := range []string{`{}`, `5`, `null`, `[]`, `"x"`, `{"cron":"* * * * *"}`, `{"cron":"x"}`, `{"cron":5}`, `{"cron":"* * * * *","day_or":"x","timezone":"Nowhere"}`, `{"cron":"* * * * *","timezone":""}`, `{"rrule":"FREQ=DAILY"}`,
		`{"rrule":"x"}`, `{"rrule":5,"timezone":"x"}`, `{"rrule":"FREQ=DAILY","timezone":null}`, `{"interval":1,"anchor_date":"x"}`, `{"interval":1,"anchor_date":null}`, `{"interval":1,"timezone":"Nowhere"}`, `{"interval":1,"cron":"* * * * *"}`} {
		add("DeploymentScheduleCreate", `{"schedule":`+v+`}`)
		add("DeploymentScheduleUpdate", `{"schedule":`+v+`}`)
	}
	add("DeploymentScheduleCreate", `{}`, `[]`, `{"schedule":{"interval":1},"max_scheduled_runs":0}`, `{"schedule":{"interval":1},"max_scheduled_runs":51}`, `{"schedule":{"interval":1},"active":null,"parameters":null,"slug":5,"x":1}`)
	for _, v := range []string{`"version":5`, `"description":[]`, `"paused":"x"`, `"schedules":null`, `"schedules":[5]`, `"concurrency_limit":0`, `"concurrency_limit":"x"`, `"concurrency_options":{}`, `"concurrency_options":{"collision_strategy":"x","grace_period_seconds":5}`,
		`"concurrency_options":{"collision_strategy":"ENQUEUE","x":1}`, `"global_concurrency_limit_id":"x"`, `"parameters":[]`, `"parameter_openapi_schema":[]`, `"tags":"x"`, `"work_queue_name":5`, `"pull_steps":{}`, `"pull_steps":[5,{}]`, `"job_variables":[]`,
		`"version_info":{"type":5}`, `"version_info":{"type":"t","version":"v","x":1}`, `"enforce_parameter_schema":"x"`, `"x":1`, `"worker_pool_name":"p"`, `"concurrency_limit":1,"global_concurrency_limit_id":` + id} {
		add("DeploymentCreate", `{"name":"n","flow_id":`+id+`,`+v+`}`)
		add("DeploymentUpdate", `{`+v+`}`)
	}
	add("DeploymentCreate", `{}`, `{"name":null,"flow_id":"x"}`)
	add("DeploymentFlowRunCreate", `{}`, `{"name":null,"state":{"type":"x"},"parameters":null,"tags":null,"labels":{"a":[]},"enforce_parameter_schema":3}`, `{"flow_id":`+id+`}`, `{"job_variables":null,"context":[],"empirical_policy":{"retries":"x"},"work_queue_name":5}`)
	add("WorkPoolCreate", `{}`, `{"name":""}`, `{"name":" ' "}`, `{"name":"a/b"}`, `{"name":"n","type":null,"is_paused":3,"concurrency_limit":-1,"storage_configuration":{"x":1}}`, `{"name":"n","base_job_template":{"a":1}}`,
		`{"name":"n","base_job_template":{"job_configuration":{"a":["{{ b }}"]},"variables":{"properties":{"b":{}}}}}`, `{"name":"n","base_job_template":{"job_configuration":{"a":"{{ c }}"},"variables":{"properties":{"b":{}}}}}`, `{"name":"n","base_job_template":null}`)
	add("WorkPoolUpdate", `{}`, `{"name":"x"}`, `{"is_paused":null,"concurrency_limit":null,"storage_configuration":null,"description":null}`, `{"concurrency_limit":-1}`)
	add("WorkQueueCreate", `{}`, `{"name":"a/b"}`, `{"name":"n","description":null,"priority":0,"concurrency_limit":-1}`, `{"name":"n","filter":{"tags":5,"deployment_ids":["x"]}}`, `{"name":"n","filter":{"tags":null,"x":1}}`)
	add("WorkQueueUpdate", `{}`, `{"is_paused":null,"priority":0,"last_polled":"x","x":1}`, `{"name":null,"filter":null}`)
	add("ConcurrencyLimitCreate", `{}`, `{"tag":5,"concurrency_limit":"x"}`, `{"tag":"t","concurrency_limit":1,"x":1}`)
	return list
}

// ours decodes a body and returns the refused fields as validateScript does.
func ours(t *testing.T, binder *bind.Binder, schema, body string) []string {
	t.Helper()
	targets := map[string]any{
		"FlowCreate": &flowCreate{}, "FlowUpdate": &flowUpdate{}, "FlowRunCreate": &flowRunCreate{}, "FlowRunUpdate": &flowRunUpdate{},
		"TaskRunCreate": &taskRunCreate{}, "TaskRunUpdate": &taskRunUpdate{}, "StateCreate": &stateCreate{}, "[LogCreate]": &[]logCreate{},
		"DeploymentCreate": &deploymentCreate{}, "DeploymentUpdate": &deploymentUpdate{}, "DeploymentFlowRunCreate": &deploymentRunCreate{},
		"DeploymentScheduleCreate": &scheduleCreate{}, "DeploymentScheduleUpdate": &scheduleUpdate{}, "WorkPoolCreate": &workPoolCreate{}, "WorkPoolUpdate": &workPoolUpdate{},
		"WorkQueueCreate": &workQueueCreate{}, "WorkQueueUpdate": &workQueueUpdate{}, "ConcurrencyLimitCreate": &tagLimitCreate{},
		"FlowFilter": &flowFilters{}, "FlowRunFilter": &flowFilters{}, "TaskRunFilter": &flowFilters{}, "DeploymentFilter": &flowFilters{},
		"WorkPoolFilter": &flowFilters{}, "WorkQueueFilter": &flowRunFilters{}, "LogFilter": &filterLogs{},
	}
	within := map[string]string{"FlowFilter": "flows", "FlowRunFilter": "flow_runs", "TaskRunFilter": "task_runs", "DeploymentFilter": "deployments",
		"WorkPoolFilter": "work_pools", "WorkQueueFilter": "work_pool_queues", "LogFilter": "logs"}[schema]
	skip := 1
	if within != "" {
		body, skip = `{"`+within+`":`+body+`}`, 2
	}
	err := binder.Decode([]byte(body), targets[schema])
	var refused *prefect.Error
	if err == nil {
		return []string{}
	}
	if !errors.As(err, &refused) {
		t.Fatalf("%s %s: %v", schema, body, err)
	}
	out := []string{}
	for _, f := range refused.Fields {
		var path []string
		for _, p := range f.Loc[skip:] {
			text, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			path = append(path, strings.Trim(string(text), `"`))
		}
		out = append(out, strings.Join(path, ".")+" "+f.Type)
	}
	return out
}

// TestBodiesAgainstReference validates the same bodies here and there: the same
// fields must be refused, for the same type of reason.
func TestBodiesAgainstReference(t *testing.T) {
	list := bodies()
	in, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	var theirs [][]string
	reference(t, validateScript, string(in), &theirs)
	if len(theirs) != len(list) {
		t.Fatalf("%d answers to %d bodies", len(theirs), len(list))
	}
	binder := bind.New()
	refused := 0
	for i, b := range list {
		got, want := ours(t, binder, b[0], b[1]), theirs[i]
		slices.Sort(got)
		slices.Sort(want)
		if len(want) > 0 {
			refused++
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s %.200s\n got %v\nwant %v", b[0], b[1], got, want)
		}
	}
	if refused < 100 || refused == len(list) {
		t.Errorf("the reference refused %d of %d bodies: the table tests nothing", refused, len(list))
	}
}
