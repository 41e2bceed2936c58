package wasm

import (
	"testing"

	"github.com/interlock-run/interlock/host/sandbox/wasmtest"
)

// roomy caps let everything of the spec's suite pass that is valid.
func roomy() Caps {
	return Caps{MemoryPages: 1 << 16, TableEntries: 1 << 32, Arity: 1000, Locals: 1 << 17, Nesting: 1 << 17, BranchTable: 1 << 17, JoinWork: 1 << 60}
}

func TestSpecSuite(t *testing.T) {
	valid, refused := 0, 0
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
					// What the first version of the specification did not
					// have, the second may allow.
					if c.ModuleType == "text" || suite == "v1" {
						continue
					}
					refused++
					if _, err := Decode(s.Read(t, c), roomy()); err == nil {
						t.Errorf("%s line %d, %s: accepted, though %s", s.Name, c.Line, c.Filename, c.Text)
					}
				}
			}
		}
	}
	t.Logf("%d valid modules accepted, %d others refused", valid, refused)
	if valid < 2500 || refused < 1500 {
		t.Errorf("only %d valid and %d other modules were found", valid, refused)
	}
}
