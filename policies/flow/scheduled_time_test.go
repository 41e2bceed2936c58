package flow

import (
	"testing"

	"github.com/interlock-run/interlock/policies/policytest"
	"github.com/interlock-run/interlock/sdk/abi"
)

func scheduled(typ, at string) string {
	return `{"type":"` + typ + `","state_details":{"scheduled_time":"` + at + `"}}`
}

func TestCopyScheduledTime(t *testing.T) {
	cases := []policytest.Case{
		{Name: "copied", Initial: scheduled("SCHEDULED", policytest.Later), Proposed: "PENDING", Want: `{"decision":"ACCEPT","state":{"state_details":{"scheduled_time":"` + policytest.Later + `"}}}`},
		{Name: "the proposal has one", Initial: scheduled("SCHEDULED", policytest.Later), Proposed: scheduled("PENDING", policytest.Earlier), Want: `{"decision":"ACCEPT"}`},
		{Name: "nothing to copy", Initial: "SCHEDULED", Proposed: "PENDING", Want: "-"},
		{Name: "to running", Initial: "SCHEDULED", Proposed: "RUNNING", Want: "-"},
		{Name: "no state", Proposed: "PENDING", Want: "-"},
	}
	suite.Run(t, "CopyScheduledTime", abi.RunTypeFlow, cases)
	suite.Run(t, "CopyScheduledTime", abi.RunTypeTask, cases)
}

func TestWaitForScheduledTime(t *testing.T) {
	const reason = `"reason":"Its scheduled time has not come yet"`
	wait := func(seconds string) string {
		return `{"decision":"WAIT","delay_seconds":` + seconds + `,` + reason + `}`
	}
	cases := []policytest.Case{
		{Name: "a minute early", Initial: scheduled("SCHEDULED", policytest.Later), Proposed: "RUNNING", Want: wait("60")},
		{Name: "pending", Initial: scheduled("PENDING", policytest.Later), Proposed: "RUNNING", Want: wait("60")},
		{Name: "another zone", Initial: scheduled("SCHEDULED", "2026-11-23T20:01:00.000000+02:00"), Proposed: "RUNNING", Want: wait("60")},
		{Name: "more than half a second", Initial: scheduled("SCHEDULED", "2026-11-23T18:00:00.500001Z"), Proposed: "RUNNING", Want: wait("1")},
		{Name: "half a second", Initial: scheduled("SCHEDULED", "2026-11-23T18:00:00.500000Z"), Proposed: "RUNNING", Want: `{"decision":"ACCEPT"}`},
		{Name: "a second and a half", Initial: scheduled("SCHEDULED", "2026-11-23T18:00:01.500000Z"), Proposed: "RUNNING", Want: wait("1")},
		{Name: "a second and a bit more than half", Initial: scheduled("SCHEDULED", "2026-11-23T18:00:01.500001Z"), Proposed: "RUNNING", Want: wait("2")},
		{Name: "now", Initial: scheduled("SCHEDULED", policytest.Now), Proposed: "RUNNING", Want: `{"decision":"ACCEPT"}`},
		{Name: "late", Initial: scheduled("SCHEDULED", policytest.Earlier), Proposed: "RUNNING", Want: `{"decision":"ACCEPT"}`},
		{Name: "no time", Initial: "PENDING", Proposed: "RUNNING", Want: "-"},
		{Name: "in the year 9999", Initial: scheduled("SCHEDULED", "9999-12-31T23:59:59.999999Z"), Proposed: "RUNNING", Want: wait("31622400")},
		{Name: "from paused", Initial: "PAUSED", Proposed: "RUNNING", Want: "-"},
		{Name: "to pending", Initial: "SCHEDULED", Proposed: "PENDING", Want: "-"},
	}
	suite.Run(t, "WaitForScheduledTime", abi.RunTypeFlow, cases)
	suite.Run(t, "WaitForScheduledTime", abi.RunTypeTask, cases)
}
