package interlock_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/interlock-run/interlock/"

// pkg is what `go list -json` says of a package.
type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
	Standard   bool
}

// only says that a dependency may be imported directly by some rooms and by
// nobody else.
var only = []struct {
	dependency string
	rooms      []string
}{
	{"github.com/tetratelabs/wazero", []string{"host/sandbox"}},
	{"github.com/go-chi/chi/v5", []string{"host/api"}},
	{"modernc.org/sqlite", []string{"store"}},
	{"github.com/jackc/pgx/v5", []string{"store"}},
	{module + "store/storetest", nil},
	{module + "sdk/tck", nil},
	{module + "host/sandbox/wasmtest", nil},
}

// never says that a room's packages and all that they pull in stay clear of
// something.
var never = []struct {
	room      string
	forbidden []string
}{
	{"host/prefect", []string{module + "host/", module + "store", module + "sdk"}},
	{"host/metrics", []string{module}},
	{"host/api", []string{module + "host/policy", module + "store"}},
	{"host/policy", []string{module + "host/api", module + "store"}},
	{"store", []string{module + "host/api", module + "host/policy", module + "host/sandbox"}},
	{"host/orchestrate", []string{module + "store", module + "host/policy", module + "host/sandbox", module + "host/api"}},
	{"host/sandbox", []string{module + "host/prefect", module + "host/policy", module + "store"}},
}

// guestRooms may import the standard library alone, and none of what makes a
// guest fat.
var guestRooms = []string{
	"sdk", "sdk/abi", "sdk/value", "policies/flow", "policies/task", "policies/core",
	"examples/policies/backoff", "examples/policies/message_filter",
}

var fat = []string{"encoding/json", "reflect", "fmt"}

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,Deps,Standard", "./...").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %s", exit.Stderr)
		}
		t.Fatal(err)
	}
	var all []pkg
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func within(path, room string) bool {
	return path == module+room || strings.HasPrefix(path, module+room+"/")
}

func TestDependenciesStayInTheirRooms(t *testing.T) {
	for _, p := range packages(t) {
		for _, rule := range only {
			for _, imported := range p.Imports {
				if imported != rule.dependency && !strings.HasPrefix(imported, rule.dependency+"/") {
					continue
				}
				allowed := false
				for _, room := range rule.rooms {
					allowed = allowed || within(p.ImportPath, room)
				}
				if !allowed && !strings.HasPrefix(p.ImportPath, module+"test/") && !strings.HasPrefix(p.ImportPath, rule.dependency) {
					t.Errorf("%s imports %s", p.ImportPath, imported)
				}
			}
		}
	}
}

func TestRoomsStayApart(t *testing.T) {
	all := packages(t)
	for _, rule := range never {
		found := false
		for _, p := range all {
			if !within(p.ImportPath, rule.room) || strings.HasSuffix(p.ImportPath, "test") {
				continue
			}
			found = true
			for _, dep := range p.Deps {
				for _, f := range rule.forbidden {
					if strings.HasPrefix(dep, f) && !within(dep, rule.room) {
						t.Errorf("%s depends on %s", p.ImportPath, dep)
					}
				}
			}
		}
		if !found {
			t.Errorf("there is no room %s", rule.room)
		}
	}
}

func TestGuestsStayLean(t *testing.T) {
	for _, p := range packages(t) {
		for _, room := range guestRooms {
			if p.ImportPath != module+room {
				continue
			}
			for _, imported := range p.Imports {
				if strings.Contains(imported, ".") && !strings.HasPrefix(imported, module) {
					t.Errorf("%s imports %s, which is not of the standard library", p.ImportPath, imported)
				}
				for _, f := range fat {
					if imported == f {
						t.Errorf("%s imports %s", p.ImportPath, imported)
					}
				}
			}
		}
	}
}
