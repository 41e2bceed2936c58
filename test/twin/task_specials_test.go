package twin

import (
	"fmt"
	"strings"
	"time"
)

// taskSpecials are cases that take more than one proposal, or are at an edge.
func taskSpecials(base time.Time) []*script {
	var all []*script
	add := func(name string, s *script) {
		s.kind, s.name = taskRuns, "special: "+name
		if s.policy == nil {
			s.policy = object{"retries": 1, "retry_delay": retryDelay}
		}
		if s.world.flow == nil {
			s.world.flow, s.world.flowCount, s.world.seenCount = state("RUNNING"), 1, 1
		}
		all = append(all, s)
	}
	same := details(object{"transition_id": thisTransition})
	for _, kind := range []string{"PENDING", "RUNNING", "COMPLETED", "FAILED"} {
		again := proposal{state: state(kind, same, message()), force: true}
		add("repeated "+kind, &script{prelude: []proposal{again}, proposal: again})
	}
	lost := proposal{state: state("FAILED", same, message())}
	add("repeated after a retry was granted", &script{initial: state("RUNNING"), runCount: 1, prelude: []proposal{lost}, proposal: lost})
	failed := proposal{state: state("FAILED", message())}
	for name, delay := range map[string]any{"empty": []any{}, "negative": negativeDelay, "fraction": fractionDelay / 2.0, "list with a fraction": []any{fractionDelay / 2.0, negativeDelay}} {
		for _, count := range []int{0, 1, 2} {
			add(fmt.Sprintf("retry_delay %s, attempt %d", name, count), &script{initial: state("RUNNING"), runCount: count, policy: object{"retries": 2, "retry_delay": delay}, proposal: failed,
				expect: map[string]string{"set_state status": "201", "run.state_name": "AwaitingRetry", "run.next_scheduled_start_time": "time of set_state"}})
		}
	}
	for name, n := range map[string]int{"as long as may be": 2000, "too long": 2001} {
		for _, kind := range []string{"COMPLETED", "RUNNING"} {
			key := name + kind
			key += strings.Repeat("k", n-len(key))
			add("cache key of "+kind+", "+name, &script{initial: state("RUNNING"), runCount: 1, proposal: proposal{state: state(kind, details(object{"cache_key": key}))}})
		}
	}
	add("cached by another transition", &script{initial: state("PENDING"), proposal: proposal{state: state("RUNNING", details(object{"cache_key": "another's"}))},
		world: world{cache: &cached{state: state("COMPLETED", result(), details(object{"transition_id": thisTransition}))}}})
	text := state("COMPLETED", object{"data": "text"})
	add("data that is no object", &script{initial: text, runCount: 1, proposal: proposal{state: state("RUNNING")},
		expect: map[string]string{"set_state status": "200", "set_state.status": "REJECT", "run.state_type": "COMPLETED"}})
	add("data that is no object, forced", &script{initial: text, runCount: 1, proposal: proposal{state: state("RUNNING"), force: true}})
	return all
}
