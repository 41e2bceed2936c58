package policy

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/host/sandbox"
	"github.com/interlock-run/interlock/policies/builtin"
)

// builtins opens a registry with the built-in module in a sandbox and the default
// policies.
func builtins(t testing.TB) *Registry {
	t.Helper()
	wasm, err := builtin.Module()
	if err != nil {
		t.Fatal(err)
	}
	runtime, err := sandbox.New(context.Background(), sandbox.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = runtime.Close(context.Background()) })
	var defaults []prefect.PolicyVersion
	for _, p := range builtin.Policies() {
		v := prefect.PolicyVersion{Name: p.Name}
		for _, e := range p.Entries {
			entry := prefect.PolicyEntry{Name: e.Name, Module: prefect.BuiltinModule, Rule: e.Name, OnError: prefect.Fallback}
			if e.Host {
				entry.Module, entry.OnError = prefect.HostModule, prefect.Open
			}
			v.Entries = append(v.Entries, entry)
		}
		defaults = append(defaults, v)
	}
	r, err := Open(context.Background(), Config{
		Store: newShelf(), Modules: Sandbox(runtime), Builtin: wasm, Defaults: defaults, Now: func() prefect.Time { return moment },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// oneRun is a Store with one flow run that never changes, and all that was to be
// written to it.
type oneRun struct {
	run  *prefect.FlowRun
	last *orchestrate.Commit
}

func (s *oneRun) ReadFlowRun(context.Context, uuid.UUID) (*prefect.FlowRun, error) {
	run := *s.run
	return &run, nil
}

func (s *oneRun) ReadTaskRun(context.Context, uuid.UUID) (*prefect.TaskRun, error) {
	return nil, prefect.Errorf(prefect.NotFound, "no task runs")
}

func (s *oneRun) Facts(context.Context, orchestrate.FactKeys) (orchestrate.Facts, error) {
	return orchestrate.Facts{}, nil
}

func (s *oneRun) FindDecision(context.Context, prefect.RunType, uuid.UUID, uuid.UUID) (*prefect.Decision, *prefect.State, error) {
	return nil, nil, nil
}

func (s *oneRun) Commit(_ context.Context, c *orchestrate.Commit) error {
	s.last = c
	return nil
}

func (s *oneRun) Exclusive(_ context.Context, _ prefect.RunType, _ uuid.UUID, fn func(orchestrate.Store) error) error {
	return fn(s)
}

func conductor(s *oneRun, policies orchestrate.Evaluator) *orchestrate.Orchestrator {
	return &orchestrate.Orchestrator{
		Store: s, Policies: policies, Now: func() prefect.Time { return moment }, NewID: func() uuid.UUID { return uuid.Must(uuid.NewV7()) },
	}
}

func proposal(kind prefect.StateType) orchestrate.Proposal {
	s := &prefect.State{Type: kind, Details: prefect.NewStateDetails()}
	s.Details.TransitionID = ptr(uuid.New())
	return orchestrate.Proposal{State: s}
}

func TestTheBuiltInRulesDecide(t *testing.T) {
	r := builtins(t)
	lease := uuid.New()
	for _, c := range []struct {
		name     string
		initial  prefect.StateType
		proposed prefect.StateType
		arrange  func(run *prefect.FlowRun, p *orchestrate.Proposal)
		status   prefect.Status
		want     string // the state's name
		check    func(c *orchestrate.Commit) bool
	}{
		{"a failed run is retried", prefect.Running, prefect.Failed, func(run *prefect.FlowRun, p *orchestrate.Proposal) {
			run.Policy = prefect.FlowRunPolicy{Retries: ptr(2), RetryDelay: ptr(30), PauseKeys: []string{"k"}}
			run.RunCount = 2
			run.State.Details.DeploymentConcurrencyLeaseID = &lease
			p.State.Message, p.State.Data = ptr("boom"), json.RawMessage(`{"type":"result"}`)
		}, prefect.Reject, "AwaitingRetry", func(c *orchestrate.Commit) bool {
			d, p := c.State.Details, c.FlowRun.Policy
			return *c.Decision.Reason == "Retrying" && d.ScheduledTime.Equal(moment.Add(30*time.Second).Time) && *d.DeploymentConcurrencyLeaseID == lease &&
				*c.State.Message == "boom" && string(c.State.Data) == `{"type":"result"}` &&
				*p.RetryType == "in_process" && !*p.Resuming && len(p.PauseKeys) == 0 && c.FlowRun.NextScheduledStartTime.Equal(d.ScheduledTime.Time)
		}},
		{"until it has had its retries", prefect.Running, prefect.Failed, func(run *prefect.FlowRun, _ *orchestrate.Proposal) {
			run.Policy = prefect.FlowRunPolicy{Retries: ptr(2), RetryType: ptr("in_process")}
			run.RunCount = 3
		}, prefect.Accept, "Failed", func(c *orchestrate.Commit) bool {
			return c.FlowRun.Policy.RetryType == nil && c.FlowRun.EndTime.Equal(c.State.Timestamp.Time)
		}},
		{"it waits for its time", prefect.Scheduled, prefect.Running, func(run *prefect.FlowRun, _ *orchestrate.Proposal) {
			run.State.Details.ScheduledTime = moment.Add(90 * time.Second).Ptr()
		}, prefect.Wait, "Scheduled", func(c *orchestrate.Commit) bool { return c.State == nil && c.Decision.DelaySeconds == 90 }},
		{"the scheduled time is carried", prefect.Scheduled, prefect.Pending, func(run *prefect.FlowRun, _ *orchestrate.Proposal) {
			run.State.Details.ScheduledTime = moment.Add(-time.Second).Ptr()
		}, prefect.Accept, "Pending", func(c *orchestrate.Commit) bool {
			return c.State.Details.ScheduledTime.Equal(moment.Add(-time.Second).Time)
		}},
		{"a running run is not made pending", prefect.Running, prefect.Pending, func(*prefect.FlowRun, *orchestrate.Proposal) {},
			prefect.Abort, "Running", func(c *orchestrate.Commit) bool { return c.State == nil }},
		{"an ended run is not paused", prefect.Completed, prefect.Paused, func(*prefect.FlowRun, *orchestrate.Proposal) {},
			prefect.Abort, "Completed", func(c *orchestrate.Commit) bool { return c.State == nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := transition(c.initial, c.proposed)
			s := &oneRun{run: tr.FlowRun}
			s.run.State = tr.Initial
			p := proposal(c.proposed)
			c.arrange(s.run, &p)
			reply, err := conductor(s, r).SetFlowRunState(t.Context(), s.run.ID, p)
			if err != nil {
				t.Fatal(err)
			}
			if reply.Status != c.status || reply.State.Name != c.want || !c.check(s.last) {
				t.Errorf("%s %s %+v\n%+v", reply.Status, reply.State.Name, s.last.State, s.last.Decision)
			}
			for _, rule := range s.last.Decision.Rules {
				if rule.Error != "" || !rule.Builtin || rule.Module != r.builtin.Digest() {
					t.Errorf("%+v", rule)
				}
			}
		})
	}
}

// What the policies cost a transition: the same one without a database, decided
// by the bookkeeping alone and by the built-in rules.
func BenchmarkTransition(b *testing.B) {
	for name, c := range map[string]struct {
		policies          orchestrate.Evaluator
		initial, proposed prefect.StateType
	}{
		"bookkeeping/RUNNING-COMPLETED": {orchestrate.NoPolicies{}, prefect.Running, prefect.Completed},
		"bookkeeping/RUNNING-FAILED":    {orchestrate.NoPolicies{}, prefect.Running, prefect.Failed},
		"policies/RUNNING-COMPLETED":    {builtins(b), prefect.Running, prefect.Completed},
		"policies/RUNNING-FAILED":       {builtins(b), prefect.Running, prefect.Failed},
	} {
		b.Run(name, func(b *testing.B) {
			tr := transition(c.initial, c.proposed)
			s := &oneRun{run: tr.FlowRun}
			s.run.State, s.run.Policy.Retries, s.run.RunCount = tr.Initial, ptr(3), 1
			o := conductor(s, c.policies)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := o.SetFlowRunState(context.Background(), s.run.ID, proposal(c.proposed)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
