package twin

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/interlock-run/interlock/test/servers"
)

// report gathers what cases showed.
type report struct {
	mu       sync.Mutex
	seen     map[string]int // cases by intended difference
	groups   map[string][]string
	order    []string
	failures int
}

// add files the differences of a case.
func (r *report) add(s *script, base time.Time, ref, ours map[string]string) {
	c := &seen{before(base), ref, ours}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen, r.groups = map[string]int{}, map[string][]string{}
	}
	expect := map[string]string{}
	var rest []string
	for _, d := range differences {
		if os.Getenv(selfEnv) == "1" || s.walk && !d.walks {
			continue
		}
		want := d.ours(s, c)
		shown := false
		for path, value := range want {
			expect[path] = value
			if was, ok := ref[path]; was != value && (ok || value != missing) {
				shown = true
			}
			if got, ok := ours[path]; (ok && got != value) || (!ok && value != missing) {
				rest = append(rest, fmt.Sprintf("%s: ours %q, want %q by intended difference %q", path, got, value, d.name))
			}
		}
		if shown {
			r.seen[d.name]++
		}
	}
	for _, d := range compare(ref, ours) {
		if _, ok := expect[d.path]; !ok {
			rest = append(rest, d.String())
		}
	}
	sort.Strings(rest)
	if len(rest) == 0 {
		return
	}
	r.failures++
	key := strings.Join(rest, "\n    ")
	if _, ok := r.groups[key]; !ok {
		r.order = append(r.order, key)
	}
	r.groups[key] = append(r.groups[key], s.name)
}

// finish prints what was compared and fails the test for what is not intended.
func (r *report) finish(t *testing.T, cases int, what string, took time.Duration) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range r.order {
		names := r.groups[key]
		more := ""
		if len(names) > 6 {
			more = fmt.Sprintf("\n  and %d more", len(names)-6)
		}
		t.Errorf("%d cases differ:\n  %s%s\n    %s", len(names), strings.Join(names[:min(6, len(names))], "\n  "), more, key)
	}
	fmt.Printf("twin: %d %s compared in %.0f s, %d differ\n", cases, what, took.Seconds(), r.failures)
	if os.Getenv(selfEnv) == "1" {
		return
	}
	for _, d := range differences {
		if r.seen[d.name] > 0 {
			fmt.Printf("twin:   intended: %s, %d cases: %s\n", d.name, r.seen[d.name], d.why)
		} else if slices.Contains(d.in, what) {
			t.Errorf("no case shows the intended difference %q: take it from the list", d.name)
		}
	}
}

// TestEveryDifferenceIsExplained holds RATIONALE.md to the list.
func TestEveryDifferenceIsExplained(t *testing.T) {
	root, err := servers.Root()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(root, "RATIONALE.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range differences {
		if !strings.Contains(strings.ToLower(string(raw)), "**"+d.name) {
			t.Errorf("RATIONALE.md does not have %q", d.name)
		}
	}
}
