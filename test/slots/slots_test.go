// Package slots takes and gives back slots from many clients at once, on both
// databases: limits of deployments and of tags hold at every moment, no client is
// told of a deadlock, and in the end every slot is free.
package slots

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/test/rest"
	"github.com/interlock-run/interlock/test/servers"
)

const (
	clients     = 16
	transitions = 2000
	flowRuns    = 30
	taskRuns    = 20
	userAgent   = "prefect/3.8.8 (API 0.8.4)"
)

func TestLimitsHoldUnderLoad(t *testing.T) {
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			o := servers.Options{Kind: servers.Interlock}
			if kind == "postgres" {
				o.DatabaseURL = servers.Postgres(t)
			}
			r := newRig(t, servers.Run(t, o))
			sums := r.load(t)
			r.end(t)
			if !t.Failed() {
				fmt.Printf("slots, %s: %d clients, %d transitions, %d runs, replies %v, most slots at once %d of %d, 0 more than there are, all free at the end\n",
					kind, clients, transitions, len(r.runs), sums, r.most, r.slots)
			}
			r.twoAtOnce(t)
		})
	}
}

// rival is a run that the clients compete for.
type rival struct{ path, id string }

// rig is a server with limits of 1, 2 and 3 slots on three deployments and three
// tags, and runs of them.
type rig struct {
	*rest.Client
	db    *sql.DB
	flow  string
	runs  []rival
	slots int // of all limits
	most  int // that were taken at once
}

func newRig(t *testing.T, s *servers.Server) *rig {
	t.Helper()
	db, err := s.OpenDatabase()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	r := &rig{Client: rest.New(s.URL, 0), db: db}
	r.flow = r.create(t, "/flows/", map[string]any{"name": "slots"})
	for i := range 3 {
		slots := i + 1
		r.slots += 2 * slots
		r.create(t, "/v2/concurrency_limits/", map[string]any{"name": tag("tag:", i), "limit": slots})
		deployment := r.deployment(t, slots)
		for range flowRuns / 3 {
			r.runs = append(r.runs, rival{"/flow_runs/", r.flowRun(t, deployment)})
		}
	}
	for i := range taskRuns {
		tags := []string{tag("", i%3)}
		if i%4 == 0 {
			tags = append(tags, tag("", (i+1)%3))
		}
		r.runs = append(r.runs, rival{"/task_runs/", r.create(t, "/task_runs/", map[string]any{"task_key": "t", "dynamic_key": fmt.Sprint(i), "tags": tags})})
	}
	return r
}

func tag(prefix string, i int) string { return prefix + string(rune('a'+i)) }

// create posts a body and returns the id of what was made.
func (r *rig) create(t *testing.T, path string, body map[string]any) string {
	t.Helper()
	var made struct{ ID string }
	if err := r.Post(t.Context(), path, body, &made); err != nil {
		t.Fatal(err)
	}
	return made.ID
}

// deployment makes one with a limit of so many slots.
func (r *rig) deployment(t *testing.T, slots int) string {
	t.Helper()
	id := uuid.NewString()
	limit := r.create(t, "/v2/concurrency_limits/", map[string]any{"name": "deployment:" + id, "limit": slots})
	_, err := r.db.Exec(fmt.Sprintf("INSERT INTO deployment (id, name, flow_id, paused, concurrency_limit_id) VALUES ('%s', '%s', '%s', false, '%s')", id, id, r.flow, limit))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (r *rig) flowRun(t *testing.T, deployment string) string {
	t.Helper()
	return r.create(t, "/flow_runs/", map[string]any{"flow_id": r.flow, "deployment_id": deployment,
		"state": map[string]any{"type": "SCHEDULED"}, "empirical_policy": map[string]any{"retries": 1}})
}

// propose proposes a state and returns the status of the answer.
func (r *rig) propose(ctx context.Context, of rival, body map[string]any) (string, error) {
	reply, err := r.Do(ctx, rest.Request{Method: http.MethodPost, Path: of.path + of.id + "/set_state", Body: body, Header: map[string]string{"User-Agent": userAgent}})
	if err != nil {
		return "", err
	}
	if reply.Status >= 300 {
		return "", fmt.Errorf("%s: %d %.200s", of.path, reply.Status, reply.Raw)
	}
	var result struct{ Status string }
	err = reply.JSON(&result)
	return result.Status, err
}

// states are proposed at random; those that take slots and give them back come up
// more often.
func states() map[string]any {
	kinds := []string{"PENDING", "PENDING", "RUNNING", "RUNNING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED", "CRASHED", "CANCELLING", "PAUSED", "SCHEDULED"}
	state := map[string]any{"type": kinds[rand.IntN(len(kinds))]}
	if state["type"] == "PAUSED" {
		state["state_details"] = map[string]any{"pause_reschedule": rand.IntN(2) == 0}
	}
	// A third is forced: by such states runs lose the way that rules would keep
	// them on, and so reach all of them again.
	return map[string]any{"state": state, "force": rand.IntN(3) == 0}
}

// load has the clients propose and an observer look, and returns how many
// proposals were answered how.
func (r *rig) load(t *testing.T) map[string]int {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	observed := make(chan error, 1)
	go func() { observed <- r.observe(ctx) }()

	var mu sync.Mutex
	var sent atomic.Int64
	var working sync.WaitGroup
	sums := map[string]int{}
	for range clients {
		working.Go(func() {
			for sent.Add(1) <= transitions {
				status, err := r.propose(t.Context(), r.runs[rand.IntN(len(r.runs))], states())
				mu.Lock()
				if sums[status]++; err != nil {
					t.Error(err)
				}
				mu.Unlock()
			}
		})
	}
	working.Wait()
	stop()
	if err := <-observed; err != nil {
		t.Error(err)
	}
	for _, status := range []string{"ACCEPT", "REJECT", "WAIT", "ABORT"} {
		if sums[status] == 0 {
			t.Errorf("no proposal was answered %s: %v", status, sums)
		}
	}
	return sums
}

// observe reads what is held until ctx ends, and at least once.
func (r *rig) observe(ctx context.Context) error {
	for {
		taken, err := r.look()
		if err != nil {
			return err
		}
		if r.most = max(r.most, taken); ctx.Err() != nil {
			return nil
		}
	}
}

// look reads the limits with what is held of each, in one statement, which sees
// one moment, and returns how many slots are taken.
func (r *rig) look() (taken int, err error) {
	rows, err := r.db.Query(`SELECT l.name, l."limit", l.active_slots,
		(SELECT coalesce(sum(e.slots), 0) FROM interlock_slot_holding h JOIN interlock_slot_lease e ON e.id = h.lease_id WHERE h.limit_id = l.id),
		(SELECT count(DISTINCT e.holder_id) FROM interlock_slot_holding h JOIN interlock_slot_lease e ON e.id = h.lease_id WHERE h.limit_id = l.id)
		FROM concurrency_limit_v2 l`)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var limit, counted, held, holders int
		if err := rows.Scan(&name, &limit, &counted, &held, &holders); err != nil {
			return 0, err
		}
		if held > limit || counted != held || holders != held {
			return 0, fmt.Errorf("limit %s of %d: %d slots are held by %d runs and counted as %d", name, limit, held, holders, counted)
		}
		taken += held
	}
	return taken, rows.Err()
}

// end ends every run and looks whether all slots are free.
func (r *rig) end(t *testing.T) {
	t.Helper()
	if r.most < r.slots/4 {
		t.Errorf("no more than %d of %d slots were ever taken at once", r.most, r.slots)
	}
	for _, one := range r.runs {
		if _, err := r.propose(t.Context(), one, map[string]any{"state": map[string]any{"type": "CRASHED"}, "force": true}); err != nil {
			t.Error(err)
		}
	}
	if taken, err := r.look(); taken != 0 || err != nil {
		t.Errorf("%d slots are taken by nobody, %v", taken, err)
	}
}

// twoAtOnce has two clients make each of some runs PENDING at the same moment:
// one may.
func (r *rig) twoAtOnce(t *testing.T) {
	t.Helper()
	deployment := r.deployment(t, 1000)
	const runs = 50
	for range runs {
		one := rival{"/flow_runs/", r.flowRun(t, deployment)}
		var both sync.WaitGroup
		var accepted atomic.Int64
		for range 2 {
			both.Go(func() {
				status, err := r.propose(t.Context(), one, map[string]any{"state": map[string]any{"type": "PENDING", "state_details": map[string]any{"transition_id": uuid.NewString()}}})
				if err != nil {
					t.Error(err)
				}
				if status == "ACCEPT" {
					accepted.Add(1)
				}
			})
		}
		both.Wait()
		if n := accepted.Load(); n != 1 {
			t.Errorf("%d of two were accepted", n)
		}
	}
	if taken, err := r.look(); taken != runs || err != nil {
		t.Errorf("%d slots are taken by %d runs, %v", taken, runs, err)
	}
}
