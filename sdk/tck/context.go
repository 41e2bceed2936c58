package tck

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"testing"
	"unicode/utf16"

	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/contract"
)

const (
	someID  = "8a3e6f5c-1111-4000-8000-000000000001"
	otherID = "8a3e6f5c-2222-4000-8000-000000000002"
	now     = "2026-11-23T18:00:00.000000Z"
	earlier = "2026-11-23T17:59:00.000000Z"
	later   = "2026-11-23T18:01:00.000000Z"
)

// form is a way to fill a context: sparse with all null, or rich.
type form struct {
	name string
	rich bool
	runs int // run_count
}

var forms = []form{{"sparse", false, 0}, {"rich", true, 1}, {"at its third run", true, 3}}

// match is a transition that a rule is for.
type match struct{ runType, initial, proposed string }

func firstMatch(rule *abi.RuleManifest) match {
	for _, runType := range []string{abi.RunTypeFlow, abi.RunTypeTask} {
		for _, initial := range append(abi.StateTypes(), "") {
			for _, proposed := range abi.StateTypes() {
				if rule.Matches(runType, initial, proposed) {
					return match{runType, initial, proposed}
				}
			}
		}
	}
	return match{abi.RunTypeFlow, abi.Running, abi.Failed}
}

// question returns a call about a transition.
func (k *kit) question(m match, f form, rules ...*abi.RuleManifest) question {
	phase := abi.PhaseBefore
	facts := map[string]any{}
	asked := []any{}
	for _, r := range rules {
		phase = r.Phase
		config := json.RawMessage(`{}`)
		if c, ok := k.options.Configs[r.Name]; ok {
			config = json.RawMessage(c)
		}
		asked = append(asked, map[string]any{"name": r.Name, "config": config})
		for _, declared := range r.Facts {
			name, _, _ := abi.ParseFact(declared)
			facts[declared] = nil
			if f.rich {
				facts[declared] = json.RawMessage(factSamples[name])
			}
		}
	}
	proposed := state(m.proposed, f)
	context := map[string]any{
		"abi": abi.Version, "phase": phase, "now": now, "seed": someID + "/" + otherID, "run_type": m.runType, "rules": asked,
		"transition": map[string]any{
			"id": nil, "initial_state": nil, "proposed_state": proposed, "intended_type": m.proposed, "force": false,
			"client": map[string]any{"version": nil, "release": nil, "prerelease": false, "api_version": nil, "api_release": nil},
		},
		"run": run(m.runType, f), "facts": facts,
	}
	call := contract.Call{
		RunType: m.runType, Phase: phase, Rules: rules, IntendedType: m.proposed, ProposedType: m.proposed,
		HasInitial: m.initial != "", HasCachedState: facts[abi.FactCachedState] != nil,
	}
	transition := context["transition"].(map[string]any)
	if m.initial != "" {
		transition["initial_state"] = state(m.initial, f)
		if f.rich {
			call.LeaseID = otherID
		}
	}
	if f.rich {
		transition["id"] = someID
		transition["client"] = map[string]any{"version": "3.8.8", "release": []int{3, 8, 8}, "prerelease": false, "api_version": "0.8.4", "api_release": []int{0, 8, 4}}
	}
	if phase == abi.PhaseAfter {
		context["final"] = map[string]any{"status": abi.Accept, "state": state(m.proposed, f)}
	}
	return question{context: context, call: call, about: f.name + ": " + m.runType + " " + m.initial + " to " + m.proposed}
}

func state(typ string, f form) map[string]any {
	s := map[string]any{"id": nil, "type": typ, "name": typ, "timestamp": earlier, "message": nil, "result": abi.ResultNone, "state_details": map[string]any{}}
	if f.rich {
		s["message"] = "Flow run encountered an exception: ValueError: \"é😀\"\n"
		s["result"] = abi.ResultObject
		s["state_details"] = map[string]any{
			abi.DetailFlowRunID: someID, abi.DetailTaskRunID: nil, abi.DetailChildFlowRunID: nil, abi.DetailScheduledTime: later,
			abi.DetailCacheKey: "key", abi.DetailCacheExpiration: later, abi.DetailDeferred: true, abi.DetailUntrackableResult: false,
			abi.DetailPauseTimeout: earlier, abi.DetailPauseReschedule: true, abi.DetailPauseKey: "1", abi.DetailRunInputKeyset: nil,
			abi.DetailRefreshCache: nil, abi.DetailRetriable: true, abi.DetailTransitionID: nil, abi.DetailTaskParametersID: otherID,
			abi.DetailTraceparent: nil, abi.DetailDeploymentConcurrencyLeaseID: otherID,
		}
	}
	return s
}

// run returns a run with all fields of the contract.
func run(runType string, f form) map[string]any {
	var shape any
	policy := abi.Raw(`{"retries":null,"retry_delay":null,"pause_keys":null,"resuming":null,"retry_type":null,"retry_jitter_factor":null}`)
	var id *string
	if f.rich {
		id = new(string(someID))
		policy = abi.Raw(`{"retries":3,"retry_delay":10,"pause_keys":["0"],"resuming":false,"retry_type":"in_process","retry_jitter_factor":0.5}`)
	}
	if runType == abi.RunTypeTask {
		shape = abi.TaskRun{ID: someID, Created: earlier, Name: "task-0", FlowRunID: id, TaskKey: "task", DynamicKey: "0", EmpiricalPolicy: policy, Tags: []string{"a"}, Labels: abi.Raw(`{"a":1}`), RunCount: f.runs}
	} else {
		shape = abi.FlowRun{ID: someID, Created: earlier, Name: "busy-beaver", FlowID: otherID, DeploymentID: id, WorkQueueID: id, EmpiricalPolicy: policy, Tags: []string{"a"}, Labels: abi.Raw(`{"a":1}`), RunCount: f.runs, InfrastructurePID: id}
	}
	text, err := json.Marshal(shape)
	if err != nil {
		return nil
	}
	fields := map[string]any{}
	if json.Unmarshal(text, &fields) != nil {
		return nil
	}
	return fields
}

// factSamples has a fact of each name.
var factSamples = map[string]string{
	abi.FactDeployment:     `{"id":"` + someID + `","found":true,"limit":{"id":"` + otherID + `","limit":5,"active":true,"used":3,"mine":0},"collision_strategy":"ENQUEUE","grace_period_seconds":null}`,
	abi.FactRunSlots:       `[{"lease_id":"` + otherID + `","limit_id":"` + someID + `","slots":1,"expires_at":null,"held":true}]`,
	abi.FactFlowRun:        `{"id":"` + someID + `","found":true,"run_count":2,"state":{"type":"RUNNING","name":"Running","state_details":{"pause_timeout":null,"pause_reschedule":false}}}`,
	abi.FactTagLimits:      `[{"id":"` + someID + `","tag":"a","limit":5,"active":true,"used":3,"mine":0,"avg_slot_occupancy_seconds":2.0}]`,
	abi.FactCachedState:    `{"id":"` + someID + `","type":"COMPLETED","name":"Completed","message":null,"state_details":{"cache_key":"key"},"result":"object"}`,
	abi.FactAttempts:       `[{"number":1,"started":"` + earlier + `","ended":"` + earlier + `","type":"SCHEDULED","name":"AwaitingRetry","message":"no"},{"number":2,"started":"` + earlier + `","ended":null,"type":null,"name":null,"message":null}]`,
	abi.FactRecentOutcomes: `{"window_seconds":3600,"flow":{"COMPLETED":3,"FAILED":1,"CANCELLED":0,"CRASHED":0},"deployment":null,"task":null}`,
	abi.FactWorkQueue:      `{"id":"` + someID + `","found":true,"name":"default","work_pool_name":null,"status":"READY","is_paused":false,"concurrency_limit":null,"priority":1}`,
	abi.FactParentTaskRun:  `{"id":"` + someID + `","found":true,"name":"sub-0","flow_run_id":null,"run_count":1,"tags":[],"state":null}`,
	abi.FactParameters:     `{"n":1}`,
	abi.FactContext:        `{}`,
	abi.FactJobVariables:   `{}`,
	abi.FactTaskInputs:     `{}`,
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func sameJSON(t testing.TB, a, b []byte) bool {
	t.Helper()
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return bytes.Equal(a, b)
	}
	return reflect.DeepEqual(x, y)
}

// escaped writes each character of each string of a JSON text as an escape.
func escaped(t testing.TB, text []byte) []byte {
	t.Helper()
	var out []byte
	for i := 0; i < len(text); i++ {
		if text[i] != '"' {
			out = append(out, text[i])
			continue
		}
		end := i + 1
		for ; text[end] != '"'; end++ {
			if text[end] == '\\' {
				end++
			}
		}
		var s string
		if err := json.Unmarshal(text[i:end+1], &s); err != nil {
			t.Fatal(err)
		}
		out = append(out, '"')
		for _, unit := range utf16.Encode([]rune(s)) {
			const digits = "0123456789abcdef"
			out = append(out, '\\', 'u', digits[unit>>12], digits[unit>>8&15], digits[unit>>4&15], digits[unit&15])
		}
		out = append(out, '"')
		i = end
	}
	return out
}

// strange adds a field that nobody knows to the objects whose fields the
// contract names.
func strange(context map[string]any) map[string]any {
	odd := map[string]any{"deep": []any{1, nil, "\u2028"}}
	for _, path := range [][]string{
		{"aaa_unknown"}, {"zzz_unknown"}, {"run", "aaa_unknown"}, {"transition", "aaa_unknown"}, {"transition", "client", "aaa_unknown"},
		{"transition", "proposed_state", "aaa_unknown"}, {"facts", "aaa_unknown"},
	} {
		context = with(context, path, odd)
	}
	return context
}

// with returns a copy of o in which what stands at path is v.
func with(o map[string]any, path []string, v any) map[string]any {
	o = maps.Clone(o)
	if len(path) == 1 {
		o[path[0]] = v
		return o
	}
	inner, ok := o[path[0]].(map[string]any)
	if !ok {
		inner = map[string]any{}
	}
	o[path[0]] = with(inner, path[1:], v)
	return o
}

// paths lists the places of an object's fields, the objects' own first.
func paths(o map[string]any, prefix []string) [][]string {
	var all [][]string
	for _, key := range slices.Sorted(maps.Keys(o)) {
		path := append(slices.Clone(prefix), key)
		all = append(all, path)
		if inner, ok := o[key].(map[string]any); ok {
			all = append(all, paths(inner, path)...)
		}
	}
	return all
}
