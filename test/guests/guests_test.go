package guests_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"testing"

	"github.com/interlock-run/interlock/host/sandbox"
	"github.com/interlock-run/interlock/policies/flow"
	"github.com/interlock-run/interlock/policies/policytest"
	"github.com/interlock-run/interlock/sdk"
	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/contract"
	"github.com/interlock-run/interlock/sdk/tck"
	"github.com/interlock-run/interlock/test/guests"
)

// everyLanguage has the guests tested whose compilers make test does not bring:
// make test-guests sets it.
const everyLanguage = "INTERLOCK_EVERY_LANGUAGE"

// TestMain lets the test binary compile modules as a child, like interlock does.
func TestMain(m *testing.M) {
	sandbox.MaybeRunCompileChild()
	os.Exit(m.Run())
}

// caller calls a guest in the sandbox.
type caller struct{ *sandbox.Module }

func (c caller) Call(in []byte) ([]byte, error) {
	result, err := c.Module.Call(context.Background(), in, sandbox.CallOptions{Seed: "seed"})
	if err != nil {
		return nil, err
	}
	return result.Output, nil
}

func load(t *testing.T, g guests.Guest) caller {
	t.Helper()
	wasm, err := g.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	runtime, err := sandbox.New(t.Context(), sandbox.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = runtime.Close(context.Background()) })
	module, err := runtime.Load(t.Context(), wasm)
	if err != nil {
		t.Fatal(err)
	}
	return caller{module}
}

// TestGuests checks each guest for the contract, and for deciding what the
// built-in rule decides.
func TestGuests(t *testing.T) {
	for _, g := range guests.All() {
		if g.Name == "Go" || !g.Always && os.Getenv(everyLanguage) == "" {
			continue // Go's has its tests in policies
		}
		t.Run(g.Name, func(t *testing.T) {
			c := load(t, g)
			t.Run("contract", func(t *testing.T) { tck.Run(t, c, tck.Options{}) })
			t.Run("decisions", func(t *testing.T) { agrees(t, c) })
		})
	}
}

// agrees compares a guest's decisions with the native built-in rule's.
func agrees(t *testing.T, c caller) {
	native := sdk.Serve(sdk.Module{Name: "native", Version: "1", Rules: []sdk.Rule{flow.RetryFailedFlows()}})
	manifest, err := contract.ParseManifest(c.Manifest())
	if err != nil {
		t.Fatal(err)
	}
	rule := manifest.Rule("RetryFailedFlows")
	held := `{"type":"RUNNING","state_details":{"deployment_concurrency_lease_id":"` + policytest.LeaseID + `"}}`
	for _, initial := range []string{"RUNNING", held} {
		for _, policy := range []string{
			`{}`, `{"retries":null}`, `{"retries":0}`, `{"retries":2}`, `{"retries":2.0,"retry_delay":10}`, `{"retries":2e0,"retry_delay":0.5}`,
			`{"retries":2,"retry_delay":90061.000001}`, `{"retries":2,"retry_delay":1e300}`, `{"retries":2,"retry_delay":-1e18}`, `{"retries":2,"retry_delay":8553600}`,
			`{"retries":1e10,"retry_delay":-0.25}`, `{"retries":2.5}`, `{"retries":"2"}`,
		} {
			for _, runCount := range []string{"0", "2", "3", "-1"} {
				for _, release := range []string{"null", "[0,8,4]", "[0,8,3]", "[0,8]", "[1]", "[]", "[0,9]", "[0,8,4,1]"} {
					transition := policytest.Case{
						Name: "agrees", Initial: initial, Proposed: "FAILED", Run: fmt.Sprintf(`{"run_count":%s,"empirical_policy":%s}`, runCount, policy),
						Client: fmt.Sprintf(`{"api_release":%s}`, release),
					}
					in := transition.Context(t, abi.RunTypeFlow, rule)
					got, err := c.Call(in)
					if err != nil {
						t.Fatalf("%v\n%s", err, in)
					}
					if want := native.Evaluate(in); !same(t, got, want) {
						t.Fatalf("%s, %s runs, API %s:\n%s\nthe built-in rule:\n%s", policy, runCount, release, got, want)
					}
				}
			}
		}
	}
}

func same(t *testing.T, a, b []byte) bool {
	var x, y any
	if err := json.Unmarshal(a, &x); err != nil {
		t.Fatalf("%v\n%s", err, a)
	}
	if err := json.Unmarshal(b, &y); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(x, y)
}
