package twin

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
)

func get(path string) request { return request{method: http.MethodGet, path: path} }

func patch(path, body string) request {
	return request{method: http.MethodPatch, path: path, body: body}
}

func remove(path string) request { return request{method: http.MethodDelete, path: path} }

// refused says that interlock refuses what the reference answers with 500.
func (r request) refused(status string) request {
	r.ours = map[string]string{"status": status, "detail": "present", "exception_message": missing}
	return r
}

const nowhere = "99999999-9999-4999-8999-999999999999"

// TestDeploymentRequests sends one script over deployments to both servers.
func TestDeploymentRequests(t *testing.T) {
	for name, postgres := range map[string]bool{"sqlite": false, "postgres": true} {
		t.Run(name, func(t *testing.T) {
			newPair(t, postgres).compareScript(t, name, slices.Concat(deploymentFixtures(), deploymentReads(), deploymentRuns(),
				deploymentChanges(), deploymentSchedules(), deploymentRefusals(), deploymentEnds()))
		})
	}
}

const parameterSchema = `{"type":"object","properties":{"x":{"type":"integer"},"y":{"type":"string","default":"d"},"z":{"type":"string"}},"required":["x"]}`

// deploymentFixtures makes deployments with little and with all of what there is.
func deploymentFixtures() []request {
	return []request{
		post("/flows/", `{"name":"alpha","tags":["a"],"labels":{"team":"x"}}`).as("alpha"),
		post("/flows/", `{"name":"beta"}`).as("beta"),
		post("/deployments/", `{"flow_id":"{alpha}","name":"bare"}`).as("bare"),
		post("/deployments/", `{"flow_id":"{alpha}","name":"bare"}`),
		post("/deployments/", `{"flow_id":"{alpha}","name":"full","version":"1","description":"d","paused":true,"tags":["t","u"],"labels":{"k":1,"team":"y"},
			"parameters":{"x":1},"parameter_openapi_schema":`+parameterSchema+`,"enforce_parameter_schema":true,"pull_steps":[{"step":{"a":null}}],
			"work_queue_name":"queue","path":"/p","entrypoint":"e.py:f","job_variables":{"env":{"A":"b"}},"concurrency_limit":2,
			"concurrency_options":{"collision_strategy":"CANCEL_NEW","grace_period_seconds":90},"version_info":{"type":"git","version":"v","branch":"b"},
			"schedules":[{"schedule":{"interval":3600,"anchor_date":"2026-01-01T00:00:00Z"},"slug":"first","max_scheduled_runs":7},
				{"schedule":{"cron":"0 9 * * MON-FRI","timezone":"Europe/Berlin"},"active":false,"parameters":{"x":2},"slug":"second"},
				{"schedule":{"rrule":"FREQ=DAILY;COUNT=3"},"slug":"third"}]}`).as("full"),
		post("/deployments/", `{"flow_id":"{alpha}","name":"full","description":"e"}`).as("full"),
		get("/deployments/{full}"),
		post("/v2/concurrency_limits/", `{"name":"shared","limit":4}`).as("shared"),
		post("/deployments/", `{"flow_id":"{beta}","name":"shares","global_concurrency_limit_id":"{shared}","tags":["t"],"parameter_openapi_schema":null}`).as("shares"),
		post("/deployments/", `{"flow_id":"{beta}","name":"strict","enforce_parameter_schema":true,"parameter_openapi_schema":`+parameterSchema+`,"parameters":{"y":"p"},"tags":["b","a"]}`).as("strict"),
		post("/deployments/", `{"flow_id":"{beta}","name":"old client","worker_pool_name":"p","work_pool_queue_name":"q","concurrency_limit":null,"work_queue_name":"default"}`).as("old"),
		post("/deployments/", `{"flow_id":"{beta}","name":"enforced by default","parameter_openapi_schema":`+parameterSchema+`,"parameters":{"x":"no integer"}}`).as("default"),
	}
}

func deploymentReads() []request {
	all := []request{get("/deployments/{bare}"), get("/deployments/{full}"), get("/deployments/name/alpha/full"), get("/deployments/name/beta/full"), get("/deployments/name/beta/old%20client"),
		get("/deployments/{full}/schedules"), get("/v2/concurrency_limits/deployment:{full}")}
	for _, c := range []string{`"deployments":{}`, `"deployments":{"id":{"any_":["{bare}","{full}"]}}`, `"deployments":{"id":{"not_any_":["{bare}"]}}`, `"deployments":{"name":{"any_":["full"]}}`, `"deployments":{"name":{"like_":"BAR"}}`,
		`"deployments":{"flow_or_deployment_name":{"like_":"alp"}}`, `"deployments":{"paused":{"eq_":true}}`, `"deployments":{"tags":{"all_":["t"]}}`, `"deployments":{"tags":{"any_":["a","u"]}}`,
		`"deployments":{"tags":{"is_null_":true}}`, `"deployments":{"work_queue_name":{"any_":["queue"]}}`, `"deployments":{"concurrency_limit":{"ge_":1}}`,
		`"deployments":{"operator":"or_","paused":{"eq_":true},"name":{"any_":["bare"]}}`, `"flows":{"name":{"any_":["beta"]}}`, `"work_pools":{"name":{"any_":["default-agent-pool"]}}`,
		`"work_pool_queues":{"name":{"any_":["queue"]}}`, `"work_pool_queues":{"name":{"startswith_":["DEF"]}}`, `"flow_runs":{"name":{"any_":["none"]}}`, `"flow_runs":{}`, `"task_runs":{}`} {
		all = append(all, post("/deployments/filter", `{`+c+`}`), post("/deployments/count", `{`+c+`}`))
	}
	for _, sort := range []string{"CREATED_DESC", "UPDATED_DESC", "NAME_ASC", "NAME_DESC"} {
		all = append(all, post("/deployments/filter", fmt.Sprintf(`{"sort":%q,"limit":2,"offset":1}`, sort)))
	}
	return append(all, post("/deployments/paginate", `{"limit":2,"page":2}`), post("/deployments/filter", ``),
		post("/flows/filter", `{"deployments":{"name":{"any_":["full"]}}}`), post("/flows/count", `{"flows":{"deployment":{"is_null_":false}}}`))
}

// deploymentRuns creates runs and finds them by their deployments.
func deploymentRuns() []request {
	all := []request{
		post("/deployments/{bare}/create_flow_run", `{"name":"run 1"}`).as("run1"),
		post("/deployments/{full}/create_flow_run", `{"name":"run 2","parameters":{"z":"q"},"tags":["own","t"],"labels":{"l":true},"job_variables":{"image":"i"},"context":{"c":1},
			"empirical_policy":{"retries":2},"idempotency_key":"key","enforce_parameter_schema":false}`).as("run2"),
		post("/deployments/{full}/create_flow_run", `{"name":"run 2 again","idempotency_key":"key","enforce_parameter_schema":false}`),
		post("/deployments/{full}/create_flow_run", `{"name":"run 3","parameters":{"x":5},"state":{"type":"PENDING"},"job_variables":null}`).as("run3"),
		post("/deployments/{full}/create_flow_run", `{"name":"run 4","parameters":{"x":5},"work_queue_name":"made for it","state":{"type":"SCHEDULED","name":"Later","state_details":{"scheduled_time":"2026-12-01T00:00:00Z"}}}`).as("run4"),
		post("/deployments/{strict}/create_flow_run", `{}`), post("/deployments/{strict}/create_flow_run", `{"parameters":{"x":"one"}}`), post("/deployments/{strict}/create_flow_run", `{"name":"run 5","parameters":{"x":1,"more":[1]}}`),
		post("/deployments/{strict}/create_flow_run", `{"name":"run 6","parameters":{"x":1,"y":null}}`), post("/deployments/{strict}/create_flow_run", `{"name":"run 7","parameters":{"x":1,"z":null}}`),
		post("/deployments/{strict}/create_flow_run", `{"name":"run 8","enforce_parameter_schema":false}`),
		post("/deployments/{strict}/create_flow_run", `{"name":"run 9","parameters":{"x":{"__prefect_kind":"json","value":"7"}}}`),
		post("/deployments/{strict}/create_flow_run", `{"name":"run 9","parameters":{"x":{"__prefect_kind":"json","value":"{"}}}`),
		post("/deployments/{strict}/create_flow_run", `{"name":"run 9","parameters":{"x":{"__prefect_kind":"workspace_variable","variable_name":"none"}}}`),
		post("/deployments/{shares}/create_flow_run", `{"enforce_parameter_schema":true}`), post("/deployments/{bare}/create_flow_run", `{"work_queue_name":"q"}`),
		post("/deployments/"+nowhere+"/create_flow_run", `{}`), post("/deployments/{bare}/create_flow_run", `{"flow_id":"{alpha}"}`), post("/deployments/{bare}/create_flow_run", `{"state":{"type":"X"}}`),
		post("/deployments/{strict}/create_flow_run/bulk", `[{"name":"bulk 1","parameters":{"x":1}},{"name":"bulk 2"},{"name":"bulk 3","parameters":{"x":3},"work_queue_name":"q"}]`),
		post("/deployments/{bare}/create_flow_run/bulk", `[]`), post("/deployments/"+nowhere+"/create_flow_run/bulk", `[]`), post("/deployments/{bare}/create_flow_run/bulk", `{}`),
		post("/flow_runs/", `{"flow_id":"{alpha}","name":"of a deployment","deployment_id":"{full}"}`), post("/flow_runs/", `{"flow_id":"{alpha}","name":"in a pool","work_pool_name":"default-agent-pool"}`),
		post("/flow_runs/", `{"flow_id":"{alpha}","name":"in a queue","work_pool_name":"default-agent-pool","work_queue_name":"queue"}`), post("/flow_runs/", `{"flow_id":"{alpha}","work_pool_name":"none"}`),
		post("/flow_runs/", `{"flow_id":"{alpha}","work_pool_name":"default-agent-pool","work_queue_name":"none"}`),
		get("/flow_runs/{run1}"), get("/flow_runs/{run2}"), get("/flow_runs/{run3}"), get("/flow_runs/{run4}"),
		patch("/flow_runs/{run2}", `{"job_variables":{"a":"b"}}`), get("/flow_runs/{run2}"),
		post("/deployments/get_scheduled_flow_runs", `{"deployment_ids":["{full}","{bare}"]}`), post("/deployments/get_scheduled_flow_runs", `{"deployment_ids":["{full}"],"scheduled_before":"2026-11-30T00:00:00Z"}`),
		post("/deployments/get_scheduled_flow_runs", `{"deployment_ids":[]}`), post("/deployments/get_scheduled_flow_runs", `{"deployment_ids":["{full}"],"limit":1}`), post("/deployments/get_scheduled_flow_runs", `{}`),
	}
	for _, c := range []string{`"deployments":{"name":{"any_":["full"]}}`, `"deployments":{"paused":{"eq_":false}}`, `"work_pools":{"name":{"any_":["default-agent-pool"]}}`, `"work_pool_queues":{"name":{"any_":["made for it"]}}`,
		`"deployments":{"tags":{"all_":["a"]}},"flows":{"name":{"any_":["beta"]}}`, `"flow_runs":{"deployment_id":{"any_":["{bare}"]}}`, `"flow_runs":{"work_queue_name":{"any_":["queue"]}}`} {
		all = append(all, post("/flow_runs/filter", `{`+c+`,"sort":"NAME_ASC"}`), post("/flow_runs/count", `{`+c+`}`), post("/deployments/count", `{`+c+`}`))
	}
	return all
}

// deploymentChanges patches one field after the other.
func deploymentChanges() []request {
	var all []request
	for _, body := range []string{`{}`, `{"description":"x","version":"2"}`, `{"description":null,"version":null}`, `{"paused":false}`, `{"tags":["q"]}`, `{"parameters":{"x":3}}`, `{"job_variables":{"j":1}}`, `{"job_variables":null}`,
		`{"path":"p2","entrypoint":null}`, `{"pull_steps":[{"a":1}]}`, `{"pull_steps":null}`, `{"work_queue_name":"other"}`, `{"work_pool_name":"default-agent-pool"}`, `{"work_pool_name":"default-agent-pool","work_queue_name":"third"}`,
		`{"work_pool_name":null}`, `{"concurrency_options":{"collision_strategy":"ENQUEUE"}}`, `{"concurrency_options":null}`, `{"concurrency_limit":5}`, `{"concurrency_limit":6}`, `{"concurrency_limit":null}`,
		`{"global_concurrency_limit_id":"{shared}"}`, `{"concurrency_limit":9}`, `{"global_concurrency_limit_id":null}`, `{"enforce_parameter_schema":false}`, `{"parameters":{"x":"no integer"}}`,
		`{"parameter_openapi_schema":{"type":"object","properties":{"w":{"type":"number"}}}}`, `{"version_info":{"type":"t","version":"v"}}`, `{"worker_pool_queue_id":"x"}`} {
		all = append(all, patch("/deployments/{full}", body), get("/deployments/{full}"))
	}
	return append(all, get("/v2/concurrency_limits/shared"), patch("/deployments/{strict}", `{"parameters":{"x":"no"}}`), patch("/deployments/{strict}", `{"parameters":{"y":"partial"}}`),
		patch("/deployments/{strict}", `{"parameter_openapi_schema":{"type":"object","properties":{"y":{"type":"integer"}}}}`), patch("/deployments/{shares}", `{"enforce_parameter_schema":true}`), get("/deployments/{strict}"),
		post("/deployments/{bare}/pause_deployment", ``), get("/deployments/{bare}"), post("/deployments/{bare}/resume_deployment", ``), get("/deployments/{bare}"))
}

func deploymentSchedules() []request {
	schedules := func(body string) []request {
		return []request{patch("/deployments/{bare}", `{"schedules":`+body+`}`), get("/deployments/{bare}/schedules")}
	}
	all := []request{
		post("/deployments/{bare}/schedules", `[{"schedule":{"interval":60,"anchor_date":"2026-01-01T00:00:00Z"},"max_scheduled_runs":5},{"schedule":{"cron":"@daily"},"slug":"s","active":false}]`).as("schedule"),
		get("/deployments/{bare}/schedules"), post("/deployments/{bare}/schedules", `[{"schedule":{"cron":"@daily"},"slug":"s"}]`),
		patch("/deployments/{bare}/schedules/{schedule}", `{"active":false}`), patch("/deployments/{bare}/schedules/{schedule}", `{"schedule":{"cron":"* * * * *"},"parameters":{"p":1},"max_scheduled_runs":null}`),
		get("/deployments/{bare}"), patch("/deployments/{bare}/schedules/"+nowhere, `{}`), patch("/deployments/"+nowhere+"/schedules/{schedule}", `{}`),
		remove("/deployments/{bare}/schedules/" + nowhere), remove("/deployments/" + nowhere + "/schedules/{schedule}"), remove("/deployments/{bare}/schedules/{schedule}"), get("/deployments/{bare}/schedules"),
		get("/deployments/" + nowhere + "/schedules"), post("/deployments/"+nowhere+"/schedules", `[]`),
	}
	for _, body := range []string{`[]`, `[{"slug":"s","active":true}]`, `[{"schedule":{"cron":"1 * * * *"}}]`, `[{"slug":"new"}]`, `[{"slug":"new","schedule":{"cron":"2 * * * *"}}]`,
		`[{"slug":"renamed","replaces":"new","active":false}]`, `[{"slug":"s","replaces":"renamed"}]`, `[{"slug":"x","replaces":"s"},{"slug":"y","replaces":"s"}]`,
		`[{"slug":"late","replaces":"gone","schedule":{"interval":5.5,"anchor_date":"2026-01-01T00:00:00Z"}}]`} {
		all = append(all, schedules(body)...)
	}
	return append(all, post("/deployments/{bare}/schedules", `[{"schedule":{"interval":"PT1H","anchor_date":"2026-01-01T00:00:00Z","timezone":"America/New_York"}}]`), patch("/deployments/{bare}", `{"schedules":[]}`),
		get("/deployments/{bare}/schedules"))
}

func deploymentRefusals() []request {
	all := []request{patch("/deployments/{full}", `{"work_pool_name":"none"}`).refused("404"), get("/deployments/" + nowhere), get("/deployments/not-an-id"), get("/deployments/name/alpha/none"), patch("/deployments/"+nowhere, `{}`), remove("/deployments/" + nowhere),
		post("/deployments/"+nowhere+"/pause_deployment", ``), post("/deployments/"+nowhere+"/resume_deployment", ``), post("/deployments/filter", `{"sort":"NONE"}`), post("/deployments/filter", `{"limit":-1}`),
		post("/deployments/filter", `{"deployments":{"nonsense":1}}`), post("/deployments/bulk_delete", `{"limit":51}`), post("/deployments/", `{}`), post("/deployments/", ``)}
	for _, field := range []string{`"flow_id":"` + nowhere + `"`, `"nonsense":1`, `"work_pool_name":"none"`, `"global_concurrency_limit_id":"` + nowhere + `"`, `"concurrency_limit":0`, `"concurrency_limit":"x"`,
		`"concurrency_limit":1,"global_concurrency_limit_id":"{shared}"`, `"concurrency_options":{}`, `"concurrency_options":{"collision_strategy":"X"}`, `"concurrency_options":{"collision_strategy":"ENQUEUE","grace_period_seconds":59}`,
		`"paused":null`, `"tags":null`, `"parameters":[]`, `"labels":{"a":[]}`, `"pull_steps":[1]`, `"pull_steps":{}`, `"version_info":{}`, `"job_variables":null`, `"schedules":{}`, `"schedules":[{}]`,
		`"enforce_parameter_schema":true,"parameters":{"x":"a"},"parameter_openapi_schema":` + parameterSchema, `"enforce_parameter_schema":true,"parameter_openapi_schema":{"type":5}`} {
		all = append(all, post("/deployments/", `{"name":"refused","flow_id":"{alpha}",`+field+`}`))
	}
	for _, schedule := range []string{`{"interval":0}`, `{"interval":"x"}`, `{"interval":60,"timezone":"Nowhere"}`, `{"interval":60,"x":1}`, `{"cron":"* * *"}`, `{"cron":"61 * * * *"}`, `{"cron":"* * * * *","timezone":"Nowhere"}`,
		`{"cron":5}`, `{"rrule":"FREQ=NEVER"}`, `{"rrule":""}`, `{"rrule":"FREQ=DAILY","timezone":"Nowhere"}`, `{}`, `5`, `null`, `[]`} {
		all = append(all, post("/deployments/{full}/schedules", `[{"schedule":`+schedule+`}]`))
	}
	for _, body := range []string{`{"paused":null}`, `{"nonsense":1}`, `{"work_queue_name":5}`, `{"global_concurrency_limit_id":"` + nowhere + `"}`, `{"concurrency_limit":-1}`, `{"schedules":[{"max_scheduled_runs":51}]}`, `{"parameters":null}`,
		`{"enforce_parameter_schema":null}`} {
		all = append(all, patch("/deployments/{full}", body))
	}
	return all
}

func deploymentEnds() []request {
	return []request{
		remove("/deployments/{full}"), get("/deployments/{full}"), remove("/deployments/{full}"), get("/flow_runs/{run3}"), get("/flow_runs/{run4}"),
		post("/deployments/bulk_delete", `{"deployments":{"name":{"any_":["bare","none"]}}}`), post("/deployments/count", ``), remove("/flows/{beta}"), post("/deployments/count", ``),
	}
}
