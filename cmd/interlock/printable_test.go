package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"unicode"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// hostile has an escape sequence, its 8-bit form, a line of its own, a sign that
// turns the direction of writing, and one beyond the first plane.
const hostile = "x\x1b[2J\u009b2J\nforged\u202e\U000e0001"

func TestPrintable(t *testing.T) {
	if got, want := printable(hostile+"é\t\xff"), `x\u001b[2J\u009b2J\nforged\u202e\udb40\udc01é\t`+"\ufffd"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestNothingFromOutsideReachesTheTerminalRaw: whatever a server says, each command
// prints what can be seen, in lines of its own.
func TestNothingFromOutsideReachesTheTerminalRaw(t *testing.T) {
	running, text := prefect.Running, hostile
	policy := prefect.PolicyVersion{Name: hostile, Version: 2, Reason: hostile, Entries: []prefect.PolicyEntry{
		{Name: hostile, Module: hostile, Rule: hostile, OnError: hostile, Config: json.RawMessage(`{"k":"` + "\u009b" + `"}`)}}}
	replies := map[string]any{
		"modules": []prefect.PolicyModule{{Digest: hostile, Manifest: json.RawMessage(`{"name":"\u001b[2J","version":"\u202e"}`)}}, "policies": []prefect.PolicyVersion{policy},
		"P": policy, "versions": []prefect.PolicyVersion{policy}, "rollback": policy,
		"audit": []prefect.PolicyAudit{{Action: hostile, Outcome: hostile, Policy: hostile, Modules: []string{hostile}, Actor: prefect.Actor{User: hostile, Agent: hostile}, Reason: hostile}},
		"decisions": []prefect.Decision{{Policy: hostile, InitialType: &running, InitialName: &text, ProposedName: hostile, Status: hostile, Reason: &text, FinalType: &running, FinalName: &text,
			FactsRead: []string{hostile}, Effects: []prefect.AppliedEffect{{Effect: json.RawMessage(`"` + "\u009b" + `"`)}},
			Rules: []prefect.RuleDecision{{Name: hostile, Rule: "r" + hostile, Module: hostile, Decision: hostile, Reason: hostile, Error: hostile, Handled: hostile, Log: hostile, Flags: json.RawMessage(`"` + "\u009b" + `"`)}}}},
	}
	lines := map[string]int{"list": 4, "show P": 17, "versions P": 1, "rollback P": 1, "audit": 1, "explain " + uuid.NewString(): 7, "show none": 1, "remove " + hostile: 1}
	for command, want := range lines {
		code, out, errOut := interlockWith(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			reply, ok := replies[r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]]
			if !ok {
				w.WriteHeader(http.StatusNotFound)
				reply = map[string]string{"detail": strings.ReplaceAll(hostile, "\n", "")}
			}
			json.NewEncoder(w).Encode(reply)
		}), append([]string{"policy"}, strings.SplitN(command, " ", 2)...)...)
		shown := out + errOut
		if i := strings.IndexFunc(shown, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); i >= 0 || len(shown) == 0 {
			t.Errorf("%q prints %q", command, shown)
		}
		if got := strings.Count(shown, "\n"); got != want {
			t.Errorf("%q (exit code %d) prints %d lines, want %d:\n%s", command, code, got, want, shown)
		}
	}
}

// TestNamesStayOnePartOfThePath: a name leads to what it names, or nowhere.
func TestNamesStayOnePartOfThePath(t *testing.T) {
	const name = "../x?y#z/w"
	for _, command := range []string{"show", "versions", "rollback", "remove", "readmit"} {
		var asked string
		interlockWith(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = r.URL.EscapedPath()
			w.WriteHeader(http.StatusNotFound)
		}), "policy", command, name)
		if !strings.Contains(asked, "/..%2Fx%3Fy%23z%2Fw") {
			t.Errorf("%s asks for %s", command, asked)
		}
	}
}

// TestUseKeepsWhatNoFlagChanges: and the built-in rule begins afresh.
func TestUseKeepsWhatNoFlagChanges(t *testing.T) {
	f := &fakeServer{active: twoEntries(), manifest: `{"rules":[{"name":"Backoff"}]}`}
	f.active.Entries[1] = prefect.PolicyEntry{Name: "RetryFailedFlows", Module: "sha256:old", Rule: "Old", OnError: prefect.Closed,
		Config: json.RawMessage(`{"base":1}`), Fuel: 5000, StackBytes: 4096}
	use := func(source string, flags ...string) prefect.PolicyEntry {
		t.Helper()
		if code, _, errOut := interlockWith(t, f, append([]string{"policy", "use", "RetryFailedFlows", source}, flags...)...); code != 0 {
			t.Fatal(code, errOut)
		}
		return f.active.Entries[1]
	}
	if got := use(wasmFile(t)); got.Rule != "Backoff" || string(got.Config) != `{"base":1}` || got.Fuel != 5000 || got.StackBytes != 4096 || got.OnError != prefect.Closed {
		t.Errorf("without flags: %+v", got)
	}
	if got := use(wasmFile(t), "--fuel", "0", "--config", "{}"); string(got.Config) != `{}` || got.Fuel != 0 || got.StackBytes != 4096 {
		t.Errorf("with flags: %+v", got)
	}
	if got := use("builtin"); string(got.Config) == `{}` || got.StackBytes != 0 || got.OnError != prefect.Closed {
		t.Errorf("given back: %+v", got)
	}
}
