package api

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// deploymentRig has a flow f, a pool p and the deployment d in it.
func deploymentRig(t *testing.T, change ...func(*Config)) (*rig, *prefect.Deployment) {
	t.Helper()
	r := newRig(t, change...)
	flow := &prefect.Flow{ID: uuid.New(), Name: "f", Labels: json.RawMessage(`{"team":"x"}`)}
	r.flows = []*prefect.Flow{flow}
	queue := uuid.New()
	r.pools = []*prefect.WorkPool{{ID: uuid.New(), Name: "p", DefaultQueueID: &queue}}
	d := prefect.NewDeployment(flow.ID, "d")
	d.ID, d.Tags, d.Labels = uuid.New(), []string{"t"}, json.RawMessage(`{"team":"y"}`)
	d.WorkPoolName = &r.pools[0].Name
	r.deployments = []*prefect.Deployment{d}
	return r, d
}

// refuseBad compiles schemas to checks that find "bad" in values, and tells seen.
func refuseBad(seen func(schema, value []byte)) func(schema []byte) (func(value []byte) error, error) {
	return func(schema []byte) (func([]byte) error, error) {
		return func(value []byte) error {
			if seen(schema, value); strings.Contains(string(value), "bad") {
				return prefect.Errorf(prefect.Invalid, "bad")
			}
			return nil
		}, nil
	}
}

func TestDeploymentCreate(t *testing.T) {
	r, _ := deploymentRig(t)
	flow := r.flows[0].ID.String()
	reply := r.want(http.StatusCreated, "POST", "/deployments/", `{"flow_id":"`+flow+`","name":"new","labels":{"k":1},"work_pool_name":"p","concurrency_limit":2,
		"schedules":[{"schedule":{"interval":"PT1M"},"max_scheduled_runs":3}],"worker_pool_name":"of an old client"}`)
	d := r.deployments[1]
	if !reflect.DeepEqual(at(t, reply, "labels"), map[string]any{"team": "x", "prefect.flow.id": flow, "k": 1.0}) {
		t.Errorf("labels: %v", at(t, reply, "labels"))
	}
	if *d.WorkQueueID != *r.pools[0].DefaultQueueID || !d.OwnLimit.Set || *d.OwnLimit.Value != 2 || d.Schedules[0].MaxScheduledRuns != nil {
		t.Errorf("%+v", d)
	}
	if got := string(d.Schedules[0].Schedule); got != `{"interval":60.0,"anchor_date":"2026-11-23T18:00:00.123456Z","timezone":"UTC"}` {
		t.Errorf("an anchor that is not given is now: %s", got)
	}
	d.Version, d.Paused = new(string), true
	r.want(http.StatusOK, "POST", "/deployments/", `{"flow_id":"`+flow+`","name":"new","description":"x"}`)
	if d.Version == nil || !d.Paused || *d.Description != "x" || len(d.Schedules) != 0 {
		t.Errorf("what is not sent stays, but for schedules: %+v", d)
	}
	for body, status := range map[string]int{
		`{"name":"x","flow_id":"` + uuid.NewString() + `","work_queue_name":"q"}`:  http.StatusConflict,
		`{"name":"a/b","flow_id":"` + flow + `"}`:                                  http.StatusUnprocessableEntity,
		`{"name":"x","flow_id":"` + flow + `","work_pool_name":"none"}`:            http.StatusNotFound,
		`{"name":"x","flow_id":"` + flow + `","schedules":[{"schedule":null}]}`:    http.StatusUnprocessableEntity,
		`{"name":"x","flow_id":"` + flow + `","version_info":{"type":"git"}}`:      http.StatusUnprocessableEntity,
		`{"name":"x","flow_id":"` + flow + `","worker_pool_names":"of no client"}`: http.StatusUnprocessableEntity,
	} {
		r.want(status, "POST", "/deployments/", body)
	}
	if len(r.queues) > 0 {
		t.Errorf("a refused deployment leaves the queue %s", r.queues[0].Name)
	}
}

// TestDeploymentUpdate: absent is not null.
func TestDeploymentUpdate(t *testing.T) {
	r, d := deploymentRig(t)
	path := "/deployments/" + d.ID.String()
	text := "v"
	d.Version, d.Description, d.WorkQueueID, d.ConcurrencyLimitID = &text, &text, &d.ID, &d.ID
	d.ConcurrencyOptions = &prefect.ConcurrencyOptions{CollisionStrategy: "ENQUEUE"}
	r.want(http.StatusNoContent, "PATCH", path, `{}`)
	if d.Version == nil || d.WorkQueueID == nil || d.ConcurrencyLimitID == nil || d.OwnLimit.Set || d.ConcurrencyOptions == nil || r.stale != prefect.FutureScheduledRuns {
		t.Errorf("nothing was sent: %+v", d)
	}
	r.want(http.StatusNoContent, "PATCH", path, `{"version":null,"work_pool_name":null,"concurrency_limit":null,"concurrency_options":null,"job_variables":null}`)
	if d.Version != nil || d.Description == nil || d.WorkQueueID != nil || !d.OwnLimit.Set || d.OwnLimit.Value != nil || d.ConcurrencyOptions != nil ||
		string(d.Parameters) != "{}" || string(d.JobVariables) != "{}" {
		t.Errorf("null was sent: %+v", d)
	}
	r.want(http.StatusNotFound, "PATCH", path, `{"work_pool_name":"none"}`)
	r.want(http.StatusConflict, "PATCH", path, `{"parameters":null}`)
	r.want(http.StatusConflict, "PATCH", path, `{"enforce_parameter_schema":null}`)
	r.want(http.StatusOK, "POST", path+"/pause_deployment", ``)
	if !d.Paused || r.stale != prefect.AutoScheduledRuns {
		t.Errorf("paused %v, stale %v", d.Paused, r.stale)
	}
	r.want(http.StatusOK, "POST", path+"/resume_deployment", ``)
	if d.Paused || r.stale != prefect.NoStaleRuns {
		t.Errorf("paused %v, stale %v", d.Paused, r.stale)
	}
}

// TestDeploymentRun: what a run has of its deployment and of its own.
func TestDeploymentRun(t *testing.T) {
	var schema string
	r, d := deploymentRig(t, func(c *Config) {
		c.Compile = refuseBad(func(s, _ []byte) { schema = string(s) })
	})
	path := "/deployments/" + d.ID.String() + "/create_flow_run"
	d.Parameters, d.ParameterSchema = json.RawMessage(`{"a":1,"b":9007199254740993}`), json.RawMessage(`{"properties":{"a":{"type":"integer"}},"required":["b"]}`)
	reply := r.want(http.StatusCreated, "POST", path, `{"parameters":{"a":2},"tags":["t","u"],"labels":{"l":true},"work_queue_name":"q"}`)
	for field, want := range map[string]any{
		"tags": []any{"t", "u"}, "work_queue_name": "q", "work_pool_name": "p", "deployment_id": d.ID.String(),
		"labels": map[string]any{"team": "y", "prefect.flow.id": d.FlowID.String(), "prefect.deployment.id": d.ID.String(), "l": true},
	} {
		if got := at(t, reply, field); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", field, got, want)
		}
	}
	if got := string(r.flowRuns[0].Parameters); got != `{"a":2,"b":9007199254740993}` {
		t.Errorf("parameters: %s", got)
	}
	if p := r.proposal; p.State.Type != prefect.Scheduled || p.State.Details.ScheduledTime == nil || !p.Force {
		t.Errorf("proposed: %+v", p)
	}
	if want := `{"properties":{"a":{"anyOf":[{"type":"integer"},{"type":"null"}]}},"required":["b"]}`; schema != want {
		t.Errorf("checked against %s, want %s", schema, want)
	}
	r.want(http.StatusConflict, "POST", path, `{"parameters":{"a":"bad"}}`)
	r.want(http.StatusCreated, "POST", path, `{"parameters":{"a":"bad"},"enforce_parameter_schema":false}`)
	r.want(http.StatusBadRequest, "POST", path, `{"parameters":{"a":{"__prefect_kind":"jinja","template":"x"}}}`)
	many := r.want(http.StatusOK, "POST", path+"/bulk", `[{"parameters":{"a":"bad"}},{}]`)
	if at(t, many, "results", 0, "status") != "FAILED" || at(t, many, "results", 1, "status") != "CREATED" {
		t.Errorf("in bulk: %v", many)
	}
	r.want(http.StatusBadRequest, "POST", path+"/bulk", "["+strings.Repeat("{},", 100)+"{}]")
	d.WorkPoolName = nil
	r.want(http.StatusBadRequest, "POST", path, `{"work_queue_name":"q"}`)
	d.ParameterSchema = nil
	r.want(http.StatusConflict, "POST", path, `{}`)
}

// TestJobVariables: those of a run over those of its deployment over the pool's
// defaults, of which the unfit ones do not count.
func TestJobVariables(t *testing.T) {
	var checked []string
	r, d := deploymentRig(t, func(c *Config) {
		c.Compile = refuseBad(func(s, value []byte) { checked = append(checked, string(value)+" "+string(s)) })
	})
	d.EnforceSchema = false
	d.JobVariables = json.RawMessage(`{"x":1}`)
	path := "/deployments/" + d.ID.String() + "/create_flow_run"
	r.pools[0].BaseJobTemplate = json.RawMessage(`{"job_configuration":{"a":1},"variables":{"properties":{"d":{"default":5}},"required":["x"]}}`)
	r.want(http.StatusCreated, "POST", path, `{"job_variables":{"y":2}}`)
	if want := `{"d":5,"x":1,"y":2} {"properties":{"d":{"default":5}},"required":["x"]}`; checked[len(checked)-1] != want {
		t.Errorf("checked %s, want %s", checked[len(checked)-1], want)
	}
	r.want(http.StatusUnprocessableEntity, "POST", path, `{"job_variables":{"y":"bad"}}`)
	r.pools[0].BaseJobTemplate = json.RawMessage(`{"job_configuration":{"a":1},"variables":{"properties":{"d":{"default":"bad"}},"required":["x"]}}`)
	r.want(http.StatusCreated, "POST", path, `{}`)
	if want := `{"x":1} {"properties":{"d":{"default":"bad"}}}`; checked[len(checked)-1] != want {
		t.Errorf("checked %s, want %s", checked[len(checked)-1], want)
	}
}

func TestScheduledDeploymentRuns(t *testing.T) {
	r, d := deploymentRig(t)
	r.want(http.StatusOK, "POST", "/deployments/get_scheduled_flow_runs", `{"deployment_ids":["`+d.ID.String()+`"],"scheduled_before":"2026-01-01T00:00:00Z","limit":3}`)
	if !reflect.DeepEqual(r.polled, []uuid.UUID{d.ID}) || r.page.Limit != 3 || r.asked.FlowRuns.NextScheduledStartTime == nil || r.asked.Deployments.ID.Any[0] != d.ID {
		t.Errorf("polled %v, asked %+v", r.polled, r.asked)
	}
}

func TestCron(t *testing.T) {
	for text, want := range map[string]bool{
		"0 9 * * MON-FRI": true, "*/5 0-23/2 1,15 jan-DEC 0": true, "@daily": true, "0 0 l * *": true, "0 0 * * 5#2": true, "0 0 * * * 30": true, "? ? ? ? ?": false, "22-2 * * * *": true, "0 0 * * l5": true, "0 0 * * 5l": false,
		"": false, "* * * *": false, "60 * * * *": false, "* 24 * * *": false, "* * 0 * *": false, "* * * 13 * ": false, "* * * * 8": false, "*/0 * * * *": false, "a * * * *": false, "* * * * 5#6": false, "@never": false,
	} {
		if validCron(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

// TestRecurrence: rules of every second or minute begin on their beat just before
// now, all others where they always did.
func TestRecurrence(t *testing.T) {
	zone := "America/New_York"
	for rule, want := range map[string]string{
		"FREQ=DAILY":                                 "DTSTART:20200101T000000\nFREQ=DAILY",
		"RRULE:FREQ=MINUTELY;INTERVAL=7":             "DTSTART:20261123T175400\nRRULE:FREQ=MINUTELY;INTERVAL=7",
		"FREQ=SECONDLY;COUNT=3":                      "DTSTART:20200101T000000\nFREQ=SECONDLY;COUNT=3",
		"DTSTART:20200101T000000\nFREQ=X":            "DTSTART:20200101T000000\nFREQ=X",
		"FREQ=SECONDLY;INTERVAL=36028797018963968":   "DTSTART:20200101T000000\nFREQ=SECONDLY;INTERVAL=36028797018963968",
		"FREQ=MINUTELY;INTERVAL=9223372036854775807": "DTSTART:20200101T000000\nFREQ=MINUTELY;INTERVAL=9223372036854775807",
		"RRULE:FREQ=SECONDLY\nEXDATE:20200":          "DTSTART:20200101T000000\nRRULE:FREQ=SECONDLY\nEXDATE:20200",
	} {
		if got := recurrence(rule).anchored(testNow, nil); got != want {
			t.Errorf("%q: %q, want %q", rule, got, want)
		}
	}
	if got := recurrence("FREQ=MINUTELY").anchored(testNow, &zone); got != "DTSTART:20261123T130000\nFREQ=MINUTELY" {
		t.Errorf("in a zone: %q", got)
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]float64{"PT1H": 3600, "P1DT0.5S": 86400.5, "-PT1M": -60, "P1W": 604800, "01:30": 5400, "1 day, 02:30:00": 95400, "00:00:01.5": 1.5} {
		if got, ok := parseDuration(text); !ok || got != want {
			t.Errorf("%q: %v %v, want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "P", "PT", "x", "1h", "+", "P1H"} {
		if got, ok := parseDuration(text); ok {
			t.Errorf("%q is %v seconds", text, got)
		}
	}
}
