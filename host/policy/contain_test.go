package policy

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/host/sandbox"
)

func TestAQuarantineIsAnnouncedOnce(t *testing.T) {
	h, bad := failing(t, "fallback", callError(sandbox.KindTrap))
	h.lanes.patience = time.Minute // the machine's speed is not the question
	tr := transition(prefect.Running, prefect.Paused)
	var clients sync.WaitGroup
	for range 4 * quarantineAfter {
		clients.Go(func() { _, _ = h.try(tr) })
	}
	clients.Wait()
	h.announcing.Wait()
	if n := bad.calls.Load(); cap(h.lanes.taken) == 1 && n != quarantineAfter {
		t.Errorf("%d calls of a module that fails, want %d", n, quarantineAfter)
	}
	if len(h.events.all) != 1 {
		t.Fatalf("%d events", len(h.events.all))
	}
	e := h.events.all[0]
	if e.Event != eventQuarantined || e.Resource.ID() != "interlock.policy-module."+bad.digest() || !strings.Contains(string(e.Payload), "it broke") {
		t.Errorf("event %+v %s", e, e.Payload)
	}
	if got := h.quarantined(); got != bad.digest() {
		t.Errorf("in quarantine: %q", got)
	}
	// Calls that were under way when it came into quarantine change nothing.
	m := h.active.Load().modules[0]
	m.health.success()
	h.fault(m, h.active.Load().policies[prefect.CoreFlowPolicy].choices[0][0].cells[0].before.entries[0], fmt.Errorf("again"))
	if !h.Quarantined(bad.digest()) {
		t.Error("a success of before ended the quarantine")
	}
	if err := h.Readmit(t.Context(), bad.digest()); err != nil {
		t.Fatal(err)
	}
	h.announcing.Wait()
	if len(h.events.all) != 2 || h.events.all[1].Event != eventReadmitted || h.quarantined() != "" {
		t.Errorf("readmitted: %d events", len(h.events.all))
	}
	want := "install done, quarantine done, readmit done"
	if got := h.audited(); got != want {
		t.Errorf("audit: %s, want %s", got, want)
	}
}

// quarantined names the modules in quarantine.
func (h *house) quarantined() string {
	var all []string
	for _, s := range h.Standings() {
		if s.Quarantined {
			all = append(all, s.Digest)
		}
	}
	return strings.Join(all, " ")
}

// audited tells the audit in short, the oldest first.
func (h *house) audited() string {
	rows, err := h.Audit(h.t.Context(), prefect.PolicyAuditFilter{})
	if err != nil {
		h.t.Fatal(err)
	}
	var all []string
	for _, a := range rows {
		all = append(all, a.Action+" "+a.Outcome)
	}
	return strings.Join(all, ", ")
}

func TestEachAttemptIsInTheAudit(t *testing.T) {
	good := newGuest("good").rule("A", "*>*", accept)
	modules := newGuests(good)
	h := newHouse(t, modules, "Nothing")
	actor := prefect.Actor{User: "me", Address: "10.0.0.1", Agent: "test"}
	ctx := prefect.WithActor(t.Context(), actor)
	digest := good.digest()
	for i, attempt := range []struct {
		do   func() error
		want prefect.PolicyAudit
	}{
		{func() error { _, _, err := h.AddModule(ctx, []byte("nonsense")); return err },
			prefect.PolicyAudit{Action: prefect.AuditPush, Outcome: prefect.AuditRefused, Reason: "no magic", Modules: []string{sandbox.Digest([]byte("nonsense"))}}},
		{func() error { _, _, err := h.AddModule(ctx, good.wasm()); return err },
			prefect.PolicyAudit{Action: prefect.AuditPush, Outcome: prefect.AuditDone, Modules: []string{digest}}},
		{func() error {
			return second(h.PutPolicy(ctx, prefect.CoreFlowPolicy, entries(t, modules, "A=good"), 1))
		},
			prefect.PolicyAudit{Action: prefect.AuditPut, Outcome: prefect.AuditDone, Policy: prefect.CoreFlowPolicy, Version: 2, Reason: "put", Modules: []string{digest}}},
		{func() error {
			return second(h.PutPolicy(ctx, prefect.CoreFlowPolicy, entries(t, modules, "A=good"), 1))
		},
			prefect.PolicyAudit{Action: prefect.AuditPut, Outcome: prefect.AuditRefused, Policy: prefect.CoreFlowPolicy, Reason: "stale", Modules: []string{digest}}},
		{func() error {
			return second(h.PutPolicy(ctx, prefect.CoreFlowPolicy, entries(t, modules, "A=good/B"), 2))
		},
			prefect.PolicyAudit{Action: prefect.AuditPut, Outcome: prefect.AuditRefused, Policy: prefect.CoreFlowPolicy, Reason: `no rule "B"`, Modules: []string{digest}}},
		{func() error { return second(h.PutPolicy(ctx, "Other", nil, 2)) },
			prefect.PolicyAudit{Action: prefect.AuditPut, Outcome: prefect.AuditRefused, Policy: "Other", Reason: "no policy"}},
		{func() error { return second(h.Rollback(ctx, prefect.CoreFlowPolicy, 9)) },
			prefect.PolicyAudit{Action: prefect.AuditRollback, Outcome: prefect.AuditRefused, Policy: prefect.CoreFlowPolicy, Reason: "no version 9"}},
		{func() error { return second(h.Rollback(ctx, prefect.CoreFlowPolicy, 1)) },
			prefect.PolicyAudit{Action: prefect.AuditRollback, Outcome: prefect.AuditDone, Policy: prefect.CoreFlowPolicy, Version: 3, Reason: "rollback to 1"}},
		{func() error { return h.Readmit(ctx, "sha256:0") },
			prefect.PolicyAudit{Action: prefect.AuditReadmit, Outcome: prefect.AuditRefused, Reason: "no module", Modules: []string{"sha256:0"}}},
		{func() error { return h.DeleteModule(ctx, digest) },
			prefect.PolicyAudit{Action: prefect.AuditRemove, Outcome: prefect.AuditDone, Modules: []string{digest}}},
	} {
		err := attempt.do()
		if refused := err != nil; refused != (attempt.want.Outcome == prefect.AuditRefused) {
			t.Fatalf("%d: %v", i, err)
		}
		rows, err := h.Audit(ctx, prefect.PolicyAuditFilter{})
		if err != nil || len(rows) != i+2 { // the first is the installation
			t.Fatalf("%d: %d rows %v", i, len(rows), err)
		}
		got, want := rows[i+1], attempt.want
		if got.Action != want.Action || got.Outcome != want.Outcome || got.Actor != actor || got.Policy != want.Policy || got.Version != want.Version ||
			!strings.Contains(got.Reason, want.Reason) || fmt.Sprint(got.Modules) != fmt.Sprint(want.Modules) || got.Created != moment {
			t.Errorf("%d: %+v, want %+v", i, got, want)
		}
	}
}

func TestLimitsOfEntries(t *testing.T) {
	g := newGuest("g").rule("A", "*>*", accept).rule("B", "*>*", accept).rule("C", "*>*", accept)
	core := newGuest("core").rule("Nothing", "*>*", accept)
	h := newHouse(t, newGuests(g, core), "Nothing")
	list := entries(t, h.modules, "A=g", "B=g", "C=g", "Nothing")
	list[1].Fuel, list[1].StackBytes, list[2].Fuel, list[2].StackBytes = 5000, 4096, 5000, 4096
	if _, err := h.PutPolicy(t.Context(), prefect.CoreFlowPolicy, list, 1); err != nil {
		t.Fatal(err)
	}
	o := h.decide(transition(prefect.Running, prefect.Paused))
	if g.calls.Load() != 2 { // A has other limits than B and C
		t.Errorf("%d calls", g.calls.Load())
	}
	if asked := g.asked.Load(); asked.Fuel != 5000 || asked.StackBytes != 4096 || !asked.Courteous {
		t.Errorf("called with %+v", asked)
	}
	if asked := core.asked.Load(); asked.Fuel != builtinFuel || asked.StackBytes != 0 || asked.Courteous {
		t.Errorf("the built-in was called with %+v", asked)
	}
	if o.Rules[0].MaxFuel != 0 || o.Rules[1].MaxFuel != 5000 {
		t.Errorf("recorded %+v", o.Rules)
	}
	for _, wrong := range []func(list []prefect.PolicyEntry){
		func(l []prefect.PolicyEntry) { l[0].Fuel = prefect.MinEntryFuel - 1 },
		func(l []prefect.PolicyEntry) { l[0].Fuel = prefect.MaxEntryFuel + 1 },
		func(l []prefect.PolicyEntry) { l[0].StackBytes = prefect.MinEntryStackBytes - 1 },
		func(l []prefect.PolicyEntry) { l[0].StackBytes = prefect.MaxEntryStackBytes + 1 },
		func(l []prefect.PolicyEntry) { l[3].Fuel = 5000 },
	} {
		list := entries(t, h.modules, "A=g", "B=g", "C=g", "Nothing")
		wrong(list)
		if _, err := h.PutPolicy(t.Context(), prefect.CoreFlowPolicy, list, 2); prefect.CodeOf(err) != prefect.Invalid {
			t.Errorf("limits %+v: %v", list, err)
		}
	}
}

func TestNoLaneComesFree(t *testing.T) {
	h, bad := failing(t, "fallback", callError(sandbox.KindTrap))
	h.lanes.patience = time.Millisecond
	for range cap(h.lanes.taken) {
		h.lanes.taken <- struct{}{}
	}
	if o := h.decide(transition(prefect.Running, prefect.Paused)); decisions(o) != "A:REJECT(fallback) B:skipped" || !strings.Contains(o.Rules[0].Error, "busy") {
		t.Errorf("%s %s", decisions(o), o.Rules[0].Error)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.lanes.enter(ctx, new(share)); err == nil {
		t.Error("entered")
	}
	for range cap(h.lanes.taken) {
		<-h.lanes.taken
	}
	if bad.calls.Load() != 0 || h.Quarantined(bad.digest()) {
		t.Errorf("%d calls", bad.calls.Load())
	}
}
