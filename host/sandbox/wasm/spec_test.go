package wasm

import (
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/interlock-run/interlock/host/sandbox/wasmtest"
)

// roomy caps let everything of the spec's suite pass that is valid.
func roomy() Caps {
	return Caps{MemoryPages: 1 << 16, TableEntries: 1 << 32, Arity: 1000, Locals: 1 << 17, Nesting: 1 << 17, BranchTable: 1 << 17, JoinWork: 1 << 60}
}

// compiles asks the compiler, which is the other opinion here.
func compiles(t *testing.T, bytes []byte) bool {
	t.Helper()
	r := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(api.CoreFeaturesV2))
	defer func() {
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	_, err := r.CompileModule(t.Context(), bytes)
	// The specification allows empty names, and our list of imports does not.
	return err == nil || strings.Contains(err.Error(), "has an empty module name")
}

func TestSpecSuite(t *testing.T) {
	valid, refused, allowed := 0, 0, 0
	for _, suite := range []string{"v1", "v2"} {
		for _, s := range wasmtest.Specs(t, suite) {
			for k := range s.Commands {
				c := &s.Commands[k]
				switch c.Type {
				case "module", "assert_unlinkable", "assert_uninstantiable":
					valid++
					if _, err := Decode(s.Read(t, c), roomy()); err != nil {
						t.Errorf("%s line %d, %s: %v", s.Name, c.Line, c.Filename, err)
					}
				case "assert_malformed", "assert_invalid":
					if c.ModuleType == "text" {
						continue
					}
					bytes := s.Read(t, c)
					_, err := Decode(bytes, roomy())
					switch {
					case err != nil:
						refused++
					case suite == "v1" && compiles(t, bytes):
						allowed++ // what the first version of the specification did not have, the second has
					default:
						t.Errorf("%s line %d, %s: accepted, though %s", s.Name, c.Line, c.Filename, c.Text)
					}
				}
			}
		}
	}
	t.Logf("%d valid modules accepted, %d malformed or invalid ones refused, %d of version 1 that version 2 allows accepted", valid, refused, allowed)
	if valid < 2500 || refused < 3000 {
		t.Errorf("only %d valid and %d other modules were found", valid, refused)
	}
}
