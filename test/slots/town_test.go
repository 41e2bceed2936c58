package slots

import (
	"context"
	"fmt"
	"log"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host"
	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/policy"
	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/host/sandbox"
	"github.com/interlock-run/interlock/policies/builtin"
	"github.com/interlock-run/interlock/store"
	"github.com/interlock-run/interlock/store/storetest"
	"github.com/interlock-run/interlock/store/storetest/pgtest"
	"github.com/interlock-run/interlock/test/servers"
)

// town is the store, the built-in policies and the orchestrator in this process,
// by a clock that the test moves.
type town struct {
	*orchestrate.Orchestrator
	t    *testing.T
	db   *store.DB
	exec func(string)
	flow uuid.UUID

	mu  sync.Mutex
	now time.Time
}

// runtime is one for all towns, so that the built-in module is compiled once.
var runtime *sandbox.Runtime

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	defer pgtest.Stop()
	home, err := os.MkdirTemp("", "interlock-slots-")
	if err != nil {
		log.Print(err)
		return 1
	}
	defer os.RemoveAll(home)
	if runtime, err = sandbox.New(context.Background(), sandbox.Config{CacheDir: home}); err != nil {
		log.Print(err)
		return 1
	}
	defer func() { _ = runtime.Close(context.Background()) }()
	return m.Run()
}

// eachTown runs fn on both databases.
func eachTown(t *testing.T, fn func(w *town)) {
	for kind, url := range storetest.URLs(t) {
		t.Run(kind, func(t *testing.T) { fn(newTown(t, url)) })
	}
}

func newTown(t *testing.T, url string) *town {
	t.Helper()
	w := &town{t: t, now: time.Now()}
	var err error
	w.db, err = store.Open(t.Context(), url, store.Options{Now: w.clock})
	w.must(err)
	t.Cleanup(func() { w.db.Close() })
	wasm, err := builtin.Module()
	w.must(err)
	config := host.DefaultConfig()
	registry, err := policy.Open(t.Context(), policy.Config{
		Store: w.db, Modules: policy.Sandbox(runtime), Builtin: wasm,
		Defaults: host.DefaultPolicies(), Settings: host.RuleSettings(&config), Now: w.clock,
	})
	w.must(err)
	t.Cleanup(registry.Close)
	w.Orchestrator = &orchestrate.Orchestrator{Store: w.db, Policies: registry, Now: w.clock, NewID: prefect.NewID}

	raw, err := servers.OpenDatabase(url)
	w.must(err)
	t.Cleanup(func() { raw.Close() })
	w.exec = func(query string) {
		t.Helper()
		_, err := raw.Exec(query)
		w.must(err)
	}
	flow := &prefect.Flow{ID: prefect.NewID(), Name: "slots"}
	_, err = w.db.CreateFlow(t.Context(), flow)
	w.must(err)
	w.flow = flow.ID
	return w
}

func (w *town) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// clock moves by a microsecond a reading, so that no two stamps are equal.
func (w *town) clock() prefect.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(time.Microsecond)
	return prefect.NewTime(w.now)
}

func (w *town) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// limit makes a limit and returns its id.
func (w *town) limit(name string, slots int) uuid.UUID {
	w.t.Helper()
	now := w.clock()
	l := &prefect.ConcurrencyLimit{ID: prefect.NewID(), Created: now, Updated: now, Active: true, Name: name, Limit: slots, AvgSlotOccupancySeconds: 2}
	w.must(w.db.CreateConcurrencyLimit(w.t.Context(), l))
	return l.ID
}

// limitOf is the name of a deployment's limit.
func limitOf(deployment uuid.UUID) string { return "deployment:" + deployment.String() }

// deployment makes one with a limit of so many slots.
func (w *town) deployment(slots int) uuid.UUID {
	w.t.Helper()
	id := prefect.NewID()
	limit := w.limit(limitOf(id), slots)
	w.exec(fmt.Sprintf("INSERT INTO deployment (id, name, flow_id, paused, concurrency_limit_id) VALUES ('%s', '%s', '%s', false, '%s')", id, id, w.flow, limit))
	return id
}

// used is how many slots of a limit are taken.
func (w *town) used(name string) int {
	w.t.Helper()
	l, err := w.db.ReadConcurrencyLimit(w.t.Context(), name)
	w.must(err)
	return l.ActiveSlots
}

func (w *town) wantUsed(when string, deployment uuid.UUID, want int) {
	w.t.Helper()
	if got := w.used(limitOf(deployment)); got != want {
		w.t.Errorf("%s: %d slots are taken, want %d", when, got, want)
	}
}

func (w *town) change(name string, fn func(*prefect.ConcurrencyLimit)) {
	w.t.Helper()
	w.must(w.db.UpdateConcurrencyLimit(w.t.Context(), name, func(l *prefect.ConcurrencyLimit) error { fn(l); return nil }))
}

// flowRun makes a run of a deployment, SCHEDULED for now.
func (w *town) flowRun(deployment *uuid.UUID) uuid.UUID {
	w.t.Helper()
	run := &prefect.FlowRun{FlowID: w.flow, DeploymentID: deployment, Name: "r"}
	_, err := w.CreateFlowRun(w.t.Context(), run, propose(prefect.Scheduled))
	w.must(err)
	return run.ID
}

func (w *town) taskRun(flowRun *uuid.UUID, tags ...string) uuid.UUID {
	w.t.Helper()
	run := &prefect.TaskRun{FlowRunID: flowRun, Name: "t", TaskKey: prefect.NewID().String(), DynamicKey: "0", Tags: tags}
	_, err := w.CreateTaskRun(w.t.Context(), run, propose(prefect.Pending))
	w.must(err)
	return run.ID
}

// propose is a proposal of today's client; changes are applied in order.
func propose(kind prefect.StateType, changes ...func(*orchestrate.Proposal)) orchestrate.Proposal {
	p := orchestrate.Proposal{
		State:  &prefect.State{Type: kind, Details: prefect.NewStateDetails()},
		Client: orchestrate.Client{Version: "3.8.8", APIVersion: "0.8.4"},
	}
	for _, change := range changes {
		change(&p)
	}
	return p
}

func byForce(p *orchestrate.Proposal)       { p.Force = true }
func byAnOldClient(p *orchestrate.Proposal) { p.Client.Version = "3.4.10" }
func byAnOldWorker(p *orchestrate.Proposal) { p.Client.Version = "3.0.2" }
func suspending(p *orchestrate.Proposal)    { p.State.Details.PauseReschedule = true }
func named(s string) func(*orchestrate.Proposal) {
	return func(p *orchestrate.Proposal) { p.State.Name = s }
}

// set proposes a state for a flow run and wants this answer and the run in that
// state.
func (w *town) set(run uuid.UUID, p orchestrate.Proposal, status prefect.Status, name string) *prefect.State {
	w.t.Helper()
	r, err := w.SetFlowRunState(w.t.Context(), run, p)
	w.must(err)
	return w.wanted(r, p, status, name)
}

// setTask is set for a task run.
func (w *town) setTask(run uuid.UUID, p orchestrate.Proposal, status prefect.Status, name string) *prefect.State {
	w.t.Helper()
	r, err := w.SetTaskRunState(w.t.Context(), run, p)
	w.must(err)
	return w.wanted(r, p, status, name)
}

func (w *town) wanted(r *prefect.OrchestrationResult, p orchestrate.Proposal, status prefect.Status, name string) *prefect.State {
	w.t.Helper()
	if r.Status != status || r.State.Name != name {
		reason := ""
		if r.Details.Reason != nil {
			reason = *r.Details.Reason
		}
		w.t.Errorf("%s: answered %s (%s) %s, want %s %s", p.State.Type, r.Status, reason, r.State.Name, status, name)
	}
	return r.State
}

// start takes a run from SCHEDULED to RUNNING and returns its lease.
func (w *town) start(run uuid.UUID) uuid.UUID {
	w.t.Helper()
	s := w.set(run, propose(prefect.Pending), prefect.Accept, "Pending")
	w.set(run, propose(prefect.Running), prefect.Accept, "Running")
	if s.Details.DeploymentConcurrencyLeaseID == nil {
		w.t.Fatal("a PENDING run names no lease")
	}
	return *s.Details.DeploymentConcurrencyLeaseID
}

// sweep is a pass of the lease reaper.
func (w *town) sweep() int {
	w.t.Helper()
	total := 0
	for {
		n, err := w.db.ExpireLeases(w.t.Context(), 100)
		w.must(err)
		if total += n; n < 100 {
			return total
		}
	}
}
