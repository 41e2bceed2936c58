package policy

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/host/sandbox"
)

// costCalls is how often BenchmarkEvaluation asks each chain.
const costCalls = 4000

// size is a module that keeps the size of the last context.
type size struct {
	Module
	bytes int
	calls int
}

func (s *size) Call(ctx context.Context, in []byte, o sandbox.CallOptions) (*sandbox.Result, error) {
	s.bytes, s.calls = len(in), s.calls+1
	return s.Module.Call(ctx, in, o)
}

// BenchmarkEvaluation prints what the built-in rules take of a transition's time,
// for the pairs of types that clients propose: from the choice of the entries to
// the decisions and effects, with both phases, and without the database.
func BenchmarkEvaluation(b *testing.B) {
	r := builtins(b)
	spy := &size{Module: r.builtin.Module}
	r.builtin.Module = spy
	fmt.Printf("\n## Evaluation: µs a transition, %d of each\n\n", costCalls)
	fmt.Println("| policy | transition | rules | calls | context, bytes | p50 | p99 | least |\n|---|---|---|---|---|---|---|---|")
	for _, c := range []struct {
		policy            string
		run               prefect.RunType
		initial, proposed prefect.StateType
	}{
		{prefect.CoreFlowPolicy, prefect.FlowRunType, "", prefect.Scheduled},
		{prefect.CoreFlowPolicy, prefect.FlowRunType, prefect.Scheduled, prefect.Pending},
		{prefect.CoreFlowPolicy, prefect.FlowRunType, prefect.Pending, prefect.Running},
		{prefect.CoreFlowPolicy, prefect.FlowRunType, prefect.Scheduled, prefect.Running}, // AwaitingRetry
		{prefect.CoreFlowPolicy, prefect.FlowRunType, prefect.Running, prefect.Completed},
		{prefect.CoreFlowPolicy, prefect.FlowRunType, prefect.Running, prefect.Failed},
		{prefect.CoreFlowPolicy, prefect.FlowRunType, prefect.Running, prefect.Paused},
		{prefect.CoreFlowPolicy, prefect.FlowRunType, prefect.Paused, prefect.Running},
		{prefect.MinimalFlowPolicy, prefect.FlowRunType, prefect.Running, prefect.Cancelling},
		{prefect.MarkLateRunsPolicy, prefect.FlowRunType, prefect.Scheduled, prefect.Scheduled},
		{prefect.CoreTaskPolicy, prefect.TaskRunType, prefect.Pending, prefect.Running}, // with a cache key
		{prefect.CoreTaskPolicy, prefect.TaskRunType, prefect.Running, prefect.Completed},
		{prefect.CoreTaskPolicy, prefect.TaskRunType, prefect.Running, prefect.Failed},
		{prefect.BackgroundTaskPolicy, prefect.TaskRunType, prefect.Scheduled, prefect.Pending},
	} {
		t := costTransition(c.run, c.initial, c.proposed)
		rules := 0
		spy.calls, spy.bytes = 0, 0
		took := make([]time.Duration, costCalls)
		for k := range took {
			started := time.Now()
			p := r.Plan(c.policy, t)
			o, err := p.Before(context.Background(), t)
			if err == nil && o.State != nil {
				err = p.After(context.Background(), t, o)
			}
			p.Release()
			took[k] = time.Since(started)
			if err != nil {
				b.Fatal(err)
			}
			rules = len(o.Rules)
		}
		slices.Sort(took)
		micros := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
		from := string(c.initial)
		if from == "" {
			from = "none"
		}
		fmt.Printf("| %s | %s → %s | %d | %d | %d | %.1f | %.1f | %.1f |\n", c.policy, from, c.proposed, rules, spy.calls/costCalls, spy.bytes,
			micros(took[costCalls/2]), micros(took[costCalls*99/100]), micros(took[0]))
	}
}

// costTransition is a transition of a run as one is in production: of a
// deployment, with tags, retries left and a client that tells its version.
func costTransition(run prefect.RunType, initial, proposed prefect.StateType) *orchestrate.Transition {
	t := transition(initial, proposed)
	t.Client = orchestrate.Version{Text: "3.8.8", Release: []int{3, 8, 8}}
	t.API = orchestrate.Version{Text: "0.8.4", Release: []int{0, 8, 4}}
	t.Proposed.Details.TransitionID = ptr(uuid.New())
	times := prefect.RunTimes{RunCount: 1, StartTime: moment.Add(-time.Second).Ptr(), ExpectedStartTime: moment.Add(-2 * time.Second).Ptr()}
	if proposed == prefect.Failed {
		t.Proposed.Message = ptr("Flow run encountered an exception: ValueError: nothing is as it should be")
	}
	if proposed == prefect.Paused {
		t.Proposed.Details.PauseTimeout, t.Proposed.Details.PauseKey = moment.Add(time.Minute).Ptr(), ptr("1")
	}
	if initial == prefect.Paused {
		t.Initial.Details.PauseTimeout, t.Initial.Details.PauseKey = moment.Add(time.Minute).Ptr(), ptr("1")
	}
	if initial == prefect.Scheduled {
		t.Initial.Details.ScheduledTime = moment.Add(-time.Second).Ptr()
	}
	if run == prefect.FlowRunType {
		r := t.FlowRun
		r.RunTimes, r.Tags = times, []string{"prod", "etl"}
		r.Policy.Retries, r.Policy.RetryDelay = ptr(3), ptr(10)
		r.DeploymentID, r.WorkQueueName, r.WorkPoolName = ptr(uuid.New()), ptr("default"), ptr("k8s")
		return t
	}
	t.RunType, t.FlowRun = prefect.TaskRunType, nil
	t.TaskRun = &prefect.TaskRun{ID: uuid.New(), Name: "extract-0", FlowRunID: ptr(uuid.New()), TaskKey: "extract-1a2b3c4d", DynamicKey: "0", RunTimes: times}
	t.TaskRun.Policy.Retries, t.TaskRun.Policy.RetryDelay = ptr(3), json.RawMessage(`[10,20]`)
	t.Proposed.Details.CacheKey = ptr("6c1f5d3c9a0b4e7f8a6b5c4d3e2f1a0b")
	t.Facts = orchestrate.Facts{"flow_run": json.RawMessage(`{"id":"8a3e6f5c-1111-4000-8000-000000000001","found":true,"run_count":1,"state":{"type":"RUNNING","name":"Running","state_details":{"pause_timeout":null,"pause_reschedule":false}}}`)}
	return t
}
