// Package policytest runs tables of transitions through rules, natively and as a
// guest in the sandbox, and compares whole decisions. Only tests import it.
package policytest

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/contract"
)

// Now is the time of every case, Later and Earlier are a minute off.
const (
	Now     = "2026-11-23T18:00:00.000000Z"
	Later   = "2026-11-23T18:01:00.000000Z"
	Earlier = "2026-11-23T17:59:00.000000Z"
)

// RunID and LeaseID are ids for cases to use.
const (
	RunID   = "8a3e6f5c-1111-4000-8000-000000000001"
	LeaseID = "0f6ad5c1-5b0a-4a5e-9d3b-2f1f6f0a9c11"
)

// Case is one transition and what a rule makes of it. Everything is JSON; empty
// is left as it is in the base context: a run without anything special.
type Case struct {
	Name string
	// Initial and Proposed are states: a bare type such as RUNNING, or an object
	// that is laid over the default state of its "type". Initial "" is no state.
	Initial  string
	Proposed string
	Run      string // laid over the base run
	Facts    string
	Config   string
	Client   string // laid over a client that says nothing of itself
	// Final is the state that will be written, for rules of the after phase, and
	// FinalStatus the status of the reply: ACCEPT if it is left out.
	Final       string
	FinalStatus string
	Want        string // the decision without "rule"; "-" when the rule is not asked
}

// object reads a JSON object, {} for "".
func object(t testing.TB, text string) map[string]any {
	t.Helper()
	o := map[string]any{}
	if text == "" {
		return o
	}
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return o
}

func over(base map[string]any, patch map[string]any) map[string]any {
	merged := maps.Clone(base)
	maps.Copy(merged, patch)
	return merged
}

// state expands a case's state; nil for none.
func state(t testing.TB, text string) map[string]any {
	t.Helper()
	if text == "" {
		return nil
	}
	if text[0] != '{' {
		text = `{"type":"` + text + `"}`
	}
	s := object(t, text)
	typ, _ := s["type"].(string)
	base := map[string]any{
		"id": nil, "name": typ[:1] + strings.ToLower(typ[1:]), "timestamp": Earlier,
		"message": nil, "result": abi.ResultNone,
	}
	details := object(t, `{"flow_run_id":null,"task_run_id":null,"child_flow_run_id":null,"scheduled_time":null,"cache_key":null,
		"cache_expiration":null,"deferred":false,"untrackable_result":false,"pause_timeout":null,"pause_reschedule":false,
		"pause_key":null,"run_input_keyset":null,"refresh_cache":null,"retriable":null,"transition_id":null,
		"task_parameters_id":null,"traceparent":null,"deployment_concurrency_lease_id":null}`)
	if given, ok := s["state_details"].(map[string]any); ok {
		details = over(details, given)
	}
	s = over(base, s)
	s["state_details"] = details
	return s
}

func run(t testing.TB, runType string) map[string]any {
	t.Helper()
	base := abi.Raw(`{"max_retries":0,"retry_delay_seconds":0.0,"retries":null,"retry_delay":null,"pause_keys":[],"resuming":false,"retry_type":null}`)
	var shape any = abi.FlowRun{ID: RunID, Created: Earlier, Name: "busy-beaver", FlowID: RunID, EmpiricalPolicy: base, Labels: abi.Raw(`{}`), RunCount: 1}
	if runType == abi.RunTypeTask {
		shape = abi.TaskRun{ID: RunID, Created: Earlier, Name: "task-0", TaskKey: "task", DynamicKey: "0", EmpiricalPolicy: abi.Raw(`{"retries":null,"retry_delay":null,"retry_jitter_factor":null}`), Labels: abi.Raw(`{}`), RunCount: 1}
	}
	text, err := json.Marshal(shape)
	if err != nil {
		t.Fatal(err)
	}
	return object(t, string(text))
}

// meets reports whether the case has what a rule needs to be asked about it.
func (c *Case) meets(t testing.TB, needs []string) bool {
	t.Helper()
	run := object(t, c.Run)
	detail := func(of, field string) any {
		details, _ := state(t, of)["state_details"].(map[string]any)
		return details[field]
	}
	for _, need := range needs {
		met := false
		switch need {
		case abi.NeedDeployment:
			met = run["deployment_id"] != nil
		case abi.NeedTags:
			tags, _ := run["tags"].([]any)
			met = len(tags) > 0
		case abi.NeedLease:
			met = detail(c.Initial, abi.DetailDeploymentConcurrencyLeaseID) != nil
		case abi.NeedScheduledTime:
			met = detail(c.Initial, abi.DetailScheduledTime) != nil
		case abi.NeedCacheKey:
			met = detail(c.Proposed, abi.DetailCacheKey) != nil
		case abi.NeedRepeat:
			id := detail(c.Initial, abi.DetailTransitionID)
			met = id != nil && id == detail(c.Proposed, abi.DetailTransitionID)
		}
		if !met {
			return false
		}
	}
	return true
}

// Context returns the context in which rules are asked about the case.
func (c *Case) Context(t testing.TB, runType string, rules ...*abi.RuleManifest) []byte {
	t.Helper()
	config := object(t, c.Config)
	asked := make([]any, len(rules))
	for i, r := range rules {
		asked[i] = map[string]any{"name": r.Name, "config": config}
	}
	proposed := state(t, c.Proposed)
	given := object(t, c.Run)
	whole := run(t, runType)
	if policy, ok := given["empirical_policy"].(map[string]any); ok {
		given["empirical_policy"] = over(whole["empirical_policy"].(map[string]any), policy)
	}
	context := map[string]any{
		"abi": abi.Version, "phase": rules[0].Phase, "now": Now, "seed": RunID + "/" + c.Name, "run_type": runType,
		"rules": asked,
		"transition": map[string]any{
			"id": nil, "initial_state": state(t, c.Initial), "proposed_state": proposed, "intended_type": proposed["type"], "force": false,
			"client": over(object(t, `{"version":null,"release":null,"prerelease":false,"api_version":null,"api_release":null}`), object(t, c.Client)),
		},
		"run": over(whole, given), "facts": object(t, c.Facts),
	}
	if c.Final != "" {
		status := abi.Accept
		if c.FinalStatus != "" {
			status = c.FinalStatus
		}
		context["final"] = map[string]any{"status": status, "state": state(t, c.Final)}
	}
	text, err := json.Marshal(context)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Call returns what a verdict about the case is checked against.
func (c *Case) Call(t testing.TB, runType string, rules ...*abi.RuleManifest) contract.Call {
	t.Helper()
	call := contract.Call{RunType: runType, Phase: rules[0].Phase, Rules: rules, HasInitial: c.Initial != ""}
	if initial := state(t, c.Initial); initial != nil {
		call.LeaseID, _ = initial["state_details"].(map[string]any)["deployment_concurrency_lease_id"].(string)
	}
	call.IntendedType, _ = state(t, c.Proposed)["type"].(string)
	call.ProposedType = call.IntendedType
	call.HasCachedState = object(t, c.Facts)[abi.FactCachedState] != nil
	return call
}
