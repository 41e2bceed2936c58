package meter

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/interlock-run/interlock/host/sandbox/wasm"
	"github.com/interlock-run/interlock/host/sandbox/wasmtest"
)

// side is one of two worlds in which a script of the spec's suite runs.
type side struct {
	runtime wazero.Runtime
	named   map[string]api.Module
	last    api.Module
	rewrite func([]byte) ([]byte, error)
}

func newSide(t *testing.T, rewrite func([]byte) ([]byte, error)) *side {
	t.Helper()
	config := wazero.NewRuntimeConfigCompiler().WithCoreFeatures(api.CoreFeaturesV2)
	s := &side{runtime: wazero.NewRuntimeWithConfig(t.Context(), config), named: map[string]api.Module{}, rewrite: rewrite}
	t.Cleanup(func() {
		if err := s.runtime.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	b, err := os.ReadFile(filepath.Join(wasmtest.SpecRoot(t), "testdata", "spectest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.runtime.InstantiateWithConfig(t.Context(), b, wazero.NewModuleConfig()); err != nil {
		t.Fatal(err)
	}
	return s
}

func first(err error) string {
	if err == nil {
		return ""
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// run does one step and tells its outcome.
func (s *side) run(t *testing.T, script *wasmtest.Spec, k int) (values []uint64, failure string) {
	t.Helper()
	c := &script.Commands[k]
	switch c.Type {
	case "module", "assert_uninstantiable", "assert_unlinkable":
		b, err := s.rewrite(script.Read(t, c))
		if err != nil {
			return nil, first(err)
		}
		config := wazero.NewModuleConfig().WithName("")
		if k+1 < len(script.Commands) && script.Commands[k+1].Type == "register" {
			config = config.WithName(script.Commands[k+1].As)
		}
		m, err := s.runtime.InstantiateWithConfig(t.Context(), b, config)
		if err == nil && c.Type == "module" {
			s.last = m
			if c.Name != "" {
				s.named[c.Name] = m
			}
		}
		return nil, first(err)
	case "assert_return", "action", "assert_trap", "assert_exhaustion":
		return s.act(t, c)
	}
	return nil, ""
}

func (s *side) act(t *testing.T, c *wasmtest.SpecCommand) ([]uint64, string) {
	t.Helper()
	m := s.last
	if c.Action.Module != "" {
		m = s.named[c.Action.Module]
	}
	if c.Action.Type == "get" {
		return []uint64{m.ExportedGlobal(c.Action.Field).Get()}, ""
	}
	var args []uint64
	for _, a := range c.Action.Args {
		args = append(args, arguments(t, a)...)
	}
	values, err := m.ExportedFunction(c.Action.Field).Call(t.Context(), args...)
	for k, e := range c.Expected {
		// A function's reference is an address, which no two worlds share.
		if e.Type == "funcref" && k < len(values) && values[k] != 0 {
			values[k] = 1
		}
	}
	return values, first(err)
}

// arguments gives the words of a script's value.
func arguments(t *testing.T, v wasmtest.SpecValue) []uint64 {
	t.Helper()
	if v.Type != "v128" {
		var text string
		if err := json.Unmarshal(v.Value, &text); err != nil {
			t.Fatal(err)
		}
		if text == "null" {
			return []uint64{0}
		}
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if v.Type == "externref" {
			n++
		}
		return []uint64{n}
	}
	var lanes []string
	if err := json.Unmarshal(v.Value, &lanes); err != nil {
		t.Fatal(err)
	}
	width, words := 128/len(lanes), []uint64{0, 0}
	for k, l := range lanes {
		n, err := strconv.ParseUint(l, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if width < 64 {
			n &= 1<<width - 1
		}
		words[k*width/64] |= n << (k * width % 64)
	}
	return words
}

// roomy accepts all of the suite's valid modules.
func roomy() wasm.Caps {
	return wasm.Caps{MemoryPages: 1 << 16, TableEntries: 1 << 32, Arity: 1000, Locals: 1 << 17, Nesting: 1 << 17, BranchTable: 1 << 17, JoinWork: 1 << 60}
}

func metered(b []byte) ([]byte, error) {
	m, err := wasm.Decode(b, roomy())
	if err != nil {
		return nil, err
	}
	return Rewrite(m, Options{MemoryPages: 1 << 16, TableEntries: math.MaxUint32, Slice: 1000, Fuel: 1 << 50, Depth: math.MaxInt32}).Bytes, nil
}

// TestSpecSuiteBothWays runs every script plain and metered and wants the same
// outcome of each step.
func TestSpecSuiteBothWays(t *testing.T) {
	modules, assertions := 0, 0
	for _, suite := range []string{"v1", "v2"} {
		for _, script := range wasmtest.Specs(t, suite) {
			plain := newSide(t, func(b []byte) ([]byte, error) { return b, nil })
			ours := newSide(t, metered)
			for k := range script.Commands {
				c := &script.Commands[k]
				want, wantFailure := plain.run(t, script, k)
				got, gotFailure := ours.run(t, script, k)
				// The number of an index out of range is not the guest's.
				same := gotFailure == wantFailure || c.Type == "assert_unlinkable" && gotFailure != "" && wantFailure != ""
				if !slices.Equal(got, want) || !same {
					t.Errorf("%s line %d: metered %v %q, plain %v %q", script.Name, c.Line, got, gotFailure, want, wantFailure)
				}
				switch c.Type {
				case "module":
					modules++
				case "assert_return", "assert_trap", "assert_exhaustion", "action":
					assertions++
				}
			}
		}
	}
	t.Logf("%d modules, %d assertions", modules, assertions)
	if modules < 2300 || assertions < 60_000 {
		t.Errorf("only %d modules and %d assertions were found", modules, assertions)
	}
}
