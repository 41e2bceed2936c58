package storetest_test

import (
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store"
	"github.com/interlock-run/interlock/store/storetest"
)

// eachBench runs fn on both databases, by one caller and by eight.
func eachBench(b *testing.B, fn func(b *testing.B, db *store.DB, do func(func() error))) {
	for kind, url := range storetest.URLs(b) {
		db := storetest.Open(b, url)
		for _, callers := range []int{1, 8} {
			b.Run(fmt.Sprintf("%s/%d", kind, callers), func(b *testing.B) {
				b.ReportAllocs()
				fn(b, db, func(one func() error) {
					var left atomic.Int64
					left.Store(int64(b.N))
					b.ResetTimer()
					done := make(chan error)
					for range callers {
						go func() {
							var err error
							for err == nil && left.Add(-1) >= 0 {
								err = one()
							}
							done <- err
						}()
					}
					for range callers {
						if err := <-done; err != nil {
							b.Error(err)
						}
					}
				})
			})
		}
	}
}

func benchRun(b *testing.B, db *store.DB, flow uuid.UUID) *prefect.FlowRun {
	b.Helper()
	s := newState(prefect.Pending, prefect.NewTime(start.Time))
	s.Details.TransitionID = ptr(uuid.New())
	r := &prefect.FlowRun{ID: uuid.New(), Name: "run", FlowID: flow, Tags: []string{"a", "b"}, Parameters: json.RawMessage(`{"x":1,"y":[1,2,3]}`)}
	enter(&r.RunTimes, s)
	if err := db.Commit(ctx, &orchestrate.Commit{FlowRun: r, Create: true, State: s}); err != nil {
		b.Fatal(err)
	}
	r.State = s
	return r
}

func benchFlow(b *testing.B, db *store.DB) uuid.UUID {
	b.Helper()
	f := &prefect.Flow{Name: "flow-" + uuid.NewString()}
	if _, err := db.CreateFlow(ctx, f); err != nil {
		b.Fatal(err)
	}
	return f.ID
}

// BenchmarkTransition is one transition as the orchestrator makes it: look for an
// earlier answer, read the run, commit.
func BenchmarkTransition(b *testing.B) {
	eachBench(b, func(b *testing.B, db *store.DB, do func(func() error)) {
		flow := benchFlow(b, db)
		runs := make(chan *prefect.FlowRun, 64)
		for range 64 {
			runs <- benchRun(b, db, flow)
		}
		var clock atomic.Int64
		do(func() error {
			run := <-runs
			defer func() { runs <- run }()
			s := newState(prefect.Running, at(int(clock.Add(1))))
			s.Details.TransitionID = ptr(uuid.New())
			if _, _, err := db.FindDecision(ctx, prefect.FlowRunType, run.ID, *s.Details.TransitionID); err != nil {
				return err
			}
			r, err := db.ReadFlowRun(ctx, run.ID)
			if err != nil {
				return err
			}
			next := *r
			enter(&next.RunTimes, s)
			d := &prefect.Decision{ID: uuid.New(), Created: s.Timestamp, RunType: prefect.FlowRunType, RunID: run.ID, TransitionID: s.Details.TransitionID,
				Policy: prefect.CoreFlowPolicy, ProposedType: s.Type, ProposedName: s.Name, Status: prefect.Accept, StateID: &s.ID, Tries: 1}
			return db.Commit(ctx, &orchestrate.Commit{FlowRun: &next, State: s, ExpectStateID: r.StateID, ExpectUpdated: r.Updated, Decision: d,
				Outbox: []orchestrate.OutboxItem{{Kind: "event", Key: "prefect.flow-run.Running", Payload: json.RawMessage(`{"x":1}`)}}})
		})
	})
}

func BenchmarkCreateFlowRun(b *testing.B) {
	eachBench(b, func(b *testing.B, db *store.DB, do func(func() error)) {
		flow := benchFlow(b, db)
		do(func() error { benchRun(b, db, flow); return nil })
	})
}

func BenchmarkReadFlowRun(b *testing.B) {
	eachBench(b, func(b *testing.B, db *store.DB, do func(func() error)) {
		run := benchRun(b, db, benchFlow(b, db))
		do(func() error { _, err := db.ReadFlowRun(ctx, run.ID); return err })
	})
}

func BenchmarkFilterFlowRuns200(b *testing.B) {
	eachBench(b, func(b *testing.B, db *store.DB, do func(func() error)) {
		flow := benchFlow(b, db)
		for range 1000 {
			benchRun(b, db, flow)
		}
		f := prefect.Filters{Flows: &prefect.FlowFilter{ID: &prefect.AnyNotAny[uuid.UUID]{Any: []uuid.UUID{flow}}}}
		do(func() error {
			list, err := db.FilterFlowRuns(ctx, f, prefect.Page{Sort: "ID_DESC", Limit: 200})
			if len(list) != 200 {
				return fmt.Errorf("%d rows, %w", len(list), err)
			}
			return err
		})
	})
}

func BenchmarkLogs100(b *testing.B) {
	eachBench(b, func(b *testing.B, db *store.DB, do func(func() error)) {
		run := uuid.New()
		var clock atomic.Int64
		do(func() error {
			logs := make([]*prefect.Log, 100)
			for i := range logs {
				logs[i] = &prefect.Log{Name: "prefect.flow_runs", Level: 20, Message: "a line of a log that is about this long", Timestamp: at(int(clock.Add(1))), FlowRunID: &run}
			}
			return db.CreateLogs(ctx, logs)
		})
	})
}
