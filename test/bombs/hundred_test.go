package bombs

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/host/sandbox/wasmtest"
)

// eventDeadline is for the event of a quarantine: only a test that fails waits so
// long.
const eventDeadline = 10 * time.Minute

// hundreds drops each bomb a hundred times on one server, which is watched.
func hundreds(t *testing.T, lines []*line, after int, n scale) {
	s := start(t, after, true, n)
	defer s.close(t)
	for _, l := range lines {
		if !n.little() {
			l.without = s.without(t, l.bomb, n.volleys)
		}
		l.with = s.drop(t, l.bomb, n.volleys)
		if t.Failed() {
			t.Fatalf("after %s", l.bomb.Name)
		}
	}
}

// without is a phase without a bomb: as many bytes are uploaded that are no module,
// or runs fail as they do with it.
func (s *server) without(t *testing.T, b wasmtest.Bomb, volleys int) figures {
	t.Helper()
	if b.Outcome == refused {
		return s.measure(t, volleys, s.uploads(zeros(len(b.Wasm)), volleys))
	}
	_, shots := s.failing(t, volleys)
	return s.measure(t, volleys, shots)
}

// drop uploads a bomb as often as is wanted, or puts it into the policy and has as
// many runs fail.
func (s *server) drop(t *testing.T, b wasmtest.Bomb, volleys int) figures {
	t.Helper()
	if b.Outcome == refused {
		return s.measure(t, volleys, s.uploads(b, volleys))
	}
	digest := s.push(t, b)
	s.instead(t, digest)
	defer s.instead(t, "")
	runs, shots := s.failing(t, volleys)
	f := s.measure(t, volleys, shots)
	// On a slow machine some found the module busy, which is not its fault.
	for k := 0; k < patience && s.quarantine != never && !t.Failed() && !s.quarantined(t, digest); k++ {
		run := s.run(t)
		if err := s.enter(t.Context(), run, "FAILED"); err != nil {
			t.Errorf("run %s: %v", run, err)
		}
		runs = append(runs, run)
	}
	s.check(t, b, digest, runs)
	return f
}

// zeros are bytes that are no module.
func zeros(size int) wasmtest.Bomb {
	return wasmtest.Bomb{Name: "zeros", Wasm: make([]byte, size), Outcome: refused}
}

// uploads are volleys of uploads of a module that no server takes.
func (s *server) uploads(b wasmtest.Bomb, volleys int) []shot {
	return slices.Repeat([]shot{func(t *testing.T) time.Duration { return s.refused(t, b) }}, volleys*atOnce)
}

// failing makes runs, and what has them fail.
func (s *server) failing(t *testing.T, volleys int) (runs []string, shots []shot) {
	t.Helper()
	runs, shots = make([]string, volleys*atOnce), make([]shot, volleys*atOnce)
	var doing sync.WaitGroup
	for k := range clients {
		doing.Go(func() {
			for ; k < len(runs); k += clients {
				run := s.run(t)
				runs[k] = run
				shots[k] = func(t *testing.T) time.Duration {
					began := time.Now()
					if err := s.enter(t.Context(), run, "FAILED"); err != nil {
						t.Errorf("run %s: %v", run, err)
					}
					return time.Since(began)
				}
			}
		})
	}
	doing.Wait()
	return runs, shots
}

// check reads the decisions on the runs that met a bomb, and what became of it.
func (s *server) check(t *testing.T, b wasmtest.Bomb, digest string, runs []string) {
	t.Helper()
	reasons := map[string]int{}
	for _, run := range runs {
		r := s.decision(t, run)
		kind := failure(r)
		reasons[kind]++
		if want := expected(b); kind != want && kind != "quarantine" && kind != "busy" {
			t.Errorf("%s: run %s: %+v, want %q", b.Name, run, r, want)
		}
		if r.Error != "" && r.Handled != string(prefect.Fallback) {
			t.Errorf("%s: handled by %q", b.Name, r.Handled)
		}
	}
	want := quarantineAfter
	if s.quarantine == never {
		want = 1 // the rest may have found it at rest
	}
	if reasons[expected(b)] < want {
		t.Errorf("%s: reasons %v", b.Name, reasons)
	}
	if s.quarantine == never {
		return
	}
	if !s.quarantined(t, digest) {
		t.Errorf("%s: not in quarantine: %v", b.Name, reasons)
	}
	s.announced(t, b, digest)
}

// expected is the kind of failure of a bomb's entry; none of these modules
// answers anything good, but where the outcome says so.
func expected(b wasmtest.Bomb) string {
	if b.Outcome == "" {
		return verdict // it answers, but with no verdict
	}
	return b.Outcome
}

// failure is the kind of failure that the record of an entry tells of.
func failure(r prefect.RuleDecision) string {
	switch {
	case r.Error == "":
		return ""
	case strings.Contains(r.Error, "in quarantine"):
		return "quarantine"
	}
	if rest, ok := strings.CutPrefix(r.Error, "policy module: "); ok {
		kind, _, _ := strings.Cut(rest, ":")
		return kind
	}
	return verdict
}

// announced waits for the event of a quarantine, and wants one for each.
func (s *server) announced(t *testing.T, b wasmtest.Bomb, digest string) {
	t.Helper()
	filter := map[string]any{"filter": map[string]any{
		"event":    map[string]any{"name": []string{"interlock.policy-module.quarantined"}},
		"resource": map[string]any{"id": []string{"interlock.policy-module." + digest}},
	}}
	var rows []prefect.PolicyAudit
	if err := s.Get(t.Context(), "/interlock/audit?limit=200", &rows); err != nil {
		t.Fatal(err)
	}
	quarantines := 0
	for _, a := range rows {
		if a.Action == prefect.AuditQuarantine && slices.Contains(a.Modules, digest) {
			quarantines++
		}
	}
	var page struct{ Total int }
	for deadline := time.Now().Add(eventDeadline); ; time.Sleep(5 * time.Millisecond) {
		if err := s.Post(t.Context(), "/events/filter", filter, &page); err != nil {
			t.Fatal(err)
		}
		if page.Total > 0 && page.Total >= quarantines || time.Now().After(deadline) {
			break
		}
	}
	if page.Total == 0 || page.Total < quarantines {
		t.Errorf("%s: %d events of %d quarantines", b.Name, page.Total, quarantines)
	}
}
