package wasmtest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Spec is one script of the WebAssembly specification's test suite.
type Spec struct {
	Dir      string
	Name     string
	Commands []SpecCommand `json:"commands"`
}

// SpecCommand is one step of a script.
type SpecCommand struct {
	Type       string      `json:"type"`
	Line       int         `json:"line"`
	Name       string      `json:"name"`
	As         string      `json:"as"`
	Filename   string      `json:"filename"`
	ModuleType string      `json:"module_type"`
	Text       string      `json:"text"`
	Action     SpecAction  `json:"action"`
	Expected   []SpecValue `json:"expected"`
}

// SpecAction calls a function or reads a global.
type SpecAction struct {
	Type   string      `json:"type"`
	Module string      `json:"module"`
	Field  string      `json:"field"`
	Args   []SpecValue `json:"args"`
}

// SpecValue is a value in a script: a number in decimal, or for v128 a list.
type SpecValue struct {
	Type     string          `json:"type"`
	LaneType string          `json:"lane_type"`
	Value    json.RawMessage `json:"value"`
}

// Read gives the bytes of a command's module.
func (s *Spec) Read(t testing.TB, c *SpecCommand) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.Dir, c.Filename))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// SpecRoot is the directory of the spec suites which come in wazero's module.
func SpecRoot(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		t.Fatalf("where is wazero: %v", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "internal", "integration_test", "spectest")
}

// Specs reads all scripts of a suite: "v1" or "v2".
func Specs(t testing.TB, suite string) []*Spec {
	t.Helper()
	dir := filepath.Join(SpecRoot(t), suite, "testdata")
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts in %s: %v", dir, err)
	}
	var all []*Spec
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		s := &Spec{Dir: dir, Name: suite + "/" + strings.TrimSuffix(filepath.Base(f), ".json")}
		if err := json.Unmarshal(b, s); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		all = append(all, s)
	}
	return all
}

// Modules reads every binary of the suites "v1" and "v2", valid or not.
func Modules(t testing.TB) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for _, suite := range []string{"v1", "v2"} {
		files, err := filepath.Glob(filepath.Join(SpecRoot(t), suite, "testdata", "*.wasm"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no modules in %s: %v", suite, err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			out[suite+"/"+filepath.Base(f)] = b
		}
	}
	return out
}
