package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// fakeServer keeps one policy in memory and answers as /api/interlock does.
type fakeServer struct {
	active    prefect.PolicyVersion
	manifest  string
	conflicts int // how many PUTs to refuse as stale
	auth      string
	guarded   bool // changes need a CSRF token
	modules   []prefect.PolicyModule
	asked     string // the path of the last request for what is not here
}

func (f *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.auth = r.Header.Get("Authorization")
	if f.guarded && r.Method != http.MethodGet && r.Header.Get("Prefect-Csrf-Token") != "token of "+r.Header.Get("Prefect-Csrf-Client") {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /api/csrf-token":
		client := r.URL.Query().Get("client")
		json.NewEncoder(w).Encode(map[string]string{"client": client, "token": "token of " + client})
	case "GET /api/interlock/modules":
		json.NewEncoder(w).Encode(f.modules)
	case "GET /api/interlock/policies":
		json.NewEncoder(w).Encode([]prefect.PolicyVersion{f.active})
	case "GET /api/interlock/policies/CoreFlowPolicy":
		json.NewEncoder(w).Encode(f.active)
	case "POST /api/interlock/modules":
		w.WriteHeader(http.StatusCreated)
		json.NewEncoder(w).Encode(prefect.PolicyModule{Digest: "sha256:" + strings.Repeat("ab", 32), Size: 4, Manifest: json.RawMessage(f.manifest)})
	case "PUT /api/interlock/policies/CoreFlowPolicy":
		if f.conflicts > 0 {
			f.conflicts--
			f.active.Version++
			w.WriteHeader(http.StatusConflict)
			w.Write([]byte(`{"detail":"stale"}`))
			return
		}
		var body prefect.PolicyVersion
		json.NewDecoder(r.Body).Decode(&body)
		if body.Version != f.active.Version {
			w.WriteHeader(http.StatusConflict)
			return
		}
		f.active.Entries = body.Entries
		f.active.Version++
		json.NewEncoder(w).Encode(f.active)
	case "POST /api/interlock/policies/CoreFlowPolicy/rollback":
		f.active.Version++
		json.NewEncoder(w).Encode(f.active)
	case "GET /api/interlock/audit":
		json.NewEncoder(w).Encode([]prefect.PolicyAudit{{Action: prefect.AuditPut, Outcome: prefect.AuditRefused, Policy: r.URL.Query().Get("policy"),
			Modules: []string{"sha256:" + strings.Repeat("ab", 32)}, Actor: prefect.Actor{Address: "10.0.0.1"}, Reason: "no \x1b[2J"}})
	case "POST /api/interlock/modules/sha256:1/readmit":
		w.WriteHeader(http.StatusNoContent)
	default:
		f.asked = r.URL.Path
		w.WriteHeader(http.StatusNotFound)
		w.Write([]byte(`{"detail":"nothing here"}`))
	}
}

func twoEntries() prefect.PolicyVersion {
	return prefect.PolicyVersion{Name: prefect.CoreFlowPolicy, Version: 3, Entries: []prefect.PolicyEntry{
		{Name: "CopyScheduledTime", Module: "builtin", Rule: "CopyScheduledTime", OnError: prefect.Fallback},
		{Name: "RetryFailedFlows", Module: "builtin", Rule: "RetryFailedFlows", OnError: prefect.Fallback},
	}}
}

// interlockWith runs one command line against a server.
func interlockWith(t *testing.T, server http.Handler, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	s := httptest.NewServer(server)
	defer s.Close()
	vars := map[string]string{"PREFECT_API_URL": s.URL + "/api", "PREFECT_API_AUTH_STRING": "me:secret"}
	var out, errOut bytes.Buffer
	e := env{func(k string) (string, bool) { v, ok := vars[k]; return v, ok }, &out, &errOut}
	code = run(context.Background(), e, args)
	return code, out.String(), errOut.String()
}

func wasmFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "m.wasm")
	if err := os.WriteFile(file, []byte("\x00asm"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestUsePutsTheModuleIntoTheEntryAndKeepsTheRest(t *testing.T) {
	f := &fakeServer{active: twoEntries(), manifest: `{"rules":[{"name":"Backoff"}]}`, conflicts: 2}
	code, out, errOut := interlockWith(t, f, "policy", "use", "RetryFailedFlows", wasmFile(t), "--config", `{"base":1}`)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errOut)
	}
	if want := "CoreFlowPolicy is at version 6\n"; !strings.HasPrefix(out, want) {
		t.Errorf("output %q does not begin with %q", out, want)
	}
	got := f.active.Entries[1]
	if got.Name != "RetryFailedFlows" || got.Rule != "Backoff" || string(got.Config) != `{"base":1}` || got.OnError != prefect.Fallback || !strings.HasPrefix(got.Module, "sha256:") {
		t.Errorf("entry is %+v", got)
	}
	if f.active.Entries[0].Module != "builtin" {
		t.Errorf("another entry changed: %+v", f.active.Entries[0])
	}
	if f.auth == "" {
		t.Error("PREFECT_API_AUTH_STRING was not sent")
	}
}

func TestUseSetsLimits(t *testing.T) {
	f := &fakeServer{active: twoEntries(), manifest: `{"rules":[{"name":"Backoff"}]}`}
	code, _, errOut := interlockWith(t, f, "policy", "use", "RetryFailedFlows", wasmFile(t), "--fuel", "5000", "--stack", "4096")
	if got := f.active.Entries[1]; code != 0 || got.Fuel != 5000 || got.StackBytes != 4096 {
		t.Errorf("exit code %d %s, entry %+v", code, errOut, got)
	}
	if code, _, _ := interlockWith(t, f, "policy", "use", "RetryFailedFlows", wasmFile(t), "--stack", "99999999999"); code != 2 {
		t.Errorf("exit code %d for a stack that is none", code)
	}
	if _, out, _ := interlockWith(t, f, "policy", "list"); !strings.Contains(out, "fuel 5000, stack 4096") {
		t.Errorf("the list does not show the limits: %s", out)
	}
}

func TestAuditAndReadmit(t *testing.T) {
	code, out, errOut := interlockWith(t, &fakeServer{}, "policy", "audit", "--policy", "P")
	if code != 0 || !strings.Contains(out, "put  refused  P sha256:abababababab  10.0.0.1") || strings.Contains(out, "\x1b") {
		t.Errorf("exit code %d: %q %s", code, out, errOut)
	}
	if code, out, _ := interlockWith(t, &fakeServer{}, "policy", "readmit", "sha256:1"); code != 0 || out != "sha256:1 is asked again\n" {
		t.Errorf("exit code %d: %q", code, out)
	}
	if code, _, _ := interlockWith(t, &fakeServer{}, "policy", "readmit", "sha256:2"); code != 1 {
		t.Errorf("exit code %d for a module that is not there", code)
	}
}

func TestADigestMayBeCut(t *testing.T) {
	one, other := "sha256:ab0"+strings.Repeat("1", 61), "sha256:ab1"+strings.Repeat("1", 61)
	f := &fakeServer{active: twoEntries(), modules: []prefect.PolicyModule{{Digest: one}, {Digest: other}}}
	for given, want := range map[string]string{one: one, one[:10]: one, other[:19]: other} {
		for _, args := range [][]string{{"readmit", given}, {"remove", given}, {"use", "RetryFailedFlows", given, "--rule", "R"}} {
			f.asked = ""
			interlockWith(t, f, append([]string{"policy"}, args...)...)
			if !strings.Contains(f.asked, want) {
				t.Errorf("%v asked for %q", args, f.asked)
			}
		}
	}
	if code, _, errOut := interlockWith(t, f, "policy", "readmit", "sha256:ab"); code != 2 || !strings.Contains(errOut, "several") {
		t.Errorf("exit code %d, stderr %q", code, errOut)
	}
	f.modules = f.modules[:1]
	if interlockWith(t, f, "policy", "remove", "sha256:"); strings.Contains(f.asked, one) {
		t.Errorf("no digit was given, and %q was asked for", f.asked)
	}
}

func TestUseClaimsNothingThatDidNotComeAbout(t *testing.T) {
	file := filepath.Join(t.TempDir(), "m.wasm")
	if err := os.WriteFile(file, []byte("wasm"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := &fakeServer{active: twoEntries(), manifest: `{"rules":[{"name":"R"}]}`}
	if code, out, _ := interlockWith(t, f, "policy", "use", "NoSuchEntry", file); code == 0 || out != "" {
		t.Errorf("exit code %d, output %q", code, out)
	}
}

func TestUseAsksWhenTheRuleIsNotClear(t *testing.T) {
	f := &fakeServer{active: twoEntries(), manifest: `{"rules":[{"name":"A"},{"name":"B"}]}`}
	code, _, errOut := interlockWith(t, f, "policy", "use", "RetryFailedFlows", wasmFile(t))
	if code != 2 || !strings.Contains(errOut, "--rule") {
		t.Errorf("exit code %d, stderr %q", code, errOut)
	}
}

func TestCommandLinesThatAreNotUnderstood(t *testing.T) {
	for _, args := range [][]string{
		{"nonsense"},
		{"policy"},
		{"policy", "nonsense"},
		{"policy", "use", "RetryFailedFlows"},
		{"policy", "explain", "no-uuid"},
		{"policy", "rollback", "a", "b"},
		{"policy", "list", "--nonsense"},
		{"serve", "extra"},
		{"database"},
		{"database", "upgrade", "extra"},
		{"database", "upgrade", "--nonsense"},
		{"help", "nonsense"},
	} {
		code, _, errOut := interlockWith(t, http.NotFoundHandler(), args...)
		if code != 2 || !strings.HasPrefix(errOut, "interlock") || strings.Count(errOut, "\n") != 1 {
			t.Errorf("%v: exit code %d, stderr %q", args, code, errOut)
		}
	}
}

func TestAFailureIsOneLineAndExitCodeOne(t *testing.T) {
	f := &fakeServer{active: twoEntries()}
	for _, args := range [][]string{
		{"policy", "use", "NoSuchEntry", "builtin"},
		{"policy", "show", "NoSuchPolicy"},
		{"policy", "push", "/no/such/file"},
		{"policy", "check", "/no/such/file"},
		{"policy", "list", "--url", "http://127.0.0.1:1/api"},
	} {
		code, _, errOut := interlockWith(t, f, args...)
		if code != 1 || strings.Count(errOut, "\n") != 1 || strings.Contains(errOut, "secret") {
			t.Errorf("%v: exit code %d, stderr %q", args, code, errOut)
		}
	}
}

func TestExplainShowsRulesFactsAndEffects(t *testing.T) {
	lease := uuid.MustParse("00000000-0000-4000-8000-00000000000a")
	pending := prefect.Scheduled
	d := prefect.Decision{Policy: "CoreFlowPolicy", PolicyVersion: 3, InitialType: &pending, ProposedType: prefect.Pending, Status: prefect.Accept,
		Rules:     []prefect.RuleDecision{{Name: "SecureFlowConcurrencySlots", Rule: "SecureFlowConcurrencySlots", Builtin: true, Decision: "ACCEPT", Fuel: 7}},
		FactsRead: []string{"deployment", "run_slots"},
		Effects:   []prefect.AppliedEffect{{Effect: json.RawMessage(`{"type":"acquire_slots"}`), LeaseID: &lease}, {Effect: json.RawMessage(`{"type":"release_slots"}`)}}}
	code, out, errOut := interlockWith(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode([]prefect.Decision{d})
	}), "policy", "explain", lease.String())
	for _, want := range []string{
		"SCHEDULED -> PENDING  ACCEPT  (CoreFlowPolicy v3)\n", "SecureFlowConcurrencySlots               ACCEPT", "fuel 7\n",
		"    facts read: deployment, run_slots\n", `    applied: {"type":"acquire_slots"} as lease ` + lease.String() + "\n", `    applied: {"type":"release_slots"}` + "\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if code != 0 || errOut != "" {
		t.Errorf("exit code %d, stderr %q", code, errOut)
	}
}

func TestHelpAnswers(t *testing.T) {
	for _, args := range [][]string{{}, {"help"}, {"help", "serve"}, {"serve", "-h"}, {"help", "policy"}, {"help", "database"}, {"help", "settings"}, {"--help"},
		{"policy", "--help"}, {"policy", "use", "--help"}, {"database", "--help"}, {"database", "upgrade", "-h"}} {
		code, out, _ := interlockWith(t, http.NotFoundHandler(), args...)
		if code != 0 || len(out) < 100 {
			t.Errorf("%v: exit code %d, output %q", args, code, out)
		}
	}
}

func TestAGuardedServerIsAskedForAToken(t *testing.T) {
	f := &fakeServer{active: twoEntries(), guarded: true}
	code, out, errOut := interlockWith(t, f, "policy", "rollback")
	if code != 0 || !strings.Contains(out, "version 4") {
		t.Errorf("exit code %d, %q, %q", code, out, errOut)
	}
}
