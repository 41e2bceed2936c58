// Package bombs drops hostile policy modules on a server while clients use it.
package bombs

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/host/sandbox"
	"github.com/interlock-run/interlock/host/sandbox/wasmtest"
	"github.com/interlock-run/interlock/test/rest"
)

const (
	rule       = "Bomb"
	entryName  = "RetryFailedFlows" // the entry that a bomb takes the place of
	policyPath = "/interlock/policies/" + prefect.CoreFlowPolicy
	manifest   = `{"abi":1,"name":"bomb","version":"1","rules":[{"name":"` + rule + `","run_type":"flow_run","from":["RUNNING"],"to":["FAILED"],"kind":"rule","phase":"before"}]}`
	atOnce     = 16 // runs that meet the bomb
	clients    = 8  // that do not
	verdict    = "verdict"

	quarantineAfter = 5 // failures in a row
	patience        = 20
	never           = 1 << 30

	// eventDeadline is for the event of a quarantine: only a test that fails waits
	// so long.
	eventDeadline = 10 * time.Minute

	enough = 6000 // requests, for a 99th percentile
)

func TestMain(m *testing.M) {
	sandbox.MaybeRunCompileChild()
	if len(os.Args) == 4 && os.Args[1] == serverArgument {
		if err := serve(os.Args[2:], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// scale is how much is done: little in every run of the tests, INTERLOCK_BOMBS times
// of each bomb (of those that INTERLOCK_BOMBS_NAMED matches) in make bombs, and again
// as often for those that miss an aim: all that was seen of a bomb counts together.
type scale struct{ volleys, repeats int }

func scaled() scale {
	if n, err := strconv.Atoi(os.Getenv("INTERLOCK_BOMBS")); err == nil && n > 0 {
		return scale{volleys: (n + atOnce - 1) / atOnce, repeats: 2}
	}
	return scale{volleys: 1}
}

// TestBombs drops each bomb on a server: it is refused, or put in the place of
// RetryFailedFlows, where runs that fail meet it. Whatever it does, the record
// tells the reason, the built-in rule decides, every run ends, and after five
// failures nobody asks it any more.
func TestBombs(t *testing.T) {
	table(t, "As a server is set up, a module in quarantine after 5 failures", quarantineAfter, func(wasmtest.Bomb) bool { return true })
}

// TestBombsWithoutQuarantine has the server ask for ever, as if a module failed
// often but never five times in a row. Where little is done, it is with those that
// take long.
func TestBombsWithoutQuarantine(t *testing.T) {
	little := scaled().repeats == 0
	table(t, "Quarantine held open, each meets the module", never, func(b wasmtest.Bomb) bool {
		return b.Outcome != "refused" && (!little || b.Outcome == "fuel" || b.Outcome == "stack")
	})
}

// table drops bombs on a server of its own and prints what each cost.
func table(t *testing.T, title string, after int, which func(wasmtest.Bomb) bool) {
	n := scaled()
	favoured := n.repeats > 0 && favour(t)
	home := t.TempDir()
	if n.repeats > 0 {
		home = inMemory(t, home)
	}
	s := start(t, home, after)
	printHeading(title)
	wanted, err := regexp.Compile(os.Getenv("INTERLOCK_BOMBS_NAMED"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []line
	for _, b := range slices.Concat(wasmtest.Bombs(manifest), answers()) {
		if !which(b) || !wanted.MatchString(b.Name) {
			continue
		}
		l := line{bomb: b, without: []figures{s.without(t, b, n)}}
		for k := 0; k == 0 || k <= n.repeats && !l.aimed(); k++ {
			if requests(l.with) < enough {
				l.with = append(l.with, s.drop(t, b, n))
			}
			l.without = append(l.without, s.without(t, b, n))
		}
		l.print()
		lines = append(lines, l)
		if t.Failed() {
			t.Fatalf("after %s", b.Name)
		}
	}
	fmt.Printf("bombs: %d, each %d times or more, each refused or contained with its reason, 0 deaths, 0 stuck runs; preferred to other work: %v\n%s",
		len(lines), n.volleys*atOnce, favoured, verdictOf(lines))
}

// without is a phase without a bomb: as many bytes are uploaded that are no module,
// or runs fail as they do with it.
func (s *server) without(t *testing.T, b wasmtest.Bomb, n scale) figures {
	t.Helper()
	if b.Outcome == "refused" {
		harmless := wasmtest.Bomb{Name: "zeros", Wasm: make([]byte, len(b.Wasm))}
		upload := func(t *testing.T) time.Duration { return s.refused(t, harmless) }
		return s.measure(t, n.volleys, slices.Repeat([]shot{upload}, n.volleys*atOnce))
	}
	_, shots := s.failing(t, n)
	return s.measure(t, n.volleys, shots)
}

// drop uploads a bomb as often as is wanted, or puts it into the policy and has as
// many runs fail.
func (s *server) drop(t *testing.T, b wasmtest.Bomb, n scale) figures {
	t.Helper()
	if b.Outcome == "refused" {
		upload := func(t *testing.T) time.Duration { return s.refused(t, b) }
		return s.measure(t, n.volleys, slices.Repeat([]shot{upload}, n.volleys*atOnce))
	}
	digest := s.push(t, b)
	s.put(t, prefect.PolicyEntry{Name: entryName, Module: digest, Rule: rule, OnError: prefect.Fallback})
	defer s.put(t, prefect.PolicyEntry{Name: entryName, Module: prefect.BuiltinModule, Rule: entryName, OnError: prefect.Fallback})
	s.readmit(t, digest)
	runs, shots := s.failing(t, n)
	f := s.measure(t, n.volleys, shots)
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

// failing makes runs, and what has them fail.
func (s *server) failing(t *testing.T, n scale) (runs []string, shots []shot) {
	t.Helper()
	runs, shots = make([]string, n.volleys*atOnce), make([]shot, n.volleys*atOnce)
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

// quarantined reports whether a module is not asked any more.
func (s *server) quarantined(t *testing.T, digest string) bool {
	t.Helper()
	var m struct{ Quarantined bool }
	if err := s.Get(t.Context(), "/interlock/modules/"+digest, &m); err != nil {
		t.Fatal(err)
	}
	return m.Quarantined
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

func (s *server) decision(t *testing.T, run string) prefect.RuleDecision {
	t.Helper()
	var all []prefect.Decision
	if err := s.Get(t.Context(), "/interlock/decisions?flow_run_id="+run, &all); err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		for _, r := range d.Rules {
			if d.ProposedType == prefect.Failed && r.Name == entryName {
				return r
			}
		}
	}
	t.Fatalf("run %s: nobody asked %s: %+v", run, entryName, all)
	return prefect.RuleDecision{}
}

func (s *server) push(t *testing.T, b wasmtest.Bomb) (digest string) {
	t.Helper()
	var m struct{ Digest string }
	if reply := s.upload(t, b); reply.JSON(&m) != nil || m.Digest == "" {
		t.Fatalf("%s: %d %s", b.Name, reply.Status, reply.Raw)
	}
	return m.Digest
}

func (s *server) upload(t *testing.T, b wasmtest.Bomb) *rest.Reply {
	t.Helper()
	reply, err := s.Do(t.Context(), rest.Request{Method: http.MethodPost, Path: "/interlock/modules", Body: b.Wasm, Header: map[string]string{"Content-Type": "application/wasm"}})
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

// refused uploads a module that no server takes.
func (s *server) refused(t *testing.T, b wasmtest.Bomb) time.Duration {
	reply := s.upload(t, b)
	if reply.Status != http.StatusUnprocessableEntity || !strings.Contains(string(reply.Raw), `"loc":["body"],"msg":"`) {
		t.Errorf("%s: %d %s", b.Name, reply.Status, reply.Raw)
	}
	return reply.Received.Sub(reply.Sent)
}

func (s *server) readmit(t *testing.T, digest string) {
	t.Helper()
	if err := s.Post(t.Context(), "/interlock/modules/"+digest+"/readmit", nil, nil); err != nil {
		t.Fatal(err)
	}
}

// put replaces one entry of the policy.
func (s *server) put(t *testing.T, e prefect.PolicyEntry) {
	t.Helper()
	var p prefect.PolicyVersion
	if err := s.Get(t.Context(), policyPath, &p); err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(p.Entries, func(have prefect.PolicyEntry) bool { return have.Name == e.Name })
	p.Entries[at] = e
	reply, err := s.Do(t.Context(), rest.Request{Method: http.MethodPut, Path: policyPath, Body: map[string]any{"entries": p.Entries, "version": p.Version}})
	if err != nil || reply.Status != http.StatusOK {
		t.Fatalf("put: %v %+v", err, reply)
	}
}

// run makes a run that is running.
func (s *server) run(t *testing.T) (id string) {
	var run struct{ ID string }
	if err := s.Post(t.Context(), "/flow_runs/", map[string]any{"flow_id": s.flow, "state": map[string]any{"type": "PENDING"}}, &run); err != nil {
		t.Error(err)
	}
	if err := s.enter(t.Context(), run.ID, "RUNNING"); err != nil {
		t.Errorf("run %s: %v", run.ID, err)
	}
	return run.ID
}

// enter proposes a state, which has to be accepted.
func (s *server) enter(ctx context.Context, run, state string) error {
	var reply struct{ Status, Reason string }
	err := s.Post(ctx, "/flow_runs/"+run+"/set_state", map[string]any{"state": map[string]any{"type": state}}, &reply)
	if err == nil && reply.Status != "ACCEPT" {
		err = fmt.Errorf("%s was answered with %s", state, reply.Status)
	}
	return err
}
