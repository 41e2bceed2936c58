package twin

import (
	"fmt"
	"time"
)

// tagSituations are how a task run whose tags have limits got to where it is.
func tagSituations(base time.Time) []situation {
	past := when(base, -48*time.Hour)
	run := []proposal{{state: state("RUNNING")}}
	then := func(s object) []proposal { return []proposal{run[0], {state: s}} }
	return []situation{
		{name: "no state"},
		{name: "scheduled", initial: state("SCHEDULED", details(object{"scheduled_time": past}))},
		{name: "pending", initial: state("PENDING")},
		{name: "failed", initial: state("FAILED")},
		{name: "running without slots", initial: state("RUNNING")},
		{name: "running", initial: state("PENDING"), prelude: run, holds: true},
		{name: "cancelling", initial: state("PENDING"), prelude: then(state("CANCELLING")), holds: true},
		{name: "awaiting retry", initial: state("PENDING"), prelude: then(state("FAILED"))},
		{name: "completed", initial: state("PENDING"), prelude: then(state("COMPLETED"))},
		{name: "running, limit inactive by now", initial: state("PENDING"), prelude: run, holds: true, change: "UPDATE concurrency_limit_v2 SET active = false WHERE id = $1"},
		{name: "running, limit gone by now", initial: state("PENDING"), prelude: run, holds: true, change: "DELETE FROM concurrency_limit_v2 WHERE id = $1"},
	}
}

// tagProposals are what is proposed in each situation.
func tagProposals() []labelled {
	return []labelled{
		{"Scheduled", state("SCHEDULED")}, {"Pending", state("PENDING")}, {"Running", state("RUNNING")}, {"Running again", state("RUNNING", named("Mine"))},
		{"Completed", state("COMPLETED")}, {"Failed", state("FAILED", message())}, {"Crashed", state("CRASHED")}, {"Cancelled", state("CANCELLED")},
		{"Cancelling", state("CANCELLING")}, {"Paused", state("PAUSED")},
	}
}

// tagFactors are the limits on the run's tags, and how it is proposed.
func tagFactors() []factor {
	limits := factor{name: "limits"}
	for _, tags := range [][]tag{
		{{name: "a", limit: 1}}, {{name: "a", limit: 2, used: 1}}, {{name: "a", limit: 1}, {name: "b", limit: 3, used: 1}}, {{name: "a", limit: 1}, {name: "b", limit: -1}},
		{{name: "a", limit: 1}, {name: "b", limit: 1, used: 1, inactive: true}},
	} {
		limits.values = append(limits.values, value{fmt.Sprint(tags), func(s *script) { s.world.tags = tags }})
	}
	return []factor{limits, {"force", []value{{"off", func(*script) {}}, {"still off", func(*script) {}}, {"on", func(s *script) { s.proposal.force = true }}}},
		{"retries", []value{{"none", func(s *script) { s.policy["retries"] = 0 }}, {"left", func(s *script) { s.policy["retries"] = 3 }}}}}
}

// taskSlots are the cases: all situations with all proposals, and the start of a run
// against every form of limits.
func taskSlots(base time.Time) []*script {
	times := 1
	if full() {
		times = variants
	}
	var all []*script
	script := func(from situation, to object) *script {
		return &script{kind: taskRuns, initial: from.initial, prelude: from.prelude, holds: from.holds, change: from.change, policy: object{"retry_delay": retryDelay},
			proposal: proposal{state: to}, world: world{flow: state("RUNNING"), flowCount: 1, seenCount: 1}}
	}
	for v := range times {
		for i, from := range tagSituations(base) {
			for j, to := range tagProposals() {
				s := script(from, to.state)
				s.name = fmt.Sprintf("%d: %s to %s", v, from.name, to.name)
				if from.change != "" {
					s.expect = map[string]string{"set_state status": "201", "run.state_type": str(to.state["type"])}
				}
				vary(s, (v*len(tagSituations(base))+i)*len(tagProposals())+j, tagFactors())
				if s.expect != nil && s.proposedType() == "FAILED" && s.policy["retries"] == 3 && !s.proposal.force {
					s.expect["run.state_type"] = "SCHEDULED" // granted a retry, and the slots given back
				}
				if from.name == "awaiting retry" {
					s.policy["retries"] = 3
				}
				all = append(all, s)
			}
		}
	}
	for _, from := range tagSituations(base)[:5] {
		for _, tags := range [][]tag{
			{{name: "a", limit: 0}}, {{name: "a", limit: 1, used: 1}}, {{name: "a", limit: 2, used: 5}}, {{name: "a", limit: 0, inactive: true}}, {{name: "a", limit: 1, used: 1, inactive: true}},
			{{name: "a", limit: 1}, {name: "b", limit: 1, used: 1}}, {{name: "a", limit: 0}, {name: "b", limit: 1}}, {{name: "a", limit: 0}, {name: "b", limit: 1, used: 1}},
			{{name: "a", limit: 3, used: 2}, {name: "b", limit: 1}, {name: "c", limit: 2}},
		} {
			s := script(from, state("RUNNING"))
			s.name, s.world.tags = fmt.Sprintf("start: %s, %+v", from.name, tags), tags
			all = append(all, s)
		}
	}
	return all
}
