package task

import (
	"testing"

	"github.com/interlock-run/interlock/policies/policytest"
	"github.com/interlock-run/interlock/sdk/abi"
)

const (
	limitA = "5d1c8a52-0000-4000-8000-00000000000a"
	limitB = "5d1c8a52-0000-4000-8000-00000000000b"
	tagged = `{"tags":["a","b"]}`
)

func tagLimit(id, tag, more string) string {
	return `{"id":"` + id + `","tag":"` + tag + `","active":true,"mine":0,"avg_slot_occupancy_seconds":2.0,` + more + `}`
}

func tagLimits(limits ...string) string {
	list := ""
	for i, l := range limits {
		if i > 0 {
			list += ","
		}
		list += l
	}
	return `{"tag_limits":[` + list + `]}`
}

func TestSecureTaskConcurrencySlots(t *testing.T) {
	acquires := func(ids, ttl string) string {
		return `{"decision":"ACCEPT","effects":[{"type":"acquire_slots","limit_ids":[` + ids + `],"slots":1,"lease":{"ttl_seconds":` + ttl + `}}]}`
	}
	const (
		a, b   = `"` + limitA + `"`, `"` + limitB + `"`
		aborts = `{"decision":"ABORT","reason":"The concurrency limit on tag a is 0: the task could never run"}`
	)
	wait := func(seconds string) string {
		return `{"decision":"WAIT","delay_seconds":` + seconds + `,"reason":"All slots of a concurrency limit on the task's tags are taken"}`
	}
	free := tagLimit(limitA, "a", `"limit":2,"used":1`)
	full := tagLimit(limitB, "b", `"limit":2,"used":2`)
	// A wait is spread about an average: with one of a nanosecond it is the least
	// that a client can be told.
	none := tagLimit(limitB, "b", `"limit":2,"used":2,"avg_slot_occupancy_seconds":1e-9`)
	run(t, "SecureTaskConcurrencySlots", []policytest.Case{
		{Name: "free", Initial: "PENDING", Proposed: "RUNNING", Run: tagged, Facts: tagLimits(free), Want: acquires(a, "null")},
		{Name: "the first state", Proposed: "RUNNING", Run: tagged, Facts: tagLimits(free), Want: acquires(a, "null")},
		{Name: "both free", Initial: "PENDING", Proposed: "RUNNING", Run: tagged, Facts: tagLimits(free, tagLimit(limitB, "b", `"limit":1,"used":0`)), Want: acquires(a+","+b, "null")},
		{Name: "with a bound", Initial: "PENDING", Proposed: "RUNNING", Run: tagged, Facts: tagLimits(free), Config: `{"tag_lease_seconds":60}`, Want: acquires(a, "60")},
		{Name: "one full", Initial: "PENDING", Proposed: "RUNNING", Run: tagged, Facts: tagLimits(free, none), Want: wait("1")},
		{Name: "one full, no wait wanted", Initial: "PENDING", Proposed: "RUNNING", Run: tagged, Facts: tagLimits(free, full), Config: `{"tag_concurrency_slot_wait_seconds":0}`, Want: wait("1")},
		{Name: "a limit of 0 decides", Initial: "PENDING", Proposed: "RUNNING", Run: tagged, Facts: tagLimits(tagLimit(limitA, "a", `"limit":0,"used":0`), full), Want: aborts},
		{Name: "inactive limits", Initial: "PENDING", Proposed: "RUNNING", Run: tagged, Facts: tagLimits(tagLimit(limitA, "a", `"limit":0,"used":0,"active":false`), tagLimit(limitB, "b", `"limit":1,"used":1,"active":false`)), Want: accepted},
		{Name: "held already", Initial: "RUNNING", Proposed: "RUNNING", Run: tagged, Facts: tagLimits(tagLimit(limitA, "a", `"limit":1,"used":1,"mine":1`)), Want: accepted},
		{Name: "one held already", Initial: "RUNNING", Proposed: "RUNNING", Run: tagged, Facts: tagLimits(tagLimit(limitA, "a", `"limit":1,"used":1,"mine":1`), tagLimit(limitB, "b", `"limit":1,"used":0`)), Want: acquires(a+","+b, "null")},
		{Name: "no limits", Initial: "PENDING", Proposed: "RUNNING", Run: tagged, Facts: tagLimits(), Want: accepted},
		{Name: "no tags", Initial: "PENDING", Proposed: "RUNNING", Want: "-"},
		{Name: "pending", Initial: "SCHEDULED", Proposed: "PENDING", Run: tagged, Want: "-"},
	})
}

func TestReleaseTaskConcurrencySlots(t *testing.T) {
	const (
		held     = `{"run_slots":[{"lease_id":"` + policytest.LeaseID + `","limit_id":"` + limitA + `","slots":1,"expires_at":null,"held":true}]}`
		released = `{"decision":"ACCEPT","effects":[{"type":"release_slots","limit_ids":null}]}`
	)
	cases := []policytest.Case{
		{Name: "holds nothing", Initial: "RUNNING", Proposed: "COMPLETED", Final: "COMPLETED", Run: tagged, Facts: `{"run_slots":[]}`, Want: accepted},
		{Name: "on", Initial: "RUNNING", Proposed: "RUNNING", Final: "RUNNING", Run: tagged, Facts: held, Want: accepted},
		{Name: "cancelling", Initial: "RUNNING", Proposed: "CANCELLING", Final: "CANCELLING", Run: tagged, Facts: held, Want: accepted},
		{Name: "a retry", Initial: "RUNNING", Proposed: "FAILED", Final: `{"type":"SCHEDULED","name":"AwaitingRetry"}`, FinalStatus: abi.Reject, Run: tagged, Facts: held, Want: released},
		{Name: "answered from the cache", Initial: "RUNNING", Proposed: "RUNNING", Final: "COMPLETED", FinalStatus: abi.Reject, Run: tagged, Facts: held, Want: released},
		{Name: "no tags", Initial: "RUNNING", Proposed: "COMPLETED", Final: "COMPLETED", Want: "-"},
		{Name: "pending", Initial: "PENDING", Proposed: "FAILED", Final: "FAILED", Run: tagged, Want: "-"},
	}
	for _, typ := range []string{abi.Completed, abi.Failed, abi.Cancelled, abi.Crashed, abi.Paused, abi.Pending, abi.Scheduled} {
		cases = append(cases, policytest.Case{Name: typ, Initial: "RUNNING", Proposed: typ, Final: typ, Run: tagged, Facts: held, Want: released})
	}
	run(t, "ReleaseTaskConcurrencySlots", cases)
}
