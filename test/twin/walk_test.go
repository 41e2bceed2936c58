package twin

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// walkSeed makes the walks the same in every run.
const walkSeed = 20261124

// TestFlowRunWalks proposes states at random, ten to a run, to runs that are in
// whatever state the steps before left them.
func TestFlowRunWalks(t *testing.T) {
	t.Run("postgres", func(t *testing.T) { walks(t, newPair(t, true), 300, 10) })
	t.Run("sqlite", func(t *testing.T) { walks(t, newPair(t, false), 30, 10) })
}

func walks(t *testing.T, p *pair, runs, steps int) {
	t.Helper()
	base := time.Now()
	began := time.Now()
	paths := make([]string, runs)
	refs, ours := make([]*run, runs), make([]*run, runs)
	err := p.each(t.Context(), runs, func(ctx context.Context, i int) (err error) {
		refs[i], ours[i], paths[i], err = walk(ctx, p, rand.New(rand.NewPCG(walkSeed, uint64(i))), i, steps, base)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{p.ref.readBack(t.Context(), refs), p.ours.readBack(t.Context(), ours)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	differ := 0
	for i := range runs {
		if found := compare(refs[i].seen, ours[i].seen); len(found) > 0 {
			differ++
			if differ <= 10 {
				t.Errorf("walk %d: %s\n    %v", i, paths[i], found[:min(12, len(found))])
			}
		}
	}
	fmt.Printf("twin: %d walks of %d steps compared in %.0f s, %d differ\n", runs, steps, time.Since(began).Seconds(), differ)
}

// walk leads both servers along the same path. The next step is chosen by where
// the reference stands: steps that [differences] is about are left out, as the
// rows would differ from there on.
func walk(ctx context.Context, p *pair, random *rand.Rand, n, steps int, base time.Time) (ref, ours *run, path string, err error) {
	policy := object{"retries": random.IntN(3), "retry_delay": 0}
	options := walkOptions(base)
	known := func() map[string]bool { return given(options...) }
	name := fmt.Sprintf("walk %d", n)
	if ref, err = p.ref.create(ctx, name, nil, policy, known()); err != nil {
		return
	}
	if ours, err = p.ours.create(ctx, name, nil, policy, known()); err != nil {
		return
	}
	at, trail := "PENDING", []string{"PENDING"}
	for i := range steps {
		var next proposal
		for {
			next = proposal{state: options[random.IntN(len(options))].(object), force: random.IntN(5) == 0}
			if walkable(at, next) {
				break
			}
		}
		step := fmt.Sprintf("step %02d", i)
		reply, err := p.ref.propose(ctx, ref, step, next)
		if err != nil {
			return ref, ours, "", err
		}
		if _, err := p.ours.propose(ctx, ours, step, next); err != nil {
			return ref, ours, "", err
		}
		if m, ok := reply.(object); ok {
			if s, ok := m["state"].(object); ok {
				at = str(s["type"])
			}
		}
		trail = append(trail, next.String()+" => "+at)
	}
	return ref, ours, strings.Join(trail, ", "), nil
}

func walkOptions(base time.Time) []any {
	future, past := when(base, 48*time.Hour), when(base, -48*time.Hour)
	result := object{"data": object{"type": "reference", "storage_key": "abc"}}
	return []any{
		state("SCHEDULED", details(object{"scheduled_time": past})),
		state("SCHEDULED", details(object{"scheduled_time": future})),
		state("SCHEDULED", object{"name": "Late"}, details(object{"scheduled_time": past})),
		state("PENDING"), state("PENDING"), state("PENDING", object{"name": "Submitting"}),
		state("RUNNING"), state("RUNNING"), state("RUNNING"), state("RUNNING"),
		state("COMPLETED"), state("COMPLETED", result),
		state("FAILED"), state("FAILED", object{"message": "why"}), state("FAILED", result),
		state("CRASHED"), state("CANCELLED"), state("CANCELLING"),
		state("PAUSED", details(object{"pause_timeout": future, "pause_key": "a"})),
		state("PAUSED", details(object{"pause_timeout": future, "pause_key": "b"})),
	}
}

// walkable reports whether a step is outside of [differences].
func walkable(at string, p proposal) bool {
	return p.force || at != "PAUSED" || p.state["type"] == "PAUSED"
}
