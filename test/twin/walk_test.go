package twin

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// walkSeed makes the walks the same in every run.
const walkSeed = 20261124

// steps is how long a walk is.
const steps = 10

// walker is what one walk may do: the rows that it starts from, what can be
// proposed, and which of that stays clear of [differences], as the rows would
// differ from there on.
type walker struct {
	script  *script
	options []step
	agent   string
	clear   func(at object, p proposal) bool
}

// step is a proposal to the run of the walk, or to its flow run.
type step struct {
	state  object
	toFlow bool
}

// walks plays n walks and reports what differs.
func (p *pair) walks(t *testing.T, what string, n int, draw func(base time.Time, random *rand.Rand, n int) *walker) {
	t.Run(what, func(t *testing.T) {
		base, began := time.Now(), time.Now()
		all, cases, randoms := make([]*walker, n), make([]*script, n), make([]*rand.Rand, n)
		for i := range n {
			randoms[i] = rand.New(rand.NewPCG(walkSeed, uint64(i)))
			all[i] = draw(base, randoms[i], i)
			cases[i] = all[i].script
			cases[i].walk = true
		}
		refs, ours := p.arrange(t, cases, base)
		trails := make([][]string, n)
		err := p.each(t.Context(), n, func(ctx context.Context, i int) (err error) {
			trails[i], err = p.walk(ctx, all[i], randoms[i], refs[i], ours[i])
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		p.readAll(t, cases, refs, ours)
		r := &report{}
		for i, c := range cases {
			c.name += ": " + strings.Join(trails[i], ", ")
			r.add(c, base, refs[i].seen, ours[i].seen)
		}
		r.finish(t, n, what, time.Since(began))
	})
}

// walk leads both servers along the same path. The next step is chosen by where
// the reference stands.
func (p *pair) walk(ctx context.Context, w *walker, random *rand.Rand, ref, ours *run) ([]string, error) {
	at := w.script.initial
	trail := []string{w.script.initialType()}
	for i := range steps {
		name := fmt.Sprintf("step %02d", i)
		if i == steps-1 {
			name = "set_state"
		}
		s, next := w.choose(random, at, fmt.Sprint(w.script.name, i))
		w.script.proposal = next
		for _, r := range []*run{ref, ours} {
			r.normal.know(str(detail(next.state, "transition_id")))
		}
		reply, err := p.ref.step(ctx, w.script, ref, name, s, next)
		if err != nil {
			return nil, err
		}
		if _, err := p.ours.step(ctx, w.script, ours, name, s, next); err != nil {
			return nil, err
		}
		if s.toFlow {
			trail = append(trail, "flow run "+next.String())
			continue
		}
		if m, ok := reply.(object); ok && field(m["state"], "type") != "" {
			at = m["state"].(object)
		}
		trail = append(trail, next.String()+" => "+nameOf(at))
	}
	return trail, nil
}

// choose draws the next step.
func (w *walker) choose(random *rand.Rand, at object, seed string) (step, proposal) {
	for {
		s := w.options[random.IntN(len(w.options))]
		c := script{proposal: proposal{state: s.state, force: s.toFlow || random.IntN(6) == 0, version: []string{"", "0.8.4", "0.8.3"}[random.IntN(3)], agent: w.agent}}
		if s.toFlow || w.clear(at, c.proposal) {
			if nameOf(s.state) == "Completed" && detail(s.state, "cache_key") != nil {
				return s, c.proposal // a cached state would show whose it is
			}
			c.propose(object{"transition_id": uuid.NewSHA1(uuid.NameSpaceOID, []byte(seed)).String()})
			return s, c.proposal
		}
	}
}

func (s *side) step(ctx context.Context, c *script, r *run, name string, to step, p proposal) (any, error) {
	if !to.toFlow {
		return s.propose(ctx, r, name, p)
	}
	flow := *r
	flow.kind, flow.id = flowRuns, c.id("flow run")
	return s.propose(ctx, &flow, name, p)
}

// flowWalk walks a flow run: alone or a subflow, with a deployment or without.
func flowWalk(base time.Time, random *rand.Rand, n int) *walker {
	future, past := when(base, 48*time.Hour), when(base, -48*time.Hour)
	s := &script{kind: flowRuns, name: fmt.Sprintf("walk %d", n), initial: state("PENDING"), policy: object{"retries": random.IntN(3), "retry_delay": 0}}
	if random.IntN(3) == 0 {
		s.world.deployment = &deployment{limit: -1}
	}
	s.world.subflow = random.IntN(4) == 0
	if random.IntN(3) == 0 {
		s.pid = "pid-1"
	}
	return &walker{script: s, clear: flowClear, options: steady(
		state("SCHEDULED", details(object{"scheduled_time": past})),
		state("SCHEDULED", details(object{"scheduled_time": future})),
		state("SCHEDULED", named("Late"), details(object{"scheduled_time": past})),
		state("SCHEDULED", named("Resuming"), details(object{"scheduled_time": past})),
		state("PENDING"), state("PENDING"), state("PENDING", named("Submitting")),
		state("RUNNING"), state("RUNNING"), state("RUNNING"), state("RUNNING"), state("RUNNING", named("Retrying")),
		state("COMPLETED"), state("COMPLETED", result()),
		state("FAILED"), state("FAILED", message()), state("FAILED", result()), state("FAILED", named("TimedOut")),
		state("CRASHED"), state("CANCELLED"), state("CANCELLING"),
		state("PAUSED", details(object{"pause_timeout": future, "pause_key": "a"})),
		state("PAUSED", details(object{"pause_timeout": future, "pause_key": "b"})),
		state("PAUSED", named("Suspended"), details(object{"pause_timeout": future, "pause_key": "c", "pause_reschedule": true})),
	)}
}

// steady makes steps of states.
func steady(states ...object) []step {
	var all []step
	for _, s := range states {
		all = append(all, step{state: s})
	}
	return all
}

// flowClear leaves out what is about resuming: a run that leaves a pause.
func flowClear(at object, p proposal) bool {
	return p.force || at["type"] != "PAUSED" || p.state["type"] == "PAUSED" || nameOf(p.state) == "Late"
}

// slotWalk walks a flow run whose deployment has a limit, by a client that
// renews leases.
func slotWalk(base time.Time, random *rand.Rand, n int) *walker {
	future, past := when(base, 48*time.Hour), when(base, -48*time.Hour)
	limit := 1 + random.IntN(3)
	s := &script{kind: flowRuns, name: fmt.Sprintf("walk with slots %d", n), initial: state("SCHEDULED", details(object{"scheduled_time": past})), pid: "pid-1",
		policy: object{"retries": random.IntN(3), "retry_delay": 0}}
	s.world.deployment = &deployment{limit: limit, used: random.IntN(limit + 1), strategy: []string{"", "ENQUEUE", "CANCEL_NEW"}[random.IntN(3)]}
	if random.IntN(2) == 0 {
		s.world.deployment.grace = graceTime
	}
	return &walker{script: s, agent: newClient, clear: slotClear, options: steady(
		state("SCHEDULED", details(object{"scheduled_time": past})), state("SCHEDULED", details(object{"scheduled_time": future})), state("SCHEDULED", named("Late"), details(object{"scheduled_time": past})),
		state("PENDING"), state("PENDING"), state("PENDING"), state("PENDING", named("Submitting")),
		state("RUNNING"), state("RUNNING"), state("RUNNING"), state("RUNNING"), state("COMPLETED"), state("FAILED"), state("FAILED"), state("FAILED"),
		state("CRASHED"), state("CANCELLED"), state("CANCELLING"),
		state("PAUSED", named("Suspended"), details(object{"pause_timeout": future, "pause_key": "a", "pause_reschedule": true})),
		state("PAUSED", named("Suspended"), details(object{"pause_timeout": future, "pause_key": "b", "pause_reschedule": true})),
	)}
}

// slotClear leaves out what [ofSlots] is about: forced states, runs that start
// without being PENDING, and all but the retry of a run that kept its slot for it.
func slotClear(at object, p proposal) bool {
	to := p.state["type"]
	switch {
	case p.force:
		return false
	case nameOf(at) == "AwaitingRetry":
		return to == "RUNNING"
	case at["type"] == "PAUSED":
		return to == "SCHEDULED" || to == "PAUSED"
	case to == "RUNNING", to == "CANCELLING":
		return at["type"] == "PENDING" || at["type"] == "RUNNING" || at["type"] == "CANCELLING"
	}
	return true
}

// limitedTaskWalk is taskWalk with a limit on the tag now and then.
func limitedTaskWalk(base time.Time, random *rand.Rand, n int) *walker {
	w := taskWalk(base, random, n)
	if random.IntN(3) == 0 {
		limit := 1 + random.IntN(2)
		w.script.world.tags = []tag{{name: "a", limit: limit, used: random.IntN(limit + 1)}, {name: "b", limit: 5, used: 1}}
	}
	return w
}

// taskClear leaves out runs that are to run while they do.
func taskClear(at object, p proposal) bool {
	return p.force || p.state["type"] != "RUNNING" || at["type"] != "RUNNING" && at["type"] != "CANCELLING"
}

// taskWalk walks a task run, whose flow run now and then moves too.
func taskWalk(base time.Time, random *rand.Rand, n int) *walker {
	future, past := when(base, 48*time.Hour), when(base, -48*time.Hour)
	s := &script{kind: taskRuns, name: fmt.Sprintf("walk %d", n), initial: state("PENDING"), policy: object{"retries": random.IntN(4), "retry_delay": 0}}
	s.world = world{flow: state("RUNNING"), flowCount: 1, seenCount: random.IntN(2), alone: random.IntN(8) == 0, tags: []tag{{name: "a", limit: -1}}}
	keyed := details(object{"cache_key": "key of walk " + fmt.Sprint(n)})
	s.world.cache = &cached{key: str(detail(keyed, "cache_key")), state: state("COMPLETED", result()), expires: []string{past, future}[random.IntN(2)]}
	options := steady(
		state("SCHEDULED", details(object{"scheduled_time": past})),
		state("SCHEDULED", details(object{"scheduled_time": future})),
		state("SCHEDULED", details(object{"deferred": true, "task_parameters_id": otherTransition})),
		state("PENDING"), state("PENDING", details(object{"deferred": true})), state("PENDING", named("NotReady")),
		state("RUNNING"), state("RUNNING"), state("RUNNING"), state("RUNNING", details(object{"deferred": true})), state("RUNNING", keyed),
		state("COMPLETED"), state("COMPLETED", result()), state("COMPLETED", keyed), state("COMPLETED", keyed, result()),
		state("FAILED"), state("FAILED", message()), state("FAILED", result()), state("FAILED", details(object{"retriable": false})),
		state("CRASHED"), state("CANCELLED"), state("CANCELLING"), state("PAUSED", details(object{"pause_timeout": future})),
	)
	if !s.world.alone {
		options = append(options, step{state("RUNNING"), true}, step{state("RUNNING"), true}, step{state("RUNNING"), true},
			step{state("PAUSED", details(object{"pause_timeout": future, "pause_key": "k"})), true}, step{state("CANCELLING"), true})
	}
	return &walker{script: s, clear: taskClear, options: options}
}
