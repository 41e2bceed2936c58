package host

import (
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/interlock-run/interlock/host/sandbox"
)

// TestTheDocumentedLimitsAreTheLimits compares the table of docs/operating.md with
// what the sandbox does.
func TestTheDocumentedLimitsAreTheLimits(t *testing.T) {
	doc, err := os.ReadFile("../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	limits := sandbox.Limits{}.WithDefaults()
	for _, l := range sandboxLimits(&limits) {
		row := fmt.Sprintf("| `%s%s` | `%s` | %s |", sandboxPrefix, l.name, l.value(), l.about)
		if !strings.Contains(string(doc), row+"\n") {
			t.Errorf("docs/operating.md lacks the row\n%s", row)
		}
	}
	if n, want := strings.Count(string(doc), "| `"+sandboxPrefix), len(sandboxLimits(&limits)); n != want {
		t.Errorf("docs/operating.md has %d limits, there are %d", n, want)
	}
}

func TestEveryLimitOfTheSandboxCanBeSet(t *testing.T) {
	var l sandbox.Limits
	settable := map[any]bool{}
	for _, one := range sandboxLimits(&l) {
		settable[one.field] = true
	}
	missing := func(v reflect.Value) {
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.Type.Kind() != reflect.Struct && f.Name != "MemoryPages" && !settable[v.Field(i).Addr().Interface()] {
				t.Errorf("%s cannot be set", f.Name)
			}
		}
	}
	missing(reflect.ValueOf(&l).Elem())
	missing(reflect.ValueOf(&l.Caps).Elem())

	c := DefaultConfig()
	vars := map[string]string{}
	for _, one := range sandboxLimits(&l) {
		vars[sandboxPrefix+one.name] = "7"
	}
	lookup := func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
	if err := c.FromEnvironment(lookup); err != nil {
		t.Fatal(err)
	}
	for _, one := range sandboxLimits(&c.Sandbox) {
		if v := one.value(); v != "7" && v != "7s" {
			t.Errorf("%s is %s", one.name, v)
		}
	}
	for _, wrong := range []string{"0", "-1", "x", "99999999999"} {
		vars = map[string]string{sandboxPrefix + "FUEL": wrong}
		if err := c.FromEnvironment(lookup); err == nil {
			t.Errorf("fuel %s was taken", wrong)
		}
	}
}

// value is the limit as its setting would say it.
func (l sandboxLimit) value() string {
	switch f := l.field.(type) {
	case *int:
		return strconv.Itoa(*f)
	case *uint32:
		return strconv.FormatUint(uint64(*f), 10)
	case *uint64:
		return strconv.FormatUint(*f, 10)
	case *time.Duration:
		return f.String()
	}
	return ""
}
