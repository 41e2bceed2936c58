package twin

import (
	"fmt"
	"time"
)

// keyed is the cache key of a script; the world may have a row for it.
func keyed(name string) string { return "key of " + name }

// taskStates are the states that task runs of the matrix are in.
func taskStates(base time.Time) []labelled {
	future, past := when(base, 48*time.Hour), when(base, -48*time.Hour)
	return []labelled{
		{"no state", nil},
		{"Scheduled", state("SCHEDULED", details(object{"scheduled_time": past}))},
		{"Scheduled later", state("SCHEDULED", details(object{"scheduled_time": future}))},
		{"AwaitingRetry", state("SCHEDULED", named("AwaitingRetry"), details(object{"scheduled_time": past}))},
		{"AwaitingRetry later", state("SCHEDULED", named("AwaitingRetry"), details(object{"scheduled_time": future}))},
		{"Scheduled, deferred", state("SCHEDULED", details(object{"scheduled_time": past, "deferred": true, "task_parameters_id": otherTransition}))},
		{"Pending", state("PENDING", details(object{"transition_id": thisTransition}))},
		{"Pending, deferred", state("PENDING", details(object{"deferred": true, "task_parameters_id": otherTransition}))},
		{"Running", state("RUNNING", message(), details(object{"transition_id": thisTransition}))},
		{"Retrying", state("RUNNING", named("Retrying"))},
		{"Completed", state("COMPLETED")},
		{"Completed with result", state("COMPLETED", result())},
		{"Completed with empty result", state("COMPLETED", object{"data": object{}})},
		{"Cached", state("COMPLETED", named("Cached"), result())},
		{"Failed", state("FAILED", message())},
		{"Failed with result", state("FAILED", result())},
		{"TimedOut", state("FAILED", named("TimedOut"))},
		{"Cancelled", state("CANCELLED")},
		{"Crashed", state("CRASHED")},
		{"Paused", state("PAUSED", details(object{"pause_timeout": future}))},
		{"NotReady", state("PAUSED", named("NotReady"), details(object{"pause_timeout": past, "pause_reschedule": true}))},
		{"Cancelling", state("CANCELLING")},
	}
}

// taskProposals are what is proposed to each of them.
func taskProposals(base time.Time) []labelled {
	future := when(base, 48*time.Hour)
	return []labelled{
		{"Scheduled", state("SCHEDULED")},
		{"Scheduled later", state("SCHEDULED", details(object{"scheduled_time": future}))},
		{"AwaitingRetry", state("SCHEDULED", named("AwaitingRetry"))},
		{"Scheduled, deferred", state("SCHEDULED", details(object{"deferred": true, "task_parameters_id": thisTransition}))},
		{"Pending", state("PENDING")},
		{"NotReady", state("PENDING", named("NotReady"), message())},
		{"Pending, deferred", state("PENDING", details(object{"deferred": true}))},
		{"Running", state("RUNNING", details(object{"transition_id": otherTransition}))},
		{"Running again", state("RUNNING", named("Mine"), details(object{"transition_id": thisTransition}))},
		{"Running, deferred", state("RUNNING", details(object{"deferred": true}))},
		{"Completed", state("COMPLETED", message())},
		{"Completed with result", state("COMPLETED", result(), message())},
		{"Completed, unpersisted", state("COMPLETED", object{"data": object{"type": "unpersisted"}})},
		{"Cached", state("COMPLETED", named("Cached"))},
		{"Failed", state("FAILED", message(), details(object{"transition_id": otherTransition}))},
		{"Failed with result", state("FAILED", result(), message())},
		{"Failed, not retriable", state("FAILED", message(), details(object{"retriable": false}))},
		{"Failed, retriable", state("FAILED", named("TimedOut"), details(object{"retriable": true}))},
		{"Failed, deferred", state("FAILED", details(object{"deferred": true}))},
		{"Crashed", state("CRASHED", message())},
		{"Cancelled", state("CANCELLED")},
		{"Cancelling", state("CANCELLING")},
		{"Paused", state("PAUSED", details(object{"pause_timeout": future, "pause_key": "k"}))},
	}
}

// taskFactors are what varies beside the two states.
func taskFactors() []factor {
	attempts := factor{name: "attempt"}
	for _, a := range []struct {
		retries any
		count   int
	}{{nil, 1}, {0, 0}, {0, 1}, {1, 0}, {1, 1}, {1, 2}, {2, 2}, {3, 3}, {2, 3}} {
		attempts.values = append(attempts.values, value{fmt.Sprintf("%d of %v", a.count, a.retries), func(s *script) { s.policy["retries"], s.runCount = a.retries, a.count }})
	}
	delay := factor{name: "retry_delay"}
	for _, d := range []any{nil, 0, retryDelay, float64(retryDelay), []any{firstDelay}, []any{firstDelay, secondDelay}} {
		delay.values = append(delay.values, one(d, func(s *script) { s.policy["retry_delay"] = d }))
	}
	jitter := factor{name: "jitter", values: []value{
		{"none", func(*script) {}}, {"0", func(s *script) { s.policy["retry_jitter_factor"] = 0 }},
		{"some", func(s *script) { s.policy["retry_delay"], s.policy["retry_jitter_factor"] = jitterDelay, jitterFactor }},
	}}
	flow := factor{name: "flow run"}
	for _, f := range []labelled{{"Running", state("RUNNING")}, {"running on", state("RUNNING", named("Retrying"))}, {"without a state", nil}, {"Pending", state("PENDING")}, {"Completed", state("COMPLETED")},
		{"Paused", state("PAUSED", details(object{"pause_timeout": "2030-01-01T00:00:00Z", "pause_reschedule": true}))}, {"Cancelling", state("CANCELLING")}, {"Scheduled", state("SCHEDULED")}} {
		flow.values = append(flow.values, value{f.name, func(s *script) { s.world.flow = f.state }})
	}
	flow.values = append(flow.values, value{"missing", func(s *script) { s.world.alone = true }})
	counts := factor{name: "flow run's attempt"}
	for _, c := range [][2]int{{1, 1}, {2, 1}, {2, 2}, {0, 0}} {
		counts.values = append(counts.values, value{fmt.Sprintf("%d, seen %d", c[0], c[1]), func(s *script) { s.world.flowCount, s.world.seenCount = c[0], c[1] }})
	}
	tags := factor{"tags", []value{
		{"none", func(*script) {}}, {"without limit", func(s *script) { s.world.tags = []tag{{name: "a", limit: -1}} }},
		{"limit inactive", func(s *script) {
			s.world.tags = []tag{{name: "a", limit: 1, used: 1, inactive: true}, {name: "b", limit: -1}}
		}},
	}}
	return append(clientFactors(), attempts, delay, jitter, flow, counts, tags, cacheFactor())
}

// cacheFactor is what the proposal says of a cache key, and what is there for it.
func cacheFactor() factor {
	with := func(more object, c *cached) func(s *script) {
		return func(s *script) {
			d := object{"cache_key": keyed(s.name)}
			for k, v := range more {
				d[k] = v
			}
			s.propose(d)
			s.world.cache = c
		}
	}
	hit := state("COMPLETED", result(), message())
	return factor{"cache", []value{
		{"no key", func(*script) {}}, {"still no key", func(*script) {}},
		{"nothing there", with(nil, nil)},
		{"with an expiry", with(object{"cache_expiration": "2031-01-01T00:00:00Z"}, nil)},
		{"fresh", with(nil, &cached{state: hit, expires: "2031-01-01T00:00:00Z"})},
		{"fresh for ever", with(nil, &cached{state: state("COMPLETED")})},
		{"expired", with(nil, &cached{state: hit, expires: "2020-01-01T00:00:00Z"})},
		{"refresh", with(object{"refresh_cache": true}, &cached{state: hit})},
		{"its state gone", with(nil, &cached{})},
	}}
}

// propose adds to the details of the proposed state, which scripts share.
func (s *script) propose(more object) {
	d := object{}
	if shared, ok := s.proposal.state["state_details"].(object); ok {
		for k, v := range shared {
			d[k] = v
		}
	}
	for k, v := range more {
		d[k] = v
	}
	s.proposal.state = state(s.proposedType(), s.proposal.state, details(d))
}
