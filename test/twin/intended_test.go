package twin

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/interlock-run/interlock/test/servers"
)

// intended is where interlock differs on purpose: what it does is right and
// stated here, so the tests assert it instead of passing it over.
type intended struct {
	name    string
	why     string
	applies func(s *script) bool
	// ours maps a leaf to the value that it must have with us. Leaves that are not
	// here must be as with the reference.
	ours map[string]string
}

// differences is the whole list.
var differences = []intended{}

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
func (r *report) add(s *script, found []difference) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen, r.groups = map[string]int{}, map[string][]string{}
	}
	expect := map[string]string{}
	for _, d := range differences {
		if d.applies(s) && os.Getenv(selfEnv) != "1" {
			r.seen[d.name]++
			for path, value := range d.ours {
				expect[path] = value
			}
		}
	}
	var rest []string
	for _, d := range found {
		if want, ok := expect[d.path]; ok && want == d.ours {
			continue
		}
		rest = append(rest, d.String())
	}
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
	for _, d := range differences {
		if r.seen[d.name] > 0 {
			fmt.Printf("twin:   intended: %s, %d cases: %s\n", d.name, r.seen[d.name], d.why)
		}
	}
}
