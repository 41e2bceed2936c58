package api

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// The mirrors say what the append functions must write, in encoding/json's terms.

type timesMirror struct {
	StateID                *uuid.UUID         `json:"state_id"`
	StateType              *prefect.StateType `json:"state_type"`
	StateName              *string            `json:"state_name"`
	RunCount               int                `json:"run_count"`
	ExpectedStartTime      *prefect.Time      `json:"expected_start_time"`
	NextScheduledStartTime *prefect.Time      `json:"next_scheduled_start_time"`
	StartTime              *prefect.Time      `json:"start_time"`
	EndTime                *prefect.Time      `json:"end_time"`
	TotalRunTime           float64            `json:"total_run_time"`
	EstimatedRunTime       float64            `json:"estimated_run_time"`
	EstimatedStartDelta    float64            `json:"estimated_start_time_delta"`
}

type flowRunMirror struct {
	ID                       uuid.UUID             `json:"id"`
	Created                  prefect.Time          `json:"created"`
	Updated                  prefect.Time          `json:"updated"`
	Name                     string                `json:"name"`
	FlowID                   uuid.UUID             `json:"flow_id"`
	DeploymentID             *uuid.UUID            `json:"deployment_id"`
	DeploymentVersion        *string               `json:"deployment_version"`
	WorkQueueID              *uuid.UUID            `json:"work_queue_id"`
	WorkQueueName            *string               `json:"work_queue_name"`
	FlowVersion              *string               `json:"flow_version"`
	Parameters               json.RawMessage       `json:"parameters"`
	IdempotencyKey           *string               `json:"idempotency_key"`
	Context                  json.RawMessage       `json:"context"`
	Policy                   prefect.FlowRunPolicy `json:"empirical_policy"`
	Tags                     []string              `json:"tags"`
	Labels                   json.RawMessage       `json:"labels"`
	ParentTaskRunID          *uuid.UUID            `json:"parent_task_run_id"`
	AutoScheduled            bool                  `json:"auto_scheduled"`
	InfrastructureDocumentID *uuid.UUID            `json:"infrastructure_document_id"`
	InfrastructurePID        *string               `json:"infrastructure_pid"`
	CreatedBy                *prefect.CreatedBy    `json:"created_by"`
	WorkPoolID               *uuid.UUID            `json:"work_pool_id"`
	WorkPoolName             *string               `json:"work_pool_name"`
	State                    *prefect.State        `json:"state"`
	JobVariables             json.RawMessage       `json:"job_variables"`
	timesMirror
}

type taskRunMirror struct {
	ID              uuid.UUID             `json:"id"`
	Created         prefect.Time          `json:"created"`
	Updated         prefect.Time          `json:"updated"`
	Name            string                `json:"name"`
	FlowRunID       *uuid.UUID            `json:"flow_run_id"`
	TaskKey         string                `json:"task_key"`
	DynamicKey      string                `json:"dynamic_key"`
	CacheKey        *string               `json:"cache_key"`
	CacheExpiration *prefect.Time         `json:"cache_expiration"`
	TaskVersion     *string               `json:"task_version"`
	Policy          prefect.TaskRunPolicy `json:"empirical_policy"`
	Tags            []string              `json:"tags"`
	Labels          json.RawMessage       `json:"labels"`
	TaskInputs      json.RawMessage       `json:"task_inputs"`
	FlowRunRunCount int                   `json:"flow_run_run_count"`
	State           *prefect.State        `json:"state"`
	timesMirror
}

func mirrorTimes(r *prefect.RunTimes, now prefect.Time) timesMirror {
	return timesMirror{r.StateID, r.StateType, r.StateName, r.RunCount, r.ExpectedStartTime, r.NextScheduledStartTime,
		r.StartTime, r.EndTime, r.TotalRunTime, r.EstimatedRunTime(now), r.EstimatedStartTimeDelta(now)}
}

func mirrorFlowRun(r *prefect.FlowRun, now prefect.Time) any {
	return flowRunMirror{r.ID, r.Created, r.Updated, r.Name, r.FlowID, r.DeploymentID, r.DeploymentVersion, r.WorkQueueID,
		shownQueue(r.QueueName, r.WorkQueueName), r.FlowVersion, r.Parameters, r.IdempotencyKey, r.Context, r.Policy, r.Tags, r.Labels, r.ParentTaskRunID,
		r.AutoScheduled, r.InfrastructureDocumentID, r.InfrastructurePID, r.CreatedBy, r.WorkPoolID, r.WorkPoolName, r.State,
		r.JobVariables, mirrorTimes(&r.RunTimes, now)}
}

func mirrorTaskRun(r *prefect.TaskRun, now prefect.Time) any {
	return taskRunMirror{r.ID, r.Created, r.Updated, r.Name, r.FlowRunID, r.TaskKey, r.DynamicKey, r.CacheKey, r.CacheExpiration,
		r.TaskVersion, r.Policy, r.Tags, r.Labels, r.TaskInputs, r.FlowRunRunCount, r.State, mirrorTimes(&r.RunTimes, now)}
}

// randomize fills v with random values: nil and present pointers, odd texts,
// times with and without a fraction.
func randomize(r *rand.Rand, v reflect.Value, text string) {
	switch v.Interface().(type) {
	case prefect.Time:
		t := time.Unix(r.Int64N(4e9), 0)
		if r.IntN(3) > 0 {
			t = t.Add(time.Duration(r.Int64N(1e9)))
		}
		v.Set(reflect.ValueOf(prefect.NewTime(t)))
		return
	case json.RawMessage:
		raws := []string{`{}`, `{"a":[1,2.5,null,"é\u0000"]}`, `[1,2]`, `5`}
		v.SetBytes([]byte(raws[r.IntN(len(raws))]))
		return
	case uuid.UUID:
		var id uuid.UUID
		for i := range id {
			id[i] = byte(r.Uint32())
		}
		v.Set(reflect.ValueOf(id))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if r.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			randomize(r, v.Elem(), text)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			randomize(r, v.Field(i), text)
		}
	case reflect.String:
		from := 0
		if len(text) > 0 {
			from = r.IntN(len(text))
		}
		v.SetString(text[from:])
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), r.IntN(3), 3))
		for i := range v.Len() {
			randomize(r, v.Index(i), text)
		}
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{text: "x", "k": text}))
	case reflect.Int:
		v.SetInt(r.Int64N(1 << 40))
	case reflect.Float64:
		v.SetFloat(float64(r.Int64N(1e12)) / 1e6)
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	}
}

// same checks that got and encoding/json's form of want hold the same values.
func same(t *testing.T, got []byte, want any) {
	t.Helper()
	reference, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if err := json.Unmarshal(got, &a); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, got)
	}
	if err := json.Unmarshal(reference, &b); err != nil {
		t.Fatal(err)
	}
	if a, b := rounded(a), rounded(b); !reflect.DeepEqual(a, b) {
		t.Fatalf("got  %v\nwant %v", a, b)
	}
	if !utf8.Valid(got) {
		t.Fatalf("not UTF-8: %q", got)
	}
}

// rounded rounds the numbers in v to what a run's durations have, microseconds.
func rounded(v any) any {
	switch v := v.(type) {
	case float64:
		return int64(v*1e6 + 0.5)
	case map[string]any:
		for k := range v {
			v[k] = rounded(v[k])
		}
	case []any:
		for i := range v {
			v[i] = rounded(v[i])
		}
	}
	return v
}

func FuzzEncode(f *testing.F) {
	for i, text := range []string{"", "plain", "é\u2028\x00\x1f\"\\\n\r\t\x7f", "\xff\xfebroken", "<script>&", "日本語 🚂"} {
		f.Add(uint64(i), text)
	}
	f.Fuzz(func(t *testing.T, seed uint64, text string) {
		r := rand.New(rand.NewPCG(seed, 1))
		for range 4 {
			var flowRun prefect.FlowRun
			randomize(r, reflect.ValueOf(&flowRun).Elem(), text)
			same(t, appendFlowRun(nil, &flowRun, testNow), mirrorFlowRun(&flowRun, testNow))
			var taskRun prefect.TaskRun
			randomize(r, reflect.ValueOf(&taskRun).Elem(), text)
			same(t, AppendTaskRun(nil, &taskRun, testNow), mirrorTaskRun(&taskRun, testNow))
			var result prefect.OrchestrationResult
			randomize(r, reflect.ValueOf(&result).Elem(), text)
			types := []string{"accept_details", "reject_details", "wait_details", "abort_details"}
			result.Details.Type = types[r.IntN(len(types))]
			same(t, appendResult(nil, &result), &result)
			var l prefect.Log
			randomize(r, reflect.ValueOf(&l).Elem(), text)
			same(t, appendLog(nil, &l), &l)
			var flow prefect.Flow
			randomize(r, reflect.ValueOf(&flow).Elem(), text)
			same(t, appendFlow(nil, &flow), &flow)
			var in prefect.FlowRunInput
			randomize(r, reflect.ValueOf(&in).Elem(), text)
			same(t, appendFlowRunInput(nil, &in), &in)
		}
	})
}

// TestEncodeAbsent has what an empty run looks like: no null where the schema
// has none.
func TestEncodeAbsent(t *testing.T) {
	var v map[string]any
	if err := json.Unmarshal(appendFlowRun(nil, &prefect.FlowRun{}, testNow), &v); err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"parameters", "context", "labels"} {
		if m, ok := v[field].(map[string]any); !ok || len(m) != 0 {
			t.Errorf("%s: %v, want {}", field, v[field])
		}
	}
	if tags, ok := v["tags"].([]any); !ok || len(tags) != 0 {
		t.Errorf("tags: %v, want []", v["tags"])
	}
	if v["state"] != nil || v["job_variables"] != nil {
		t.Errorf("state %v, job_variables %v, want null", v["state"], v["job_variables"])
	}
}

func BenchmarkAppendFlowRuns(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	runs := make([]*prefect.FlowRun, 200)
	for i := range runs {
		runs[i] = new(prefect.FlowRun)
		randomize(r, reflect.ValueOf(runs[i]).Elem(), "some text of a run")
	}
	var out []byte
	for b.Loop() {
		out = appendList(out[:0], runs, flowRunEncoder(testNow))
	}
	b.SetBytes(int64(len(out)))
}
