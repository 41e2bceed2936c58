package twin

import (
	"context"
	"fmt"
	"maps"
	"os"
	"testing"
	"time"
)

var stateTypes = []string{"SCHEDULED", "PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED", "CRASHED", "PAUSED", "CANCELLING"}

func state(kind string, more ...object) object {
	s := object{"type": kind}
	for _, m := range more {
		maps.Copy(s, m)
	}
	return s
}

func details(d object) object { return object{"state_details": d} }

// when returns a fixed instant that is far from now, so that no window holds it.
func when(base time.Time, d time.Duration) string {
	return base.Add(d).UTC().Truncate(time.Hour).Format("2006-01-02T15:04:05Z")
}

// fullEnv, set to 1, tries each pair of types with each version, not with each in
// turn.
const fullEnv = "INTERLOCK_TWIN_FULL"

// plain is the full product over types: each initial type, none included, each
// proposed type, forced and not, retries and run counts around them, and API
// versions on both sides of the change.
func plain() []*script {
	type attempt struct {
		retries  any
		runCount int
	}
	attempts := []attempt{{nil, 1}, {0, 0}, {0, 1}, {1, 0}, {1, 1}, {1, 2}, {2, 1}, {2, 2}, {2, 3}}
	everything := os.Getenv(fullEnv) == "1"
	var all []*script
	for _, initial := range append([]string{""}, stateTypes...) {
		for _, proposed := range stateTypes {
			for i, a := range attempts {
				for j, version := range []string{"", "0.8.4", "0.8.3"} {
					for _, force := range []bool{false, true} {
						// What attempts and versions touch is tried in full, the rest with
						// each value once: the reference answers 80 requests a second.
						full := everything || initial == "RUNNING" && proposed == "FAILED"
						if !full && i%3 != j {
							continue
						}
						s := &script{
							policy:   object{"retries": a.retries, "retry_delay": retryDelay, "resuming": i%2 == 0, "pause_keys": []string{"k"}},
							runCount: a.runCount,
							proposal: proposal{state: state(proposed), force: force, version: version},
						}
						if initial != "" {
							s.initial = state(initial)
						}
						s.name = fmt.Sprintf("%s to %s, retries %v, run_count %d, force %t, api %q", initial, proposed, a.retries, a.runCount, force, version)
						all = append(all, s)
					}
				}
			}
		}
	}
	return all
}

// special is what single rules look at: names, times, results, pauses, ids.
func special(base time.Time) []*script {
	future, past := when(base, 48*time.Hour), when(base, -48*time.Hour)
	const same, other = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
	result := object{"data": object{"type": "reference", "storage_key": "abc"}}
	message := object{"message": "why"}
	initials := map[string]object{
		"future":            state("SCHEDULED", details(object{"scheduled_time": future})),
		"past":              state("SCHEDULED", details(object{"scheduled_time": past})),
		"awaiting retry":    state("SCHEDULED", object{"name": "AwaitingRetry"}, details(object{"scheduled_time": future})),
		"late":              state("SCHEDULED", object{"name": "Late"}, details(object{"scheduled_time": past})),
		"resuming":          state("SCHEDULED", object{"name": "Resuming"}),
		"pending scheduled": state("PENDING", details(object{"scheduled_time": future, "transition_id": same})),
		"submitting":        state("PENDING", object{"name": "Submitting"}),
		"running":           state("RUNNING", message, details(object{"transition_id": same})),
		"completed":         state("COMPLETED", result),
		"unpersisted":       state("COMPLETED", object{"data": object{"type": "unpersisted"}}),
		"empty result":      state("COMPLETED", object{"data": object{}}),
		"failed":            state("FAILED", message, result),
		"paused":            state("PAUSED", details(object{"pause_timeout": future, "pause_key": "k"})),
		"pause over":        state("PAUSED", details(object{"pause_timeout": past})),
		"suspended":         state("PAUSED", details(object{"pause_timeout": future, "pause_reschedule": true})),
		"cancelling":        state("CANCELLING", details(object{"transition_id": same})),
	}
	proposals := map[string]object{
		"future":       state("SCHEDULED", details(object{"scheduled_time": future})),
		"late":         state("SCHEDULED", object{"name": "Late"}),
		"pending":      state("PENDING"),
		"submitting":   state("PENDING", object{"name": "Submitting"}, details(object{"scheduled_time": past})),
		"infra":        state("PENDING", object{"name": "InfrastructurePending"}),
		"running":      state("RUNNING", details(object{"transition_id": other})),
		"running same": state("RUNNING", details(object{"transition_id": same})),
		"result":       state("COMPLETED", result, message),
		"unpersisted":  state("COMPLETED", object{"data": object{"type": "unpersisted"}}),
		"empty result": state("COMPLETED", object{"data": object{}}),
		"failed":       state("FAILED", message, result, details(object{"transition_id": other})),
		"failed same":  state("FAILED", details(object{"transition_id": same})),
		"crashed":      state("CRASHED", message),
		"cancelled":    state("CANCELLED"),
		"cancelling":   state("CANCELLING"),
		"pause k":      state("PAUSED", details(object{"pause_timeout": future, "pause_key": "k"})),
		"pause other":  state("PAUSED", object{"name": "Suspended"}, details(object{"pause_timeout": future, "pause_key": "other"})),
		"suspend":      state("PAUSED", details(object{"pause_timeout": future, "pause_reschedule": true, "pause_key": "s"})),
	}
	var all []*script
	for from, initial := range initials {
		for to, proposed := range proposals {
			for i, force := range []bool{false, true} {
				s := &script{
					name:     fmt.Sprintf("special %s to %s, force %t", from, to, force),
					initial:  initial,
					policy:   object{"retries": 1, "retry_delay": nil, "pause_keys": []string{"k"}},
					runCount: 1,
					proposal: proposal{state: proposed, force: force, version: []string{"0.8.4", ""}[i]},
				}
				all = append(all, s)
				if to == "cancelling" {
					with := *s
					with.name, with.pid = s.name+", with infrastructure", "pid-1"
					all = append(all, &with)
				}
			}
		}
	}
	return all
}

func TestFlowRunTransitions(t *testing.T) {
	p := newPair(t, true)
	checkPolicies(t, p)
	cases := append(plain(), special(time.Now())...)
	var mu report
	refs, ours := make([]*run, len(cases)), make([]*run, len(cases))
	step := func(name string, fn func(ctx context.Context, i int) error) {
		began := time.Now()
		if err := p.each(t.Context(), len(cases), fn); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d cases in %.0f s", name, len(cases), time.Since(began).Seconds())
	}
	step("create", func(ctx context.Context, i int) (err error) {
		c := cases[i]
		initial := c.initial
		if refs[i], err = p.ref.create(ctx, c.name, initial, c.policy, given(initial, c.policy, c.proposal.state)); err != nil {
			return err
		}
		ours[i], err = p.ours.create(ctx, c.name, initial, c.policy, given(initial, c.policy, c.proposal.state))
		return err
	})
	arrange(t, &p.ref, cases, refs)
	arrange(t, &p.ours, cases, ours)
	step("propose", func(ctx context.Context, i int) error {
		if _, err := p.ref.propose(ctx, refs[i], "set_state", cases[i].proposal); err != nil {
			return err
		}
		_, err := p.ours.propose(ctx, ours[i], "set_state", cases[i].proposal)
		return err
	})
	for _, err := range []error{p.ref.readBack(t.Context(), refs), p.ours.readBack(t.Context(), ours)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range cases {
		mu.add(c, refs[i].seen, ours[i].seen)
	}
	mu.finish(t, len(cases), "flow run transitions")
}

// arrange writes what no request can: run counts, infrastructure, runs without
// a state.
func arrange(t *testing.T, s *side, cases []*script, runs []*run) {
	t.Helper()
	tx, err := s.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	do := func(sql string, args ...any) {
		if _, err := tx.ExecContext(t.Context(), sql, args...); err != nil {
			t.Fatalf("%s: %s: %v", s.server.Kind, sql, err)
		}
	}
	for i, c := range cases {
		if c.runCount >= 0 {
			do("UPDATE flow_run SET run_count = $1 WHERE id = $2", c.runCount, runs[i].id)
		}
		if c.pid != "" {
			do("UPDATE flow_run SET infrastructure_pid = $1 WHERE id = $2", c.pid, runs[i].id)
		}
		if c.initial == nil {
			do("UPDATE flow_run SET state_id = NULL, state_type = NULL, state_name = NULL, state_timestamp = NULL WHERE id = $1", runs[i].id)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}
