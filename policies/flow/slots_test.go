package flow

import (
	"testing"

	"github.com/interlock-run/interlock/policies/policytest"
	"github.com/interlock-run/interlock/sdk/abi"
)

const (
	limitID = "5d1c8a52-0000-4000-8000-00000000000a"
	otherID = "5d1c8a52-0000-4000-8000-00000000000b"

	inDeployment = `{"deployment_id":"` + policytest.RunID + `"}`
	accepts      = `{"decision":"ACCEPT"}`
)

// limited is the fact of a deployment whose limit is this, with more members of
// the deployment behind it.
func limited(limit, more string) string {
	return `{"deployment":` + deploymentOf(limit, more) + `}`
}

func deploymentOf(limit, more string) string {
	if limit != "null" {
		limit = `{"id":"` + limitID + `","active":true,"mine":0,` + limit + `}`
	}
	return `{"id":"` + policytest.RunID + `","found":true,"limit":` + limit + `,"collision_strategy":"ENQUEUE","grace_period_seconds":null` + more + `}`
}

// leased is a state of this type that names the lease.
func leased(typ, more string) string {
	return `{"type":"` + typ + `","state_details":{"deployment_concurrency_lease_id":"` + policytest.LeaseID + `"` + more + `}}`
}

func acquires(ttl string) string {
	return `{"decision":"ACCEPT","effects":[{"type":"acquire_slots","limit_ids":["` + limitID + `"],"slots":1,"lease":{"ttl_seconds":` + ttl + `},"bind":"deployment_concurrency_lease_id"}]}`
}

func TestPreserveDeploymentConcurrencyLeaseId(t *testing.T) {
	const copied = `{"decision":"ACCEPT","state":{"state_details":{"deployment_concurrency_lease_id":"` + policytest.LeaseID + `"}}}`
	suite.Run(t, "PreserveDeploymentConcurrencyLeaseId", abi.RunTypeFlow, []policytest.Case{
		{Name: "to running", Initial: leased("PENDING", ""), Proposed: "RUNNING", Want: copied},
		{Name: "beyond the end", Initial: leased("FAILED", ""), Proposed: "SCHEDULED", Want: copied},
		{Name: "it is there", Initial: leased("PENDING", ""), Proposed: leased("RUNNING", ""), Want: accepts},
		{Name: "nothing to carry", Initial: "PENDING", Proposed: "RUNNING", Want: "-"},
		{Name: "no state", Proposed: "PENDING", Want: "-"},
	})
}

func TestSecureFlowConcurrencySlots(t *testing.T) {
	const (
		full  = `"limit":2,"used":2`
		gone  = `{"deployment":{"id":"` + policytest.RunID + `","found":false}}`
		taken = `"All slots of the deployment's concurrency limit are taken`
		later = `{"decision":"REJECT","reason":` + taken + `","state":{"type":"SCHEDULED","name":"AwaitingConcurrencySlot","state_details":{"scheduled_time":"2026-11-23T18:00:30.000000Z"}}}`
		now   = `{"decision":"REJECT","reason":` + taken + `","state":{"type":"CANCELLED","message":` + taken + `."}}`
		zero  = `{"decision":"ABORT","reason":"The deployment's concurrency limit is 0: the run could never start"}`
	)
	client := func(version, release, pre string) string {
		return `{"version":"` + version + `","release":` + release + `,"prerelease":` + pre + `}`
	}
	cases := []policytest.Case{
		{Name: "free", Initial: "SCHEDULED", Proposed: "PENDING", Run: inDeployment, Facts: limited(`"limit":2,"used":1`, ""), Want: acquires("300")},
		{Name: "the first state", Proposed: "PENDING", Run: inDeployment, Facts: limited(`"limit":1,"used":0`, ""), Want: acquires("300")},
		{Name: "run again", Initial: leased("FAILED", ""), Proposed: "PENDING", Run: inDeployment, Facts: limited(`"limit":1,"used":0`, ""), Want: acquires("300")},
		{Name: "its own slot counts once", Initial: leased("SCHEDULED", ""), Proposed: "PENDING", Run: inDeployment, Facts: limited(`"limit":2,"used":2,"mine":1`, ""), Want: acquires("300")},
		{Name: "the deployment's grace period", Initial: "SCHEDULED", Proposed: "PENDING", Run: inDeployment, Facts: limited(`"limit":2,"used":1`, `,"grace_period_seconds":90`), Want: acquires("90")},
		{Name: "the setting", Initial: "SCHEDULED", Proposed: "PENDING", Run: inDeployment, Facts: limited(`"limit":2,"used":1`, ""), Config: `{"initial_deployment_lease_duration":60.5}`, Want: acquires("60.5")},
		{Name: "full", Initial: "SCHEDULED", Proposed: "PENDING", Run: inDeployment, Facts: limited(full, ""), Want: later},
		{Name: "overfull", Initial: "SCHEDULED", Proposed: "PENDING", Run: inDeployment, Facts: limited(`"limit":1,"used":3`, ""), Want: later},
		{Name: "full, by the setting", Initial: "SCHEDULED", Proposed: "PENDING", Run: inDeployment, Facts: limited(full, ""), Config: `{"concurrency_slot_wait_seconds":60}`,
			Want: `{"decision":"REJECT","reason":` + taken + `","state":{"type":"SCHEDULED","name":"AwaitingConcurrencySlot","state_details":{"scheduled_time":"` + policytest.Later + `"}}}`},
		{Name: "full, new ones are cancelled", Initial: "SCHEDULED", Proposed: "PENDING", Run: inDeployment, Facts: limited(full, `,"collision_strategy":"CANCEL_NEW"`), Want: now},
		{Name: "a limit of 0", Initial: "SCHEDULED", Proposed: "PENDING", Run: inDeployment, Facts: limited(`"limit":0,"used":0`, ""), Want: zero},
		{Name: "an inactive limit", Initial: "SCHEDULED", Proposed: "PENDING", Run: inDeployment, Facts: limited(`"limit":0,"used":2,"active":false`, ""), Want: accepts},
		{Name: "no limit", Initial: "SCHEDULED", Proposed: "PENDING", Run: inDeployment, Facts: limited("null", ""), Want: accepts},
		{Name: "the deployment is gone", Initial: "SCHEDULED", Proposed: "PENDING", Run: inDeployment, Facts: gone, Want: `{"decision":"ABORT","reason":"The run's deployment is gone"}`},
		{Name: "no deployment", Initial: "SCHEDULED", Proposed: "PENDING", Want: "-"},
		{Name: "pending already", Initial: "PENDING", Proposed: "PENDING", Run: inDeployment, Want: "-"},
		{Name: "running", Initial: "RUNNING", Proposed: "PENDING", Run: inDeployment, Want: "-"},
		{Name: "a local run", Initial: "SCHEDULED", Proposed: "RUNNING", Run: inDeployment, Want: "-"},
		{Name: "a newer worker", Initial: "SCHEDULED", Proposed: "PENDING", Run: inDeployment, Facts: limited(full, ""), Client: client("3.0.4", "[3,0,4]", "false"), Want: later},
	}
	for version, release := range map[string]string{"3.0.0rc20": "[3,0,0]", "3.0.0": "[3,0,0]", "3.0.3": "[3,0,3]"} {
		cases = append(cases, policytest.Case{Name: "worker " + version, Initial: "SCHEDULED", Proposed: "PENDING", Run: inDeployment,
			Facts: limited(full, ""), Client: client(version, release, "false"), Want: accepts})
	}
	suite.Run(t, "SecureFlowConcurrencySlots", abi.RunTypeFlow, cases)
}

// What clients say of themselves, before and since they renew leases.
const (
	newClient = `{"version":"3.4.11","release":[3,4,11],"prerelease":false}`
	oldClient = `{"version":"3.4.11rc1","release":[3,4,11],"prerelease":true}`
)

func TestValidateDeploymentConcurrencyAtRunning(t *testing.T) {
	const (
		renews = `{"decision":"ACCEPT","effects":[{"type":"renew_lease","lease_id":"` + policytest.LeaseID + `","ttl_seconds":300,"on":"always"}]}`
		lost   = `{"decision":"REJECT","reason":"The run's slot is lost and no other is free","state":{"type":"CANCELLED",
			"message":"The run lost its slot of the deployment's concurrency limit while it was prepared, and no other is free."}}`
	)
	facts := func(limit, more, slots string) string {
		return `{"deployment":` + deploymentOf(limit, more) + `,"run_slots":[` + slots + `]}`
	}
	slot := func(lease, limit, held string) string {
		return `{"lease_id":"` + lease + `","limit_id":"` + limit + `","slots":1,"expires_at":null,"held":` + held + `}`
	}
	mine := slot(policytest.LeaseID, limitID, "true")
	full := `"limit":2,"used":2`
	suite.Run(t, "ValidateDeploymentConcurrencyAtRunning", abi.RunTypeFlow, []policytest.Case{
		{Name: "held", Initial: leased("PENDING", ""), Proposed: "RUNNING", Run: inDeployment, Client: newClient, Facts: facts(full+`,"mine":1`, "", mine), Want: renews},
		{Name: "held, the limit lowered to 0", Initial: leased("PENDING", ""), Proposed: "RUNNING", Run: inDeployment, Client: newClient, Facts: facts(`"limit":0,"used":1,"mine":1`, "", mine), Want: renews},
		{Name: "lost, another free", Initial: leased("PENDING", ""), Proposed: "RUNNING", Run: inDeployment, Client: newClient, Facts: facts(`"limit":2,"used":1`, "", slot(policytest.LeaseID, limitID, "false")), Want: acquires("300")},
		{Name: "lost, none free", Initial: leased("PENDING", ""), Proposed: "RUNNING", Run: inDeployment, Client: newClient, Facts: facts(full, "", slot(policytest.LeaseID, limitID, "false")), Want: lost},
		{Name: "a slot of another limit", Initial: leased("PENDING", ""), Proposed: "RUNNING", Run: inDeployment, Client: newClient, Facts: facts(full, "", slot(policytest.LeaseID, otherID, "true")), Want: lost},
		{Name: "a slot under another lease", Initial: leased("PENDING", ""), Proposed: "RUNNING", Run: inDeployment, Client: newClient, Facts: facts(full+`,"mine":1`, "", slot(otherID, limitID, "true")), Want: acquires("300")},
		{Name: "the deployment's grace period", Initial: leased("PENDING", ""), Proposed: "RUNNING", Run: inDeployment, Client: newClient, Facts: facts(`"limit":2,"used":1`, `,"grace_period_seconds":90`, ""), Want: acquires("90")},
		{Name: "an old client", Initial: leased("PENDING", ""), Proposed: "RUNNING", Run: inDeployment, Client: oldClient, Facts: facts(full, "", ""), Want: accepts},
		{Name: "an unknown client", Initial: leased("PENDING", ""), Proposed: "RUNNING", Run: inDeployment, Facts: facts(full, "", ""), Want: accepts},
		{Name: "the limit is gone", Initial: leased("PENDING", ""), Proposed: "RUNNING", Run: inDeployment, Client: newClient, Facts: facts("null", "", ""), Want: accepts},
		{Name: "the limit is inactive", Initial: leased("PENDING", ""), Proposed: "RUNNING", Run: inDeployment, Client: newClient, Facts: facts(full+`,"active":false`, "", ""), Want: accepts},
		{Name: "the deployment is gone", Initial: leased("PENDING", ""), Proposed: "RUNNING", Run: inDeployment, Client: newClient, Facts: `{"deployment":{"found":false},"run_slots":[]}`, Want: accepts},
		{Name: "no lease", Initial: "PENDING", Proposed: "RUNNING", Run: inDeployment, Client: newClient, Want: "-"},
		{Name: "no deployment", Initial: leased("PENDING", ""), Proposed: "RUNNING", Client: newClient, Want: "-"},
		{Name: "from scheduled", Initial: leased("SCHEDULED", ""), Proposed: "RUNNING", Run: inDeployment, Client: newClient, Want: "-"},
	})
}

func TestRemoveDeploymentConcurrencyLeaseForOldClientVersions(t *testing.T) {
	const detached = `{"decision":"ACCEPT","effects":[{"type":"detach_lease","lease_id":"` + policytest.LeaseID + `"}]}`
	suite.Run(t, "RemoveDeploymentConcurrencyLeaseForOldClientVersions", abi.RunTypeFlow, []policytest.Case{
		{Name: "old", Initial: leased("PENDING", ""), Proposed: "RUNNING", Client: oldClient, Want: detached},
		{Name: "unknown", Initial: leased("PENDING", ""), Proposed: "RUNNING", Want: detached},
		{Name: "cancelling", Initial: leased("PENDING", ""), Proposed: "CANCELLING", Want: detached},
		{Name: "new", Initial: leased("PENDING", ""), Proposed: "RUNNING", Client: newClient, Want: accepts},
		{Name: "no lease", Initial: "PENDING", Proposed: "RUNNING", Want: "-"},
		{Name: "running", Initial: leased("RUNNING", ""), Proposed: "RUNNING", Want: "-"},
	})
}

func TestEnforceDeploymentConcurrencyOnLate(t *testing.T) {
	const (
		late      = `{"type":"SCHEDULED","name":"Late"}`
		cancelNew = `,"collision_strategy":"CANCEL_NEW"`
		taken     = `All slots of the deployment's concurrency limit are taken`
		cancelled = `{"decision":"REJECT","reason":"` + taken + `","state":{"type":"CANCELLED","message":"` + taken + `."}}`
	)
	suite.Run(t, "EnforceDeploymentConcurrencyOnLate", abi.RunTypeFlow, []policytest.Case{
		{Name: "full", Initial: "SCHEDULED", Proposed: late, Run: inDeployment, Facts: limited(`"limit":1,"used":1`, cancelNew), Want: cancelled},
		{Name: "a limit of 0", Initial: "SCHEDULED", Proposed: late, Run: inDeployment, Facts: limited(`"limit":0,"used":0`, cancelNew), Want: cancelled},
		{Name: "free", Initial: "SCHEDULED", Proposed: late, Run: inDeployment, Facts: limited(`"limit":1,"used":0`, cancelNew), Want: accepts},
		{Name: "new ones wait", Initial: "SCHEDULED", Proposed: late, Run: inDeployment, Facts: limited(`"limit":1,"used":1`, ""), Want: accepts},
		{Name: "inactive", Initial: "SCHEDULED", Proposed: late, Run: inDeployment, Facts: limited(`"limit":1,"used":1,"active":false`, cancelNew), Want: accepts},
		{Name: "not late", Initial: "SCHEDULED", Proposed: "SCHEDULED", Run: inDeployment, Facts: limited(`"limit":1,"used":1`, cancelNew), Want: accepts},
		{Name: "no deployment", Initial: "SCHEDULED", Proposed: late, Want: "-"},
		{Name: "pending", Initial: "PENDING", Proposed: late, Run: inDeployment, Want: "-"},
	})
}

func TestReleaseFlowConcurrencySlots(t *testing.T) {
	const released = `{"decision":"ACCEPT","effects":[{"type":"release_slots","lease_id":"` + policytest.LeaseID + `"}]}`
	retry := `{"type":"SCHEDULED","name":"AwaitingRetry"}`
	cases := []policytest.Case{
		{Name: "an in-process retry", Initial: leased("RUNNING", ""), Proposed: "FAILED", Final: retry, FinalStatus: abi.Reject, Want: accepts},
		{Name: "a retry by somebody else", Initial: leased("RUNNING", ""), Proposed: retry, Final: retry, Want: released},
		{Name: "another state, rejected", Initial: leased("PENDING", ""), Proposed: "RUNNING", Final: "CANCELLED", FinalStatus: abi.Reject, Want: released},
		{Name: "a pause in the process", Initial: leased("RUNNING", ""), Proposed: "PAUSED", Final: "PAUSED", Want: accepts},
		{Name: "suspended", Initial: leased("RUNNING", ""), Proposed: "PAUSED", Final: `{"type":"PAUSED","state_details":{"pause_reschedule":true}}`, Want: released},
		{Name: "cancelled while it waits for its retry", Initial: leased("SCHEDULED", ""), Proposed: "CANCELLED", Final: "CANCELLED", Want: released},
		{Name: "ended in a pause", Initial: leased("PAUSED", ""), Proposed: "FAILED", Final: "FAILED", Want: released},
		{Name: "no lease", Initial: "RUNNING", Proposed: "COMPLETED", Final: "COMPLETED", Want: "-"},
		{Name: "ended before", Initial: leased("FAILED", ""), Proposed: "COMPLETED", Final: "COMPLETED", Want: "-"},
	}
	for _, typ := range []string{abi.Completed, abi.Failed, abi.Cancelled, abi.Crashed} {
		cases = append(cases, policytest.Case{Name: typ, Initial: leased("RUNNING", ""), Proposed: typ, Final: typ, Want: released})
	}
	for _, typ := range []string{abi.Pending, abi.Running, abi.Cancelling} {
		cases = append(cases, policytest.Case{Name: typ, Initial: leased("PENDING", ""), Proposed: typ, Final: typ, Want: accepts})
	}
	suite.Run(t, "ReleaseFlowConcurrencySlots", abi.RunTypeFlow, cases)
}
