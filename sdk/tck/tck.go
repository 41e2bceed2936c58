package tck

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/contract"
	"github.com/interlock-run/interlock/sdk/value"
)

// Caller calls the module under test. Call fails when the module traps or
// exceeds a limit of its host.
type Caller interface {
	Manifest() []byte
	Call(in []byte) (out []byte, err error)
}

// Options say what the kit cannot know of a module.
type Options struct {
	// Configs has a valid config by rule, as JSON; {} for a rule without.
	Configs map[string]string
}

// Run checks the module.
func Run(t *testing.T, c Caller, o Options) {
	t.Helper()
	manifest, err := contract.ParseManifest(c.Manifest())
	if err != nil {
		t.Fatalf("%v\n%s", err, c.Manifest())
	}
	k := &kit{Caller: c, manifest: manifest, options: o}
	t.Run("schemas are objects", k.schemas)
	t.Run("every rule answers every transition that it is for", k.transitions)
	t.Run("rules are answered together, in order", k.together)
	t.Run("a rule can be asked twice in a call", k.twice)
	t.Run("no rules, no decisions", k.none)
	t.Run("an unknown rule is an error", k.unknownRule)
	t.Run("the writing of a context does not matter", k.spellings)
	t.Run("a call leaves nothing behind", k.order)
	t.Run("odd values are survived", k.oddValues)
	t.Run("large contexts are survived", k.large)
	t.Run("broken contexts are survived", k.broken)
}

type kit struct {
	Caller
	manifest *abi.Manifest
	options  Options
}

// question is a call with what its answer is checked against.
type question struct {
	context map[string]any
	call    contract.Call
	about   string
}

// ask calls and checks the verdict.
func (k *kit) ask(t testing.TB, q question) []byte {
	t.Helper()
	out, err := k.Call(encode(t, q.context))
	if err != nil {
		t.Fatalf("%s: %v", q.about, err)
	}
	verdict, err := contract.ParseVerdict(out, q.call)
	if err != nil {
		t.Fatalf("%s: %v\n%s", q.about, err, out)
	}
	if verdict.Error != "" {
		t.Fatalf("%s: %s", q.about, verdict.Error)
	}
	return bytes.Clone(out)
}

// survive calls with any text: the module has to answer with a verdict, an error
// in it or not, and not trap.
func (k *kit) survive(t testing.TB, about string, in []byte) (answered bool) {
	t.Helper()
	out, err := k.Call(in)
	if err != nil {
		t.Errorf("%s: %v", about, err)
		return false
	}
	v, err := value.Parse(out)
	if err != nil || v.Kind() != value.Object {
		t.Errorf("%s: the answer is no verdict: %v\n%.200s", about, err, out)
		return false
	}
	return v.Get("error").IsNull()
}

// each calls fn with every transition that a rule is for, a few forms of each.
func (k *kit) each(t *testing.T, fn func(t *testing.T, rule *abi.RuleManifest, q question)) {
	for i := range k.manifest.Rules {
		rule := &k.manifest.Rules[i]
		t.Run(rule.Name, func(t *testing.T) {
			asked := 0
			for _, runType := range []string{abi.RunTypeFlow, abi.RunTypeTask} {
				for _, initial := range append(abi.StateTypes(), "") {
					for _, proposed := range abi.StateTypes() {
						if !rule.Matches(runType, initial, proposed) {
							continue
						}
						for _, form := range forms {
							asked++
							fn(t, rule, k.question(match{runType, initial, proposed}, form, rule))
						}
					}
				}
			}
			if asked == 0 {
				t.Error("no transition matches this rule")
			}
		})
	}
}

func (k *kit) schemas(t *testing.T) {
	for _, rule := range k.manifest.Rules {
		var schema map[string]any
		if rule.ConfigSchema != nil && json.Unmarshal(rule.ConfigSchema, &schema) != nil {
			t.Errorf("%s: %s", rule.Name, rule.ConfigSchema)
		}
	}
	if again, err := contract.ParseManifest(k.Manifest()); err != nil || !reflect.DeepEqual(again, k.manifest) {
		t.Errorf("the manifest changes: %v", err)
	}
}

func (k *kit) transitions(t *testing.T) {
	k.each(t, func(t *testing.T, _ *abi.RuleManifest, q question) {
		first := k.ask(t, q)
		if second := k.ask(t, q); !bytes.Equal(first, second) {
			t.Fatalf("%s: the same context gave\n%s\nand\n%s", q.about, first, second)
		}
	})
}

// batches calls fn for each transition that several rules of a phase match.
func (k *kit) batches(fn func(runType, initial, proposed string, rules []*abi.RuleManifest)) {
	for _, phase := range []string{abi.PhaseBefore, abi.PhaseAfter} {
		for _, runType := range []string{abi.RunTypeFlow, abi.RunTypeTask} {
			for _, initial := range append(abi.StateTypes(), "") {
				for _, proposed := range abi.StateTypes() {
					var rules []*abi.RuleManifest
					for i := range k.manifest.Rules {
						if rule := &k.manifest.Rules[i]; rule.Phase == phase && rule.Matches(runType, initial, proposed) {
							rules = append(rules, rule)
						}
					}
					if len(rules) > 0 {
						fn(runType, initial, proposed, rules)
					}
				}
			}
		}
	}
}

func (k *kit) together(t *testing.T) {
	k.batches(func(runType, initial, proposed string, rules []*abi.RuleManifest) {
		for _, form := range forms {
			k.ask(t, k.question(match{runType, initial, proposed}, form, rules...))
		}
	})
}

func (k *kit) twice(t *testing.T) {
	k.each(t, func(t *testing.T, rule *abi.RuleManifest, q question) {
		runType, _ := q.context["run_type"].(string)
		initial, proposed := "", q.call.IntendedType
		if s, ok := q.context["transition"].(map[string]any)["initial_state"].(map[string]any); ok {
			initial, _ = s["type"].(string)
		}
		k.ask(t, k.question(match{runType, initial, proposed}, forms[0], rule, rule))
	})
}

func (k *kit) none(t *testing.T) {
	q := k.question(match{abi.RunTypeFlow, abi.Running, abi.Failed}, forms[0])
	if out := k.ask(t, q); bytes.Contains(out, []byte("rule")) {
		t.Errorf("%s", out)
	}
}

func (k *kit) unknownRule(t *testing.T) {
	q := k.question(match{abi.RunTypeFlow, abi.Running, abi.Failed}, forms[0])
	q.context["rules"] = []any{map[string]any{"name": "NoSuchRule\"\\\n", "config": map[string]any{}}}
	out, err := k.Call(encode(t, q.context))
	if err != nil {
		t.Fatal(err)
	}
	var verdict struct {
		Decisions []any  `json:"decisions"`
		Error     string `json:"error"`
	}
	if err := json.Unmarshal(out, &verdict); err != nil || verdict.Error == "" || len(verdict.Decisions) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

// spellings asks the same with unknown fields, other white space and escapes.
func (k *kit) spellings(t *testing.T) {
	k.each(t, func(t *testing.T, _ *abi.RuleManifest, q question) {
		want := k.ask(t, q)
		plain := encode(t, q.context)
		var spaced bytes.Buffer
		if err := json.Indent(&spaced, plain, "\r\n ", "\t"); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string][]byte{
			"white space":    spaced.Bytes(),
			"escapes":        escaped(t, plain),
			"unknown fields": encode(t, strange(q.context)),
		} {
			got, err := k.Call(text)
			if err != nil {
				t.Fatalf("%s, with %s: %v", q.about, name, err)
			}
			if !sameJSON(t, got, want) {
				t.Fatalf("%s, with %s:\n%s\nwithout:\n%s", q.about, name, got, want)
			}
		}
	})
}

// order asks everything forward and backward, with broken contexts in between.
func (k *kit) order(t *testing.T) {
	var questions []question
	var answers [][]byte
	k.each(t, func(t *testing.T, _ *abi.RuleManifest, q question) {
		questions = append(questions, q)
		answers = append(answers, k.ask(t, q))
	})
	for i := len(questions) - 1; i >= 0; i-- {
		if i%7 == 0 {
			k.survive(t, "a broken context in between", []byte(`{"abi":1,"now":`))
		}
		if got := k.ask(t, questions[i]); !bytes.Equal(got, answers[i]) {
			t.Fatalf("%s was answered\n%s\nand later\n%s", questions[i].about, answers[i], got)
		}
	}
}

// oddValues puts odd values in the place of every field, one after the other.
// Whatever is decided has to be a verdict.
func (k *kit) oddValues(t *testing.T) {
	odd := []string{
		`null`, `true`, `0`, `-1`, `1e18`, `-1e18`, `1.5`, `9007199254740993`, `""`, `"x"`, `[]`, `[[]]`, `[null]`, `{}`, `{"":null}`,
		`"\ud800"`, `"\udc00\ud800"`, `"\ud83d\ude00"`, `"\u0000"`, `"9999-12-31T23:59:59.999999Z"`, `"0001-01-01T00:00:00.000000Z"`,
	}
	for i := range k.manifest.Rules {
		rule := &k.manifest.Rules[i]
		t.Run(rule.Name, func(t *testing.T) {
			q := k.question(firstMatch(rule), forms[1], rule)
			answered := 0
			for _, path := range paths(q.context, nil) {
				for _, v := range odd {
					if k.survive(t, fmt.Sprintf("%s = %s", strings.Join(path, "."), v), encode(t, with(q.context, path, json.RawMessage(v)))) {
						answered++
					}
				}
			}
			if answered == 0 {
				t.Error("every one of them was called an error")
			}
		})
	}
}

// large asks with contexts of some 32 KiB, which a guest has to have room for
// within the 4 MiB that a host gives it.
func (k *kit) large(t *testing.T) {
	big := strings.Repeat("long é😀\n\"", 1_500)
	tags := make([]any, 1_000)
	labels := map[string]any{}
	for i := range tags {
		tags[i] = fmt.Sprint("tag", i)
		labels[fmt.Sprint("label", i)] = i
	}
	for i := range k.manifest.Rules {
		rule := &k.manifest.Rules[i]
		q := k.question(firstMatch(rule), forms[1], rule)
		for _, c := range []struct {
			path []string
			v    any
		}{
			{[]string{"run", "tags"}, tags},
			{[]string{"run", "labels"}, labels},
			{[]string{"run", "name"}, big},
			{[]string{"transition", "proposed_state", "message"}, strings.Repeat("m", abi.MaxMessage)},
			{[]string{"transition", "proposed_state", "name"}, big[:200]},
		} {
			asked := q
			asked.context = with(q.context, c.path, c.v)
			asked.about = rule.Name + " with a large " + strings.Join(c.path, ".")
			k.ask(t, asked)
		}
	}
}

func (k *kit) broken(t *testing.T) {
	rule := &k.manifest.Rules[0]
	whole := encode(t, k.question(firstMatch(rule), forms[1], rule).context)
	for n := range len(whole) {
		if k.survive(t, fmt.Sprintf("cut at %d", n), whole[:n]) {
			t.Fatalf("a context cut at %d of %d was answered as if it were whole", n, len(whole))
		}
	}
	for name, text := range map[string]string{
		"null":            `null`,
		"a list":          `[]`,
		"a text":          `"context"`,
		"nothing in it":   `{}`,
		"not UTF-8":       "{\"\xff\":1}",
		"zero bytes":      "\x00\x00\x00\x00",
		"deep lists":      strings.Repeat("[", 20_000),
		"deep objects":    strings.Repeat(`{"a":`, 10_000),
		"another version": strings.Replace(string(whole), `"abi":1`, `"abi":2`, 1),
		"two contexts":    string(whole) + string(whole),
	} {
		if k.survive(t, name, []byte(text)) {
			t.Errorf("%s was answered as if it were a context", name)
		}
	}
	if !k.survive(t, "the whole context", whole) {
		t.Error("the whole context is an error")
	}
}
