package host

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/event"
	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store"
)

// shareRuns is how many flow runs, each with a task run, go through their lives.
const shareRuns = 300

// chain is what a policy is asked about.
type chain struct {
	policy            string
	initial, proposed prefect.StateType
}

// stopwatch measures the evaluations of an evaluator: choosing the entries, both
// phases with all that leads there and back, but not reading the facts.
type stopwatch struct {
	orchestrate.Evaluator
	chain chain // the last one
	took  time.Duration
	asked int
}

type timedPlan struct {
	orchestrate.Plan
	w *stopwatch
}

func (w *stopwatch) Plan(policy string, t *orchestrate.Transition) orchestrate.Plan {
	defer w.lap(time.Now())
	w.chain = chain{policy, prefect.TypeOf(t.Initial), t.Proposed.Type}
	return timedPlan{w.Evaluator.Plan(policy, t), w}
}

func (w *stopwatch) lap(began time.Time) { w.took += time.Since(began) }

func (p timedPlan) Before(ctx context.Context, t *orchestrate.Transition) (*orchestrate.Outcome, error) {
	defer p.w.lap(time.Now())
	o, err := p.Plan.Before(ctx, t)
	if o != nil {
		p.w.asked = len(o.Rules)
	}
	return o, err
}

func (p timedPlan) After(ctx context.Context, t *orchestrate.Transition, o *orchestrate.Outcome) error {
	defer p.w.lap(time.Now())
	err := p.Plan.After(ctx, t, o)
	p.w.asked = len(o.Rules)
	return err
}

func (p timedPlan) Release() {
	defer p.w.lap(time.Now())
	p.Plan.Release()
}

// share is what the requests of one chain took.
type share struct {
	rules                int
	evaluation, requests []time.Duration
}

// shares runs lives over HTTP, one request after the other.
type shares struct {
	b     *testing.B
	url   string
	watch *stopwatch
	order []chain
	of    map[chain]*share
}

// post sends a request and returns the id in its reply. One that asked a policy is
// kept.
func (s *shares) post(path string, body any) string {
	text, err := json.Marshal(body)
	if err != nil {
		s.b.Fatal(err)
	}
	s.watch.took, s.watch.chain = 0, chain{}
	began := time.Now()
	resp, err := http.Post(s.url+"/api"+path, "application/json", bytes.NewReader(text))
	if err != nil {
		s.b.Fatal(err)
	}
	reply, err := io.ReadAll(resp.Body)
	took := time.Since(began)
	resp.Body.Close()
	if err != nil || resp.StatusCode >= 300 {
		s.b.Fatalf("%s: %d %s %v", path, resp.StatusCode, reply, err)
	}
	if c := s.watch.chain; c.policy != "" {
		if s.of[c] == nil {
			s.of[c], s.order = &share{}, append(s.order, c)
		}
		p := s.of[c]
		p.rules, p.evaluation, p.requests = s.watch.asked, append(p.evaluation, s.watch.took), append(p.requests, took)
	}
	var noun struct{ ID string }
	_ = json.Unmarshal(reply, &noun) // a list of its own has none
	return noun.ID
}

func (s *shares) propose(path, kind string, details map[string]any) {
	if details == nil {
		details = map[string]any{}
	}
	details["transition_id"] = uuid.NewString()
	s.post(path+"/set_state", map[string]any{"state": map[string]any{"type": kind, "state_details": details}})
}

// live takes a flow run and a task run of it through their lives.
func (s *shares) live(flow string, n int) {
	retries := map[string]any{"retries": 1, "retry_delay": 0}
	run := "/flow_runs/" + s.post("/flow_runs/", map[string]any{"flow_id": flow, "tags": []string{"prod", "etl"}, "empirical_policy": retries,
		"parameters": map[string]any{"x": 1}, "state": map[string]any{"type": "SCHEDULED"}})
	s.propose(run, "PENDING", nil)
	s.propose(run, "RUNNING", nil)
	task := "/task_runs/" + s.post("/task_runs/", map[string]any{"flow_run_id": run[len("/flow_runs/"):], "task_key": "extract-1a2b3c4d", "dynamic_key": "0",
		"empirical_policy": retries, "state": map[string]any{"type": "PENDING"}})
	cached := map[string]any{"cache_key": fmt.Sprint("a key of run ", n)}
	s.propose(task, "RUNNING", cached)
	s.propose(task, "FAILED", nil)
	s.propose(task, "RUNNING", cached)
	s.propose(task, "COMPLETED", cached)
	s.propose(run, "FAILED", nil)
	s.propose(run, "RUNNING", nil)
	s.propose(run, "PAUSED", map[string]any{"pause_timeout": time.Now().Add(time.Hour), "pause_key": "1"})
	s.propose(run, "RUNNING", nil)
	s.propose(run, "COMPLETED", nil)
}

// BenchmarkShare prints which share of a whole request, over HTTP and with SQLite,
// its policies' evaluation has.
func BenchmarkShare(b *testing.B) {
	s := shareServer(b)
	flow := s.post("/flows/", map[string]any{"name": "share"})
	for n := range shareRuns {
		if n == shareRuns/10 { // the first ones are not those that count
			s.of, s.order = map[chain]*share{}, nil
		}
		s.live(flow, n)
	}
	fmt.Printf("\n## Evaluation in whole requests: one client, SQLite, µs\n\n")
	fmt.Println("| policy | transition | rules | evaluation p50 | p99 | request p50 | p99 | share of the median |\n|---|---|---|---|---|---|---|---|")
	for _, c := range s.order {
		p := s.of[c]
		slices.Sort(p.evaluation)
		slices.Sort(p.requests)
		at := func(all []time.Duration, percent int) float64 {
			return float64(all[len(all)*percent/100]) / float64(time.Microsecond)
		}
		from := string(c.initial)
		if from == "" {
			from = "none"
		}
		fmt.Printf("| %s | %s → %s | %d | %.1f | %.1f | %.0f | %.0f | %.1f %% |\n", c.policy, from, c.proposed, p.rules, at(p.evaluation, 50), at(p.evaluation, 99),
			at(p.requests, 50), at(p.requests, 99), 100*at(p.evaluation, 50)/at(p.requests, 50))
	}
}

// shareServer is a server whose evaluations are measured.
func shareServer(b *testing.B) *shares {
	c := DefaultConfig()
	c.Home = b.TempDir()
	s := &Server{config: c, logger: slog.New(slog.DiscardHandler)}
	b.Cleanup(func() { _ = s.close(context.Background()) })
	db, err := store.Open(b.Context(), c.URL(), store.Options{Logger: s.logger, Now: now})
	if err != nil {
		b.Fatal(err)
	}
	s.onClose(func(context.Context) error { return db.Close() })
	s.hub = event.New(event.Config{Store: db, Logger: s.logger, Now: now, NoRelay: true})
	counts := newMeters(db, c.Version)
	registry, err := s.openPolicies(b.Context(), db, counts)
	if err != nil {
		b.Fatal(err)
	}
	watch := &stopwatch{Evaluator: registry}
	conductor := &orchestrate.Orchestrator{Store: db, Policies: watch, Now: now, NewID: prefect.NewID, Notify: s.hub.Notify}
	web := httptest.NewServer(s.handler(db, conductor, registry, counts))
	b.Cleanup(web.Close)
	return &shares{b: b, url: web.URL, watch: watch, of: map[chain]*share{}}
}
