package twin

import (
	"fmt"
	"os"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/interlock-run/interlock/test/servers"
)

// intended is where interlock differs on purpose: what it does is right and
// stated here, so the tests assert it instead of passing it over.
type intended struct {
	name string
	why  string
	// ours returns the leaves that must have these values with us, nil if the
	// case is none of this kind. Other leaves must be as with the reference.
	ours func(s *script) map[string]string
}

// differences is the whole list.
var differences = []intended{
	{
		name: "a resume is no run",
		why:  "the reference sets resuming after it counted and cleared it, so a resume uses up a retry and the flag stays",
		ours: resumed,
	},
	{
		name: "a refusal leaves the row alone",
		why:  "the reference writes the run again although nothing changed",
		ours: func(s *script) map[string]string {
			if !s.proposal.force && s.initialType() == "CANCELLED" && s.proposedType() == "PENDING" {
				return map[string]string{"run.updated": s.created()}
			}
			return nil
		},
	},
	{
		name: "no made-up pause keys",
		why:  "a random key for each pause without one grows the row and serves nothing",
		ours: func(s *script) map[string]string {
			if s.proposal.force || s.initialType() != "RUNNING" || s.proposedType() != "PAUSED" || s.detail(s.proposal.state, "pause_key") != nil {
				return nil
			}
			return map[string]string{"run.empirical_policy.pause_keys": "{k}"}
		},
	},
	{
		name: "a repeated request gets the stored reply",
		why:  "a reply that was lost on the way must come again, not a refusal; forced requests too",
		ours: repeated,
	},
}

func resumed(s *script) map[string]string {
	if s.proposal.force || s.initialType() != "PAUSED" || s.proposedType() == "PAUSED" {
		return nil
	}
	before := fmt.Sprint(s.policy["resuming"] == true)
	suspended := s.detail(s.initial, "pause_reschedule") == true
	want := map[string]string{}
	switch kind := s.proposedType(); {
	case kind == "CANCELLING" && suspended:
		want["run.empirical_policy.resuming"] = "false"
	case kind == "CANCELLING":
		want["run.empirical_policy.resuming"] = before
	case kind == "PENDING" || suspended:
		want["run.empirical_policy.resuming"] = before
		want["run.updated"] = s.created()
	case kind == "SCHEDULED" && !s.pauseIsOver():
		return nil
	case s.proposal.version == "0.8.3" && kind == "RUNNING":
		return nil // older clients know nothing of resuming: counted here and there
	case s.proposal.version == "0.8.3":
		want["run.empirical_policy.resuming"] = before
	default:
		want["run.empirical_policy.resuming"] = "false"
		if kind == "RUNNING" {
			want["run.run_count"] = fmt.Sprint(s.runCount)
		}
	}
	return want
}

func repeated(s *script) map[string]string {
	id := s.detail(s.initial, "transition_id")
	if id == nil || s.detail(s.proposal.state, "transition_id") != id {
		return nil
	}
	// All is as the first request left it.
	want := map[string]string{
		"set_state status": "201", "set_state.status": "ACCEPT", "set_state.details.type": "accept_details", "set_state.details.reason": missing,
		"set_state.state.type": s.initialType(), "run.state_type": s.initialType(), "run.state.type": s.initialType(),
		"run.run_count": fmt.Sprint(s.runCount), "run.updated": s.created(), "run.state.timestamp": s.created(), "set_state.state.timestamp": s.created(),
		"states[1]": missing, "run.end_time": "<nil>",
	}
	name := s.initialType()[:1] + strings.ToLower(s.initialType()[1:])
	want["set_state.state.name"], want["run.state.name"], want["run.state_name"] = name, name, name
	message := "<nil>"
	if m := str(s.initial["message"]); m != "" {
		message = m
	}
	want["run.state.message"], want["set_state.state.message"] = message, message
	scheduled := "<nil>"
	if t, ok := s.detail(s.initial, "scheduled_time").(string); ok {
		scheduled = t
	}
	for _, of := range []string{"run.state", "set_state.state"} {
		want[of+".state_details.scheduled_time"] = scheduled
	}
	want["run.start_time"], want["run.estimated_run_time"], want["run.estimated_start_time_delta"] = "<nil>", "total", "grows"
	if s.initialType() == "RUNNING" {
		want["run.start_time"], want["run.estimated_run_time"], want["run.estimated_start_time_delta"] = s.created(), "grows", "start - expected"
	}
	// The state is the one that the creation wrote, here and there.
	const first = "id 3"
	want["set_state.state.id"], want["run.state.id"], want["run.state_id"] = first, first, first
	return want
}

// withoutRules names the entries of the reference's CoreFlowPolicy that ours
// does not have yet, each with why no case here can meet it. The list shrinks:
// an entry that ours has must leave it.
var withoutRules = map[string]string{
	"ValidateDeploymentConcurrencyAtRunning":               "needs a deployment with a limit",
	"SecureFlowConcurrencySlots":                           "needs a deployment with a limit",
	"RemoveDeploymentConcurrencyLeaseForOldClientVersions": "needs a lease",
	"PreserveDeploymentConcurrencyLeaseId":                 "work of the host in every transition",
	"InstrumentFlowRunStateTransitions":                    "work of the host in every transition",
	"ReleaseFlowConcurrencySlots":                          "needs a deployment with a limit",
}

var coreFlowPolicy = []string{
	"PreserveDeploymentConcurrencyLeaseId", "PreventDuplicateTransitions", "HandleFlowTerminalStateTransitions",
	"EnforceCancellingToCancelledTransition", "BypassCancellingFlowRunsWithNoInfra", "PreventPendingTransitions",
	"ValidateDeploymentConcurrencyAtRunning", "SecureFlowConcurrencySlots", "RemoveDeploymentConcurrencyLeaseForOldClientVersions",
	"EnsureOnlyScheduledFlowsMarkedLate", "HandlePausingFlows", "HandleResumingPausedFlows", "CopyScheduledTime", "WaitForScheduledTime",
	"RetryFailedFlows", "InstrumentFlowRunStateTransitions", "ReleaseFlowConcurrencySlots",
}

// checkPolicies asserts that ours has the reference's entries in its order, but
// those in withoutRules.
func checkPolicies(t *testing.T, p *pair) {
	t.Helper()
	if p.ours.server.Kind == servers.Reference {
		return
	}
	var policy struct{ Entries []struct{ Name string } }
	if err := p.ours.client.Get(t.Context(), "/interlock/policies/CoreFlowPolicy", &policy); err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, name := range coreFlowPolicy {
		if _, without := withoutRules[name]; !without {
			want = append(want, name)
		}
	}
	for _, e := range policy.Entries {
		got = append(got, e.Name)
	}
	if strings.Join(want, " ") != strings.Join(got, " ") {
		t.Errorf("CoreFlowPolicy is\n%s, want\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// report gathers what cases showed.
type report struct {
	mu       sync.Mutex
	seen     map[string]int // cases by intended difference
	groups   map[string][]string
	order    []string
	failures int
}

// add files the differences of a case.
func (r *report) add(s *script, ref, ours map[string]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen, r.groups = map[string]int{}, map[string][]string{}
	}
	expect := map[string]string{}
	var rest []string
	for _, d := range differences {
		want := d.ours(s)
		if want == nil || os.Getenv(selfEnv) == "1" {
			continue
		}
		r.seen[d.name]++
		for path, value := range want {
			expect[path] = value
			if got, ok := ours[path]; (ok && got != value) || (!ok && value != missing) {
				rest = append(rest, fmt.Sprintf("%s: ours %q, want %q by intended difference %q", path, got, value, d.name))
			}
		}
	}
	for _, d := range compare(ref, ours) {
		if _, ok := expect[d.path]; !ok {
			rest = append(rest, d.String())
		}
	}
	sort.Strings(rest)
	if len(rest) == 0 {
		return
	}
	r.failures++
	key := strings.Join(rest, "\n    ")
	if _, ok := r.groups[key]; !ok {
		r.order = append(r.order, key)
	}
	r.groups[key] = append(r.groups[key], s.name)
}

// finish prints what was compared and fails the test for what is not intended.
func (r *report) finish(t *testing.T, cases int, what string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range r.order {
		names := r.groups[key]
		more := ""
		if len(names) > 6 {
			more = fmt.Sprintf("\n  and %d more", len(names)-6)
		}
		t.Errorf("%d cases differ:\n  %s%s\n    %s", len(names), strings.Join(names[:min(6, len(names))], "\n  "), more, key)
	}
	fmt.Printf("twin: %d %s compared, %d differ\n", cases, what, r.failures)
	if os.Getenv(selfEnv) == "1" {
		return
	}
	for _, d := range differences {
		fmt.Printf("twin:   intended: %s, %d cases: %s\n", d.name, r.seen[d.name], d.why)
		if r.seen[d.name] == 0 {
			t.Errorf("no case shows the intended difference %q: take it from the list", d.name)
		}
	}
}
