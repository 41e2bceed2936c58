package twin

import (
	"slices"
	"testing"
	"time"
)

// TestTransitions proposes states to runs that stand in every state, world and
// situation, and leads walks of ten states drawn at random. Limits on tags are
// here alone: on SQLite the reference waits for itself.
func TestTransitions(t *testing.T) {
	t.Parallel()
	base := time.Now()
	p := newPair(t, true)
	checkPolicies(t, p)
	t.Run("creations", p.creations)
	for _, play := range []struct {
		what  string
		cases []*script
	}{
		{flowPlay, slices.Concat(matrix(flowRuns, flowStates(base), flowProposals(base), flowFactors()), flowSpecials(base))},
		{taskPlay, slices.Concat(matrix(taskRuns, taskStates(base), taskProposals(base), taskFactors()), taskSpecials(base))},
		{flowSlotPlay, flowSlots(base)},
		{taskSlotPlay, taskSlots(base)},
	} {
		t.Run(play.what, func(t *testing.T) { p.play(t, play.what, play.cases, base) })
	}
	n := 100
	if full() {
		n = 2000
	}
	p.walks(t, "walks of flow runs", n*2/5, flowWalk)
	p.walks(t, "walks of task runs", n*2/5, limitedTaskWalk)
	p.walks(t, "walks of flow runs with slots", n/5, slotWalk)
}

// TestTransitionsOnSQLite is some walks, one request at a time.
func TestTransitionsOnSQLite(t *testing.T) {
	t.Parallel()
	p := newPair(t, false)
	p.walks(t, "walks of flow runs on SQLite", 15, flowWalk)
	p.walks(t, "walks of task runs on SQLite", 15, taskWalk)
}
