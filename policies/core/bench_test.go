package main

import (
	"context"
	"runtime"
	"testing"

	"github.com/interlock-run/interlock/host/sandbox"
	"github.com/interlock-run/interlock/policies/builtin"
	"github.com/interlock-run/interlock/policies/policytest"
	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/value"
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
		rule := suite.Manifest.Rule(entry.Name)
		if rule != nil && rule.Phase == abi.PhaseBefore && rule.Matches(abi.RunTypeFlow, abi.Running, abi.Failed) {
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
	inUse := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := inUse()
	for range 100_000 {
		module.Evaluate(in)
	}
	if kept := inUse() - before; kept > 64<<10 {
		t.Errorf("%d bytes are kept after 100,000 native calls", kept)
	}
	if allocations := testing.AllocsPerRun(1000, func() { module.Evaluate(in) }); allocations > 4 {
		t.Errorf("%v allocations a call", allocations)
	}
}

// FuzzEvaluate gives the built-in rules any text for a context.
func FuzzEvaluate(f *testing.F) {
	for _, rule := range suite.Manifest.Rules {
		f.Add(failure(f, rule.Name))
	}
	f.Add([]byte(`{"abi":1,"now":"2026-11-23T18:00:00Z","rules":[{}],"transition":{},"run":{}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		out := string(module.Evaluate(in))
		v, err := value.Parse([]byte(out))
		if err != nil || v.Get("decisions").Kind() != value.Array {
			t.Fatalf("%v\n%s", err, out)
		}
		if again := string(module.Evaluate(in)); again != out {
			t.Errorf("first\n%s\nthen\n%s", out, again)
		}
	})
}
