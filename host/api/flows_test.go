package api

import (
	"testing"

	"github.com/interlock-run/interlock/host/prefect"
)

func TestFlows(t *testing.T) {
	r := newRig(t)
	made := r.want(201, "POST", "/flows/", `{"name":"etl","tags":["a"],"labels":{"x":1.5}}`)
	id := at(t, made, "id").(string)
	if at(t, r.want(200, "POST", "/flows", `{"name":"etl"}`), "id") != id {
		t.Error("the same name made another flow")
	}
	for _, path := range []string{"/flows/" + id, "/flows/name/etl"} {
		got := r.want(200, "GET", path, "")
		if at(t, got, "name") != "etl" || at(t, got, "tags", 0) != "a" || at(t, got, "labels", "x") != 1.5 {
			t.Errorf("%s: %v", path, got)
		}
	}
	r.want(201, "POST", "/flows/", `{"name":"a b é?"}`)
	if got := r.want(200, "GET", "/flows/name/a%20b%20%C3%A9%3F", ""); at(t, got, "name") != "a b é?" {
		t.Errorf("by an escaped name: %v", got)
	}
	r.want(204, "PATCH", "/flows/"+id, `{}`)
	if len(r.flows[0].Tags) != 1 {
		t.Error("a PATCH without tags changed them")
	}
	r.want(204, "PATCH", "/flows/"+id, `{"tags":["b","c"]}`)
	if len(r.flows[0].Tags) != 2 {
		t.Error("a PATCH did not change the tags")
	}
	r.want(422, "PATCH", "/flows/"+id, `{"name":"x"}`)
	r.want(422, "POST", "/flows/", `{"name":"a/b"}`)
	r.want(204, "DELETE", "/flows/"+id, "")
	for _, request := range [][2]string{{"DELETE", "/flows/" + id}, {"GET", "/flows/" + id}, {"GET", "/flows/name/etl"}, {"PATCH", "/flows/" + unknown}} {
		body := ""
		if request[0] == "PATCH" {
			body = "{}"
		}
		if reply := r.want(404, request[0], request[1], body); at(t, reply, "detail") != "Flow not found" {
			t.Errorf("%v: %v", request, reply)
		}
	}
}

// noun is a noun with the read operations that most nouns have.
type noun struct {
	path, sort, otherSort string
	add                   func(*rig)
}

func nouns() []noun {
	return []noun{
		{"/flows", "NAME_ASC", "CREATED_DESC", func(r *rig) { r.withFlow() }},
		{"/flow_runs", "ID_DESC", "NAME_ASC", func(r *rig) { r.withFlowRun(prefect.Running) }},
		{"/task_runs", "ID_DESC", "END_TIME_DESC", func(r *rig) { r.withTaskRun(prefect.Running) }},
	}
}

func TestFilterCountPaginate(t *testing.T) {
	for _, n := range nouns() {
		t.Run(n.path, func(t *testing.T) {
			r := newRig(t)
			for range 3 {
				n.add(r)
			}
			for _, body := range []string{"", "null", "{}", `{"limit":null,"sort":null,"offset":null,"flows":null}`} {
				got := r.want(200, "POST", n.path+"/filter", body)
				if len(got.([]any)) != 3 || r.page != (prefect.Page{Sort: n.sort, Limit: 200}) || r.asked != (prefect.Filters{}) {
					t.Errorf("body %q: %d rows by %+v, %+v", body, len(got.([]any)), r.asked, r.page)
				}
			}
			r.want(200, "POST", n.path+"/filter", `{"limit":"5","offset":7,"sort":"`+n.otherSort+`",
				"flows":{"operator":"or_","name":{"any_":["x"],"like_":null}},"flow_runs":{"id":{"any_":["`+unknown+`"],"not_any_":null}},
				"task_runs":{"state":{"type":{"any_":["FAILED"]}}},"deployments":{"tags":{"all_":["t"]}}}`)
			if r.page != (prefect.Page{Sort: n.otherSort, Limit: 5, Offset: 7}) {
				t.Errorf("page %+v", r.page)
			}
			a := r.asked
			if a.Flows.Operator != prefect.Or || a.Flows.Name.Any[0] != "x" || a.FlowRuns.ID.Any[0].String() != unknown ||
				a.TaskRuns.State.Type.Any[0] != prefect.Failed || a.Deployments.Tags.All[0] != "t" {
				t.Errorf("asked for %+v", a)
			}
			if got := r.want(200, "POST", n.path+"/count", `{"flows":{}}`); got != 3.0 || r.asked.Flows == nil {
				t.Errorf("count %v by %+v", got, r.asked)
			}
			page := r.want(200, "POST", n.path+"/paginate", `{"limit":2,"page":3}`)
			if at(t, page, "count") != 3.0 || at(t, page, "pages") != 2.0 || at(t, page, "page") != 3.0 || at(t, page, "limit") != 2.0 || r.page.Offset != 4 {
				t.Errorf("page %v by %+v", page, r.page)
			}
			if page := r.want(200, "POST", n.path+"/paginate", `{"limit":0}`); at(t, page, "pages") != 0.0 {
				t.Errorf("page of none: %v", page)
			}
			for _, body := range []string{`{"limit":201}`, `{"limit":-1}`} {
				if reply := r.want(422, "POST", n.path+"/filter", body); at(t, reply, "detail") == nil {
					t.Errorf("%s: %v", body, reply)
				}
			}
			for _, body := range []string{`{"sort":"X"}`, `{"offset":-1}`, `{"flows":{"x":1}}`, `{"flow_runs":{"id":{"any_":["x"]}}}`, `{"flows":[]}`, `[]`, `{`} {
				if reply := r.want(422, "POST", n.path+"/filter", body); at(t, reply, "exception_detail", 0, "type") == nil {
					t.Errorf("%s: %v", body, reply)
				}
			}
			r.want(422, "POST", n.path+"/paginate", `{"page":0}`)
			r.want(422, "POST", n.path+"/paginate", `{"page":9223372036854775807}`)
		})
	}
}

func TestWorkPoolQueuesFilterFlowRunsOnly(t *testing.T) {
	r := newRig(t)
	body := `{"work_pool_queues":{"name":{"startswith_":["q"]}},"work_pools":{"type":{"any_":["process"]}}}`
	r.want(200, "POST", "/flow_runs/count", body)
	if r.asked.WorkPoolQueues == nil || r.asked.WorkPools == nil {
		t.Errorf("asked for %+v", r.asked)
	}
	r.want(200, "POST", "/task_runs/count", body)
	if r.asked.WorkPoolQueues != nil || r.asked.WorkPools != nil {
		t.Errorf("asked for %+v", r.asked)
	}
}

func TestBulkDeleteFlows(t *testing.T) {
	r := newRig(t)
	id := r.withFlow()
	reply := r.want(200, "POST", "/flows/bulk_delete", `{"flows":{"name":{"any_":["a"]}},"limit":1}`)
	if at(t, reply, "deleted", 0) != id.String() || r.asked.Flows == nil || len(r.flows) != 0 {
		t.Errorf("reply %v", reply)
	}
	if reply := r.want(200, "POST", "/flows/bulk_delete", ``); len(at(t, reply, "deleted").([]any)) != 0 {
		t.Errorf("reply %v", reply)
	}
}

func TestLateness(t *testing.T) {
	r := newRig(t)
	if got := r.want(200, "POST", "/flow_runs/lateness", `{}`); got != nil {
		t.Errorf("lateness of nothing: %v", got)
	}
	r.withFlowRun(prefect.Running)
	if got := r.want(200, "POST", "/flow_runs/lateness", `{}`); got != 2.5 {
		t.Errorf("lateness %v", got)
	}
}
