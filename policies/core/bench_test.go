package main

import (
	"context"
	"testing"

	"github.com/interlock-run/interlock/host/sandbox"
	"github.com/interlock-run/interlock/policies/builtin"
	"github.com/interlock-run/interlock/policies/policytest"
	"github.com/interlock-run/interlock/sdk/abi"
)

// failure is the context of a RUNNING to FAILED with a retry left.
func failure(b testing.TB, rules ...string) []byte {
	c := policytest.Case{
		Name: "bench", Initial: "RUNNING",
		Proposed: `{"type":"FAILED","message":"Flow run encountered an exception: ValueError: nothing is as it should be"}`,
		Run:      `{"empirical_policy":{"retries":2,"retry_delay":10}}`,
	}
	manifests := make([]*abi.RuleManifest, len(rules))
	for i, name := range rules {
		manifests[i] = suite.Manifest.Rule(name)
	}
	return c.Context(b, abi.RunTypeFlow, manifests...)
}

func BenchmarkRetryFailedFlows(b *testing.B) {
	in := failure(b, "PreventDuplicateTransitions", "RetryFailedFlows")
	b.Logf("a context of %d bytes", len(in))
	b.Run("native", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			module.Evaluate(in)
		}
	})
	b.Run("wasm", func(b *testing.B) {
		for b.Loop() {
			if _, err := suite.Guest.Call(context.Background(), in, sandbox.CallOptions{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestMemoryStaysFlat calls so often that a guest which kept a few bytes of each
// call, or left its garbage lying, would hit its limit of memory.
func TestMemoryStaysFlat(t *testing.T) {
	const calls = 20_000
	var names []string
	for _, entry := range builtin.Policies()[0].Entries {
		if rule := suite.Manifest.Rule(entry.Name); rule.Matches(abi.RunTypeFlow, abi.Running, abi.Failed) {
			names = append(names, entry.Name)
		}
	}
	in := failure(t, names...)
	want := string(module.Evaluate(in))
	for i := range calls {
		result, err := suite.Guest.Call(context.Background(), in, sandbox.CallOptions{})
		if err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
		if string(result.Output) != want {
			t.Fatalf("call %d: %s", i, result.Output)
		}
	}
	if allocations := testing.AllocsPerRun(1000, func() { module.Evaluate(in) }); allocations > 4 {
		t.Errorf("%v allocations a call", allocations)
	}
}
