// Package kill ends the server with SIGKILL under load and looks at what it
// left: what a client saw acknowledged must be there.
package kill

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/interlock-run/interlock/store/storetest/pgtest"
	"github.com/interlock-run/interlock/test/rest"
	"github.com/interlock-run/interlock/test/servers"
)

// RoundsEnv says how often to kill; 3 if unset.
const RoundsEnv = "INTERLOCK_KILL_ROUNDS"

const (
	clients = 8
	// acknowledgedFirst is how many transitions a round waits for before it kills.
	acknowledgedFirst = 300
	roundDeadline     = 10 * time.Minute // only a test that fails waits so long
)

func TestMain(m *testing.M) {
	code := m.Run()
	pgtest.Stop()
	os.Exit(code)
}

func TestKillLosesNothing(t *testing.T) {
	rounds := 3
	if v := os.Getenv(RoundsEnv); v != "" {
		var err error
		if rounds, err = strconv.Atoi(v); err != nil || rounds < 1 {
			t.Fatalf("%s is %q, want a number of rounds", RoundsEnv, v)
		}
	}
	for _, name := range []string{"sqlite", "postgres"} {
		t.Run(name, func(t *testing.T) {
			o := servers.Options{Kind: servers.Interlock, Home: t.TempDir(), Env: servers.Patient()}
			if name == "postgres" {
				o.DatabaseURL = servers.Postgres(t)
			}
			all := acknowledged{states: map[string]string{}}
			for range rounds {
				round(t, o, &all)
			}
			fmt.Printf("kill: %s: %d rounds, %d acknowledged transitions, all there\n", name, rounds, len(all.states))
		})
	}
}

// acknowledged is what clients saw: state id → run id.
type acknowledged struct {
	mu     sync.Mutex
	states map[string]string
	wrong  []string // replies that no server under load may give
}

func (a *acknowledged) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.states)
}

// round starts the server on what the last round left, kills it under load and
// looks at the database.
func round(t *testing.T, o servers.Options, all *acknowledged) {
	t.Helper()
	s, err := servers.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	before := all.count()
	var load sync.WaitGroup
	for i := range clients {
		load.Go(func() { drive(ctx, s.URL, fmt.Sprintf("kill-%d", i), all) })
	}
	for deadline := time.Now().Add(roundDeadline); all.count() < before+acknowledgedFirst; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("only %d transitions in %s", all.count()-before, roundDeadline)
			break
		}
	}
	s.Kill()
	cancel()
	load.Wait()
	for _, w := range all.wrong {
		t.Errorf("under load: %s", w)
	}
	inspect(t, s, all)
	if t.Failed() {
		t.Fatalf("end of the log:\n%s", s.LogTail(3000))
	}
}

// drive makes runs and takes them through a retry to their end until the server
// is gone.
func drive(ctx context.Context, url, flow string, all *acknowledged) {
	c := rest.New(url, 0)
	var f struct{ ID string }
	if c.Post(ctx, "/flows/", map[string]any{"name": flow}, &f) != nil {
		return
	}
	for ctx.Err() == nil {
		var run struct{ ID, StateID string }
		body := map[string]any{"flow_id": f.ID, "empirical_policy": map[string]any{"retries": 1}, "state": map[string]any{"type": "PENDING"}}
		if all.send(ctx, c, "/flow_runs/", body, &run.ID) != nil {
			return
		}
		for _, kind := range []string{"RUNNING", "FAILED", "RUNNING", "COMPLETED"} {
			if all.send(ctx, c, "/flow_runs/"+run.ID+"/set_state", map[string]any{"state": map[string]any{"type": kind}}, &run.ID) != nil {
				return
			}
		}
	}
}

// send posts a body and keeps the state that the reply acknowledges. The id of
// a created run goes to runID.
func (a *acknowledged) send(ctx context.Context, c *rest.Client, path string, body any, runID *string) error {
	reply, err := c.Do(ctx, rest.Request{Method: http.MethodPost, Path: path, Body: body})
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if reply.Status != http.StatusCreated {
		a.wrong = append(a.wrong, fmt.Sprintf("%s %v: %d %.200s", path, body, reply.Status, reply.Raw))
		return fmt.Errorf("status %d", reply.Status)
	}
	var r struct {
		ID    string
		State struct{ ID string }
	}
	if err := reply.JSON(&r); err != nil {
		return err
	}
	if r.ID != "" {
		*runID = r.ID
	}
	a.states[r.State.ID] = *runID
	return nil
}

// inspect compares the database with what was acknowledged.
func inspect(t *testing.T, s *servers.Server, all *acknowledged) {
	t.Helper()
	db, err := s.OpenDatabase()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	stored := map[string]string{}
	rows, err := db.QueryContext(t.Context(), "SELECT CAST(id AS TEXT), CAST(flow_run_id AS TEXT) FROM flow_run_state")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, run string
		if err := rows.Scan(&id, &run); err != nil {
			t.Fatal(err)
		}
		if _, twice := stored[id]; twice {
			t.Errorf("state %s is there twice", id)
		}
		stored[id] = run
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	lost := 0
	for id, run := range all.states {
		if stored[id] != run {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d acknowledged states are lost", lost, len(all.states))
	}
	// Clients propose one by one, so a type that follows itself was written twice.
	none(t, db, "states written twice", `SELECT count(*) FROM (SELECT type, lag(type) OVER (PARTITION BY flow_run_id ORDER BY timestamp) AS before FROM flow_run_state) s WHERE type = before`)
	none(t, db, "runs whose state is not their newest", `SELECT count(*) FROM flow_run r WHERE state_id IS NULL OR state_id <> (SELECT id FROM flow_run_state s WHERE s.flow_run_id = r.id ORDER BY timestamp DESC LIMIT 1)`)
	none(t, db, "runs whose columns contradict their states", `SELECT count(*) FROM flow_run r JOIN flow_run_state s ON s.id = r.state_id WHERE r.state_type <> s.type
		OR r.run_count <> (SELECT count(*) FROM flow_run_state x WHERE x.flow_run_id = r.id AND x.type = 'RUNNING')`)
	if !servers.IsPostgres(s.DatabaseURL) {
		var verdict string
		if err := db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
			t.Errorf("integrity_check: %s %v", verdict, err)
		}
	}
}

// none fails the test unless a count is 0.
func none(t *testing.T, db *sql.DB, what, query string) {
	t.Helper()
	var n int
	if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	if n > 0 {
		t.Errorf("%d %s", n, what)
	}
}
