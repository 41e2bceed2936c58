package policytest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/interlock-run/interlock/host/sandbox"
	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/contract"
)

// Evaluator answers a context with a verdict: a module natively, or a guest.
type Evaluator func(t testing.TB, context []byte) []byte

// Suite is a module in every form that it runs in.
type Suite struct {
	Manifest *abi.Manifest
	Native   Native
	Guest    *sandbox.Module
	forms    map[string]Evaluator
}

// Native is a module as its own package has it.
type Native interface {
	Evaluate(in []byte) []byte
	Manifest() []byte
}

// Main builds the suite of a native module and of the program at path, a
// directory relative to the test's, hands it to use and runs the tests.
func Main(m *testing.M, native Native, path string, use func(*Suite)) (code int) {
	manifest, err := contract.ParseManifest(native.Manifest())
	if err != nil {
		log.Print(err)
		return 1
	}
	wasm, err := Build(path)
	if err != nil {
		log.Print(err)
		return 1
	}
	runtime, err := sandbox.New(context.Background(), sandbox.Config{})
	if err != nil {
		log.Print(err)
		return 1
	}
	defer func() {
		if err := runtime.Close(context.Background()); err != nil {
			log.Print(err)
			code = 1
		}
	}()
	guest, err := runtime.Load(context.Background(), wasm)
	if err != nil {
		log.Print(err)
		return 1
	}
	use(&Suite{Manifest: manifest, Native: native, Guest: guest, forms: map[string]Evaluator{
		"native": func(_ testing.TB, in []byte) []byte { return native.Evaluate(in) },
		"wasm": func(t testing.TB, in []byte) []byte {
			t.Helper()
			out, err := Caller{guest}.Call(in)
			if err != nil {
				t.Fatal(err)
			}
			return out
		},
	}})
	return m.Run()
}

// Caller returns the guest for the conformance kit.
func (s *Suite) Caller() Caller { return Caller{s.Guest} }

// Caller calls a guest. A failure's error has what the guest printed.
type Caller struct{ guest *sandbox.Module }

// Manifest returns the guest's manifest.
func (c Caller) Manifest() []byte { return c.guest.Manifest() }

// Call evaluates a context.
func (c Caller) Call(in []byte) ([]byte, error) {
	result, err := c.guest.Call(context.Background(), in, sandbox.CallOptions{Seed: "seed"})
	var failed *sandbox.CallError
	if errors.As(err, &failed) {
		return nil, fmt.Errorf("%w\n%s", err, failed.Log)
	} else if err != nil {
		return nil, err
	}
	return result.Output, nil
}

// Build builds the program at path as a guest, as make policies does.
func Build(path string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "policytest")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "module.wasm")
	build := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o", out, path)
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building %s: %w\n%s", path, err, text)
	}
	return os.ReadFile(out)
}

// Run asks a rule about each case, in every form.
func (s *Suite) Run(t *testing.T, rule, runType string, cases []Case) {
	t.Helper()
	manifest := s.Manifest.Rule(rule)
	if manifest == nil {
		t.Fatalf("there is no rule %s", rule)
	}
	for form, evaluate := range s.forms {
		for _, c := range cases {
			t.Run(form+"/"+c.Name, func(t *testing.T) {
				call := c.Call(t, runType, manifest)
				initial, _ := state(t, c.Initial)["type"].(string)
				if asked := manifest.Matches(runType, initial, call.IntendedType) && c.meets(t, manifest.Needs); asked != (c.Want != "-") {
					t.Fatalf("asked: %v", asked)
				} else if !asked {
					return
				}
				out := evaluate(t, c.Context(t, runType, manifest))
				if _, err := contract.ParseVerdict(out, call); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				compare(t, out, manifest, c.Want)
			})
		}
	}
}

// compare compares the one decision of a verdict with the one wanted. It must not
// ask for what the rule does not declare.
func compare(t testing.TB, out []byte, rule *abi.RuleManifest, want string) {
	t.Helper()
	var verdict struct {
		Decisions []map[string]any `json:"decisions"`
	}
	if err := json.Unmarshal(out, &verdict); err != nil || len(verdict.Decisions) != 1 {
		t.Fatalf("%v\n%s", err, out)
	}
	got := verdict.Decisions[0]
	wanted := object(t, want)
	wanted["rule"] = rule.Name
	effects, _ := got["effects"].([]any)
	for _, e := range effects {
		effect, _ := e.(map[string]any)
		if name, _ := effect["type"].(string); !slices.Contains(rule.Effects, name) {
			t.Errorf("the effect %s is not declared", name)
		}
	}
	a, errA := json.Marshal(got)
	b, errB := json.Marshal(wanted)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	if !bytes.Equal(a, b) {
		t.Errorf("decided\n%s\nwant\n%s", a, b)
	}
}
