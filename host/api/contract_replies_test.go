package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// filled sets every pointer below v and puts something into every list and map.
func filled[T any]() *T {
	out := new(T)
	fill(reflect.ValueOf(out).Elem())
	return out
}

func fill(v reflect.Value) {
	switch v.Interface().(type) {
	case prefect.Time, json.RawMessage, uuid.UUID:
		randomize(rand.New(rand.NewPCG(1, 1)), v, "x")
		if v.Type() == reflect.TypeFor[json.RawMessage]() {
			v.SetBytes([]byte("{}"))
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"k": "v"}))
	case reflect.String:
		v.SetString("x")
	}
}

// testReplies asks our operations and compares the fields of
// their replies with the schemas.
func testReplies(t *testing.T, d *document) {
	t.Helper()
	compared := 0
	for path, methods := range d.Paths {
		for method, op := range methods {
			name := strings.ToUpper(method) + " " + trimPath(path)
			if slices.Contains(notServed(), name) || name == "GET /admin/settings" {
				continue
			}
			for status, response := range op.Responses {
				s := response.Content[jsonType].Schema
				if !strings.HasPrefix(status, "2") || s == nil {
					continue
				}
				c := comparison{t: t, d: d}
				c.covers(name, s, exchange(t, strings.ToUpper(method), trimPath(path)))
				compared++
			}
		}
	}
	if compared < 30 {
		t.Errorf("compared %d replies", compared)
	}
}

// exchange asks a server that has one of everything.
func exchange(t *testing.T, method, path string) any {
	t.Helper()
	r := newRig(t, func(c *Config) { c.CSRF = path == "/csrf-token" })
	flow, flowRun, taskRun := filled[prefect.Flow](), filled[prefect.FlowRun](), filled[prefect.TaskRun]()
	state, in := filled[prefect.State](), filled[prefect.FlowRunInput]()
	r.flows, r.flowRuns, r.taskRuns = []*prefect.Flow{flow}, []*prefect.FlowRun{flowRun}, []*prefect.TaskRun{taskRun}
	r.states[flowRun.ID], r.states[taskRun.ID] = []*prefect.State{state}, []*prefect.State{state}
	r.logs, r.inputs = []*prefect.Log{filled[prefect.Log]()}, []*prefect.FlowRunInput{in}
	deployment := filled[prefect.Deployment]()
	r.deployments, r.pools = []*prefect.Deployment{deployment}, []*prefect.WorkPool{filled[prefect.WorkPool]()}
	r.queues, r.workers = []*prefect.WorkQueue{filled[prefect.WorkQueue]()}, []*prefect.Worker{filled[prefect.Worker]()}
	r.queues[0].Filter = json.RawMessage(`{"tags":[],"deployment_ids":[]}`)
	r.result = &prefect.OrchestrationResult{State: state, Status: prefect.Wait, Details: prefect.DetailsFor(prefect.Wait, "r", 1)}
	id, key := flow.ID.String(), "k"
	if strings.HasSuffix(path, "}/input/{key}") {
		key = in.Key
	}
	body := map[string]string{
		"POST /v2/concurrency_limits": `{"name":"n","limit":1}`, "POST /v2/concurrency_limits/increment": `{"slots":1,"names":["n"]}`,
		"POST /v2/concurrency_limits/increment-with-lease": `{"slots":1,"names":["n"]}`, "POST /v2/concurrency_limits/decrement": `{"slots":1,"names":["n"]}`,
		"POST /deployments": `{"flow_id":"` + id + `","name":"n"}`, "POST /deployments/{id}/create_flow_run/bulk": `[{}]`,
		"POST /deployments/{id}/create_flow_run":    `{}`,
		"POST /deployments/{id}/schedules":          `[{"schedule":{"interval":1}},{"schedule":{"cron":"0 0 * * *"}},{"schedule":{"rrule":"FREQ=DAILY"}}]`,
		"POST /deployments/get_scheduled_flow_runs": `{"deployment_ids":[]}`,
		"POST /concurrency_limits":                  `{"tag":"t","concurrency_limit":1}`, "POST /concurrency_limits/increment": `{"names":["n"],"task_run_id":"` + id + `"}`,
		"POST /concurrency_limits/decrement": `{"names":["n"],"task_run_id":"` + id + `"}`,
		"POST /work_pools":                   `{"name":"n"}`, "POST /work_pools/{work_pool_name}/queues": `{"name":"n"}`, "POST /work_queues": `{"name":"n"}`,
		"POST /work_pools/{work_pool_name}/workers/heartbeat": `{"name":"n"}`,
		"POST /flows": `{"name":"n"}`, "POST /logs": `[]`, "POST /events": `[]`, "POST /flow_runs": `{"flow_id":"` + id + `"}`, "POST /task_runs": `{"task_key":"a","dynamic_key":"b"}`,
		"POST /flow_runs/{id}/input": `{"key":"a","value":"b"}`, "POST /flow_runs/{id}/input/filter": `{"prefix":""}`,
	}[method+" "+path]
	if strings.HasSuffix(path, "set_state") {
		body = `{"state":{"type":"RUNNING"}}`
	}
	query := map[string]string{"/flow_run_states": "?flow_run_id=" + flowRun.ID.String(), "/task_run_states": "?task_run_id=" + taskRun.ID.String(), "/csrf-token": "?client=c", "/events/filter/next": "?page-token=a%3Db"}[path]
	path = strings.NewReplacer("{id}", id, "{name}", flow.Name, "{work_pool_name}", "x", "{flow_name}", "f", "{deployment_name}", deployment.Name, "{key}", key).Replace(path) + query
	w := r.do(method, path, body)
	var v any
	if w.Code/100 != 2 || w.Body.Len() == 0 {
		t.Errorf("%s %s: %d %s", method, path, w.Code, w.Body)
		return nil
	}
	if json.Unmarshal(w.Body.Bytes(), &v) != nil {
		v = w.Body.String()
	}
	return v
}

// covers checks that v has exactly the fields of s.
func (c *comparison) covers(path string, s *schema, v any) {
	c.t.Helper()
	s, nullable := c.d.resolve(s)
	if v == nil && nullable {
		return
	}
	switch v := v.(type) {
	case []any:
		if s.Items == nil {
			return
		}
		for i, item := range v {
			c.covers(fmt.Sprintf("%s[%d]", path, i), s.Items, item)
		}
	case map[string]any:
		s = c.form(s, v)
		if len(s.Properties) == 0 {
			return
		}
		here, there := slices.Sorted(maps.Keys(v)), slices.Sorted(maps.Keys(s.Properties))
		if !slices.Equal(here, there) {
			c.t.Errorf("%s: fields\n%v there,\n%v here", path, there, here)
			return
		}
		for name := range v {
			c.covers(path+"."+name, s.Properties[name], v[name])
		}
	default:
		if len(s.Properties) > 0 || s.Type == "array" {
			c.t.Errorf("%s: %v here, an object or list there", path, v)
		}
	}
}

// form returns the one of several schemas that has the fields of v.
func (c *comparison) form(s *schema, v map[string]any) *schema {
	for _, one := range s.AnyOf {
		one, _ = c.d.resolve(one)
		if slices.Equal(slices.Sorted(maps.Keys(one.Properties)), slices.Sorted(maps.Keys(v))) {
			return one
		}
	}
	return s
}
