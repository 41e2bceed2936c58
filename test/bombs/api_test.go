package bombs

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/host/sandbox/wasmtest"
	"github.com/interlock-run/interlock/test/rest"
)

// quarantined reports whether a module is not asked any more.
func (s *server) quarantined(t *testing.T, digest string) bool {
	t.Helper()
	var m struct{ Quarantined bool }
	if err := s.Get(t.Context(), "/interlock/modules/"+digest, &m); err != nil {
		t.Fatal(err)
	}
	return m.Quarantined
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
	if err := s.Post(t.Context(), "/flow_runs/", map[string]any{"flow_id": s.flow, "state": map[string]any{"type": "RUNNING"}}, &run); err != nil {
		t.Error(err)
	}
	return run.ID
}

// instead has a module decide in the place of the built-in rule; none is that rule.
func (s *server) instead(t *testing.T, digest string) {
	t.Helper()
	e := prefect.PolicyEntry{Name: entryName, Module: prefect.BuiltinModule, Rule: entryName, OnError: prefect.Fallback}
	if digest != "" {
		s.readmit(t, digest)
		e.Module, e.Rule = digest, rule
	}
	s.put(t, e)
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
