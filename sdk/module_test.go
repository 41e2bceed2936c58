package sdk

import (
	"strings"
	"testing"

	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/contract"
	"github.com/interlock-run/interlock/sdk/value"
)

const lease = "0f6ad5c1-5b0a-4a5e-9d3b-2f1f6f0a9c11"

// contextOf is a context of a RUNNING to FAILED that asks the named rules.
func contextOf(rules ...string) string {
	asked := make([]string, len(rules))
	for i, r := range rules {
		asked[i] = `{"name":"` + r + `","config":{"n":3,"f":1.5,"t":"text","b":true}}`
	}
	return `{"abi":1,"phase":"before","now":"2026-11-23T18:00:00.000000Z","seed":"run/transition","run_type":"flow_run",
		"rules":[` + strings.Join(asked, ",") + `],
		"transition":{"id":"t-1","intended_type":"FAILED","force":true,
			"initial_state":{"type":"RUNNING","name":"Running","message":"going","result":"object","state_details":{"deployment_concurrency_lease_id":"` + lease + `"}},
			"proposed_state":{"type":"FAILED","name":"Failed","message":"it broke","result":"unpersisted","state_details":{"scheduled_time":null,"transition_id":"t-1"}},
			"client":{"version":"3.4.11rc1","release":[3,4,11],"prerelease":true,"api_version":"0.8","api_release":[0,8]}},
		"run":{"id":"r-1","name":"busy-beaver","run_count":2,"flow_run_run_count":1,"deployment_id":null,"work_queue_name":"","tags":["a","b"],"labels":{"team":"x"},
			"empirical_policy":{"retries":3,"retry_delay":1.5,"pause_keys":["k"],"resuming":true,"retry_type":"reschedule"}},
		"facts":{"attempts":[{"number":1}],"cached_state":{"type":"COMPLETED","name":"Done","message":"cached","result":"object","state_details":{"cache_key":"c"}}}}`
}

// asked evaluates a module of these rules and returns the verdict.
func asked(t *testing.T, context string, rules ...Rule) (verdict string, module *Module) {
	t.Helper()
	module = Serve(Module{Name: "test", Version: "1", Rules: rules})
	return string(module.Evaluate([]byte(context))), module
}

// rule is a rule for all flow runs' transitions.
func rule(name string, evaluate func(*Context) Decision) Rule {
	return Rule{Name: name, RunType: FlowRun, From: AnyState, To: AnyState, Evaluate: evaluate}
}

func TestWhatARuleSees(t *testing.T) {
	verdict, _ := asked(t, contextOf("Look"), rule("Look", func(c *Context) Decision {
		retries, hasRetries := c.Run().Retries()
		attempts := c.Fact(abi.FactAttempts)
		cached, found := c.CachedState()
		team, _ := c.Run().Label("team").Text()
		for what, ok := range map[string]bool{
			"now":            c.Now().String() == "2026-11-23T18:00:00.000000Z",
			"initial":        c.Initial().Type() == Running && c.Initial().Named("Running") && c.Initial().Message() == "going" && c.Initial().Result() == abi.ResultObject,
			"proposed":       c.Proposed().Type() == Failed && c.Proposed().Name() == "Failed" && c.Proposed().Result() == abi.ResultUnpersisted,
			"intended":       c.IntendedType() == Failed,
			"detail":         c.Initial().Detail(abi.DetailDeploymentConcurrencyLeaseID).Is(lease) && c.Proposed().Detail(abi.DetailScheduledTime).IsNull(),
			"force":          c.Force(),
			"transition":     c.TransitionID() == "t-1",
			"run":            c.Run().ID() == "r-1" && c.Run().Name() == "busy-beaver" && c.Run().RunCount() == 2 && c.Run().FlowRunRunCount() == 1 && c.RunType() == FlowRun,
			"has":            !c.Run().Has("deployment_id") && !c.Run().Has("work_queue_name") && c.Run().Has("name") && c.Run().DeploymentID() == "",
			"tags":           c.Run().HasTag("b") && !c.Run().HasTag("c"),
			"label":          team == "x",
			"policy":         retries == 3 && hasRetries && c.Run().RetryDelay() == 1.5 && c.Run().HasPauseKey("k") && c.Run().Resuming() && c.Run().RetryType() == RetryReschedule,
			"config":         c.Config().Int("n", 0) == 3 && c.Config().Float("f", 0) == 1.5 && c.Config().Text("t", "") == "text" && c.Config().Bool("b", false),
			"config missing": c.Config().Int("f", 7) == 7 && c.Config().Float("x", 7) == 7 && c.Config().Text("n", "d") == "d" && c.Config().Bool("n", true),
			"facts":          attempts.Len() == 1 && c.Fact("deployment").IsNull(),
			"cached":         found && cached.Type() == Completed && cached.Message() == "cached",
			"client":         c.ClientVersion().AtLeast(3, 4, 10) && !c.ClientVersion().AtLeast(3, 4, 11) && !c.ClientVersion().AtLeast(3, 5),
			"api":            c.APIVersion().AtLeast(0, 8) && c.APIVersion().AtLeast(0, 8, 0) && !c.APIVersion().AtLeast(0, 8, 1) && c.APIVersion().AtLeast(0, 7, 9),
			"final":          !c.Final().Exists() && !c.Rejected(),
		} {
			if !ok {
				t.Errorf("%s is not as it stands in the context", what)
			}
		}
		return Accept()
	}))
	if want := `{"decisions":[{"rule":"Look","decision":"ACCEPT"}]}`; verdict != want {
		t.Errorf("%s", verdict)
	}
}

func TestDecisionsAreWrittenAsTheContractHasThem(t *testing.T) {
	at, ok := value.ParseTime("2026-11-23T18:00:10Z")
	if !ok {
		t.Fatal("not a time")
	}
	d := Reject(NewState{
		Type: Scheduled, Name: `"Awaiting"`, MessageFrom: FromProposed, DataFrom: FromInitial,
		Details: []Detail{DetailTime(abi.DetailScheduledTime, at), DetailText(abi.DetailPauseKey, "k"), DetailBool(abi.DetailDeferred, true), DetailNull(abi.DetailCacheKey)},
	}, "because")
	d.Flags = ClearPauseKeys | SetResumingFalse
	d.Run = RunPatch{Resuming: new(true), RetryType: RetryInProcess, ClearPauseKeys: true, AddPauseKey: "a"}
	d.Effects = []Effect{
		AcquireSlots([]string{lease}, 2, 300, abi.DetailDeploymentConcurrencyLeaseID), AcquireSlots([]string{lease}, 1, 0, ""),
		ReleaseSlots(), ReleaseSlots(lease), ReleaseLease(lease), RenewLease(lease, 1.5).Always(), DetachLease(lease), EmitEvent("acme.retry", `{"n":1}`),
	}
	verdict, module := asked(t, contextOf("R"), rule("R", func(*Context) Decision { return d }))
	want := `{"decisions":[{"rule":"R","decision":"REJECT","reason":"because","state":{"type":"SCHEDULED","name":"\"Awaiting\"","message_from":"proposed","data_from":"initial",` +
		`"state_details":{"scheduled_time":"2026-11-23T18:00:10.000000Z","pause_key":"k","deferred":true,"cache_key":null}},` +
		`"flags":{"set_resuming_false":true,"clear_pause_keys":true},` +
		`"run":{"empirical_policy":{"resuming":true,"retry_type":"in_process","pause_keys":{"clear":true,"add":["a"]}}},` +
		`"effects":[{"type":"acquire_slots","limit_ids":["` + lease + `"],"slots":2,"lease":{"ttl_seconds":300},"bind":"deployment_concurrency_lease_id"},` +
		`{"type":"acquire_slots","limit_ids":["` + lease + `"],"slots":1,"lease":{"ttl_seconds":null}},{"type":"release_slots","limit_ids":null},{"type":"release_slots","limit_ids":["` + lease + `"]},{"type":"release_slots","lease_id":"` + lease + `"},` +
		`{"type":"renew_lease","lease_id":"` + lease + `","ttl_seconds":1.5,"on":"always"},{"type":"detach_lease","lease_id":"` + lease + `"},{"type":"emit_event","event":"acme.retry","payload":{"n":1}}]}]}`
	if verdict != want {
		t.Errorf("%s\nwant\n%s", verdict, want)
	}
	manifest, err := contract.ParseManifest(module.Manifest())
	if err != nil {
		t.Fatal(err)
	}
	call := contract.Call{RunType: abi.RunTypeFlow, Rules: []*abi.RuleManifest{&manifest.Rules[0]}, IntendedType: abi.Failed, ProposedType: abi.Failed, HasInitial: true}
	if _, err := contract.ParseVerdict([]byte(verdict), call); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		d    Decision
		want string
	}{
		{Wait(0, "soon"), `"decision":"WAIT","delay_seconds":1,"reason":"soon"`},
		{Wait(1<<40, "late"), `"decision":"WAIT","delay_seconds":31622400,"reason":"late"`},
		{Abort("no"), `"decision":"ABORT","reason":"no"`},
		{RejectKeep("stay"), `"decision":"REJECT","reason":"stay","state":null`},
		{AcceptWith(NewState{Message: "m"}), `"decision":"ACCEPT","state":{"message":"m"}`},
		{Decision{Run: RunPatch{RunCount: new(0), FlowRunRunCount: new(2)}}, `"decision":"ACCEPT","run":{"run_count":0,"flow_run_run_count":2}`},
		{Decision{Run: RunPatch{RetryType: RetryNone}}, `"decision":"ACCEPT","run":{"empirical_policy":{"retry_type":null}}`},
	} {
		verdict, _ := asked(t, contextOf("R"), rule("R", func(*Context) Decision { return c.d }))
		if want := `{"decisions":[{"rule":"R",` + c.want + `}]}`; verdict != want {
			t.Errorf("%s, want %s", verdict, want)
		}
	}
}

func TestARuleSeesWhatTheOnesBeforeItDecided(t *testing.T) {
	patched := AcceptWith(NewState{Name: "Renamed", Details: []Detail{DetailText(abi.DetailPauseKey, "p")}})
	patched.Run = RunPatch{Resuming: new(false), RetryType: RetryInProcess, AddPauseKey: "added", RunCount: new(7)}
	cleared := Accept()
	cleared.Flags = ClearPauseKeys | ClearRetryType
	verdict, _ := asked(t, contextOf("A", "B", "C", "D"),
		rule("A", func(*Context) Decision { return patched }),
		rule("B", func(c *Context) Decision {
			if p := c.Proposed(); !p.Named("Renamed") || p.Message() != "it broke" || !p.Detail(abi.DetailPauseKey).Is("p") || !p.Detail(abi.DetailTransitionID).Is("t-1") {
				t.Errorf("B sees %q %q %s", p.Name(), p.Message(), p.Detail(abi.DetailPauseKey).Raw())
			}
			if r := c.Run(); r.RunCount() != 7 || r.Resuming() || r.RetryType() != RetryInProcess || !r.HasPauseKey("added") || !r.HasPauseKey("k") {
				t.Error("B does not see the run as A left it")
			}
			return cleared
		}),
		rule("C", func(c *Context) Decision {
			if r := c.Run(); r.HasPauseKey("k") || r.HasPauseKey("added") || r.RetryType() != RetryNone {
				t.Error("C does not see the run as B left it")
			}
			return Reject(NewState{Type: Failed, DataFrom: FromInitial, MessageFrom: FromCachedState}, "the same type")
		}),
		rule("D", func(c *Context) Decision {
			if p := c.Proposed(); p.Name() != "Failed" || p.Message() != "cached" || p.Result() != abi.ResultObject || !p.Detail(abi.DetailTransitionID).IsNull() {
				t.Errorf("D sees %q %q %s", p.Name(), p.Message(), p.Result())
			}
			return Accept()
		}))
	if !strings.HasSuffix(verdict, `{"rule":"D","decision":"ACCEPT"}]}`) {
		t.Error(verdict)
	}
}

func TestTheFirstThatIntervenesDecides(t *testing.T) {
	for name, d := range map[string]Decision{
		"another type": Reject(NewState{Type: Scheduled}, "r"), "keep": RejectKeep("r"), "wait": Wait(1, "r"), "abort": Abort("r"),
	} {
		transform := rule("T", func(c *Context) Decision {
			if exists := c.Proposed().Exists(); exists != (name == "another type") {
				t.Errorf("%s: the transform finds a state: %v", name, exists)
			}
			return Accept()
		})
		transform.Kind = Transform
		verdict, _ := asked(t, contextOf("A", "B", "T"), rule("A", func(*Context) Decision { return d }),
			rule("B", func(*Context) Decision { t.Errorf("%s: B is asked", name); return Accept() }), transform)
		if !strings.HasSuffix(verdict, `{"rule":"B","decision":"SKIPPED"},{"rule":"T","decision":"ACCEPT"}]}`) {
			t.Errorf("%s: %s", name, verdict)
		}
	}
}

func TestTheAfterPhase(t *testing.T) {
	after := rule("After", func(c *Context) Decision {
		if !c.Rejected() || c.Final().Type() != Scheduled || !c.Final().Named("AwaitingRetry") || c.Proposed().Type() != Failed {
			t.Errorf("it sees %s %q", c.Final().Type(), c.Final().Name())
		}
		return Decision{Effects: []Effect{ReleaseSlots()}}
	})
	after.Phase = After
	context := strings.Replace(contextOf("After"), `"phase":"before"`, `"phase":"after","final":{"status":"REJECT","state":{"type":"SCHEDULED","name":"AwaitingRetry"}}`, 1)
	if verdict, _ := asked(t, context, after); verdict != `{"decisions":[{"rule":"After","decision":"ACCEPT","effects":[{"type":"release_slots","limit_ids":null}]}]}` {
		t.Error(verdict)
	}
	if verdict, _ := asked(t, contextOf("After"), after); verdict != `{"decisions":[],"error":"After: asked in phase before"}` {
		t.Error(verdict)
	}
}

func TestFailures(t *testing.T) {
	broken := rule("Broken", func(c *Context) Decision {
		var list []int
		return Wait(list[c.Run().RunCount()], "never")
	})
	fine := rule("Fine", func(*Context) Decision { return Accept() })
	replaced := func(old, new string) string { return strings.Replace(contextOf("Fine"), old, new, 1) }
	for _, c := range []struct{ context, want string }{
		{contextOf("Fine", "Broken", "Fine"), `{"decisions":[{"rule":"Fine","decision":"ACCEPT"}],"error":"Broken: panic: `},
		{contextOf("Broken"), `{"decisions":[],"error":"Broken: panic: `},
		{contextOf("Fine", "Nobody"), `{"decisions":[{"rule":"Fine","decision":"ACCEPT"}],"error":"this module has no rule`},
		{`{`, `{"decisions":[],"error":"the context is not JSON`},
		{`[]`, `{"decisions":[],"error":"the context's abi`},
		{replaced(`"abi":1`, `"abi":2`), `{"decisions":[],"error":"the context's abi`},
		{replaced(`"now":"2026`, `"now":"x2026`), `{"decisions":[],"error":"the context's now`},
		{replaced(`"phase":"before"`, `"phase":"during"`), `{"decisions":[],"error":"the context's phase`},
		{replaced(`"rules":[`, `"ruled":[`), `{"decisions":[],"error":"the context's rules`},
		{replaced(`"transition":{`, `"transit":{`), `{"decisions":[],"error":"the context lacks`},
		{replaced(`"run":{`, `"runs":{`), `{"decisions":[],"error":"the context lacks`},
		{replaced(`{"type":"RUNNING"`, `{"type":"WALKING"`), `{"decisions":[],"error":"the context's initial_state`},
		{replaced(`{"type":"FAILED"`, `{"kind":"FAILED"`), `{"decisions":[],"error":"the context's proposed_state`},
		{replaced(`"intended_type":"FAILED"`, `"intended_type":"GIVEN UP"`), `{"decisions":[],"error":"the context's intended_type`},
	} {
		if verdict, _ := asked(t, c.context, broken, fine); !strings.HasPrefix(verdict, c.want) {
			t.Errorf("%s, want %s", verdict, c.want)
		}
	}
}

func TestManifest(t *testing.T) {
	odd := rule(`Odd"`, nil)
	odd.RunType, odd.From, odd.To, odd.Kind, odd.Phase = AnyRun, Scheduled|NoState, AnyState&^Cancelled, Transform, After
	odd.Facts, odd.ConfigSchema = []string{"attempts", "flow_run"}, `{"type":"object"}`
	_, module := asked(t, `{}`, rule("Plain", nil), odd)
	want := `{"abi":1,"name":"test","version":"1","description":"","rules":[` +
		`{"name":"Plain","description":"","run_type":"flow_run","from":["*"],"to":["*"],"kind":"rule","phase":"before","facts":[]},` +
		`{"name":"Odd\"","description":"","run_type":"*","from":["SCHEDULED",null],"to":["SCHEDULED","PENDING","RUNNING","COMPLETED","FAILED","CRASHED","PAUSED","CANCELLING"],` +
		`"kind":"transform","phase":"after","facts":["attempts","flow_run"],"config_schema":{"type":"object"}}]}`
	if got := string(module.Manifest()); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// TestChance also pins the first numbers: what was decided once must be decided
// the same way by the next version.
func TestChance(t *testing.T) {
	var drawn [3][2]uint64
	draw := func(into *[2]uint64) func(*Context) Decision {
		return func(c *Context) Decision {
			into[0], into[1] = c.Chance().Uint64(), c.Chance().Uint64()
			if f := c.Chance().Float64(); f < 0 || f >= 1 {
				t.Errorf("%v is not from 0 to 1", f)
			}
			return Accept()
		}
	}
	for range 2 {
		asked(t, contextOf("A", "B", "A"), rule("A", draw(&drawn[0])), rule("B", draw(&drawn[1])))
		if drawn[2] != [2]uint64{} && drawn[2] != drawn[0] {
			t.Errorf("the same transition drew %v and then %v", drawn[2], drawn[0])
		}
		drawn[2] = drawn[0]
	}
	if drawn[0] == drawn[1] || drawn[0][0] == drawn[0][1] {
		t.Errorf("A and B drew %v", drawn)
	}
	if want := [2]uint64{0xde93486e3ce0a857, 0x8d164a5a1a7911ab}; drawn[0] != want {
		t.Errorf("A drew %#x, want %#x", drawn[0], want)
	}
}
