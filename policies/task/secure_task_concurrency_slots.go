package task

import (
	"math"

	"github.com/interlock-run/interlock/sdk"
	"github.com/interlock-run/interlock/sdk/abi"
)

// The settings of SecureTaskConcurrencySlots. The first has the reference's name;
// the second is ours: how long a task run may hold its slots, for clients that
// vanish without their flow run being ended; without it there is no such bound.
const (
	settingTagSlotWait = "tag_concurrency_slot_wait_seconds"
	settingTagLease    = "tag_lease_seconds"
)

const (
	defaultTagSlotWait = 10
	// slotWaitSpread is how far two waits for the same slots may lie apart, as a
	// share of the wait, so that not all who wait come back at once.
	slotWaitSpread = 0.3
)

// SecureTaskConcurrencySlots lets a task run start only with a slot of every
// limit on its tags, or with none and later. It decides once: the reference goes
// on after a limit of 0 and may take slots for a run that it aborts. Slots that
// the run holds already are counted once.
func SecureTaskConcurrencySlots() sdk.Rule {
	return sdk.Rule{
		Name:        "SecureTaskConcurrencySlots",
		Description: "Takes a slot of each concurrency limit on the run's tags, or has the run wait",
		RunType:     sdk.TaskRun,
		From:        sdk.AnyState,
		To:          sdk.Running,
		Needs:       []string{abi.NeedTags},
		Facts:       []string{abi.FactTagLimits},
		Effects:     []string{abi.EffectAcquireSlots},
		ConfigSchema: `{"type":"object","additionalProperties":false,"properties":{"tag_concurrency_slot_wait_seconds":{"type":"number","minimum":0},` +
			`"tag_lease_seconds":{"type":"number","minimum":1}}}`,
		Evaluate: secureTaskConcurrencySlots,
	}
}

func secureTaskConcurrencySlots(c *sdk.Context) sdk.Decision {
	var ids []string
	missing, full := false, false
	for _, l := range c.Fact(abi.FactTagLimits).Elements() {
		if active, _ := l.Get("active").Bool(); !active {
			continue
		}
		limit, used, mine := count(l, "limit"), count(l, "used"), count(l, "mine")
		if limit == 0 {
			tag, _ := l.Get("tag").Text()
			return sdk.Abort("The concurrency limit on tag " + tag + " is 0: the task could never run")
		}
		id, _ := l.Get("id").Text()
		ids = append(ids, id)
		missing, full = missing || mine == 0, full || used-mine >= limit
	}
	switch {
	case !missing:
		return sdk.Accept()
	case full:
		return sdk.Wait(tagSlotWait(c), "All slots of a concurrency limit on the task's tags are taken")
	}
	return sdk.Decision{Effects: []sdk.Effect{
		sdk.AcquireSlots(ids, 1, c.Config().Float(settingTagLease, 0), ""),
	}}
}

// tagSlotWait returns how many seconds to wait for a slot of the limit that is
// fullest: about as long as its slots are held, and no longer than the setting.
func tagSlotWait(c *sdk.Context) int {
	longest := c.Config().Float(settingTagSlotWait, defaultTagSlotWait)
	fullest, average := -1.0, longest
	for _, l := range c.Fact(abi.FactTagLimits).Elements() {
		active, _ := l.Get("active").Bool()
		share := float64(count(l, "used")) / float64(max(1, count(l, "limit")))
		if !active || share <= fullest {
			continue
		}
		fullest, average = share, longest
		if held, ok := l.Get("avg_slot_occupancy_seconds").Float(); ok && held > 0 {
			average = min(held, longest)
		}
	}
	return int(math.Round(ClampedPoisson(average, slotWaitSpread, c.Chance().Float64())))
}

func count(limit sdk.Value, field string) int64 {
	n, _ := limit.Get(field).Int()
	return n
}
