package twin

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/interlock-run/interlock/test/servers"
)

// intended is where interlock differs on purpose: what it does is right and
// stated here, so the tests assert it instead of passing it over. RATIONALE.md
// lists them by name.
type intended struct {
	name string
	why  string
	// in names the plays with a case that shows it.
	in []string
	// walks says that the last step of a walk can show it; walks stay clear of the
	// others.
	walks bool
	// ours returns the leaves that must have these values with us, nil if the
	// case is none of this kind. Other leaves must be as with the reference.
	ours func(s *script, c *seen) map[string]string
}

// The plays, as their tests name them.
const (
	flowPlay     = "flow run transitions"
	taskPlay     = "task run transitions"
	flowSlotPlay = "flow run transitions with slots"
	taskSlotPlay = "task run transitions with slots"
)

// seen is what both sides of a case showed, and how the time of what was
// arranged reads in it.
type seen struct {
	before    string
	ref, ours map[string]string
}

// differences is the whole list.
var differences = slices.Concat(ofStates, ofSlots)

// ofStates are those about states and the run's row.
var ofStates = []intended{
	{
		name: "a resume is no run",
		why:  "the reference sets resuming after it counted and cleared it, so a resume uses up a retry and the flag stays",
		in:   []string{flowPlay},
		ours: resumed,
	},
	{
		name:  "a refusal leaves the row alone",
		why:   "the reference writes the run again although nothing changed",
		in:    []string{flowPlay, taskPlay},
		walks: true,
		ours:  refused,
	},
	{
		name: "no made-up pause keys",
		why:  "a random key for each pause without one grows the row and serves nothing",
		in:   []string{flowPlay},
		ours: keyless,
	},
	{
		name: "a repeated request gets the stored reply",
		why:  "a reply that was lost on the way must come again, not a refusal; forced requests too",
		in:   []string{flowPlay, taskPlay},
		ours: repeated,
	},
	{
		name: "a key that is too long is not written to the cache",
		why:  "the reference refuses it and writes it all the same",
		in:   []string{taskPlay},
		ours: longKey,
	},
	{
		name: "a cached state has no transition",
		why:  "the reference copies the id of the transition that made the state, which is another run's",
		in:   []string{taskPlay},
		ours: cachedTransition,
	},
	{
		name: "nothing is done to the failed task runs of a retried flow run",
		why:  "only clients before API 0.8.3 need it: such a loop over other runs is no rule's work",
		in:   []string{flowPlay},
		ours: veryOld,
	},
	{
		name: "an odd value in a row is no internal error",
		why:  "the reference answers 500 to what it stored itself, so that the run can never go on",
		in:   []string{flowPlay, taskPlay},
		ours: odd,
	},
}

func resumed(s *script, c *seen) map[string]string {
	at := s.current(c)
	if s.kind != flowRuns || s.proposal.force || at["type"] != "PAUSED" || s.proposedType() == "PAUSED" || nameOf(s.proposal.state) == "Late" {
		return nil
	}
	before := "false"
	if v, given := s.policy["resuming"]; given {
		before = fmt.Sprint(v)
	}
	// A client before API 0.8.4 knows nothing of resuming.
	old := s.proposal.version == "0.8.3" || s.proposal.version == "0.8.2"
	ended := before // by a state that is terminal
	if before == "true" && !old {
		ended = "false"
	}
	suspended := detail(at, "pause_reschedule") == true
	want := map[string]string{}
	resuming := func(v string) map[string]string { want["run.empirical_policy.resuming"] = v; return want }
	switch kind := s.proposedType(); {
	case kind == "CANCELLING" && suspended:
		return resuming(ended) // cancelled at once
	case kind == "CANCELLING", kind == "PENDING", suspended && s.world.deployment == nil:
		return resuming(before)
	case s.pauseIsOver():
		return resuming(ended) // failed
	case kind == "SCHEDULED", kind == "RUNNING" && old:
		return nil
	case kind == "RUNNING":
		want["run.run_count"] = fmt.Sprint(s.runCount + s.runs())
		return resuming("false")
	}
	return resuming(ended)
}

// refused expects the row to be as the last state left it.
func refused(s *script, c *seen) map[string]string {
	if c.ours["set_state status"] != "200" {
		return nil
	}
	if c.ours["run.state"] == "<nil>" {
		return map[string]string{"run.updated": c.before}
	}
	return map[string]string{"run.updated": c.ours["run.state.timestamp"]}
}

func keyless(s *script, c *seen) map[string]string {
	if s.kind != flowRuns || s.proposal.force || s.initialType() != "RUNNING" || s.proposedType() != "PAUSED" || detail(s.proposal.state, "pause_key") != nil {
		return nil
	}
	keys, _ := s.policy["pause_keys"].([]string)
	return map[string]string{"run.empirical_policy.pause_keys": "{" + strings.Join(keys, " ") + "}"}
}

// repeated expects all to be as the first request left it, and its reply again.
func repeated(s *script, c *seen) map[string]string {
	id := detail(s.proposal.state, "transition_id")
	if id == nil || len(s.prelude) == 0 || detail(s.prelude[0].state, "transition_id") != id {
		return nil
	}
	want := map[string]string{"set_state.details.reason": missing}
	for path, value := range c.ours {
		if rest, first := strings.CutPrefix(path, "prelude"); first {
			want["set_state"+rest] = value
			if state, ok := strings.CutPrefix(rest, ".state."); ok {
				want["run.state."+state] = value
			}
		}
	}
	last := 0 // the state that the first request wrote
	if s.initial != nil {
		last = 1
	}
	for path := range c.ref {
		if strings.HasPrefix(path, fmt.Sprintf("states[%d]", last+1)) {
			want[path] = missing
		}
	}
	for _, column := range []string{"id", "type", "name"} {
		want["run.state_"+column] = want["set_state.state."+column]
	}
	want["run.updated"] = want["set_state.state.timestamp"]
	want["run.run_count"] = fmt.Sprint(s.runCount)
	switch kind := want["run.state_type"]; kind {
	case "RUNNING":
		want["run.run_count"] = fmt.Sprint(s.runCount + 1)
	case "SCHEDULED":
		want["run.end_time"], want["run.next_scheduled_start_time"] = "<nil>", want["set_state.state.state_details.scheduled_time"]
	}
	return want
}

func longKey(s *script, c *seen) map[string]string {
	const most = 2000
	if s.kind != taskRuns || s.proposal.force || s.proposedType() != "COMPLETED" || len(str(detail(s.proposal.state, "cache_key"))) <= most {
		return nil
	}
	return map[string]string{"set_state.status": "ACCEPT", "set_state.details.type": "accept_details", "set_state.details.reason": missing,
		"cache[0].cache_expiration": missing, "cache[0].state_id": missing}
}

func cachedTransition(s *script, c *seen) map[string]string {
	if s.world.cache == nil || detail(s.world.cache.state, "transition_id") == nil || c.ours["set_state.state.name"] != "Cached" {
		return nil
	}
	return map[string]string{"set_state.state.state_details.transition_id": "<nil>", "run.state.state_details.transition_id": "<nil>", "states[1].details.transition_id": missing}
}

func veryOld(s *script, c *seen) map[string]string {
	if !s.world.failedTask || s.proposal.version != "0.8.2" {
		return nil
	}
	want := map[string]string{"failed task[0].state_type": "FAILED", "failed task[0].state_name": "Failed", "failed task[0].state_timestamp": c.before,
		"failed task[0].end_time": c.before, "failed task[0].run_count": "1", "failed task[0].next_scheduled_start_time": "<nil>"}
	for path := range c.ref {
		if strings.HasPrefix(path, "failed task states[1]") {
			want[path] = missing
		}
	}
	return want
}

// odd expects what the script says, where the reference says nothing at all.
func odd(s *script, c *seen) map[string]string {
	if s.expect == nil || c.ref["set_state status"] != "500" {
		return nil
	}
	return c.but(s.expect)
}

// but takes interlock's word for whatever differs, but for the leaves of want.
func (c *seen) but(want map[string]string) map[string]string {
	all := map[string]string{}
	for _, d := range compare(c.ref, c.ours) {
		all[d.path] = d.ours
	}
	maps.Copy(all, want)
	return all
}

// current is the state that the run was in when the proposal came.
func (s *script) current(c *seen) object {
	n := len(s.prelude)
	if n == 0 {
		return s.initial
	}
	kind, name := c.ours[s.last()+".state.type"], c.ours[s.last()+".state.name"]
	if made := s.prelude[n-1].state; made["type"] == kind {
		return made
	}
	return object{"type": kind, "name": name}
}

// last names the last request of the prelude.
func (s *script) last() string { return preludeName(len(s.prelude) - 1) }

func preludeName(i int) string {
	if i == 0 {
		return "prelude"
	}
	return fmt.Sprintf("prelude %d", i)
}

// runs is how often the prelude had the run RUNNING.
func (s *script) runs() (n int) {
	for _, p := range s.prelude {
		if p.state["type"] == "RUNNING" {
			n++
		}
	}
	return n
}

var coreFlowPolicy = []string{
	"PreserveDeploymentConcurrencyLeaseId", "PreventDuplicateTransitions", "HandleFlowTerminalStateTransitions",
	"EnforceCancellingToCancelledTransition", "BypassCancellingFlowRunsWithNoInfra", "PreventPendingTransitions",
	"ValidateDeploymentConcurrencyAtRunning", "SecureFlowConcurrencySlots", "RemoveDeploymentConcurrencyLeaseForOldClientVersions",
	"EnsureOnlyScheduledFlowsMarkedLate", "HandlePausingFlows", "HandleResumingPausedFlows", "CopyScheduledTime", "WaitForScheduledTime",
	"RetryFailedFlows", "InstrumentFlowRunStateTransitions", "ReleaseFlowConcurrencySlots",
}

// checkPolicies asserts that ours has the reference's entries in its order.
func checkPolicies(t *testing.T, p *pair) {
	t.Helper()
	if p.ours.server.Kind == servers.Reference {
		return
	}
	var policy struct{ Entries []struct{ Name string } }
	if err := p.ours.client.Get(t.Context(), "/interlock/policies/CoreFlowPolicy", &policy); err != nil {
		t.Fatal(err)
	}
	want, got := coreFlowPolicy, []string(nil)
	for _, e := range policy.Entries {
		got = append(got, e.Name)
	}
	if strings.Join(want, " ") != strings.Join(got, " ") {
		t.Errorf("CoreFlowPolicy is\n%s, want\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
