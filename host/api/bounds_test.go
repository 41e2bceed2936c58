package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// jsonList returns a JSON list of n elements.
func jsonList(n int, element func(i int) string) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = element(i)
	}
	return "[" + strings.Join(parts, ",") + "]"
}

// TestListsAreBounded: what one transaction writes row by row.
func TestListsAreBounded(t *testing.T) {
	r, d := deploymentRig(t)
	path := "/deployments/" + d.ID.String()
	schedules := func(n int, slug string) string {
		return jsonList(n, func(i int) string { return fmt.Sprintf(`{"slug":"%s%d","schedule":{"interval":60}}`, slug, i) })
	}
	const most = 1000
	flow := `"flow_id":"` + d.FlowID.String() + `","name":"new"`
	r.want(http.StatusUnprocessableEntity, "POST", "/deployments/", `{`+flow+`,"schedules":`+schedules(most+1, "a")+`}`)
	r.want(http.StatusUnprocessableEntity, "PATCH", path, `{"schedules":`+schedules(most+1, "a")+`}`)
	r.want(http.StatusUnprocessableEntity, "POST", path+"/schedules", schedules(most+1, "a"))
	r.want(http.StatusCreated, "POST", path+"/schedules", schedules(most-1, "a"))
	r.want(http.StatusConflict, "POST", path+"/schedules", schedules(1, "a"))
	r.want(http.StatusUnprocessableEntity, "POST", path+"/schedules", schedules(2, "b"))
	r.want(http.StatusCreated, "POST", path+"/schedules", schedules(1, "b"))
	r.want(http.StatusUnprocessableEntity, "PATCH", path, `{"schedules":`+schedules(1, "c")+`}`)
	r.want(http.StatusNoContent, "PATCH", path, `{"schedules":`+schedules(1, "b")+`}`)
	if len(d.Schedules) != most {
		t.Errorf("%d schedules", len(d.Schedules))
	}
	id := func(int) string { return `"` + uuid.NewString() + `"` }
	r.want(http.StatusUnprocessableEntity, "POST", "/concurrency_limits/tag/t/reset", `{"slot_override":`+jsonList(most+1, id)+`}`)
	r.want(http.StatusOK, "POST", "/concurrency_limits/tag/t/reset", `{"slot_override":`+jsonList(most, id)+`}`)
	for _, change := range []string{"increment", "decrement"} {
		body := `{"task_run_id":` + id(0) + `,"names":` + jsonList(most+1, func(i int) string { return fmt.Sprintf(`"t%d"`, i) }) + `}`
		r.want(http.StatusUnprocessableEntity, "POST", "/concurrency_limits/"+change, body)
	}
}

// TestPolledQueuesAreReadOnce: however many names a worker sends.
func TestPolledQueuesAreReadOnce(t *testing.T) {
	r, _ := deploymentRig(t)
	for _, name := range []string{"a", prefect.DefaultQueue} {
		r.queues = append(r.queues, &prefect.WorkQueue{ID: uuid.New(), Name: name, WorkPoolName: "p"})
	}
	path := "/work_pools/p/get_scheduled_flow_runs"
	r.want(http.StatusOK, "POST", path, `{"work_queue_names":["a","","default","a"]}`)
	if f := r.asked.WorkPoolQueues; f == nil || !slices.Equal(f.Name.Any, []string{"a", "default"}) || len(r.work.Queues) != 2 || len(r.polled) != 2 {
		t.Errorf("asked %+v, runs of %v, polled %v", f, r.work.Queues, r.polled)
	}
	r.want(http.StatusOK, "POST", path, `{}`)
	if r.asked.WorkPoolQueues != nil || r.work.Queues != nil || len(r.polled) != 2 {
		t.Errorf("asked %+v, runs of %v, polled %v", r.asked.WorkPoolQueues, r.work.Queues, r.polled)
	}
	r.want(http.StatusNotFound, "POST", path, `{"work_queue_names":["a","none"]}`)
	r.want(http.StatusUnprocessableEntity, "POST", path, `{"work_queue_names":`+jsonList(1001, func(int) string { return `"a"` })+`}`)
}

// TestSlugsAreUniqueWithinARequest: also those of one list.
func TestSlugsAreUniqueWithinARequest(t *testing.T) {
	r, d := deploymentRig(t)
	one := `{"slug":"s","schedule":{"interval":60}}`
	r.want(http.StatusConflict, "POST", "/deployments/"+d.ID.String()+"/schedules", "["+one+","+one+"]")
	r.want(http.StatusCreated, "POST", "/deployments/"+d.ID.String()+"/schedules", `[{"schedule":{"interval":60}},{"schedule":{"interval":60}}]`)
}

// TestASchemaIsCompiledOnce: however many defaults do not fit it, and once for one
// that cannot be used.
func TestASchemaIsCompiledOnce(t *testing.T) {
	compiled := 0
	r := newRig(t, func(c *Config) {
		c.Compile = func(schema []byte) (func([]byte) error, error) {
			if compiled++; strings.Contains(string(schema), "$ref") {
				return nil, prefect.Errorf(prefect.BadRequest, "it refers to itself")
			}
			return func(value []byte) error {
				if string(value) == "{}" {
					return nil
				}
				return prefect.Errorf(prefect.Invalid, "no integer")
			}, nil
		}
	})
	template := func(n int, more string) string {
		var fields []string
		for i := range n {
			fields = append(fields, fmt.Sprintf(`"v%d":{"type":"integer","default":"x"}`, i))
		}
		return `{"job_configuration":{"a":1},"variables":{"properties":{` + strings.Join(fields, ",") + `}` + more + `}}`
	}
	for _, more := range []string{"", `,"items":{"$ref":"#"}`} {
		compiled = 0
		r.want(http.StatusUnprocessableEntity, "POST", "/work_pools/", `{"name":"p","base_job_template":`+template(100, more)+`}`)
		if compiled != 1 {
			t.Errorf("compiled %d times", compiled)
		}
	}
	r.pools = []*prefect.WorkPool{{ID: uuid.New(), Name: "p"}}
	r.want(http.StatusNoContent, "PATCH", "/work_pools/p", `{"base_job_template":`+template(1, "")+`}`)
	stored := string(r.pools[0].BaseJobTemplate)
	r.want(http.StatusUnprocessableEntity, "PATCH", "/work_pools/p", `{"base_job_template":`+template(0, `,"$ref":"elsewhere.json"`)+`}`)
	if string(r.pools[0].BaseJobTemplate) != stored {
		t.Error("what was refused is stored")
	}
}

// TestACheckOfDefaultsEndsWithItsRequest: nobody waits for the rest.
func TestACheckOfDefaultsEndsWithItsRequest(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	checks := 0
	s := &server{Config: Config{Compile: func([]byte) (func([]byte) error, error) {
		return func([]byte) error {
			checks++
			cancel()
			return prefect.Errorf(prefect.Invalid, "no")
		}, nil
	}}}
	_, _, err := s.poolDefaults(ctx, json.RawMessage(`{"properties":{"a":{"default":1},"b":{"default":2}}}`))
	if codeOf(err) != prefect.Unavailable || checks != 1 {
		t.Errorf("%v after %d checks", err, checks)
	}
}
