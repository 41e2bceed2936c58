package sandbox

import (
	"context"
	"flag"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/interlock-run/interlock/host/sandbox/meter"
	"github.com/interlock-run/interlock/host/sandbox/wasm"
	"github.com/interlock-run/interlock/host/sandbox/wasmtest"
)

var mutants = flag.Int("mutants", 3_000, "how many mutants TestMutants makes")

// TestMutants decodes mutants of the spec suite's modules and of our own. What
// is found valid has to be valid for the compiler too, metered.
func TestMutants(t *testing.T) {
	seeds := wasmtest.Modules(t)
	seeds["small guest"] = smallGuest()
	seeds["canary"] = canary(2, true)
	seeds["go guest"] = goGuestBytes(t)
	names := slices.Sorted(maps.Keys(seeds))
	random := rand.New(rand.NewPCG(1, 2))
	runtime := wazero.NewRuntimeWithConfig(t.Context(), runtimeConfig(wazero.NewCompilationCache(), 64))
	defer func() {
		if err := runtime.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()

	var took []time.Duration
	valid := 0
	for k := range *mutants {
		name := names[random.IntN(len(names))]
		if k%500 == 0 {
			name = "go guest" // big: not too often
		}
		mutant := wasmtest.Mutate(random, seeds[name])
		started := time.Now()
		m, err := wasm.Decode(mutant, wasm.Caps{})
		took = append(took, time.Since(started))
		if err != nil {
			continue
		}
		valid++
		metered := meter.Rewrite(m, meter.Options{MemoryPages: 64, TableEntries: 50_000, Slice: slice})
		if name == "go guest" {
			continue // its compilation takes a second
		}
		compiled, err := compileGuarded(t.Context(), runtime, metered.Bytes)
		if err != nil && strings.Contains(err.Error(), "has an empty module name") {
			continue // which the specification allows, and our list of imports does not
		}
		if err != nil {
			t.Errorf("mutant %d of %s is valid for us, but %v", k, name, err)
			continue
		}
		if err := compiled.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(took)
	t.Logf("%d mutants, %d valid; verdict: median %v, p99 %v, longest %v", len(took), valid,
		took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
	if valid == 0 || valid == len(took) {
		t.Errorf("%d of %d mutants are valid: the generator tells nothing", valid, len(took))
	}
}
