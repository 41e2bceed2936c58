package twin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/interlock-run/interlock/test/rest"
)

// request is one step of a script over the REST surface. {name} in path and
// body stands for the id that the step which captured that name was answered.
type request struct {
	method, path, body string
	capture            string
	// ours is where interlock's answer differs on purpose: leaf → what it must be.
	ours map[string]string
}

// TestRequests sends one script over flows, flow runs, task runs and logs to
// both servers, and compares status codes, keys and values.
func TestRequests(t *testing.T) {
	for name, postgres := range map[string]bool{"sqlite": false, "postgres": true} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, postgres)
			script := slices.Concat(fixtures(), filters())
			if postgres {
				script = append(script, searches()...) // on SQLite the reference answers 500
			}
			script = slices.Concat(script, changes(), refusals())
			p.compareScript(t, name, script)
		})
	}
}

// compareScript sends a script to both servers and reports where their answers
// differ; name is of the database.
func (p *pair) compareScript(t *testing.T, name string, script []request) {
	t.Helper()
	ref, ours := newTalk(&p.ref), newTalk(&p.ours)
	differ := 0
	for i, r := range script {
		both := [2]map[string]string{}
		for j, talk := range []*talk{ref, ours} {
			var err error
			if both[j], err = talk.send(t, fmt.Sprintf("request %d", i), r); err != nil {
				t.Fatalf("%s %s %s: %v", r.method, r.path, r.body, err)
			}
		}
		if found := r.unintended(compare(both[0], both[1])); len(found) > 0 {
			differ++
			t.Errorf("%s %s %s\n    %s", r.method, r.path, r.body, join(found))
		}
	}
	fmt.Printf("twin: %d requests compared on %s, %d differ\n", len(script), name, differ)
}

// unintended leaves out what r.ours says, and adds where that does not hold.
func (r request) unintended(found []difference) []difference {
	if os.Getenv(selfEnv) == "1" {
		return found
	}
	var rest []difference
	met := map[string]bool{}
	for _, d := range found {
		if want, ok := r.ours[d.path]; ok && want == d.ours {
			met[d.path] = true
			continue
		}
		rest = append(rest, d)
	}
	for path, want := range r.ours {
		if !met[path] {
			rest = append(rest, difference{path, "(intended to differ)", "not " + want})
		}
	}
	return rest
}

func join(found []difference) string {
	var lines []string
	for _, d := range found[:min(8, len(found))] {
		lines = append(lines, d.String())
	}
	if len(found) > 8 {
		lines = append(lines, fmt.Sprintf("and %d more", len(found)-8))
	}
	return strings.Join(lines, "\n    ")
}

// talk is the script under way on one side.
type talk struct {
	side     *side
	normal   *normal
	captured map[string]string
}

func newTalk(s *side) *talk {
	t := &talk{side: s, normal: newNormal(map[string]bool{}), captured: map[string]string{}}
	t.normal.history = unknownHistory
	t.normal.ids[s.flow] = "the flow"
	t.normal.windows = []window{s.made}
	return t
}

var placeholder = regexp.MustCompile(`\{[a-z0-9-]+\}`)

func (k *talk) fill(text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(name string) string {
		if id, ok := k.captured[name[1:len(name)-1]]; ok {
			return id
		}
		return name
	})
}

func (k *talk) send(t *testing.T, name string, r request) (map[string]string, error) {
	q := rest.Request{Method: r.method, Path: k.fill(r.path)}
	if r.body != "" {
		q.Body = []byte(k.fill(r.body))
		var sent any
		if json.Unmarshal([]byte(r.body), &sent) == nil {
			for text := range given(sent) {
				k.normal.know(text)
			}
		}
	}
	reply, err := k.side.client.Do(t.Context(), q)
	if err != nil {
		return nil, err
	}
	k.normal.windows = append(k.normal.windows, window{name, reply.Sent, reply.Received})
	seen := map[string]string{"status": fmt.Sprint(reply.Status)}
	v, err := reply.Value()
	if err != nil {
		return nil, err
	}
	if reply.Status >= 400 {
		refusal(seen, v)
		return seen, nil
	}
	if strings.Contains(r.body, "ID_DESC") {
		// Ids are random on the reference: the order is checked here, the rows by name.
		rows := v.([]any)
		if !slices.IsSortedFunc(rows, func(a, b any) int { return -strings.Compare(field(a, "id"), field(b, "id")) }) {
			seen["order"] = "not by id"
		}
		slices.SortFunc(rows, func(a, b any) int { return strings.Compare(field(a, "name"), field(b, "name")) })
	}
	k.normal.flatten(seen, "", v)
	if list, ok := v.([]any); ok && len(list) > 0 {
		v = list[0]
	}
	if r.capture != "" {
		k.captured[r.capture] = field(v, "id")
	}
	return seen, nil
}

// field returns a text of an object.
func field(v any, name string) string {
	m, _ := v.(object)
	return str(m[name])
}

// refusal keeps what clients read of an error: the keys, and where which kind
// of thing is wrong. The texts are ours.
func refusal(seen map[string]string, v any) {
	m, ok := v.(object)
	if !ok {
		seen["body"] = fmt.Sprintf("%T", v)
		return
	}
	for k := range m {
		seen[k] = "present"
	}
	details, _ := m["exception_detail"].([]any)
	var places []string // in any order: ours is that of the body, the reference's that of its schema
	for _, d := range details {
		if one, ok := d.(object); ok {
			loc, _ := json.Marshal(one["loc"])
			places = append(places, fmt.Sprintf("%v at %s", one["type"], loc))
		}
	}
	slices.Sort(places)
	for i, p := range places {
		seen[fmt.Sprintf("exception_detail[%d]", i)] = p
	}
}

func post(path, body string) request { return request{method: http.MethodPost, path: path, body: body} }

func (r request) as(name string) request { r.capture = name; return r }

// fixtures makes what the filters look for.
func fixtures() []request {
	return []request{
		post("/flows/", `{"name":"alpha","tags":["a","b"],"labels":{"team":"x"}}`).as("alpha"),
		post("/flows/", `{"name":"beta"}`).as("beta"),
		post("/flows/", `{"name":"gamma","tags":["b"]}`).as("gamma"),
		post("/flows/", `{"name":"alpha","tags":["ignored"]}`),
		post("/flow_runs/", `{"flow_id":"{alpha}","name":"r1","tags":["a","b"],"flow_version":"1","parameters":{"x":[1,{"y":null}]},"context":{"k":"v"},"idempotency_key":"key-1","labels":{"l":1}}`).as("r1"),
		post("/flow_runs/", `{"flow_id":"{alpha}","name":"r2","tags":["a"],"flow_version":"2","state":{"type":"SCHEDULED","state_details":{"scheduled_time":"2026-12-01T00:00:00Z"}},"idempotency_key":"key-2"}`).as("r2"),
		post("/flow_runs/", `{"flow_id":"{beta}","name":"r3","state":{"type":"RUNNING","message":"m"},"empirical_policy":{"retries":3,"retry_delay":5},"job_variables":{"image":"i"}}`).as("r3"),
		post("/flow_runs/", `{"flow_id":"{beta}","name":"r4","tags":["c"],"state":{"type":"PENDING","name":"Custom"},"infrastructure_document_id":null}`).as("r4"),
		post("/flow_runs/", `{"flow_id":"{beta}","name":"r4b","state":null}`).as("r4b"),
		post("/flow_runs/", `{"flow_id":"{alpha}","name":"again","idempotency_key":"key-1"}`),
		post("/flow_runs/{r1}/set_state", `{"state":{"type":"RUNNING"}}`),
		post("/flow_runs/{r1}/set_state", `{"state":{"type":"COMPLETED","data":{"type":"reference","storage_key":"s"}}}`),
		post("/task_runs/", `{"flow_run_id":"{r3}","task_key":"t","dynamic_key":"0","name":"t1","tags":["a"],"empirical_policy":{"retries":2,"retry_delay":[700,700]},"task_inputs":{"x":[{"input_type":"parameter","name":"p"}]},"cache_key":"c","labels":{"l":true}}`).as("t1"),
		post("/task_runs/", `{"flow_run_id":"{r3}","task_key":"t","dynamic_key":"1","name":"t2","state":{"type":"SCHEDULED"}}`).as("t2"),
		post("/task_runs/", `{"flow_run_id":"{r3}","task_key":"sub","dynamic_key":"0","name":"t3","tags":["b"],"task_version":"v"}`).as("t3"),
		post("/task_runs/", `{"task_key":"alone","dynamic_key":"0","name":"t4"}`).as("t4"),
		post("/task_runs/", `{"flow_run_id":"{r3}","task_key":"t","dynamic_key":"0","name":"again"}`),
		post("/flow_runs/", `{"flow_id":"{gamma}","name":"sub","parent_task_run_id":"{t3}","state":{"type":"PENDING"}}`).as("sub"),
		post("/flow_runs/{sub}/set_state", `{"state":{"type":"RUNNING"}}`),
		post("/task_runs/{t1}/set_state", `{"state":{"type":"RUNNING"}}`),
		post("/task_runs/{t1}/set_state", `{"state":{"type":"FAILED","message":"m"}}`),
		post("/task_runs/{t2}/set_state", `{"state":{"type":"RUNNING"}}`),
		post("/task_runs/{t2}/set_state", `{"state":{"type":"COMPLETED"}}`),
		post("/task_runs/{t2}/set_state", `{"state":{"type":"RUNNING"}}`),
		post("/logs/", `[{"name":"l","level":20,"message":"hello world","timestamp":"2026-11-24T00:00:00Z","flow_run_id":"{r1}"},
			{"name":"l","level":40,"message":"goodbye","timestamp":"2026-11-24T00:00:01.5Z","flow_run_id":"{r3}","task_run_id":"{t1}"},
			{"name":"m","level":10,"message":"quiet \u00e9","timestamp":"2026-11-24T00:00:02+01:00"}]`),
	}
}

// filters reads, filters, counts and sorts.
func filters() []request {
	var all []request
	for _, path := range []string{"/flows/{alpha}", "/flows/name/beta", "/flow_runs/{r1}", "/flow_runs/{r3}", "/flow_runs/{r4b}", "/task_runs/{t1}", "/task_runs/{t3}", "/task_runs/{t4}",
		"/flow_run_states/?flow_run_id={r1}", "/task_run_states/?task_run_id={t1}", "/flow_runs/{sub}", "/flow_runs/{r1}/graph-v2"} {
		if strings.HasSuffix(path, "graph-v2") {
			continue // served with the user interface
		}
		all = append(all, request{method: http.MethodGet, path: path})
	}
	page := func(noun, key string, criteria, sorts []string) {
		for _, c := range criteria {
			all = append(all, post("/"+noun+"/filter", fmt.Sprintf(`{%q:%s,"sort":"NAME_ASC"}`, key, c)), post("/"+noun+"/count", fmt.Sprintf(`{%q:%s}`, key, c)))
		}
		for _, s := range sorts {
			if s == "ID_DESC" {
				all = append(all, post("/"+noun+"/filter", `{"sort":"ID_DESC"}`))
				continue
			}
			all = append(all, post("/"+noun+"/filter", fmt.Sprintf(`{"sort":%q,"limit":4,"offset":1}`, s)))
		}
	}
	page("flows", "flows", []string{`{}`, `{"id":{"any_":["{alpha}","{gamma}"]}}`, `{"id":{"not_any_":["{alpha}"]}}`, `{"name":{"any_":["beta"]}}`, `{"name":{"like_":"ALPH"}}`, `{"name":{"like_":"a%a"}}`,
		`{"tags":{"all_":["b"]}}`, `{"tags":{"all_":["a","b"]}}`, `{"tags":{"is_null_":true}}`, `{"tags":{"is_null_":false}}`, `{"deployment":{"is_null_":true}}`, `{"deployment":{"is_null_":false}}`,
		`{"operator":"or_","name":{"any_":["beta"]},"tags":{"all_":["a"]}}`}, []string{"NAME_ASC", "NAME_DESC", "CREATED_DESC", "UPDATED_DESC"})
	page("flow_runs", "flow_runs", flowRunCriteria(), []string{"ID_DESC", "EXPECTED_START_TIME_ASC", "EXPECTED_START_TIME_DESC", "NAME_ASC", "NAME_DESC"})
	page("task_runs", "task_runs", []string{`{}`, `{"id":{"any_":["{t1}"]}}`, `{"name":{"any_":["t1","t2"]}}`, `{"name":{"like_":"t"}}`, `{"tags":{"all_":["a"]}}`, `{"tags":{"is_null_":true}}`,
		`{"state":{"type":{"any_":["PENDING"]}}}`, `{"state":{"name":{"any_":["AwaitingRetry"]}}}`, `{"start_time":{"is_null_":true}}`, `{"start_time":{"after_":"2026-01-01T00:00:00Z"}}`, `{"end_time":{"is_null_":false}}`,
		`{"expected_start_time":{"before_":"2030-01-01T00:00:00Z"}}`, `{"subflow_runs":{"exists_":true}}`, `{"subflow_runs":{"exists_":false}}`, `{"flow_run_id":{"any_":["{r3}"]}}`, `{"flow_run_id":{"is_null_":true}}`,
		`{"operator":"or_","name":{"any_":["t1"]},"state":{"type":{"any_":["SCHEDULED"]}}}`}, []string{"ID_DESC", "EXPECTED_START_TIME_ASC", "EXPECTED_START_TIME_DESC", "NAME_ASC", "NAME_DESC"})
	for _, joined := range []string{`"flows":{"name":{"any_":["beta"]}}`, `"task_runs":{"name":{"any_":["t1"]}}`, `"flows":{"tags":{"all_":["a"]}},"flow_runs":{"name":{"like_":"r"}}`,
		`"deployments":{"name":{"any_":["none"]}}`, `"work_pools":{"name":{"any_":["none"]}}`, `"work_pool_queues":{"name":{"any_":["none"]}}`} {
		for _, noun := range []string{"flows", "flow_runs", "task_runs"} {
			if noun == "task_runs" && strings.HasPrefix(joined, `"work`) {
				continue // no such filter there
			}
			all = append(all, post("/"+noun+"/filter", `{`+joined+`,"sort":"NAME_ASC"}`), post("/"+noun+"/count", `{`+joined+`}`))
		}
	}
	for _, c := range []string{`{}`, `{"level":{"ge_":20}}`, `{"level":{"le_":20}}`, `{"timestamp":{"after_":"2026-11-24T00:00:01Z"}}`, `{"timestamp":{"before_":"2026-11-24T00:00:01Z"}}`, `{"flow_run_id":{"any_":["{r1}"]}}`,
		`{"task_run_id":{"any_":["{t1}"]}}`, `{"task_run_id":{"is_null_":true}}`} {
		all = append(all, post("/logs/filter", `{"logs":`+c+`,"sort":"TIMESTAMP_ASC"}`))
	}
	return append(all, post("/logs/filter", `{"sort":"TIMESTAMP_DESC","limit":2,"offset":1}`), post("/flows/filter", ``), post("/flow_runs/filter", `{"limit":0}`), post("/flows/paginate", `{"limit":2,"page":1,"sort":"NAME_ASC"}`),
		post("/flow_runs/paginate", `{"limit":2,"page":2,"sort":"NAME_ASC"}`), post("/task_runs/paginate", `{"limit":2,"page":1,"sort":"NAME_ASC"}`))
}

// searches look through the text of logs.
func searches() []request {
	var all []request
	for _, query := range []string{"hello", "-hello", `\"hello world\"`, "hello goodbye", "HELLO", "world l"} {
		all = append(all, post("/logs/filter", `{"logs":{"text":{"query":"`+query+`"}},"sort":"TIMESTAMP_ASC"}`))
	}
	return all
}

func flowRunCriteria() []string {
	all := []string{`{}`, `{"id":{"any_":["{r1}","{r2}"]}}`, `{"id":{"not_any_":["{r1}"]}}`, `{"name":{"any_":["r1","r3"]}}`, `{"name":{"like_":"R4"}}`, `{"tags":{"all_":["a","b"]}}`, `{"tags":{"any_":["b","c"]}}`,
		`{"tags":{"is_null_":true}}`, `{"tags":{"is_null_":false}}`, `{"deployment_id":{"is_null_":true}}`, `{"deployment_id":{"any_":["{r1}"]}}`, `{"work_queue_name":{"any_":["q"]}}`, `{"work_queue_name":{"is_null_":true}}`,
		`{"state":{"type":{"any_":["RUNNING","PENDING"]}}}`, `{"state":{"type":{"not_any_":["RUNNING"]}}}`, `{"state":{"name":{"any_":["Custom"]}}}`, `{"state":{"name":{"not_any_":["Custom"]}}}`,
		`{"state":{"operator":"or_","type":{"any_":["RUNNING"]},"name":{"any_":["Custom"]}}}`, `{"flow_version":{"any_":["1"]}}`, `{"parent_task_run_id":{"is_null_":false}}`, `{"parent_task_run_id":{"any_":["{t3}"]}}`,
		`{"parent_flow_run_id":{"any_":["{r3}"]}}`, `{"idempotency_key":{"any_":["key-1"]}}`, `{"idempotency_key":{"not_any_":["key-1"]}}`, `{"created_by":{"is_null_":true}}`, `{"created_by":{"type_":["DEPLOYMENT"]}}`,
		`{"operator":"or_","name":{"any_":["r1"]},"tags":{"all_":["c"]}}`}
	for _, field := range []string{"start_time", "end_time"} {
		all = append(all, `{"`+field+`":{"is_null_":true}}`, `{"`+field+`":{"is_null_":false}}`)
	}
	for _, field := range []string{"start_time", "end_time", "expected_start_time", "next_scheduled_start_time"} {
		all = append(all, `{"`+field+`":{"after_":"2026-11-30T00:00:00Z"}}`, `{"`+field+`":{"before_":"2026-12-02T00:00:00Z"}}`)
	}
	return all
}

// changes updates and deletes.
func changes() []request {
	patch := func(path, body string) request {
		return request{method: http.MethodPatch, path: path, body: body}
	}
	get := func(path string) request { return request{method: http.MethodGet, path: path} }
	remove := func(path string) request { return request{method: http.MethodDelete, path: path} }
	return []request{
		patch("/flows/{alpha}", `{"tags":["z"]}`), get("/flows/{alpha}"), patch("/flows/{alpha}", `{}`), get("/flows/{alpha}"),
		patch("/flow_runs/{r1}", `{"name":"renamed","tags":["q"],"infrastructure_pid":"p"}`), get("/flow_runs/{r1}"), patch("/flow_runs/{r1}", `{"job_variables":{"a":1}}`), get("/flow_runs/{r1}"),
		patch("/flow_runs/{r1}", `{"empirical_policy":{"retries":9}}`), get("/flow_runs/{r1}"), patch("/flow_runs/{r1}/labels", `{"more":2}`), get("/flow_runs/{r1}"),
		patch("/task_runs/{t1}", `{"name":"task renamed"}`), get("/task_runs/{t1}"),
		post("/flow_runs/{r4}/resume", ``), post("/flow_runs/{r4}/resume", `{}`),
		post("/flow_runs/{r3}/input", `{"key":"k","value":"{\"a\":1}","sender":"s"}`), get("/flow_runs/{r3}/input/k"), post("/flow_runs/{r3}/input", `{"key":"k","value":"1"}`),
		post("/flow_runs/{r3}/input/filter", `{"prefix":"k"}`), post("/flow_runs/{r3}/input/filter", `{"prefix":"x","limit":1,"exclude_keys":["k"]}`), remove("/flow_runs/{r3}/input/k"), remove("/flow_runs/{r3}/input/k"), get("/flow_runs/{r3}/input/k"),
		remove("/task_runs/{t2}"), get("/task_runs/{t2}"), remove("/task_runs/{t2}"), remove("/flow_runs/{r2}"), get("/flow_runs/{r2}"), remove("/flow_runs/{r2}"),
		remove("/flows/{gamma}"), get("/flows/{gamma}"), remove("/flows/{gamma}"), get("/flow_runs/{sub}"),
	}
}

// refusals are requests that nobody should send.
func refusals() []request {
	const nowhere = "99999999-9999-4999-8999-999999999999"
	get := func(path string) request { return request{method: http.MethodGet, path: path} }
	var all []request
	for _, noun := range []string{"flows", "flow_runs", "task_runs"} {
		all = append(all, get("/"+noun+"/"+nowhere), get("/"+noun+"/not-an-id"), request{method: http.MethodPatch, path: "/" + noun + "/" + nowhere, body: `{}`},
			request{method: http.MethodDelete, path: "/" + noun + "/" + nowhere}, post("/"+noun+"/", `{`), post("/"+noun+"/", `{}`), post("/"+noun+"/", `[]`), post("/"+noun+"/", ``), post("/"+noun+"/filter", `{"sort":"NONE"}`),
			post("/"+noun+"/filter", `{"limit":-1}`), post("/"+noun+"/filter", `{"limit":100000}`), post("/"+noun+"/filter", `{"offset":"x"}`), post("/"+noun+"/filter", `{"`+noun+`":{"nonsense":1}}`), post("/"+noun+"/count", `{"`+noun+`":{"id":{"any_":["x"]}}}`))
	}
	for _, state := range []string{`null`, `{}`, `{"type":"running"}`, `{"type":"NONE"}`, `{"type":"RUNNING","id":"` + nowhere + `"}`, `{"type":"RUNNING","timestamp":"2026-01-01T00:00:00Z"}`, `{"type":"RUNNING","state_details":{"scheduled_time":"x"}}`,
		`{"type":"RUNNING","name":1}`, `"RUNNING"`} {
		all = append(all, post("/flow_runs/{r3}/set_state", `{"state":`+state+`}`))
	}
	// The reference names the class that its handler asks for; everywhere else it
	// answers list_type to what is no list.
	notAList := post("/logs/", `{}`)
	notAList.ours = map[string]string{"exception_detail[0]": `list_type at ["body"]`}
	return append(all, post("/flow_runs/"+nowhere+"/set_state", `{"state":{"type":"RUNNING"}}`), post("/task_runs/"+nowhere+"/set_state", `{"state":{"type":"RUNNING"}}`), post("/flow_runs/{r3}/set_state", `{"state":{"type":"RUNNING"},"force":"perhaps"}`),
		post("/flow_runs/", `{"flow_id":"`+nowhere+`"}`), post("/flow_runs/", `{"flow_id":"x","unknown":1}`), post("/flows/", `{"name":"a/b"}`), post("/flows/", `{"name":""}`), get("/flows/name/nobody"), get("/flow_run_states/"+nowhere),
		post("/logs/", `[{"name":"l"}]`), notAList, post("/logs/filter", `{"sort":"X"}`), get("/nothing/here"), request{method: http.MethodPut, path: "/flows/"})
}
