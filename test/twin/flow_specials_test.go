package twin

import "time"

// flowSpecials are cases that take more than one proposal, or a world of their
// own.
func flowSpecials(base time.Time) []*script {
	var all []*script
	add := func(name string, s *script) {
		s.kind, s.name = flowRuns, "special: "+name
		if s.policy == nil {
			s.policy = object{"retries": 1, "retry_delay": retryDelay, "pause_keys": []string{"k"}}
		}
		all = append(all, s)
	}
	same := details(object{"transition_id": thisTransition})
	// A request that comes again, when its reply was lost.
	for _, force := range []bool{false, true} {
		for _, kind := range []string{"SCHEDULED", "PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED", "CRASHED", "CANCELLING"} {
			again := proposal{state: state(kind, same, message()), force: true}
			repeat := again
			repeat.force = force
			add("repeated "+kind+map[bool]string{true: ", forced"}[force], &script{prelude: []proposal{again}, proposal: repeat})
		}
	}
	lost := proposal{state: state("FAILED", same, message())}
	add("repeated after a retry was granted", &script{initial: state("RUNNING"), runCount: 1, prelude: []proposal{lost}, proposal: lost})
	for _, version := range []string{"", "0.8.4", "0.8.3", "0.8.2"} {
		add("retry with a failed task run, API "+version, &script{initial: state("RUNNING"), runCount: 1, world: world{failedTask: true},
			proposal: proposal{state: state("FAILED", message()), version: version}})
	}
	pause := state("PAUSED", details(object{"pause_timeout": when(base, 48*time.Hour), "pause_key": "new"}))
	add("pause_keys null", &script{initial: state("RUNNING"), policy: object{"pause_keys": nil}, proposal: proposal{state: pause},
		expect: map[string]string{"set_state status": "201", "run.state_type": "PAUSED", "run.empirical_policy.pause_keys": "{new}"}})
	return all
}
