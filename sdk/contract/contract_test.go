package contract

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/interlock-run/interlock/sdk/abi"
)

const lease = "0f6ad5c1-5b0a-4a5e-9d3b-2f1f6f0a9c11"

func flowRule(name string) *abi.RuleManifest {
	any := abi.AnyType
	return &abi.RuleManifest{Name: name, RunType: abi.RunTypeFlow, From: []*string{&any}, To: []*string{&any}, Kind: abi.KindRule, Phase: abi.PhaseBefore}
}

func flowCall(rules ...*abi.RuleManifest) Call {
	return Call{
		RunType: abi.RunTypeFlow, Phase: abi.PhaseBefore, Rules: rules,
		IntendedType: abi.Failed, ProposedType: abi.Failed, HasInitial: true, LeaseID: lease,
	}
}

func TestParseManifest(t *testing.T) {
	m, err := ParseManifest([]byte(`{"abi":1,"name":"acme-backoff","version":"1.2.0","description":"d","rules":[
		{"name":"BackoffRetry","run_type":"flow_run","from":["RUNNING",null],"to":["*"],"facts":["attempts","recent_outcomes:3600"],"config_schema":{"type":"object"}},
		{"name":"Other","run_type":"*","from":["*"],"to":["FAILED"],"kind":"transform","phase":"after"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	retry := m.Rule("BackoffRetry")
	if retry.Kind != abi.KindRule || retry.Phase != abi.PhaseBefore || string(retry.ConfigSchema) != `{"type":"object"}` || len(retry.Facts) != 2 {
		t.Errorf("%+v", retry)
	}
	for _, c := range []struct {
		runType, initial, proposed string
		want                       bool
	}{
		{abi.RunTypeFlow, abi.Running, abi.Failed, true},
		{abi.RunTypeFlow, "", abi.Pending, true},
		{abi.RunTypeFlow, abi.Paused, abi.Failed, false},
		{abi.RunTypeTask, abi.Running, abi.Failed, false},
	} {
		if got := retry.Matches(c.runType, c.initial, c.proposed); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	if !m.Rule("Other").Matches(abi.RunTypeTask, "", abi.Failed) || m.Rule("Nobody") != nil {
		t.Error("Other")
	}
}

func TestParseManifestRefuses(t *testing.T) {
	rule := `{"name":"R","run_type":"flow_run","from":["RUNNING"],"to":["FAILED"]}`
	whole := func(fields string) string { return `{"abi":1,"name":"m","version":"1",` + fields + `}` }
	with := func(old, new string) string { return whole(`"rules":[` + strings.Replace(rule, old, new, 1) + `]`) }
	if _, err := ParseManifest([]byte(whole(`"rules":[` + rule + `]`))); err != nil {
		t.Fatal(err)
	}
	for text, says := range map[string]string{
		`{`:                                   "not JSON",
		`[]`:                                  "not an object",
		`{"name":"m","rules":[` + rule + `]}`: "abi is missing",
		`{"abi":2,"name":"m","rules":[` + rule + `]}`:               "manifest.abi",
		`{"abi":1,"rules":[` + rule + `]}`:                          "name is missing",
		whole(`"rules":[]`):                                         "no rules",
		whole(`"rules":{}`):                                         "not a list",
		whole(`"rules":[` + rule + `,` + rule + `]`):                "two rules",
		whole(`"rules":[` + rule + `],"extra":1`):                   `unknown field "extra"`,
		whole(`"rules":[` + rule + `],"name":"again"`):              `"name" twice`,
		with(`"R"`, `""`):                                           "characters long",
		with(`"R"`, `"a b"`):                                        "characters that a name cannot have",
		with(`"R"`, `7`):                                            "not a text",
		with(`"name":"R",`, ``):                                     "name is missing",
		with(`"flow_run"`, `"flow"`):                                "none of flow_run",
		with(`["RUNNING"]`, `["running"]`):                          "no state type",
		with(`["RUNNING"]`, `[]`):                                   "from is missing",
		with(`"to"`, `"too"`):                                       "unknown field",
		with(`"to"`, `"kind":"other","to"`):                         "none of rule, transform",
		with(`"to"`, `"phase":"during","to"`):                       "none of before, after",
		with(`"to"`, `"facts":["gossip"],"to"`):                     `no fact "gossip"`,
		with(`"to"`, `"facts":["recent_outcomes"],"to"`):            "no fact",
		with(`"to"`, `"facts":["recent_outcomes:0"],"to"`):          "no fact",
		with(`"to"`, `"facts":["recent_outcomes:9999999"],"to"`):    "no fact",
		with(`"to"`, `"facts":["attempts:60"],"to"`):                "no fact",
		with(`"to"`, `"needs":["money"],"to"`):                      `no need "money"`,
		with(`"to"`, `"needs":"lease","to"`):                        "not a list",
		with(`"to"`, `"config_schema":true,"to"`):                   "config_schema: not an object",
		with(`"R"`, `"`+strings.Repeat("x", abi.MaxName+1)+`"`):     "characters long",
		whole(`"description":"` + strings.Repeat("x", MaxManifest)): "larger than",
	} {
		if m, err := ParseManifest([]byte(text)); err == nil || m != nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.120s: %v, want %q", text, err, says)
		}
	}
}

func TestParseVerdict(t *testing.T) {
	text := `{"decisions":[{"rule":"Retry","decision":"REJECT","reason":"Retrying",
		"state":{"type":"SCHEDULED","name":"AwaitingRetry","message_from":"proposed","data_from":"proposed",
			"state_details":{"scheduled_time":"2026-11-23T18:00:10.000000Z","deployment_concurrency_lease_id":"` + lease + `"}},
		"flags":{"set_retry_type_in_process":true,"set_resuming_false":true,"clear_pause_keys":true},
		"run":{"empirical_policy":{"resuming":false,"retry_type":null,"pause_keys":{"clear":true,"add":["a"]}}},
		"effects":[{"type":"renew_lease","lease_id":"` + lease + `","ttl_seconds":300,"on":"always"},
			{"type":"acquire_slots","limit_ids":["` + lease + `"],"slots":1,"lease":{"ttl_seconds":null},"bind":"deployment_concurrency_lease_id"},
			{"type":"release_slots","limit_ids":null,"lease_id":null},{"type":"release_slots","lease_id":"` + lease + `"},{"type":"detach_lease","lease_id":"` + lease + `"},
			{"type":"emit_event","event":"acme.retry","payload":{"a":1}},
			{"type":"set_run_state","run_type":"task_run","run_id":"` + lease + `","copy_written":true,"state_details":{"deferred":false}}]},
		{"rule":"Late","decision":"ACCEPT"}]}`
	v, err := ParseVerdict([]byte(text), flowCall(flowRule("Retry"), flowRule("Late")))
	if err != nil {
		t.Fatal(err)
	}
	d := v.Decisions[0]
	if d.State.Type != abi.Scheduled || *d.State.Name != "AwaitingRetry" || d.State.DataFrom != abi.FromProposed || len(d.State.Details) != 2 {
		t.Errorf("state: %+v", d.State)
	}
	if d.Flags != (abi.Flags{SetRetryTypeInProcess: true, SetResumingFalse: true, ClearPauseKeys: true}) {
		t.Errorf("flags: %+v", d.Flags)
	}
	if p := d.Run.EmpiricalPolicy; *p.Resuming || string(p.RetryType) != "null" || !p.PauseKeys.Clear || p.PauseKeys.Add[0] != "a" {
		t.Errorf("policy: %+v", p)
	}
	if len(d.Effects) != 7 || d.Effects[0].On != abi.OnAlways || d.Effects[1].On != abi.OnStands || string(d.Effects[5].Payload) != `{"a":1}` {
		t.Errorf("effects: %+v", d.Effects)
	}
	if v.Decisions[1].Decision != abi.Skipped {
		t.Errorf("a rule after the one that intervened: %+v", v.Decisions[1])
	}

	// The shapes' own JSON is the contract's: written again it reads the same.
	again, err := json.Marshal(abi.Verdict{Decisions: v.Decisions[:1]})
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseVerdict(again, flowCall(flowRule("Retry")))
	if err != nil {
		t.Fatalf("%s: %v", again, err)
	}
	if second, err := json.Marshal(back); err != nil || string(second) != string(again) {
		t.Errorf("%s\nread again is\n%s (%v)", again, second, err)
	}
}

func TestTheLongestReasonMayBeEscaped(t *testing.T) {
	text := `{"decisions":[{"rule":"R","decision":"REJECT","reason":"` + strings.Repeat(`\u0072`, abi.MaxReason) + `"}]}`
	v, err := ParseVerdict([]byte(text), flowCall(flowRule("R")))
	if err != nil || v.Decisions[0].Reason != strings.Repeat("r", abi.MaxReason) {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestParseVerdictWithAnError(t *testing.T) {
	call := flowCall(flowRule("A"), flowRule("B"))
	v, err := ParseVerdict([]byte(`{"decisions":[{"rule":"A","decision":"ACCEPT"}],"error":"B: no idea"}`), call)
	if err != nil || v.Error != "B: no idea" || len(v.Decisions) != 1 {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := ParseVerdict([]byte(`{"error":"nothing at all"}`), call); err != nil {
		t.Error(err)
	}
}

func TestTransformsAreNeverSkipped(t *testing.T) {
	transform := flowRule("T")
	transform.Kind = abi.KindTransform
	call := flowCall(flowRule("A"), transform, flowRule("B"))
	v, err := ParseVerdict([]byte(`{"decisions":[{"rule":"A","decision":"ABORT","reason":"no"},
		{"rule":"T","decision":"ACCEPT","effects":[{"type":"release_slots"}]},{"rule":"B","decision":"WAIT","delay_seconds":1,"reason":"x"}]}`), call)
	if err != nil {
		t.Fatal(err)
	}
	if v.Decisions[1].Decision != abi.Accept || len(v.Decisions[1].Effects) != 1 || v.Decisions[2].Decision != abi.Skipped {
		t.Errorf("%+v", v.Decisions)
	}
}

func TestParseVerdictRefuses(t *testing.T) {
	after, transform := flowRule("R"), flowRule("R")
	after.Phase, transform.Kind = abi.PhaseAfter, abi.KindTransform
	task := flowCall(flowRule("R"))
	task.RunType = abi.RunTypeTask
	fresh := flowCall(flowRule("R"))
	fresh.HasInitial = false
	plain := flowCall(flowRule("R"))

	one := func(fields string) string { return `{"decisions":[{"rule":"R",` + fields + `}]}` }
	reject := func(state string) string { return one(`"decision":"REJECT","reason":"r","state":` + state) }
	effect := func(e string) string { return one(`"decision":"ACCEPT","effects":[` + e + `]`) }
	for _, c := range []struct {
		text string
		call Call
		says string
	}{
		{``, plain, "not JSON"},
		{`null`, plain, "not an object"},
		{`{}`, plain, "0 decisions for 1 rules"},
		{`{"decisions":[]}`, plain, "0 decisions for 1 rules"},
		{`{"decisions":[{"rule":"R","decision":"ACCEPT"},{"rule":"R","decision":"ACCEPT"}]}`, plain, "more decisions than rules"},
		{`{"decisions":[{"rule":"R","decision":"ACCEPT"}],"error":"x"}`, plain, "error beside"},
		{`{"decisions":[],"error":""}`, plain, "empty"},
		{`{"decisions":[{"rule":"S","decision":"ACCEPT"}]}`, plain, `"R" was asked`},
		{`{"decisions":[{"decision":"ACCEPT"}]}`, plain, `"R" was asked`},
		{`{"decisions":[{"rule":"R"}]}`, plain, "decision is missing"},
		{one(`"decision":"accept"`), plain, "none of ACCEPT"},
		{one(`"decision":"SKIPPED"`), plain, "none of ACCEPT"},
		{one(`"decision":"ACCEPT","Flags":{}`), plain, `unknown field "Flags"`},
		{one(`"decision":"ACCEPT","decision":"ABORT"`), plain, "twice"},
		{one(`"decision":"ACCEPT","reason":"r"`), plain, "neither reason"},
		{one(`"decision":"ACCEPT","state":{"type":"FAILED"}`), plain, "may patch name"},
		{one(`"decision":"ACCEPT","state":{"data_from":"initial"}`), plain, "may patch name"},
		{one(`"decision":"REJECT","state":null`), plain, "needs a reason"},
		{one(`"decision":"REJECT","reason":"r","delay_seconds":3`), plain, "is for WAIT"},
		{one(`"decision":"REJECT","reason":"r","state":null`), fresh, "needs a run that has one"},
		{one(`"decision":"REJECT","reason":"` + strings.Repeat("r", abi.MaxReason+1) + `"`), plain, "longer"},
		{one(`"decision":"REJECT","reason":"` + strings.Repeat(`\u0072`, abi.MaxReason+1) + `"`), plain, "longer"},
		{one(`"decision":"REJECT","reason":"` + strings.Repeat("r", 60_000) + `"`), plain, "longer"},
		{one(`"decision":"REJECT","reason":7`), plain, "not a text"},
		{one(`"decision":"WAIT","reason":"r"`), plain, "is for WAIT"},
		{one(`"decision":"WAIT","reason":"r","delay_seconds":1.5`), plain, "whole number"},
		{one(`"decision":"WAIT","reason":"r","delay_seconds":-1`), plain, "whole number"},
		{one(`"decision":"WAIT","delay_seconds":1`), plain, "needs a reason"},
		{one(`"decision":"ABORT","reason":"r","state":{"type":"FAILED"}`), plain, "takes no state"},
		{reject(`{"type":"DONE"}`), plain, "no state type"},
		{reject(`{"name":"x"}`), plain, "no state type"},
		{reject(`{"type":"FAILED","message":"a","message_from":"proposed"}`), plain, "both message"},
		{reject(`{"type":"FAILED","data_from":"cached_state"}`), plain, "no cached state"},
		{reject(`{"type":"FAILED","data_from":"thin air"}`), plain, "none of proposed"},
		{reject(`{"type":"FAILED","data_from":"initial"}`), fresh, "no initial state"},
		{reject(`{"type":"FAILED","id":"x"}`), plain, `unknown field "id"`},
		{reject(`{"type":"FAILED","state_details":{"transition_id":null}}`), plain, "the host's"},
		{reject(`{"type":"FAILED","state_details":{"mood":1}}`), plain, "unknown field"},
		{reject(`{"type":"FAILED","state_details":{"scheduled_time":"tomorrow"}}`), plain, "RFC 3339"},
		{reject(`{"type":"FAILED","state_details":{"scheduled_time":5}}`), plain, "not a text"},
		{reject(`{"type":"FAILED","state_details":{"deferred":"no"}}`), plain, "neither true"},
		{reject(`{"type":"FAILED","state_details":{"task_parameters_id":"x"}}`), plain, "UUID"},
		{reject(`{"type":"FAILED","state_details":{"run_input_keyset":{"a":1}}}`), plain, "not a text"},
		{reject(`{"type":"FAILED","state_details":{"deployment_concurrency_lease_id":"2f6ad5c1-5b0a-4a5e-9d3b-2f1f6f0a9c11"}}`), plain, "not the initial state's"},
		{one(`"decision":"ACCEPT","flags":{"be_nice":true}`), plain, "unknown field"},
		{one(`"decision":"ACCEPT","flags":{"clear_retry_type":1}`), plain, "neither true"},
		{one(`"decision":"ACCEPT","flags":{"clear_retry_type":true,"set_retry_type_in_process":true}`), plain, "both set and cleared"},
		{one(`"decision":"ACCEPT","flags":{"clear_retry_type":true}`), task, "for flow runs"},
		{one(`"decision":"ACCEPT","run":{"run_count":1}`), plain, "cannot write this"},
		{one(`"decision":"ACCEPT","run":{"empirical_policy":{}}`), task, "cannot write this"},
		{one(`"decision":"ACCEPT","run":{"run_count":-1}`), task, "whole number"},
		{one(`"decision":"ACCEPT","run":{"empirical_policy":{"retries":9}}`), plain, "cannot write this"},
		{one(`"decision":"ACCEPT","run":{"empirical_policy":{"retry_type":"later"}}`), plain, "none of in_process"},
		{one(`"decision":"ACCEPT","run":{"empirical_policy":{"pause_keys":[]}}`), plain, "not an object"},
		{effect(`{}`), plain, "not a text"},
		{effect(`{"type":"send_mail"}`), plain, "none of acquire_slots"},
		{effect(`{"type":"release_slots","on":"always"}`), plain, "only renew_lease"},
		{effect(`{"type":"release_slots","slots":1}`), plain, "unknown field"},
		{effect(`{"type":"release_slots","limit_ids":["x"]}`), plain, "UUID"},
		{effect(`{"type":"release_slots","lease_id":"x"}`), plain, "UUID"},
		{effect(`{"type":"acquire_slots","slots":1}`), plain, "lacks limit_ids"},
		{effect(`{"type":"acquire_slots","limit_ids":["` + lease + `"]}`), plain, "lacks slots"},
		{effect(`{"type":"acquire_slots","limit_ids":["` + lease + `"],"slots":1,"bind":"traceparent"}`), plain, "none of deployment"},
		{effect(`{"type":"acquire_slots","limit_ids":["` + lease + `"],"slots":1,"bind":"deployment_concurrency_lease_id"}`), plain, "lacks lease"},
		{effect(`{"type":"renew_lease","lease_id":"` + lease + `"}`), plain, "lacks ttl"},
		{effect(`{"type":"renew_lease","lease_id":"` + lease + `","ttl_seconds":0}`), plain, "above 0"},
		{effect(`{"type":"detach_lease"}`), plain, "lacks lease_id"},
		{effect(`{"type":"write_cache","cache_key":"k"}`), plain, "for task runs"},
		{effect(`{"type":"write_cache"}`), task, "lacks cache_key"},
		{effect(`{"type":"enqueue_task_run","queue":"slow"}`), task, "none of scheduled"},
		{effect(`{"type":"emit_event"}`), plain, "lacks event"},
		{effect(`{"type":"emit_event","event":"prefect.flow-run.Completed"}`), plain, "the server's own"},
		{effect(`{"type":"emit_event","event":"interlock.policy-module.readmitted"}`), plain, "the server's own"},
		{effect(`{"type":"emit_event","event":"` + strings.Repeat("x", abi.MaxEventName+1) + `"}`), plain, "the name is longer"},
		{effect(`{"type":"emit_event","event":"x","payload":{"a":"` + strings.Repeat("x", abi.MaxEventPayload) + `"}}`), plain, "the payload is larger"},
		{effect(`{"type":"set_run_state","run_type":"task_run","run_id":"` + lease + `"}`), plain, "lacks either"},
		{effect(`{"type":"set_run_state","run_type":"task_run","run_id":"` + lease + `","state":{"type":"NO"}}`), plain, "no state type"},
		{effect(strings.Repeat(`{"type":"release_slots"},`, MaxEffects) + `{"type":"release_slots"}`), plain, "more than"},
		{one(`"decision":"ABORT","reason":"r"`), flowCall(after), "can only ACCEPT"},
		{one(`"decision":"ACCEPT","state":{"name":"x"}`), flowCall(after), "patches and effects only"},
		{one(`"decision":"ABORT","reason":"r"`), flowCall(transform), "can only ACCEPT"},
		{`{"decisions":[` + strings.Repeat(" ", MaxVerdict) + `]}`, plain, "larger"},
	} {
		if v, err := ParseVerdict([]byte(c.text), c.call); err == nil || v != nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%.160s: %v, want %q", c.text, err, c.says)
		}
	}
}

func FuzzParseVerdict(f *testing.F) {
	f.Add([]byte(`{"decisions":[{"rule":"R","decision":"REJECT","reason":"r","state":{"type":"SCHEDULED","state_details":{"scheduled_time":"2026-11-23T18:00:10Z"}}}]}`))
	f.Add([]byte(`{"decisions":[{"rule":"R","decision":"ACCEPT","effects":[{"type":"release_slots"}],"run":{"empirical_policy":{"resuming":true}}}]}`))
	call := flowCall(flowRule("R"))
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := ParseVerdict(text, call)
		if err != nil {
			return
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseVerdict(again, call); err != nil {
			t.Errorf("%s is written as %s, which is refused: %v", text, again, err)
		}
	})
}
