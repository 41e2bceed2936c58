package policy

import (
	"encoding/json"
	"slices"
	"sync/atomic"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/sdk/abi"
)

// snapshot is the active policies, prepared. It does not change; who evaluates
// holds it, and the last one to let go of it lets go of its modules.
type snapshot struct {
	revision int64
	policies map[string]*table
	library  *library
	modules  []*module
	holders  atomic.Int64 // begins with one, the registry
}

// hold takes the snapshot, unless everybody has let go of it already.
func (s *snapshot) hold() bool {
	for {
		n := s.holders.Load()
		if n == 0 {
			return false
		}
		if s.holders.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (s *snapshot) release() {
	if s.holders.Add(-1) != 0 {
		return
	}
	for _, m := range s.modules {
		s.library.put(m)
	}
}

// entry is one place of a policy, prepared.
type entry struct {
	prefect.PolicyEntry
	config   json.RawMessage   // never nil
	rule     *abi.RuleManifest // never nil
	needs    needs             // of the rule
	module   *module           // nil when broken
	broken   string            // why the module cannot be asked
	fallback *entry            // the built-in rule of this name; nil for none, and for that itself
}

// digest names the module that decides.
func (e *entry) digest() string {
	if e.module != nil {
		return e.module.Digest()
	}
	return e.Module
}

func (e *entry) transform() bool { return e.rule.Kind == abi.KindTransform }

// matches reports whether the entry is asked about these types.
func (e *entry) matches(run prefect.RunType, initial, proposed prefect.StateType) bool {
	return e.rule.Matches(string(run), string(initial), string(proposed))
}

// asked reports whether the entry is asked about a transition.
func (e *entry) asked(t *orchestrate.Transition) bool {
	return e.matches(t.RunType, prefect.TypeOf(t.Initial), t.Proposed.Type) && e.needs&^met(t) == 0
}

// group is consecutive entries that one call can decide: those of a phase from
// first up to end.
type group struct{ first, end int }

// phase is the entries of one phase in the order they are asked.
type phase struct {
	entries []*entry
	groups  []group
}

// cell is what a policy asks about a transition.
type cell struct {
	before phase // in the policy's order
	after  phase // in reverse order
	facts  []string
}

// table is one version of a policy with its cells. The index of a type is its
// place in prefect.StateTypes; of no state, the one after them.
type table struct {
	version *prefect.PolicyVersion
	run     prefect.RunType
	choices [typeCount + 1][typeCount]choice
}

const typeCount = 9

// typeIndex returns the index of a type, that of no state for an unknown one.
func typeIndex(t prefect.StateType) int {
	switch t {
	case prefect.Scheduled:
		return 0
	case prefect.Pending:
		return 1
	case prefect.Running:
		return 2
	case prefect.Completed:
		return 3
	case prefect.Failed:
		return 4
	case prefect.Cancelled:
		return 5
	case prefect.Crashed:
		return 6
	case prefect.Paused:
		return 7
	case prefect.Cancelling:
		return 8
	}
	return typeCount
}

// newTable works out the cells of a policy's entries.
func newTable(v *prefect.PolicyVersion, run prefect.RunType, entries []*entry) *table {
	t := &table{version: v, run: run}
	types := prefect.StateTypes()
	for from, initial := range append(types, "") {
		for to, proposed := range types {
			var matching []*entry
			for _, e := range entries {
				if e.matches(run, initial, proposed) {
					matching = append(matching, e)
				}
			}
			t.choices[from][to] = newChoice(matching)
		}
	}
	return t
}

func newCell(entries []*entry) *cell {
	c := &cell{}
	for _, e := range entries {
		c.declares(e)
		if e.rule.Phase == abi.PhaseAfter {
			c.after.entries = append(c.after.entries, e)
		} else {
			c.before.entries = append(c.before.entries, e)
		}
	}
	slices.Reverse(c.after.entries)
	c.before.group()
	c.after.group()
	return c
}

// declares adds the facts of an entry, and those of the built-in that may have
// to decide in its place.
func (c *cell) declares(e *entry) {
	for _, fact := range e.rule.Facts {
		if !slices.Contains(c.facts, fact) {
			c.facts = append(c.facts, fact)
		}
	}
	if e.fallback != nil {
		c.declares(e.fallback)
	}
}

// group cuts the entries into calls.
func (p *phase) group() {
	for i, e := range p.entries {
		if i > 0 && e.module != nil && e.sharesCall(p.entries[i-1]) {
			p.groups[len(p.groups)-1].end++
			continue
		}
		p.groups = append(p.groups, group{i, i + 1})
	}
}

// sharesCall reports whether one call can decide both entries: it has one limit.
func (e *entry) sharesCall(o *entry) bool {
	return e.module == o.module && e.Fuel == o.Fuel && e.StackBytes == o.StackBytes
}

// cell returns what is asked about a transition, nil for another kind of run or
// a type that does not exist.
func (t *table) cell(tr *orchestrate.Transition) *cell {
	from, to := typeIndex(prefect.TypeOf(tr.Initial)), typeIndex(tr.Proposed.Type)
	if tr.RunType != t.run || to == typeCount {
		return nil
	}
	return t.choices[from][to].of(tr)
}

// plan is a cell of a snapshot that is held.
type plan struct {
	registry *Registry
	snapshot *snapshot
	cell     *cell
	version  int
}

var _ orchestrate.Plan = (*plan)(nil)

// Version returns the policy's version.
func (p *plan) Version() int { return p.version }

// Facts returns the facts that the entries declared.
func (p *plan) Facts() []string { return p.cell.facts }

// Release lets go of the snapshot.
func (p *plan) Release() { p.snapshot.release() }
