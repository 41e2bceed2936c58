package twin

import (
	"fmt"
	"time"
)

// labelled is a state and what a script calls it.
type labelled struct {
	name  string
	state object
}

const (
	thisTransition  = "11111111-1111-4111-8111-111111111111"
	otherTransition = "22222222-2222-4222-8222-222222222222"
)

// The clients that propose, by their User-Agent.
const (
	newClient    = "prefect/3.8.8 (API 0.8.4)"
	exactClient  = "prefect/3.4.11 (API 0.8.4)" // the first that renews leases
	oldClient    = "prefect/3.4.10 (API 0.8.4)"
	workerClient = "prefect/3.0.1 (API 0.8.3)" // one that manages slots itself
	strange      = "Mozilla/5.0 prefect/3.8.8"
)

func result() object  { return object{"data": object{"type": "reference", "storage_key": "abc"}} }
func message() object { return object{"message": "why"} }

// flowStates are the states that flow runs of the matrix are in.
func flowStates(base time.Time) []labelled {
	future, past := when(base, 48*time.Hour), when(base, -48*time.Hour)
	return []labelled{
		{"no state", nil},
		{"Scheduled", state("SCHEDULED", details(object{"scheduled_time": past}))},
		{"Scheduled later", state("SCHEDULED", details(object{"scheduled_time": future}))},
		{"AwaitingRetry", state("SCHEDULED", named("AwaitingRetry"), details(object{"scheduled_time": future}))},
		{"AwaitingRetry over", state("SCHEDULED", named("AwaitingRetry"), details(object{"scheduled_time": past}))},
		{"Late", state("SCHEDULED", named("Late"), details(object{"scheduled_time": past}))},
		{"Resuming", state("SCHEDULED", named("Resuming"), details(object{"scheduled_time": past}))},
		{"AwaitingConcurrencySlot", state("SCHEDULED", named("AwaitingConcurrencySlot"), details(object{"scheduled_time": past}))},
		{"Pending", state("PENDING")},
		{"Pending until later", state("PENDING", details(object{"scheduled_time": future}))},
		{"Submitting", state("PENDING", named("Submitting"))},
		{"Running", state("RUNNING", message())},
		{"Retrying", state("RUNNING", named("Retrying"))},
		{"Completed", state("COMPLETED")},
		{"Completed with result", state("COMPLETED", result())},
		{"Completed with empty result", state("COMPLETED", object{"data": object{}})},
		{"Failed", state("FAILED", message())},
		{"Failed with result", state("FAILED", result())},
		{"TimedOut", state("FAILED", named("TimedOut"))},
		{"Cancelled", state("CANCELLED")},
		{"Crashed", state("CRASHED", message())},
		{"Paused", state("PAUSED", details(object{"pause_timeout": future, "pause_key": "k"}))},
		{"Paused, over", state("PAUSED", details(object{"pause_timeout": past, "pause_key": "k"}))},
		{"Suspended", state("PAUSED", named("Suspended"), details(object{"pause_timeout": future, "pause_reschedule": true, "pause_key": "s"}))},
		{"Cancelling", state("CANCELLING")},
	}
}

// flowProposals are what is proposed to each of them.
func flowProposals(base time.Time) []labelled {
	future, past := when(base, 48*time.Hour), when(base, -48*time.Hour)
	return []labelled{
		{"Scheduled", state("SCHEDULED")},
		{"Scheduled later", state("SCHEDULED", details(object{"scheduled_time": future}))},
		{"AwaitingRetry", state("SCHEDULED", named("AwaitingRetry"), details(object{"scheduled_time": future}))},
		{"Late", state("SCHEDULED", named("Late"), details(object{"scheduled_time": past}))},
		{"Resuming", state("SCHEDULED", named("Resuming"))},
		{"Pending", state("PENDING")},
		{"Submitting", state("PENDING", named("Submitting"), details(object{"scheduled_time": past}))},
		{"InfrastructurePending", state("PENDING", named("InfrastructurePending"))},
		{"Running", state("RUNNING", details(object{"transition_id": otherTransition}))},
		{"Retrying", state("RUNNING", named("Retrying"), message())},
		{"Completed", state("COMPLETED", message())},
		{"Completed with result", state("COMPLETED", result(), message())},
		{"Completed, unpersisted", state("COMPLETED", object{"data": object{"type": "unpersisted"}})},
		{"Completed with empty result", state("COMPLETED", object{"data": object{}})},
		{"Failed", state("FAILED", message(), details(object{"transition_id": otherTransition}))},
		{"Failed with result", state("FAILED", result(), message())},
		{"TimedOut", state("FAILED", named("TimedOut"))},
		{"Crashed", state("CRASHED", message())},
		{"Cancelled", state("CANCELLED")},
		{"Cancelling", state("CANCELLING")},
		{"Paused k", state("PAUSED", details(object{"pause_timeout": future, "pause_key": "k"}))},
		{"Paused other", state("PAUSED", details(object{"pause_timeout": future, "pause_key": "other"}))},
		{"Suspended", state("PAUSED", named("Suspended"), details(object{"pause_timeout": future, "pause_reschedule": true, "pause_key": "s2"}))},
		{"Paused without a key", state("PAUSED", details(object{"pause_timeout": future}))},
	}
}

// flowFactors are what varies beside the two states.
func flowFactors() []factor {
	policy := func(key string, values ...any) factor {
		f := factor{name: key}
		for _, v := range values {
			f.values = append(f.values, one(v, func(s *script) { s.policy[key] = v }))
		}
		return f
	}
	attempts := factor{name: "attempt"}
	for _, a := range []struct {
		retries any
		count   int
	}{{nil, 1}, {0, 0}, {0, 1}, {1, 0}, {1, 1}, {1, 2}, {2, 2}, {2, 3}} {
		attempts.values = append(attempts.values, value{fmt.Sprintf("%d of %v", a.count, a.retries), func(s *script) { s.policy["retries"], s.runCount = a.retries, a.count }})
	}
	clients := append(clientFactors(), factor{"infrastructure", []value{
		{"none", func(*script) {}}, {"empty", func(*script) {}}, {"there", func(s *script) { s.pid = "pid-1" }},
	}})
	return append(clients, attempts,
		policy("retry_delay", nil, 0, retryDelay),
		policy("resuming", false, true, nil),
		policy("retry_type", nil, "in_process", "reschedule"),
		policy("pause_keys", []string{}, []string{"k"}, []string{"k", "x"}),
		factor{"deployment", []value{
			{"none", func(*script) {}},
			{"without limit", func(s *script) { s.world.deployment = &deployment{limit: -1} }},
		}},
		factor{"stands", []value{
			{"alone", func(*script) {}}, {"still alone", func(*script) {}},
			{"for a task run", func(s *script) { s.world.subflow = true }},
		}})
}

// clientFactors are what varies of who proposes.
func clientFactors() []factor {
	version := factor{name: "API"}
	for _, v := range []string{"", "0.8.4", "0.8.3", "0.8.2"} {
		version.values = append(version.values, value{fmt.Sprintf("%q", v), func(s *script) { s.proposal.version = v }})
	}
	agent := factor{name: "client"}
	for _, v := range []string{"", newClient, oldClient, workerClient, strange} {
		agent.values = append(agent.values, value{fmt.Sprintf("%q", v), func(s *script) { s.proposal.agent = v }})
	}
	return []factor{version, agent, {"force", []value{
		{"off", func(*script) {}}, {"not set", func(*script) {}}, {"on", func(s *script) { s.proposal.force = true }},
	}}}
}

// variants is how often a full run tries each pair of states, with other values
// of the factors each time; a sampled run tries each once.
const variants = 5

// matrix pairs all states with all proposals.
func matrix(k *kind, states, proposals []labelled, factors []factor) []*script {
	times := 1
	if full() {
		times = variants
	}
	var all []*script
	for v := range times {
		for i, from := range states {
			for j, to := range proposals {
				s := &script{kind: k, initial: from.state, policy: object{}, runCount: 1, proposal: proposal{state: to.state}}
				s.name = fmt.Sprintf("%d: %s to %s", v, from.name, to.name)
				vary(s, (v*len(states)+i)*len(proposals)+j, factors)
				all = append(all, s)
			}
		}
	}
	return all
}
