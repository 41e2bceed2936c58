package policy

import (
	"fmt"
	"slices"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/host/sandbox"
	"github.com/interlock-run/interlock/sdk/abi"
)

// What a module can take. A Go guest of the usual memory reads 48 KiB whatever
// they hold (a list of digits takes the most), for less than 400 units of fuel a
// byte; the built-in module, which gets no texts of users in bulk, some 200 KiB.
const (
	fuelPerByte     = 400
	bytesPerPage    = 768     // of memory
	builtinsPerPage = 3 << 10 // likewise, of the built-in module
)

// How many bytes of texts the built-in module is told.
const (
	leanText    = 1 << 10  // of what no rule carries on
	carriedText = 64 << 10 // of what one does: no verdict could hold a longer one
)

// ContextTooLargeError says why a module was not asked: the context could have
// been more than it can take. That is nobody's fault, and not counted against the
// module.
type ContextTooLargeError struct {
	Bytes int // of the context
	Limit int // of the call
}

func (e *ContextTooLargeError) Error() string {
	return fmt.Sprintf("context too large: %d bytes, limit %d", e.Bytes, e.Limit)
}

// contextLimit returns the most bytes that a call of an entry is sent: as many as
// its fuel and memory surely suffice for.
func contextLimit(e *entry, l *sandbox.Limits) int {
	if e.module.builtin {
		return int(l.MemoryPages) * builtinsPerPage
	}
	fuel := e.Fuel
	if fuel == 0 {
		fuel = l.Fuel
	}
	return max(abi.SureContext, min(int(fuel/fuelPerByte), int(l.MemoryPages)*bytesPerPage))
}

// context makes the context of a call, which must be given back. The error is a
// *ContextTooLargeError.
func (e *evaluation) context(m *module, turns []turn) (*[]byte, error) {
	c := call{
		phase: e.name, entries: make([]*entry, len(turns)), t: &e.t, proposed: e.proposed, intended: e.t.Proposed.Type,
		final: e.final, status: e.status, seed: e.seeded(), lean: m.builtin,
	}
	for i, t := range turns {
		c.entries[i] = t.entry
	}
	r := e.plan.registry
	buffer := r.buffer()
	*buffer = appendContext((*buffer)[:0], &c)
	if limit := contextLimit(c.entries[0], &r.limits); len(*buffer) > limit {
		err := &ContextTooLargeError{Bytes: len(*buffer), Limit: limit}
		r.giveBack(buffer)
		if len(turns) == 1 { // else each is asked alone
			m.health.tooLarge.Add(1)
		}
		return nil, err
	}
	return buffer, nil
}

// keptBuffer is the largest buffer that is kept for the next context.
const keptBuffer = 64 << 10

func (r *Registry) buffer() *[]byte { return r.buffers.Get().(*[]byte) }

func (r *Registry) giveBack(buffer *[]byte) {
	if cap(*buffer) <= keptBuffer {
		r.buffers.Put(buffer)
	}
}

// pauseKeys is what the built-in rules have to know of a run's keys: whether the
// proposed one is among them.
func pauseKeys(keys []string, proposed *prefect.State) []string {
	if proposed == nil || proposed.Details.PauseKey == nil || !slices.Contains(keys, *proposed.Details.PauseKey) {
		return nil
	}
	return []string{*proposed.Details.PauseKey}
}
