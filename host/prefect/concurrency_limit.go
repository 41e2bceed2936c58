package prefect

import (
	"math"

	"github.com/google/uuid"
)

// ConcurrencyLimit is a row of concurrency_limit_v2: a named number of slots.
type ConcurrencyLimit struct {
	ID                      uuid.UUID `json:"id"`
	Created                 Time      `json:"created"`
	Updated                 Time      `json:"updated"` // what decays does so from here on
	Active                  bool      `json:"active"`  // an inactive limit holds nobody back
	Name                    string    `json:"name"`
	Limit                   int       `json:"limit"`
	ActiveSlots             int       `json:"active_slots"`
	DeniedSlots             int       `json:"denied_slots"`
	SlotDecayPerSecond      float64   `json:"slot_decay_per_second"` // 0: a slot is taken until it is given back
	AvgSlotOccupancySeconds float64   `json:"avg_slot_occupancy_seconds"`
}

// Decay brings the counts of slots to what is left of them now.
func (l *ConcurrencyLimit) Decay(now Time) {
	gone := int(math.Floor(l.SlotDecayPerSecond * max(0, now.Sub(l.Updated.Time).Seconds())))
	l.ActiveSlots = max(0, l.ActiveSlots-gone)
	l.DeniedSlots = max(0, l.DeniedSlots-gone)
}

// DefaultOccupancy is what a limit supposes of its slots before any was given
// back, in seconds.
const DefaultOccupancy = 2.0

// The averaging of occupancy: over so many slots times the limit, and no slot
// counts for less than the minimum.
const (
	occupancySamples = 2
	minimumOccupancy = 0.1
)

// Occupy takes into the average that slots were held for seconds.
func (l *ConcurrencyLimit) Occupy(slots int, seconds float64) {
	if slots < 1 || l.Limit < 1 {
		return
	}
	perSlot := max(seconds/float64(slots), minimumOccupancy)
	l.AvgSlotOccupancySeconds += (perSlot - l.AvgSlotOccupancySeconds) / float64(l.Limit*occupancySamples)
}

// SlotRequest asks for slots of every named limit that exists, all or none.
type SlotRequest struct {
	Names     []string
	Slots     int
	RateLimit bool       // only limits that decay will do
	Lease     *SlotLease // nil: held until given back by name
}

// SlotLease is what slots are held under, until it expires or is given back. One
// without an expiry ends with its holder, a run.
type SlotLease struct {
	ID         uuid.UUID
	HolderType *string // flow_run, task_run or deployment
	HolderID   *uuid.UUID
	Expires    *Time // nil: never
}

// TagLimit is a limit of task runs by tag, as the first version of the API has it:
// the [ConcurrencyLimit] called tag:TAG, with who holds its slots.
type TagLimit struct {
	ID      uuid.UUID   `json:"id"`
	Created Time        `json:"created"`
	Updated Time        `json:"updated"`
	Tag     string      `json:"tag"`
	Limit   int         `json:"concurrency_limit"`
	Holders []uuid.UUID `json:"active_slots"` // task runs
}
