package policy

import (
	"slices"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/sdk/abi"
)

// needs is a set of the contract's needs: a bit each, in the order of
// [abi.Needs].
type needs uint8

// needsOf returns what a rule needs to be asked.
func needsOf(rule *abi.RuleManifest) (n needs) {
	for i, name := range abi.Needs() {
		if slices.Contains(rule.Needs, name) {
			n |= 1 << i
		}
	}
	return n
}

// met returns what a transition has of the needs, in the order of [abi.Needs].
func met(t *orchestrate.Transition) (n needs) {
	tags := 0
	deployed := false
	if run := t.FlowRun; run != nil {
		tags, deployed = len(run.Tags), run.DeploymentID != nil
	} else if t.TaskRun != nil {
		tags = len(t.TaskRun.Tags)
	}
	proposed := &t.Proposed.Details
	var leased, scheduled, repeat bool
	if t.Initial != nil {
		d := &t.Initial.Details
		leased, scheduled = d.DeploymentConcurrencyLeaseID != nil, d.ScheduledTime != nil
		repeat = d.TransitionID != nil && proposed.TransitionID != nil && *d.TransitionID == *proposed.TransitionID
	}
	for i, is := range [...]bool{deployed, tags > 0, leased, scheduled, proposed.CacheKey != nil, repeat} {
		if is {
			n |= 1 << i
		}
	}
	return n
}

// choice is what a policy asks about one pair of types, by what the transition
// has of the needs of the entries there.
type choice struct {
	needed needs // by any of them
	cells  map[needs]*cell
}

// newChoice works out the cells of the entries that match a pair of types.
func newChoice(matching []*entry) choice {
	c := choice{cells: map[needs]*cell{}}
	for _, e := range matching {
		c.needed |= e.needs
	}
	for has := c.needed; ; has = (has - 1) & c.needed { // every subset
		c.cells[has] = newCell(slices.DeleteFunc(slices.Clone(matching), func(e *entry) bool { return e.needs&^has != 0 }))
		if has == 0 {
			return c
		}
	}
}

// of returns the cell of a transition.
func (c *choice) of(t *orchestrate.Transition) *cell {
	if c.needed == 0 {
		return c.cells[0]
	}
	return c.cells[met(t)&c.needed]
}
