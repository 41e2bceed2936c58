package store

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store/storetest/pgtest"
)

// BenchmarkTransition measures the bare statements of one transition: read the
// run with its state, then in one durable transaction insert a state, update the
// run, insert a decision and an outbox row. No policy, no HTTP.
func BenchmarkTransition(b *testing.B) {
	urls := map[string]func() string{
		"sqlite":   func() string { return "sqlite:///" + filepath.Join(b.TempDir(), "bench.db") },
		"postgres": func() string { return pgtest.URL(b) },
	}
	for _, kind := range []string{"sqlite", "postgres"} {
		for _, writers := range []int{1, 8, 32} {
			b.Run(fmt.Sprintf("%s/writers=%d", kind, writers), func(b *testing.B) {
				db, err := Open(context.Background(), urls[kind](), Options{})
				if err != nil {
					b.Fatal(err)
				}
				defer db.Close()
				benchTransitions(b, db, writers)
			})
		}
	}
}

// benchTransitions moves one run a writer.
func benchTransitions(b *testing.B, db *DB, writers int) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	runs := make([]uuid.UUID, writers)
	for i := range runs {
		runs[i] = benchRun(b, db)
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	errs := make(chan error, writers)
	b.ResetTimer()
	started := time.Now()
	for _, run := range runs {
		go func() {
			var err error
			for err == nil && left.Add(-1) >= 0 {
				err = benchTransition(ctx, db, run)
			}
			errs <- err
		}()
	}
	for range runs {
		if err := <-errs; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/time.Since(started).Seconds(), "transitions/s")
}

func benchRun(b *testing.B, db *DB) uuid.UUID {
	b.Helper()
	ctx := context.Background()
	flow, run := uuid.New(), uuid.New()
	err := db.write(ctx, func(t *tx) error {
		now := t.d.arg(t.now())
		if _, err := t.ExecContext(ctx, "INSERT INTO flow (id, created, updated, name) VALUES (?, ?, ?, ?)", flow.String(), now, now, flow.String()); err != nil {
			return err
		}
		_, err := t.ExecContext(ctx, "INSERT INTO flow_run (id, created, updated, flow_id, name) VALUES (?, ?, ?, ?, 'bench')", run.String(), now, now, flow.String())
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return run
}

const benchDetails = `{"flow_run_id": null, "task_run_id": null, "child_flow_run_id": null, "scheduled_time": null, "cache_key": null, "deferred": false, "transition_id": null}`

var benchDecision = `{"entries": [` + strings.Repeat(`{"name": "PreventPendingTransitions", "module": "builtin", "decision": "ACCEPT"},`, 3) + `{}]}`

func benchTransition(ctx context.Context, db *DB, run uuid.UUID) error {
	var state, kind *string
	err := db.read(ctx, func(q querier) error {
		var name string
		return q.QueryRowContext(ctx, "SELECT r.name, CAST(r.state_id AS text), s.name FROM flow_run r LEFT JOIN flow_run_state s ON s.id = r.state_id WHERE r.id = ?",
			run.String()).Scan(&name, &state, &kind)
	})
	if err != nil {
		return err
	}
	return db.write(ctx, func(t *tx) error { return benchCommit(ctx, t, run, state) })
}

func benchCommit(ctx context.Context, t *tx, run uuid.UUID, expect *string) error {
	next, at := uuid.NewString(), t.d.arg(t.now())
	if _, err := t.ExecContext(ctx, "INSERT INTO flow_run_state (id, created, updated, flow_run_id, type, timestamp, name, message, state_details) VALUES (?, ?, ?, ?, 'RUNNING', ?, 'Running', NULL, ?)",
		next, at, at, run.String(), at, benchDetails); err != nil {
		return err
	}
	n, err := affected(t.ExecContext(ctx, "UPDATE flow_run SET updated = ?, state_id = ?, state_type = 'RUNNING', state_name = 'Running', state_timestamp = ?, run_count = run_count + 1, start_time = COALESCE(start_time, ?) WHERE id = ? AND state_id IS NOT DISTINCT FROM ?",
		at, next, at, at, run.String(), t.d.arg(expect)))
	if err != nil {
		return err
	}
	if n != 1 {
		return prefect.Errorf(prefect.Conflict, "%d runs were updated", n)
	}
	if _, err := t.ExecContext(ctx, "INSERT INTO interlock_policy_decision (id, created, run_type, run_id, transition_id, written, state_id, body) VALUES (?, ?, 'flow_run', ?, ?, ?, ?, ?)",
		uuid.NewString(), at, run.String(), uuid.NewString(), true, next, benchDecision); err != nil {
		return err
	}
	_, err = t.ExecContext(ctx, "INSERT INTO interlock_outbox (kind, key, payload, created) VALUES ('event', 'prefect.flow-run.Running', ?, ?)", benchDecision, at)
	return err
}
