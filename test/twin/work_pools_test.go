package twin

import (
	"slices"
	"testing"
)

// TestWorkPoolRequests sends one script over work pools, queues, workers and limits
// by tag to both servers.
func TestWorkPoolRequests(t *testing.T) {
	for name, postgres := range map[string]bool{"sqlite": false, "postgres": true} {
		t.Run(name, func(t *testing.T) {
			newPair(t, postgres).compareScript(t, name, slices.Concat(poolRequests(), queueRequests(), poolWork(), oldQueueRequests(), poolRefusals(), tagLimitRequests()))
		})
	}
}

const jobTemplate = `{"job_configuration":{"command":"{{ command }}","env":"{{ env }}"},"variables":{"type":"object","properties":{
	"command":{"type":"string"},"env":{"type":"object","default":{"A":"b"},"additionalProperties":{"type":"string"}},"n":{"type":"integer","default":1}},"required":["command"]}}`

func poolRequests() []request {
	return []request{
		post("/work_pools/", `{"name":"bare"}`).as("bare"), post("/work_pools/", `{"name":"bare"}`),
		post("/work_pools/", `{"name":"full","type":"process","description":"d","base_job_template":`+jobTemplate+`,"is_paused":false,"concurrency_limit":3,
			"storage_configuration":{"bundle_upload_step":{"a":1}}}`).as("full"),
		post("/work_pools/", `{"name":"paused","type":"docker","is_paused":true}`),
		get("/work_pools/bare"), get("/work_pools/full"), get("/work_pools/none"), post("/work_pools/filter", ``), post("/work_pools/count", ``),
		post("/work_pools/filter", `{"work_pools":{"name":{"any_":["full"]}}}`), post("/work_pools/filter", `{"work_pools":{"type":{"any_":["docker","process"]}},"limit":1,"offset":1}`),
		post("/work_pools/count", `{"work_pools":{"id":{"any_":["{full}"]}}}`), post("/work_pools/count", `{"work_pools":{"operator":"or_","name":{"any_":["bare"]},"type":{"any_":["docker"]}}}`),
		patch("/work_pools/full", `{"description":"e","is_paused":true}`), get("/work_pools/full"), patch("/work_pools/full", `{"is_paused":false}`), get("/work_pools/full"),
		patch("/work_pools/full", `{"concurrency_limit":null}`), get("/work_pools/full"), patch("/work_pools/full", `{"concurrency_limit":2}`), patch("/work_pools/bare", `{"is_paused":true}`), get("/work_pools/bare"),
		patch("/work_pools/bare", `{"is_paused":false}`), patch("/work_pools/none", `{}`), remove("/work_pools/none"), remove("/work_pools/paused"), get("/work_pools/paused"),
		post("/work_pools/full/workers/heartbeat", `{"name":"w","heartbeat_interval_seconds":20}`), post("/work_pools/full/workers/heartbeat", `{"name":"w"}`), post("/work_pools/full/workers/heartbeat", `{"name":"v"}`), get("/work_pools/full"),
		post("/work_pools/full/workers/filter", ``), post("/work_pools/full/workers/filter", `{"workers":{"status":{"any_":["ONLINE"]}},"limit":1}`), post("/work_pools/full/workers/filter", `{"workers":{"status":{"not_any_":["ONLINE"]}}}`),
		post("/work_pools/full/workers/filter", `{"workers":{"last_heartbeat_time":{"before_":"2020-01-01T00:00:00Z"}}}`), post("/work_pools/full/workers/filter", `{"workers":{"status":{"any_":["X"]}}}`),
		patch("/work_pools/full", `{"is_paused":true}`), patch("/work_pools/full", `{"is_paused":false}`), get("/work_pools/full"),
		remove("/work_pools/full/workers/v"), remove("/work_pools/full/workers/v"), post("/work_pools/none/workers/filter", ``), post("/work_pools/none/workers/heartbeat", `{"name":"w"}`), remove("/work_pools/none/workers/w"),
	}
}

func queueRequests() []request {
	return []request{
		get("/work_pools/full/queues/default"), post("/work_pools/full/queues", `{"name":"second","description":"d","concurrency_limit":1}`).as("second"),
		post("/work_pools/full/queues", `{"name":"first","priority":1,"is_paused":true,"filter":{"tags":["a"]}}`).as("first"), post("/work_pools/full/queues", `{"name":"first"}`), post("/work_pools/full/queues", `{"name":"far","priority":9}`),
		post("/work_pools/full/queues/filter", ``), post("/work_pools/full/queues/filter", `{"work_queues":{"name":{"startswith_":["FIR","sec"]}}}`), post("/work_pools/full/queues/filter", `{"work_queues":{"id":{"any_":["{second}"]}},"limit":1}`),
		patch("/work_pools/full/queues/second", `{"priority":1,"description":"e"}`), post("/work_pools/full/queues/filter", ``), patch("/work_pools/full/queues/second", `{"name":"renamed","is_paused":true}`), get("/work_pools/full/queues/renamed"),
		patch("/work_pools/full/queues/renamed", `{"is_paused":false,"concurrency_limit":null,"last_polled":"2020-01-01T00:00:00Z"}`), get("/work_pools/full/queues/renamed"), patch("/work_pools/full/queues/first", `{"is_paused":false}`),
		get("/work_queues/{first}"), get("/work_pools/full/queues/none"), patch("/work_pools/full/queues/none", `{}`), remove("/work_pools/full/queues/none"), remove("/work_pools/full/queues/far"), post("/work_pools/full/queues/filter", ``),
		remove("/work_pools/full/queues/default").refused("409"), get("/work_pools/none/queues/default"), post("/work_pools/none/queues", `{"name":"q"}`), post("/work_pools/none/queues/filter", ``),
	}
}

// poolWork puts deployments and runs into a pool and asks for work.
func poolWork() []request {
	run := func(name, more string) request {
		return post("/deployments/{d}/create_flow_run", `{"name":"`+name+`"`+more+`}`)
	}
	at := func(second string) string {
		return `,"state":{"type":"SCHEDULED","state_details":{"scheduled_time":"2026-11-20T00:00:` + second + `Z"}}`
	}
	return []request{
		post("/flows/", `{"name":"f"}`).as("f"),
		post("/deployments/", `{"flow_id":"{f}","name":"d","work_pool_name":"full","job_variables":{"command":"c"}}`).as("d"),
		post("/deployments/", `{"flow_id":"{f}","name":"e","work_pool_name":"full","work_queue_name":"made"}`).as("e"),
		post("/deployments/", `{"flow_id":"{f}","name":"x","work_pool_name":"none"}`), post("/deployments/", `{"flow_id":"{f}","name":"x","work_pool_name":"full","job_variables":{"command":5}}`),
		post("/deployments/{e}/create_flow_run", `{"name":"lacks a command"}`), run("unfit", `,"job_variables":{"n":"x"}`),
		post("/deployments/{e}/create_flow_run", `{"name":"run e","job_variables":{"command":"c"}`+at("01")+`}`), run("run 1", at("03")), run("run 2", at("02")), run("run 3", at("04")+`,"work_queue_name":"renamed"`).as("run3"),
		run("pending", `,"state":{"type":"PENDING"}`), patch("/deployments/{d}", `{"work_pool_name":"full","job_variables":{"command":1}}`), patch("/deployments/{d}", `{"work_pool_name":"full","work_queue_name":"renamed"}`), get("/deployments/{d}"),
		get("/work_pools/full"), post("/work_pools/full/get_scheduled_flow_runs", ``), patch("/work_pools/full", `{"concurrency_limit":9}`), post("/work_pools/full/get_scheduled_flow_runs", `{}`),
		post("/work_pools/full/get_scheduled_flow_runs", `{"work_queue_names":["renamed","made"]}`), post("/work_pools/full/get_scheduled_flow_runs", `{"scheduled_before":"2026-11-20T00:00:02Z"}`),
		post("/work_pools/full/get_scheduled_flow_runs", `{"scheduled_after":"2026-11-20T00:00:03Z","limit":1}`), post("/work_pools/full/get_scheduled_flow_runs", `{"work_queue_names":["none"]}`), post("/work_pools/none/get_scheduled_flow_runs", ``),
		patch("/work_pools/full/queues/default", `{"concurrency_limit":2}`), post("/work_pools/full/get_scheduled_flow_runs", ``), get("/work_pools/full/queues/default"), patch("/work_pools/full", `{"is_paused":true}`),
		post("/work_pools/full/get_scheduled_flow_runs", ``), patch("/work_pools/full", `{"is_paused":false}`), get("/deployments/{d}"), get("/deployments/{e}"),
		post("/flow_runs/filter", `{"work_pools":{"name":{"any_":["full"]}},"sort":"NAME_ASC"}`), post("/flow_runs/count", `{"work_pools":{"type":{"any_":["process"]}},"work_pool_queues":{"name":{"any_":["made","renamed"]}}}`),
		post("/flows/count", `{"work_pools":{"name":{"any_":["full"]}}}`), post("/deployments/filter", `{"work_pools":{"name":{"any_":["full"]}},"work_pool_queues":{"name":{"startswith_":["MA"]}}}`),
	}
}

func oldQueueRequests() []request {
	return []request{
		get("/work_queues/name/old"), post("/work_queues/", `{"name":"old","description":"d","priority":3}`).as("old"), post("/work_queues/", `{"name":"old"}`), get("/work_queues/name/old"), get("/work_queues/{old}"),
		post("/work_queues/", `{"name":"tagged","filter":{"tags":["t"],"deployment_ids":null},"concurrency_limit":1}`).as("tagged"), get("/work_pools/default-agent-pool"),
		patch("/work_queues/{old}", `{"is_paused":true,"description":"x"}`), get("/work_queues/{old}"), patch("/work_queues/{old}", `{"is_paused":false}`), patch("/work_queues/"+nowhere, `{}`), get("/work_queues/" + nowhere),
		post("/deployments/", `{"flow_id":"{f}","name":"agent's","work_queue_name":"old","tags":["t"]}`).as("a"), post("/deployments/{a}/create_flow_run", `{"name":"for the agent"}`),
		get("/work_queues/{old}/status"), post("/work_queues/{old}/get_runs", ``), post("/work_queues/{old}/get_runs", `{"limit":1,"scheduled_before":"2020-01-01T00:00:00Z"}`),
		post("/work_queues/{tagged}/get_runs", ``), post("/work_queues/filter", `{"work_queues":{"name":{"any_":["old","tagged"]}}}`), post("/work_queues/filter", `{"limit":2,"offset":1}`),
		post("/work_queues/"+nowhere+"/get_runs", ``), get("/work_queues/" + nowhere + "/status"), remove("/work_queues/{tagged}"), remove("/work_queues/{tagged}"),
	}
}

func poolRefusals() []request {
	all := []request{post("/work_pools/", `{}`), post("/work_pools/", `{"name":"Prefect-x"}`), patch("/work_pools/prefect-x", `{"description":"d"}`), remove("/work_pools/prefect-x"), post("/work_pools/filter", `{"limit":-1}`)}
	for _, field := range []string{`"name":""`, `"name":"a/b"`, `"name":" "`, `"name":"x","nonsense":1`, `"name":"x","concurrency_limit":-1`, `"name":"x","base_job_template":{"job_configuration":{}}`,
		`"name":"x","base_job_template":{"job_configuration":{"a":"{{ b }}"},"variables":{"properties":{"c":{}}}}`, `"name":"x","storage_configuration":{"nonsense":1}`, `"name":"x","type":null`,
		`"name":"x","base_job_template":{"job_configuration":{"a":"{{ a }}"},"variables":{"type":"object","properties":{"a":{"type":"integer","default":"no"}}}}`} {
		all = append(all, post("/work_pools/", `{`+field+`}`))
	}
	for _, field := range []string{`"name":"a/b"`, `"name":"x","priority":0`, `"name":"x","filter":{"tags":5}`, `"name":"x","nonsense":1`} {
		all = append(all, post("/work_pools/bare/queues", `{`+field+`}`))
	}
	return append(all, remove("/work_pools/full"), get("/work_pools/full"), get("/deployments/{d}"), get("/flow_runs/{run3}"))
}

const (
	taskOne = "11111111-1111-4111-8111-111111111111"
	taskTwo = "22222222-2222-4222-8222-222222222222"
)

func tagLimitRequests() []request {
	slots := func(what, tags, run string) request {
		return post("/concurrency_limits/"+what, `{"names":[`+tags+`],"task_run_id":"`+run+`"}`)
	}
	limit := get("/concurrency_limits/tag/a")
	return []request{
		post("/concurrency_limits/", `{"tag":"a","concurrency_limit":1}`).as("tag"), post("/concurrency_limits/", `{"tag":"a","concurrency_limit":1}`), post("/concurrency_limits/", `{"tag":"b","concurrency_limit":2}`),
		post("/concurrency_limits/", `{"tag":"zero","concurrency_limit":0}`), post("/v2/concurrency_limits/", `{"name":"no tag","limit":1}`).as("other"), get("/concurrency_limits/{tag}"), get("/concurrency_limits/{other}"), limit,
		get("/concurrency_limits/tag/none"), get("/concurrency_limits/" + nowhere), slots("increment", `"a","b","none"`, taskOne), limit, get("/v2/concurrency_limits/tag:a"), slots("increment", `"a"`, taskTwo), slots("increment", `"b"`, taskTwo),
		slots("increment", `"b","zero"`, taskTwo), slots("decrement", `"a"`, taskTwo), limit, slots("decrement", `"a","b","none"`, taskOne), limit, slots("decrement", `"a"`, taskOne), get("/v2/concurrency_limits/tag:a"), get("/v2/concurrency_limits/tag:b"),
		slots("decrement", `"b"`, taskTwo), post("/concurrency_limits/filter", ``), slots("increment", `"none"`, taskOne), slots("increment", ``, taskOne), post("/concurrency_limits/increment", `{"names":["a"]}`), post("/concurrency_limits/decrement", `{}`),
		post("/concurrency_limits/tag/none/reset", ``), post("/concurrency_limits/tag/a/reset", `{"slot_override":["`+taskOne+`"]}`), limit, post("/concurrency_limits/tag/a/reset", `{"slot_override":["x"]}`),
		remove("/concurrency_limits/tag/none"), remove("/concurrency_limits/tag/b"), remove("/concurrency_limits/tag/b"), remove("/concurrency_limits/{tag}"), remove("/concurrency_limits/{tag}"), limit,
		post("/concurrency_limits/", `{"tag":"a"}`), post("/concurrency_limits/", `{"tag":1,"concurrency_limit":"x","nonsense":2}`),
	}
}
