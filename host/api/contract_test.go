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

const openAPIScript = `
import json
from prefect.server.api.server import create_api_app
print(json.dumps(create_api_app().openapi()))
`

// schema is the part of an OpenAPI schema that the contract is about.
type schema struct {
	Ref        string             `json:"$ref"`
	Type       string             `json:"type"`
	Format     string             `json:"format"`
	Enum       []string           `json:"enum"`
	AnyOf      []*schema          `json:"anyOf"`
	Items      *schema            `json:"items"`
	Properties map[string]*schema `json:"properties"`
	Required   []string           `json:"required"`
	Additional json.RawMessage    `json:"additionalProperties"`
	Minimum    *float64           `json:"minimum"`
	Maximum    *float64           `json:"maximum"`
	Above      *float64           `json:"exclusiveMinimum"`
	MaxLength  *int               `json:"maxLength"`
	Pattern    string             `json:"pattern"`
}

type content struct {
	Content map[string]struct {
		Schema *schema `json:"schema"`
	} `json:"content"`
}

type document struct {
	Paths map[string]map[string]struct {
		RequestBody *content           `json:"requestBody"`
		Responses   map[string]content `json:"responses"`
	} `json:"paths"`
	Components struct {
		Schemas map[string]*schema `json:"schemas"`
	} `json:"components"`
}

// resolve follows a reference and takes null out of an anyOf.
func (d *document) resolve(s *schema) (resolved *schema, nullable bool) {
	if s.Ref != "" {
		return d.resolve(d.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")])
	}
	var rest []*schema
	for _, one := range s.AnyOf {
		if one.Type == "null" {
			nullable = true
		} else {
			rest = append(rest, one)
		}
	}
	if len(rest) == 1 {
		resolved, _ = d.resolve(rest[0])
		return resolved, nullable
	}
	return s, nullable
}

// operations returns "METHOD /path" of every operation, without slashes at the
// end.
func (d *document) operations() []string {
	var ops []string
	for path, methods := range d.Paths {
		for method := range methods {
			ops = append(ops, strings.ToUpper(method)+" "+trimPath(path))
		}
	}
	slices.Sort(ops)
	return ops
}

func trimPath(path string) string { return strings.TrimSuffix(path, "/") }

func readDocument(t *testing.T) *document {
	t.Helper()
	var d document
	reference(t, openAPIScript, "", &d)
	if len(d.Paths) < 100 {
		t.Fatalf("the reference has %d paths", len(d.Paths))
	}
	return &d
}

// requestBodies are the structs that the bodies of our operations are decoded
// into.
func requestBodies() map[string]any {
	return map[string]any{
		"POST /flows": flowCreate{}, "PATCH /flows/{id}": flowUpdate{}, "POST /flows/filter": filterFlows{}, "POST /flows/count": countFlows{},
		"POST /flows/paginate": paginateFlows{}, "POST /flows/bulk_delete": bulkDeleteFlows{},
		"POST /flow_runs": flowRunCreate{}, "PATCH /flow_runs/{id}": flowRunUpdate{}, "POST /flow_runs/filter": filterFlowRuns{},
		"POST /flow_runs/count": countFlowRuns{}, "POST /flow_runs/lateness": countFlowRuns{}, "POST /flow_runs/paginate": paginateFlowRuns{},
		"POST /flow_runs/bulk_delete": bulkDeleteFlowRuns{}, "POST /flow_runs/bulk_set_state": bulkSetFlowRunState{},
		"POST /flow_runs/{id}/set_state": setState{}, "POST /flow_runs/{id}/resume": resumeFlowRun{},
		"PATCH /flow_runs/{id}/labels":      labels{},
		"POST /flow_runs/{id}/input":        createFlowRunInput{},
		"POST /flow_runs/{id}/input/filter": filterFlowRunInput{},
		"POST /task_runs":                   taskRunCreate{}, "PATCH /task_runs/{id}": taskRunUpdate{}, "POST /task_runs/filter": filterTaskRuns{},
		"POST /task_runs/count": countTaskRuns{}, "POST /task_runs/paginate": paginateTaskRuns{}, "POST /task_runs/{id}/set_state": setState{},
		"POST /v2/concurrency_limits": limitCreate{}, "PATCH /v2/concurrency_limits/{id_or_name}": limitUpdate{}, "POST /v2/concurrency_limits/filter": filterLimits{},
		"POST /v2/concurrency_limits/increment": incrementSlots{}, "POST /v2/concurrency_limits/increment-with-lease": incrementWithLease{},
		"POST /v2/concurrency_limits/decrement": decrementSlots{}, "POST /v2/concurrency_limits/decrement-with-lease": decrementWithLease{},
		"POST /v2/concurrency_limits/leases/{lease_id}/renew": renewLease{},
		"POST /logs": []logCreate{}, "POST /logs/filter": filterLogs{},
		"POST /events": rawList{}, "POST /events/filter": filterEvents{},
	}
}

// TestContract compares what is served with the reference's OpenAPI document.
func TestContract(t *testing.T) {
	d := readDocument(t)
	t.Run("operations", func(t *testing.T) { testOperations(t, d) })
	t.Run("requests", func(t *testing.T) { testRequests(t, d) })
	t.Run("replies", func(t *testing.T) { testReplies(t, d) })
}

// testOperations has each operation of the reference either
// routed or in the list of those that are not served.
func testOperations(t *testing.T, d *document) {
	t.Helper()
	var routed []string
	for _, rt := range (&server{}).routes() {
		if !strings.HasPrefix(rt.pattern, "/interlock/") {
			routed = append(routed, rt.method+" "+rt.pattern)
		}
	}
	missing := notServed()
	for _, op := range d.operations() {
		served, listed := slices.Contains(routed, op), slices.Contains(missing, op)
		switch {
		case !served && !listed:
			t.Errorf("%s is not served", op)
		case served && listed:
			t.Errorf("%s is served: take it out of notServed", op)
		}
	}
	for _, op := range slices.Concat(routed, missing) {
		if !slices.Contains(d.operations(), op) {
			t.Errorf("the reference has no operation %s", op)
		}
	}
}

// testRequests compares the structs of our bodies with the
// schemas: names, what is required, types, null, bounds and values.
func testRequests(t *testing.T, d *document) {
	t.Helper()
	bodies, compared := requestBodies(), 0
	for path, methods := range d.Paths {
		for method, op := range methods {
			name := strings.ToUpper(method) + " " + trimPath(path)
			if op.RequestBody == nil || slices.Contains(notServed(), name) {
				continue
			}
			body, ok := bodies[name]
			if !ok {
				t.Errorf("%s: no struct for the body", name)
				continue
			}
			c := comparison{t: t, d: d}
			c.compare(name, op.RequestBody.Content[jsonType].Schema, reflect.TypeOf(body), fieldRules{})
			compared++
		}
	}
	if compared != len(bodies) {
		t.Errorf("compared %d bodies of %d", compared, len(bodies))
	}
}

type comparison struct {
	t *testing.T
	d *document
}

// fieldRules is what a bind tag says, read here on its own.
type fieldRules struct {
	tag    []string
	closed bool
}

func (r fieldRules) has(name string) bool { return slices.Contains(r.tag, name) }

func (r fieldRules) value(name string) string {
	for _, part := range r.tag {
		if v, ok := strings.CutPrefix(part, name+"="); ok {
			return v
		}
	}
	return ""
}

func (c *comparison) compare(path string, s *schema, t reflect.Type, rules fieldRules) {
	c.t.Helper()
	s, nullable := c.d.resolve(s)
	if t.Kind() == reflect.Struct && strings.HasPrefix(t.Name(), "Optional[") {
		t = t.Field(1).Type
	}
	custom := slices.Contains([]string{"labels", "runName", "taskInputs", "retryDelay", "rawList", "eventFilter"}, t.Name())
	raw := t == reflect.TypeFor[json.RawMessage]()
	accepts := t.Kind() == reflect.Pointer || rules.has("null") || (raw && !rules.has("object")) || (rules.closed && t.Kind() == reflect.Slice)
	if !custom && nullable != accepts && !rules.has("embedded") {
		c.t.Errorf("%s: null is allowed there: %v, here: %v", path, nullable, accepts)
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	c.bounds(path, s, t, rules)
	switch {
	case custom:
		return
	case len(s.Properties) > 0:
		c.object(path, s, t, rules)
	case s.Type == "array":
		if t.Kind() != reflect.Slice {
			c.t.Errorf("%s: a list there, %v here", path, t)
			return
		}
		c.compare(path+"[]", s.Items, t.Elem(), fieldRules{closed: rules.closed})
	default:
		if want := goType(s); want != "" && want != kindName(t) {
			c.t.Errorf("%s: %s there, %s here", path, want, kindName(t))
		}
	}
}

// goType names the type that decodes a schema; "" is any.
func goType(s *schema) string {
	if s.Format == "uuid" || s.Format == "date-time" {
		return s.Format
	}
	return s.Type
}

func kindName(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[uuid.UUID]():
		return "uuid"
	case t == reflect.TypeFor[prefect.Time]():
		return "date-time"
	case t == reflect.TypeFor[json.RawMessage]() || t.Kind() == reflect.Map || t.Kind() == reflect.Struct:
		return "object"
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int32:
		return "integer"
	case reflect.Float64:
		return "number"
	case reflect.Bool:
		return "boolean"
	case reflect.String:
		return "string"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "string"
		}
		return "array"
	}
	return t.String()
}

func (c *comparison) bounds(path string, s *schema, t reflect.Type, rules fieldRules) {
	c.t.Helper()
	text := func(f *float64) string {
		if f == nil {
			return ""
		}
		return fmt.Sprint(*f)
	}
	if text(s.Minimum) != rules.value("ge") || text(s.Maximum) != rules.value("le") || text(s.Above) != rules.value("gt") {
		c.t.Errorf("%s: bounds %s%s to %s there, %v here", path, text(s.Above), text(s.Minimum), text(s.Maximum), rules.tag)
	}
	if length := rules.value("max_length"); (s.MaxLength == nil && length != "") || (s.MaxLength != nil && fmt.Sprint(*s.MaxLength) != length) {
		c.t.Errorf("%s: at most %v characters there, %q here", path, s.MaxLength, length)
	}
	if (s.Pattern != "") != (rules.value("pattern") != "") {
		c.t.Errorf("%s: pattern %q there, %v here", path, s.Pattern, rules.tag)
	}
	var here []string
	switch {
	case rules.value("enum") != "":
		here = strings.Split(rules.value("enum"), "|")
	case rules.value("literal") != "":
		here = strings.Split(rules.value("literal"), "|")
	case t == reflect.TypeFor[prefect.StateType]():
		for _, one := range prefect.StateTypes() {
			here = append(here, string(one))
		}
	case t == reflect.TypeFor[prefect.Operator]():
		here = []string{"and_", "or_"}
	}
	there := slices.Clone(s.Enum)
	slices.Sort(there)
	slices.Sort(here)
	if !slices.Equal(there, here) {
		c.t.Errorf("%s: values %v there, %v here", path, there, here)
	}
}

func (c *comparison) object(path string, s *schema, t reflect.Type, rules fieldRules) {
	c.t.Helper()
	if t.Kind() != reflect.Struct {
		c.t.Errorf("%s: an object there, %v here", path, t)
		return
	}
	fields, types, mark := map[string]fieldRules{}, map[string]reflect.Type{}, ""
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		for i := range t.NumField() {
			f := t.Field(i)
			name := f.Tag.Get("json")
			switch {
			case f.Name == "_":
				mark = f.Tag.Get("bind")
			case f.Anonymous:
				walk(f.Type)
			default:
				r := fieldRules{tag: strings.Split(f.Tag.Get("bind"), ","), closed: rules.closed}
				r.closed = r.closed || r.has("closed")
				fields[name], types[name] = r, f.Type
			}
		}
	}
	walk(t)
	if forbid := string(s.Additional) == "false"; forbid != (mark == "forbid" || rules.closed) {
		c.t.Errorf("%s: unknown fields are refused there: %v", path, forbid)
	}
	here, there := slices.Sorted(maps.Keys(fields)), slices.Sorted(maps.Keys(s.Properties))
	if !slices.Equal(here, there) {
		c.t.Errorf("%s: fields\n%v there,\n%v here", path, there, here)
		return
	}
	for _, name := range here {
		if there := slices.Contains(s.Required, name); there != fields[name].has("required") {
			c.t.Errorf("%s.%s: required there: %v", path, name, there)
		}
		r := fields[name]
		if mark == "embed" {
			r.tag = append(r.tag, "embedded") // null is absent there, whatever the schema says
		}
		c.compare(path+"."+name, s.Properties[name], types[name], r)
	}
}

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
	r.result = &prefect.OrchestrationResult{State: state, Status: prefect.Wait, Details: prefect.DetailsFor(prefect.Wait, "r", 1)}
	id, key := flow.ID.String(), "k"
	if strings.HasSuffix(path, "}/input/{key}") {
		key = in.Key
	}
	body := map[string]string{
		"POST /v2/concurrency_limits": `{"name":"n","limit":1}`, "POST /v2/concurrency_limits/increment": `{"slots":1,"names":["n"]}`,
		"POST /v2/concurrency_limits/increment-with-lease": `{"slots":1,"names":["n"]}`, "POST /v2/concurrency_limits/decrement": `{"slots":1,"names":["n"]}`,
		"POST /flows": `{"name":"n"}`, "POST /logs": `[]`, "POST /events": `[]`, "POST /flow_runs": `{"flow_id":"` + id + `"}`, "POST /task_runs": `{"task_key":"a","dynamic_key":"b"}`,
		"POST /flow_runs/{id}/input": `{"key":"a","value":"b"}`, "POST /flow_runs/{id}/input/filter": `{"prefix":""}`,
	}[method+" "+path]
	if strings.HasSuffix(path, "set_state") {
		body = `{"state":{"type":"RUNNING"}}`
	}
	query := map[string]string{"/flow_run_states": "?flow_run_id=" + flowRun.ID.String(), "/task_run_states": "?task_run_id=" + taskRun.ID.String(), "/csrf-token": "?client=c", "/events/filter/next": "?page-token=a%3Db"}[path]
	path = strings.NewReplacer("{id}", id, "{name}", flow.Name, "{key}", key).Replace(path) + query
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
