package twin

import (
	"fmt"
	"time"
)

// situation is how a flow run of a deployment with a limit got to where it is.
type situation struct {
	name    string
	initial object
	prelude []proposal
	holds   bool // a slot
	drop    bool // its lease ended meanwhile
	change  string
}

func by(agent string, state object) proposal { return proposal{state: state, agent: agent} }

// situations of flow runs.
func situations(base time.Time) []situation {
	future, past := when(base, 48*time.Hour), when(base, -48*time.Hour)
	scheduled := state("SCHEDULED", details(object{"scheduled_time": past}))
	start := []proposal{by(newClient, state("PENDING")), by(newClient, state("RUNNING"))}
	then := func(p ...proposal) []proposal { return append(append([]proposal{}, start...), p...) }
	pause := state("PAUSED", details(object{"pause_timeout": future, "pause_key": "p"}))
	suspend := state("PAUSED", named("Suspended"), details(object{"pause_timeout": future, "pause_key": "p", "pause_reschedule": true}))
	return []situation{
		{name: "scheduled", initial: scheduled},
		{name: "scheduled later", initial: state("SCHEDULED", details(object{"scheduled_time": future}))},
		{name: "awaiting a slot", initial: state("SCHEDULED", named("AwaitingConcurrencySlot"), details(object{"scheduled_time": past}))},
		{name: "failed", initial: state("FAILED")},
		{name: "pending without a slot", initial: state("PENDING")},
		{name: "running without a slot", initial: state("RUNNING")},
		{name: "pending", initial: scheduled, prelude: start[:1], holds: true},
		{name: "pending too early", initial: state("SCHEDULED", details(object{"scheduled_time": future})), prelude: start[:1], holds: true},
		{name: "pending by an old client", initial: scheduled, prelude: []proposal{by(oldClient, state("PENDING"))}, holds: true},
		{name: "pending, lease lost", initial: scheduled, prelude: start[:1], drop: true},
		{name: "running", initial: scheduled, prelude: start, holds: true},
		{name: "running by an old client", initial: scheduled, prelude: []proposal{by(oldClient, state("PENDING")), by(oldClient, state("RUNNING"))}, holds: true},
		{name: "running, lease lost", initial: scheduled, prelude: start, drop: true},
		{name: "cancelling", initial: scheduled, prelude: then(by(newClient, state("CANCELLING"))), holds: true},
		{name: "awaiting retry", initial: scheduled, prelude: then(by(newClient, state("FAILED"))), holds: true},
		{name: "paused", initial: scheduled, prelude: then(by(newClient, pause)), holds: true},
		{name: "suspended", initial: scheduled, prelude: then(by(newClient, suspend))},
		{name: "completed", initial: scheduled, prelude: then(by(newClient, state("COMPLETED")))},
		{name: "running, limit inactive by now", initial: scheduled, prelude: start, holds: true, change: "UPDATE concurrency_limit_v2 SET active = false WHERE id = $1"},
		{name: "running, limit gone by now", initial: scheduled, prelude: start, holds: true, change: "DELETE FROM concurrency_limit_v2 WHERE id = $1"},
	}
}

// slotProposals are what is proposed in each situation.
func slotProposals(base time.Time) []labelled {
	future, past := when(base, 48*time.Hour), when(base, -48*time.Hour)
	return []labelled{
		{"Scheduled", state("SCHEDULED", details(object{"scheduled_time": past}))},
		{"Pending", state("PENDING")},
		{"Submitting", state("PENDING", named("Submitting"))},
		{"Running", state("RUNNING")},
		{"Completed", state("COMPLETED")},
		{"Failed", state("FAILED", message())},
		{"Crashed", state("CRASHED")},
		{"Cancelled", state("CANCELLED")},
		{"Cancelling", state("CANCELLING")},
		{"Paused", state("PAUSED", details(object{"pause_timeout": future, "pause_key": "k"}))},
		{"Suspended", state("PAUSED", named("Suspended"), details(object{"pause_timeout": future, "pause_reschedule": true, "pause_key": "s"}))},
	}
}

// slotFactors are what varies beside: the limit and who else has slots of it,
// and who proposes.
func slotFactors() []factor {
	// Others have some slots; a run that holds one needs another.
	limits := factor{name: "limit"}
	for _, l := range []struct{ size, others int }{{1, 0}, {2, 1}, {5, 3}} {
		limits.values = append(limits.values, value{fmt.Sprintf("%d, others %d", l.size, l.others), func(s *script) { s.world.deployment.limit, s.world.deployment.used = l.size, l.others }})
	}
	return append(limitFactors(), limits, factor{"force", []value{{"off", func(*script) {}}, {"still off", func(*script) {}}, {"on", func(s *script) { s.proposal.force = true }}}},
		factor{"retries", []value{{"none", func(s *script) { s.policy["retries"] = 0 }}, {"left", func(s *script) { s.policy["retries"] = 3 }}}})
}

func limitFactors() []factor {
	clients := factor{name: "client"}
	for _, v := range []string{newClient, exactClient, "prefect/3.4.11rc1 (API 0.8.4)", oldClient, "", strange} {
		clients.values = append(clients.values, value{fmt.Sprintf("%q", v), func(s *script) { s.proposal.agent = v }})
	}
	strategy := factor{name: "strategy"}
	for _, v := range []string{"", "ENQUEUE", "CANCEL_NEW"} {
		strategy.values = append(strategy.values, value{fmt.Sprintf("%q", v), func(s *script) { s.world.deployment.strategy = v }})
	}
	grace := factor{"grace", []value{{"default", func(*script) {}}, {"given", func(s *script) { s.world.deployment.grace = graceTime }}}}
	return []factor{clients, strategy, grace}
}

// flowSlots are the cases: all situations with all proposals, and the start of
// a run against every form of limit.
func flowSlots(base time.Time) []*script {
	times := 1
	if full() {
		times = variants
	}
	var all []*script
	for v := range times {
		for i, from := range situations(base) {
			for j, to := range slotProposals(base) {
				s := from.script()
				if from.change != "" {
					s.expect = map[string]string{"set_state status": "201", "run.state_type": str(to.state["type"])}
				}
				s.name, s.proposal = fmt.Sprintf("%d: %s to %s", v, from.name, to.name), proposal{state: to.state}
				vary(s, (v*len(situations(base))+i)*len(slotProposals(base))+j, slotFactors())
				if from.name == "awaiting retry" {
					s.policy["retries"] = 3
				}
				all = append(all, s)
			}
		}
	}
	return append(all, starts(base)...)
}

func (from situation) script() *script {
	return &script{kind: flowRuns, initial: from.initial, prelude: from.prelude, drop: from.drop, holds: from.holds, change: from.change, policy: object{}, pid: "pid-1",
		world: world{deployment: &deployment{}}}
}

// starts are runs that want a slot, against every form of limit.
func starts(base time.Time) []*script {
	var all []*script
	for i, from := range situations(base)[:5] {
		for j, d := range []deployment{{limit: -1}, {limit: 0}, {limit: 1}, {limit: 1, used: 1}, {limit: 3, used: 2}, {limit: 3, used: 3}, {limit: 2, used: 5}, {limit: 1, inactive: true}, {limit: 1, used: 1, inactive: true}, {gone: true}} {
			for k, agent := range []string{newClient, workerClient, ""} {
				if !full() && k != (i+j)%3 {
					continue
				}
				for _, to := range []object{state("PENDING"), state("RUNNING")} {
					s := from.script()
					at := d
					s.world.deployment = &at
					s.name = fmt.Sprintf("start: %s to %v, limit %d, used %d, inactive %t, gone %t", from.name, to["type"], d.limit, d.used, d.inactive, d.gone)
					vary(s, (i*10+j)*3+k, limitFactors())
					s.proposal.state, s.proposal.agent = to, agent
					s.name += ", by " + agent
					all = append(all, s)
				}
			}
		}
	}
	return all
}
