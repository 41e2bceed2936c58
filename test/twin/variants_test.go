package twin

import (
	"fmt"
	"testing"
	"time"
)

// factor is one thing that scripts vary beside the two states: its values, by
// what they do to a script.
type factor struct {
	name   string
	values []value
}

type value struct {
	name string
	set  func(s *script)
}

// one is a value that is told by its own form.
func one(v any, set func(s *script)) value { return value{fmt.Sprint(v), set} }

// vary sets each factor of the nth script to one of its values, by a fixed
// pattern in which any two values of two factors meet soon.
func vary(s *script, n int, factors []factor) {
	for i, f := range factors {
		v := f.values[pick(n, i, len(f.values))]
		s.name += ", " + f.name + " " + v.name
		v.set(s)
	}
}

// pick chooses a value of the ith factor for the nth script: a fixed shuffle, as any
// regular step would never have some values meet.
func pick(n, i, values int) int {
	x := uint64(n+1)*0x9e3779b97f4a7c15 ^ uint64(i+1)*0xbf58476d1ce4e5b9
	x ^= x >> 31
	x *= 0x94d049bb133111eb
	x ^= x >> 29
	return int(x % uint64(values))
}

// TestVariants holds the matrices to their promise: any two values of any two
// factors meet in some script, in the sampled run too.
func TestVariants(t *testing.T) {
	now := time.Now()
	for name, m := range map[string]struct {
		factors []factor
		scripts int
	}{
		"flow runs":          {flowFactors(), len(flowStates(now)) * len(flowProposals(now))},
		"task runs":          {taskFactors(), len(taskStates(now)) * len(taskProposals(now))},
		"slots of flow runs": {slotFactors(), len(situations(now)) * len(slotProposals(now))},
		"slots of task runs": {tagFactors(), len(tagSituations(now)) * len(tagProposals())},
	} {
		for i, a := range m.factors {
			for j, b := range m.factors[:i] {
				met := map[[2]int]bool{}
				for n := range m.scripts {
					met[[2]int{pick(n, i, len(a.values)), pick(n, j, len(b.values))}] = true
				}
				if len(met) != len(a.values)*len(b.values) {
					t.Errorf("%s: %d of %d pairs of %s and %s", name, len(met), len(a.values)*len(b.values), a.name, b.name)
				}
			}
		}
	}
}
