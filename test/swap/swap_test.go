// Package swap changes a policy over and over while clients are being served:
// no request may fail, and each decision must come from the module that was
// active at that moment.
package swap

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store/storetest/pgtest"
	"github.com/interlock-run/interlock/test/rest"
	"github.com/interlock-run/interlock/test/servers"
)

const (
	swaps   = 200
	clients = 8
	// between is how many failures are decided from one swap to the next.
	between      = 5
	swapDeadline = 30 * time.Second
	entryName    = "RetryFailedFlows"
	policyPath   = "/interlock/policies/" + prefect.CoreFlowPolicy
)

func TestMain(m *testing.M) {
	code := m.Run()
	pgtest.Stop()
	os.Exit(code)
}

func TestSwapsUnderLoad(t *testing.T) {
	for _, name := range []string{"sqlite", "postgres"} {
		t.Run(name, func(t *testing.T) {
			o := servers.Options{Kind: servers.Interlock}
			if name == "postgres" {
				o.DatabaseURL = servers.Postgres(t)
			}
			s := servers.Run(t, o)
			swapUnderLoad(t, rest.New(s.URL, 0))
		})
	}
}

// interval is when something was under way.
type interval struct{ from, to time.Time }

func (i interval) overlaps(o interval) bool { return !i.to.Before(o.from) && !o.to.Before(i.from) }

// failure is one RUNNING → FAILED that a client proposed.
type failure struct {
	run        string
	transition string
	at         interval
}

// load is what the clients do and see.
type load struct {
	client  *rest.Client
	flow    string
	decided atomic.Int64
	mu      sync.Mutex
	all     []failure
	wrong   []string
}

func swapUnderLoad(t *testing.T, c *rest.Client) {
	t.Helper()
	backoff := push(t, c, "backoff.wasm")
	var flow struct{ ID string }
	if err := c.Post(t.Context(), "/flows/", map[string]any{"name": "swap"}, &flow); err != nil {
		t.Fatal(err)
	}
	l := &load{client: c, flow: flow.ID}
	ctx, stop := context.WithCancel(t.Context())
	var working sync.WaitGroup
	for range clients {
		working.Go(func() {
			for ctx.Err() == nil {
				l.fail()
			}
		})
	}
	began := time.Now()
	versions := swapAll(t, c, l, backoff)
	t.Logf("%d swaps in %s", swaps, time.Since(began))
	stop()
	working.Wait()
	began = time.Now()
	defer func() { t.Logf("checked in %s", time.Since(began)) }()
	for _, w := range l.wrong {
		t.Errorf("a request failed: %s", w)
	}
	check(t, l, versions)
	fmt.Printf("swap: %d swaps, %d failed requests, %d decisions, each of a module active at that moment\n", swaps, len(l.wrong), len(l.all))
}

func push(t *testing.T, c *rest.Client, name string) string {
	t.Helper()
	root, err := servers.Root()
	if err != nil {
		t.Fatal(err)
	}
	wasm, err := os.ReadFile(filepath.Join(root, "bin/policies", name))
	if err != nil {
		t.Fatalf("%v: run 'make build'", err)
	}
	reply, err := c.Do(t.Context(), rest.Request{Method: http.MethodPost, Path: "/interlock/modules", Body: wasm, Header: map[string]string{"Content-Type": "application/wasm"}})
	if err != nil {
		t.Fatal(err)
	}
	var m struct{ Digest string }
	if err := reply.JSON(&m); err != nil || m.Digest == "" {
		t.Fatalf("push %s: %d %s %v", name, reply.Status, reply.Raw, err)
	}
	return m.Digest
}

// version is what a version of the policy says, and when it was active.
type version struct {
	module string
	active interval
}

// swapAll changes the entry's module there and back. A version is active from
// when it was asked for until the next one was confirmed.
func swapAll(t *testing.T, c *rest.Client, l *load, digest string) map[int]version {
	t.Helper()
	var p prefect.PolicyVersion
	if err := c.Get(t.Context(), policyPath, &p); err != nil {
		t.Fatal(err)
	}
	versions := map[int]version{p.Version: {prefect.BuiltinModule, interval{time.Now(), time.Time{}}}}
	for i := range swaps {
		l.await(t)
		next := prefect.PolicyEntry{Name: entryName, Module: digest, Rule: "BackoffRetry", OnError: prefect.Fallback}
		if i%2 == 1 {
			next = prefect.PolicyEntry{Name: entryName, Module: prefect.BuiltinModule, Rule: entryName, OnError: prefect.Fallback}
		}
		for j := range p.Entries {
			if p.Entries[j].Name == entryName {
				p.Entries[j] = next
			}
		}
		reply, err := c.Do(t.Context(), rest.Request{Method: http.MethodPut, Path: policyPath, Body: map[string]any{"entries": p.Entries, "version": p.Version}})
		if err != nil {
			t.Fatal(err)
		}
		if reply.Status >= 300 {
			t.Fatalf("swap %d: %d %s", i, reply.Status, reply.Raw)
		}
		before := versions[p.Version]
		before.active.to = reply.Received
		versions[p.Version] = before
		if err := reply.JSON(&p); err != nil {
			t.Fatal(err)
		}
		versions[p.Version] = version{next.Module, interval{reply.Sent, time.Time{}}}
	}
	l.await(t)
	last := versions[p.Version]
	last.active.to = time.Now().Add(time.Hour)
	versions[p.Version] = last
	return versions
}

// await returns when some more failures were decided.
func (l *load) await(t *testing.T) {
	t.Helper()
	target := l.decided.Load() + between
	for deadline := time.Now().Add(swapDeadline); l.decided.Load() < target; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %d decisions within %s", between, swapDeadline)
		}
	}
}

// fail makes a run and takes it to its first failure, which its policy retries.
func (l *load) fail() {
	var run struct{ ID string }
	body := map[string]any{"flow_id": l.flow, "empirical_policy": map[string]any{"retries": 1}, "state": map[string]any{"type": "PENDING"}}
	if l.send("/flow_runs/", body, &run) == nil {
		return
	}
	path := "/flow_runs/" + run.ID + "/set_state"
	if l.send(path, map[string]any{"state": map[string]any{"type": "RUNNING"}}, nil) == nil {
		return
	}
	id := uuid.NewString()
	state := map[string]any{"type": "FAILED", "state_details": map[string]any{"transition_id": id}}
	if at := l.send(path, map[string]any{"state": state}, nil); at != nil {
		l.decided.Add(1)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all = append(l.all, failure{run.ID, id, *at})
	}
}

// send posts a body and returns when it was under way, nil if it failed.
func (l *load) send(path string, body, out any) *interval {
	reply, err := l.client.Do(context.Background(), rest.Request{Method: http.MethodPost, Path: path, Body: body})
	if err == nil && reply.Status != http.StatusCreated {
		err = fmt.Errorf("%d %.200s", reply.Status, reply.Raw)
	}
	if err == nil && out != nil {
		err = reply.JSON(out)
	}
	if err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.wrong = append(l.wrong, fmt.Sprintf("%s: %v", path, err))
		return nil
	}
	return &interval{reply.Sent, reply.Received}
}

// check reads the decision on each failure and compares it with the version
// that it names, and that with the time.
func check(t *testing.T, l *load, versions map[int]version) {
	t.Helper()
	used := map[string]int{}
	for _, f := range l.all {
		var decisions []prefect.Decision
		if err := l.client.Get(t.Context(), "/interlock/decisions?flow_run_id="+f.run, &decisions); err != nil {
			t.Fatal(err)
		}
		d := of(decisions, f.transition)
		if d == nil {
			t.Errorf("run %s has no decision on its failure", f.run)
			continue
		}
		v, known := versions[d.PolicyVersion]
		rule := retryRule(d)
		switch {
		case !known:
			t.Errorf("run %s was decided by version %d, which nobody made", f.run, d.PolicyVersion)
		case rule == nil:
			t.Errorf("run %s: %s was not asked: %+v", f.run, entryName, d)
		case rule.Error != "":
			t.Errorf("run %s: the module failed: %s", f.run, rule.Error)
		case rule.Builtin != (v.module == prefect.BuiltinModule) || !rule.Builtin && rule.Module != v.module:
			t.Errorf("run %s was decided by %s, but version %d says %s", f.run, rule.Module, d.PolicyVersion, v.module)
		case !f.at.overlaps(v.active):
			t.Errorf("run %s was decided by version %d, which was not active then", f.run, d.PolicyVersion)
		default:
			used[v.module]++
		}
	}
	if len(used) != 2 {
		t.Errorf("decisions by module: %v, want two modules", used)
	}
}

func of(decisions []prefect.Decision, transition string) *prefect.Decision {
	for i := range decisions {
		if id := decisions[i].TransitionID; id != nil && id.String() == transition {
			return &decisions[i]
		}
	}
	return nil
}

func retryRule(d *prefect.Decision) *prefect.RuleDecision {
	for i := range d.Rules {
		if d.Rules[i].Name == entryName {
			return &d.Rules[i]
		}
	}
	return nil
}
