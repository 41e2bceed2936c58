package policy

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/sdk/abi"
)

func ptr[T any](v T) *T { return &v }

// richCall is a call about a run that has everything.
func richCall() *call {
	t := transition(prefect.Running, prefect.Failed)
	id := uuid.MustParse("8A3E6F5C-1111-4000-8000-00000000000F")
	t.Force = true
	t.Client, t.API = orchestrate.ParseVersion("3.4.11rc1"), orchestrate.ParseVersion("0.8.4")
	t.Proposed.Message, t.Proposed.Data = ptr("tab\t\"quoted\" \u2028 é"), json.RawMessage(`{"type":"unpersisted"}`)
	t.Initial.Data = json.RawMessage(`{"secret":"in the data"}`)
	d := &t.Proposed.Details
	d.TransitionID, d.ScheduledTime, d.CacheKey, d.RunInputKeyset = &id, moment.Ptr(), ptr("k"), map[string]string{"b": "2", "a": "1"}
	d.Retriable, d.PauseReschedule, d.DeploymentConcurrencyLeaseID = ptr(false), true, &id
	r := t.FlowRun
	r.DeploymentID, r.WorkQueueName, r.Tags, r.Labels = &id, ptr("queue"), []string{"a", "b"}, json.RawMessage(`{"x":1}`)
	r.Parameters, r.Context, r.JobVariables = json.RawMessage(`{"secret":1}`), json.RawMessage(`{"secret":2}`), json.RawMessage(`{"secret":3}`)
	r.Policy = prefect.FlowRunPolicy{Retries: ptr(2), RetryDelay: ptr(7), PauseKeys: []string{"p"}, Resuming: ptr(true), RetryType: ptr("in_process")}
	r.RunCount, r.TotalRunTime, r.StartTime = 3, 1.5, moment.Ptr()
	t.Facts = orchestrate.Facts{"attempts": json.RawMessage(`[{"number":1}]`), "deployment": json.RawMessage(`{"not":"declared"}`)}
	rule := &abi.RuleManifest{Name: "A", Facts: []string{"attempts", "work_queue"}}
	return &call{
		phase: abi.PhaseBefore, t: t, proposed: t.Proposed, intended: prefect.Failed, seed: "a/b",
		entries: []*entry{{rule: rule, config: json.RawMessage(`{"base":2}`)}, {rule: rule, config: json.RawMessage(`{}`)}},
	}
}

// decoded reads a context as the contract has it and refuses what it has not.
func decoded(t *testing.T, text []byte) *abi.Context {
	t.Helper()
	var c abi.Context
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return &c
}

func strictly(t *testing.T, text []byte, into any) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
}

func TestContextIsThatOfTheContract(t *testing.T) {
	q := richCall()
	text := appendContext(nil, q)
	c := decoded(t, text)
	if c.ABI != 1 || c.Phase != "before" || c.Now != "2026-11-23T18:00:00.123456Z" || c.Seed != "a/b" || c.RunType != "flow_run" || c.Final != nil {
		t.Errorf("head %+v", c)
	}
	if len(c.Rules) != 2 || c.Rules[0].Name != "A" || string(c.Rules[0].Config) != `{"base":2}` {
		t.Errorf("rules %+v", c.Rules)
	}
	wantClient := abi.Client{Version: ptr("3.4.11rc1"), Release: []int{3, 4, 11}, Prerelease: true, APIVersion: ptr("0.8.4"), APIRelease: []int{0, 8, 4}}
	if !reflect.DeepEqual(c.Transition.Client, wantClient) || !c.Transition.Force || c.Transition.IntendedType != "FAILED" || *c.Transition.ID != "8a3e6f5c-1111-4000-8000-00000000000f" {
		t.Errorf("transition %+v", c.Transition)
	}
	p := c.Transition.ProposedState
	if p.ID != nil || *p.Message != "tab\t\"quoted\" \u2028 é" || p.Result != abi.ResultUnpersisted || p.Timestamp != "2026-11-23T18:00:00.123456Z" {
		t.Errorf("proposed %+v", p)
	}
	var details map[string]any
	strictly(t, p.Details, &details)
	want := map[string]any{
		"transition_id": "8a3e6f5c-1111-4000-8000-00000000000f", "scheduled_time": "2026-11-23T18:00:00.123456Z", "cache_key": "k",
		"run_input_keyset": map[string]any{"a": "1", "b": "2"}, "retriable": false, "pause_reschedule": true,
		"deployment_concurrency_lease_id": "8a3e6f5c-1111-4000-8000-00000000000f",
	}
	if !reflect.DeepEqual(details, want) {
		t.Errorf("details %v", details)
	}
	if i := c.Transition.InitialState; *i.ID != q.t.Initial.ID.String() || i.Result != abi.ResultObject {
		t.Errorf("initial %+v", i)
	}
	var run abi.FlowRun
	strictly(t, c.Run, &run)
	if run.RunCount != 3 || run.TotalRunTime != 1.5 || *run.StartTime != "2026-11-23T18:00:00.123456Z" || *run.WorkQueueName != "queue" || run.EndTime != nil || string(run.Labels) != `{"x":1}` {
		t.Errorf("run %+v", run)
	}
	if string(run.EmpiricalPolicy) != `{"max_retries":0,"retry_delay_seconds":0,"retries":2,"retry_delay":7,"pause_keys":["p"],"resuming":true,"retry_type":"in_process"}` {
		t.Errorf("policy %s", run.EmpiricalPolicy)
	}
	if len(c.Facts) != 2 || string(c.Facts["attempts"]) != `[{"number":1}]` || string(c.Facts["work_queue"]) != "null" {
		t.Errorf("facts %v", c.Facts)
	}
	if strings.Contains(string(text), "secret") {
		t.Error("data, parameters, context or job variables are told")
	}
	if again := appendContext(nil, q); !bytes.Equal(again, text) {
		t.Error("the same call has another context")
	}
}

// Every field of the contract's runs is there, for both kinds.
func TestContextTellsWholeRuns(t *testing.T) {
	q := richCall()
	task := *q
	task.t = &orchestrate.Transition{RunType: prefect.TaskRunType, TaskRun: &prefect.TaskRun{}, Proposed: q.t.Proposed, Now: moment}
	for kind, c := range map[reflect.Type]*call{reflect.TypeFor[abi.FlowRun](): q, reflect.TypeFor[abi.TaskRun](): &task} {
		var got map[string]json.RawMessage
		strictly(t, decoded(t, appendContext(nil, c)).Run, &got)
		for i := range kind.NumField() {
			name := kind.Field(i).Tag.Get("json")
			if _, there := got[name]; !there {
				t.Errorf("%s has no %s", kind, name)
			}
			delete(got, name)
		}
		if len(got) > 0 {
			t.Errorf("%s has %v too", kind, got)
		}
	}
}

func TestContextOfAnUnwrittenRun(t *testing.T) {
	q := richCall()
	q.t.Initial, q.proposed, q.t.Facts = nil, nil, nil
	q.t.Client, q.t.API = orchestrate.Version{}, orchestrate.Version{}
	c := decoded(t, appendContext(nil, q))
	if c.Transition.InitialState != nil || c.Transition.ProposedState != nil || c.Transition.Client.Version != nil || c.Transition.Client.Release != nil {
		t.Errorf("%+v", c.Transition)
	}
	q.phase, q.final, q.status = abi.PhaseAfter, q.t.Proposed, prefect.Reject
	if c = decoded(t, appendContext(nil, q)); c.Final == nil || c.Final.Status != "REJECT" || c.Final.State.Type != "FAILED" {
		t.Errorf("%+v", c.Final)
	}
}

func TestLongMessagesAreCutAtARune(t *testing.T) {
	q := richCall()
	q.proposed.Message = ptr("x" + strings.Repeat("é", abi.MaxMessage))
	got := *decoded(t, appendContext(nil, q)).Transition.ProposedState.Message
	if len(got) != abi.MaxMessage-1 || !strings.HasSuffix(got, "é") {
		t.Errorf("%d bytes", len(got))
	}
}

func TestResultOf(t *testing.T) {
	for data, want := range map[string]string{
		"": "none", "null": "none", " null ": "none",
		"{}": "empty", "{ }": "empty", "[]": "empty", "[ ]": "empty", `""`: "empty", "0": "empty", "0.0": "empty", "-0": "empty", "false": "empty",
		`{"a":1}`: "object", `{"type":"result"}`: "object", `{"a":{"type":"unpersisted"}}`: "object", `{"type":"x","note":"unpersisted"}`: "object",
		`{"type":"unpersisted"}`: "unpersisted", `{"a":1,"type": "unpersisted"}`: "unpersisted",
		"1": "other", "true": "other", `"x"`: "other", "[0]": "other", "0.5": "other", "1e3": "other",
	} {
		if got := resultOf(json.RawMessage(data)); got != want {
			t.Errorf("%s: %s, want %s", data, got, want)
		}
	}
}

func TestTimesAreWrittenAsTheLibraryWritesThem(t *testing.T) {
	for _, at := range []time.Time{
		moment.Time, {}, time.Unix(0, 0), time.Unix(1e9, 999_999_999), time.Unix(-1, 1000),
		time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -3600)), time.Date(12345, 1, 2, 3, 4, 5, 6, time.UTC),
	} {
		want := at.UTC().Format("2006-01-02T15:04:05.000000Z")
		if got := string(appendTime(nil, at)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestSeed(t *testing.T) {
	tr := transition(prefect.Running, prefect.Failed)
	run := tr.FlowRun.ID.String()
	if got := seed(tr); got != run+"/"+tr.Initial.ID.String() {
		t.Error(got)
	}
	tr.Proposed.Details.TransitionID = ptr(uuid.New())
	if got := seed(tr); got != run+"/"+tr.Proposed.Details.TransitionID.String() {
		t.Error(got)
	}
	tr.Initial, tr.Proposed.Details.TransitionID = nil, nil
	if got := seed(tr); got != run+"/none" {
		t.Error(got)
	}
}

func BenchmarkContext(b *testing.B) {
	q := richCall()
	var buffer []byte
	b.ReportAllocs()
	for b.Loop() {
		buffer = appendContext(buffer[:0], q)
	}
	b.ReportMetric(float64(len(buffer)), "bytes")
}
