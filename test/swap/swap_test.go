// Package swap changes a policy over and over while clients are being served, one
// time in three to a module that is broken or hostile: no request may fail, each
// decision must come from the module that was active at that moment or from the
// built-in rule in its stead, what is refused changes nothing, and the audit tells
// of every attempt.
package swap

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
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
	clients = 8
	// between is how many failures are decided from one swap to the next.
	between      = 5
	swapDeadline = 10 * time.Minute // only a test that fails waits so long
	entryName    = "RetryFailedFlows"
	policyPath   = "/interlock/policies/" + prefect.CoreFlowPolicy
)

// swaps is how many are tried: few in every run of the tests, INTERLOCK_SWAPS in make
// swap.
func swaps() int {
	if n, err := strconv.Atoi(os.Getenv("INTERLOCK_SWAPS")); err == nil && n > 0 {
		return n
	}
	return 60
}

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
	l := &load{client: c}
	var flow struct{ ID string }
	if err := c.Post(t.Context(), "/flows/", map[string]any{"name": "swap"}, &flow); err != nil {
		t.Fatal(err)
	}
	l.flow = flow.ID
	w := newSwapper(t, c)
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
	for i := range swaps() {
		l.await(t)
		w.swap(t, i)
	}
	l.await(t)
	stop()
	working.Wait()
	t.Logf("%d swaps in %s", swaps(), time.Since(began))
	began = time.Now()
	defer func() { t.Logf("checked in %s", time.Since(began)) }()
	for _, wrong := range l.wrong {
		t.Errorf("a request failed: %s", wrong)
	}
	w.end()
	check(t, l, w)
	w.audit(t)
	fmt.Printf("swap: %d swaps (%d to working modules, %d to hostile ones, %d refused), %d failed requests, %d decisions, each of the module that was active then or of its stand-in, %d rows of audit\n",
		swaps(), w.good, w.hostile, w.refused, len(l.wrong), len(l.all), w.good+w.hostile+w.refused)
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
func check(t *testing.T, l *load, w *swapper) {
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
		v, known := w.versions[d.PolicyVersion]
		rule := retryRule(d)
		switch {
		case !known:
			t.Errorf("run %s was decided by version %d, which nobody made", f.run, d.PolicyVersion)
		case rule == nil:
			t.Errorf("run %s: %s was not asked: %+v", f.run, entryName, d)
		case rule.Decision != "REJECT":
			t.Errorf("run %s was not retried: %+v", f.run, rule)
		case v.hostile && (rule.Error == "" || rule.Handled != string(prefect.Fallback) || !rule.Builtin):
			t.Errorf("run %s: no built-in rule in the stead of a hostile one: %+v", f.run, rule)
		case v.hostile:
			used["hostile"]++
		case busy(rule):
			used["busy"]++
		case rule.Error != "":
			t.Errorf("run %s: the module failed: %s", f.run, rule.Error)
		case rule.Builtin != (v.module == prefect.BuiltinModule) || !rule.Builtin && rule.Module != v.module:
			t.Errorf("run %s was decided by %s, but version %d says %s", f.run, rule.Module, d.PolicyVersion, v.module)
		default:
			used[v.module]++
		}
		if known && !f.at.overlaps(v.active) {
			t.Errorf("run %s was decided by version %d, which was not active then", f.run, d.PolicyVersion)
		}
	}
	if used["busy"] > 0 {
		t.Logf("for %d decisions no module came free in time", used["busy"])
		delete(used, "busy")
	}
	if len(used) != 3 {
		t.Errorf("decisions by module: %v, want the built-in one, another and hostile ones", used)
	}
}

// busy reports whether the built-in rule decided because calls of modules, hostile
// ones for the most part, were under way for too long on a slow machine.
func busy(r *prefect.RuleDecision) bool {
	return strings.HasPrefix(r.Error, "policy module: busy: ") && r.Handled == string(prefect.Fallback) && r.Builtin
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
