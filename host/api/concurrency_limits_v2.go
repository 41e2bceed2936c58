package api

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// limitCreate is the schema ConcurrencyLimitV2Create.
type limitCreate struct {
	_                  struct{} `bind:"forbid"`
	Active             bool     `json:"active"`
	Name               string   `json:"name" bind:"required,pattern=name"`
	Limit              int32    `json:"limit" bind:"required,ge=0"`
	ActiveSlots        int32    `json:"active_slots" bind:"ge=0"`
	DeniedSlots        int32    `json:"denied_slots" bind:"ge=0"`
	SlotDecayPerSecond float64  `json:"slot_decay_per_second" bind:"ge=0"`
}

// SetDefaults is called by bind.
func (c *limitCreate) SetDefaults() { c.Active = true }

func (s *server) createConcurrencyLimitV2(w http.ResponseWriter, r *http.Request) error {
	var body limitCreate
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	now := s.Now()
	l := &prefect.ConcurrencyLimit{ID: s.NewID(), Created: now, Updated: now, Active: body.Active, Name: body.Name, Limit: int(body.Limit),
		ActiveSlots: int(body.ActiveSlots), DeniedSlots: int(body.DeniedSlots), SlotDecayPerSecond: body.SlotDecayPerSecond,
		AvgSlotOccupancySeconds: prefect.DefaultOccupancy}
	if err := s.Store.CreateConcurrencyLimit(r.Context(), l); err != nil {
		return err
	}
	return s.marshal(w, http.StatusCreated, l)
}

// globalLimit is the schema GlobalConcurrencyLimitResponse.
type globalLimit struct {
	ID                 uuid.UUID    `json:"id"`
	Created            prefect.Time `json:"created"`
	Updated            prefect.Time `json:"updated"`
	Active             bool         `json:"active"`
	Name               string       `json:"name"`
	Limit              int          `json:"limit"`
	ActiveSlots        int          `json:"active_slots"`
	SlotDecayPerSecond float64      `json:"slot_decay_per_second"`
}

func newGlobalLimit(l *prefect.ConcurrencyLimit) globalLimit {
	return globalLimit{l.ID, l.Created, l.Updated, l.Active, l.Name, l.Limit, l.ActiveSlots, l.SlotDecayPerSecond}
}

func (s *server) readConcurrencyLimitV2(w http.ResponseWriter, r *http.Request) error {
	l, err := s.Store.ReadConcurrencyLimit(r.Context(), chi.URLParam(r, "id_or_name"))
	if err != nil {
		return limitNotFound(err)
	}
	return s.marshal(w, http.StatusOK, newGlobalLimit(l))
}

func limitNotFound(err error) error {
	if prefect.CodeOf(err) == prefect.NotFound {
		return prefect.Errorf(prefect.NotFound, "Concurrency Limit not found")
	}
	return err
}

type filterLimits struct {
	_ struct{} `bind:"embed"`
	window
}

// limitsPage is the page of limits that a request asks for, of either version.
func (s *server) limitsPage(w http.ResponseWriter, r *http.Request) (prefect.Page, error) {
	var body filterLimits
	if err := s.bind(w, r, &body); err != nil {
		return prefect.Page{}, err
	}
	return s.page("", body.window)
}

func (s *server) filterConcurrencyLimitsV2(w http.ResponseWriter, r *http.Request) error {
	page, err := s.limitsPage(w, r)
	if err != nil {
		return err
	}
	limits, err := s.Store.FilterConcurrencyLimits(r.Context(), page)
	if err != nil {
		return err
	}
	list := make([]globalLimit, len(limits))
	for i, l := range limits {
		list[i] = newGlobalLimit(l)
	}
	return s.marshal(w, http.StatusOK, list)
}

// limitUpdate is the schema ConcurrencyLimitV2Update; null leaves a field alone.
type limitUpdate struct {
	_                  struct{} `bind:"forbid"`
	Active             *bool    `json:"active"`
	Name               *string  `json:"name" bind:"pattern=name"`
	Limit              *int32   `json:"limit" bind:"ge=0"`
	ActiveSlots        *int32   `json:"active_slots" bind:"ge=0"`
	DeniedSlots        *int32   `json:"denied_slots" bind:"ge=0"`
	SlotDecayPerSecond *float64 `json:"slot_decay_per_second" bind:"ge=0"`
}

func (u *limitUpdate) apply(l *prefect.ConcurrencyLimit) error {
	number := func(from *int32, to *int) {
		if from != nil {
			*to = int(*from)
		}
	}
	number(u.Limit, &l.Limit)
	number(u.ActiveSlots, &l.ActiveSlots)
	number(u.DeniedSlots, &l.DeniedSlots)
	if u.Active != nil {
		l.Active = *u.Active
	}
	if u.Name != nil {
		l.Name = *u.Name
	}
	if u.SlotDecayPerSecond != nil {
		l.SlotDecayPerSecond = *u.SlotDecayPerSecond
	}
	return nil
}

func (s *server) updateConcurrencyLimitV2(w http.ResponseWriter, r *http.Request) error {
	var body limitUpdate
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	if err := s.Store.UpdateConcurrencyLimit(r.Context(), chi.URLParam(r, "id_or_name"), body.apply); err != nil {
		return limitNotFound(err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *server) deleteConcurrencyLimitV2(w http.ResponseWriter, r *http.Request) error {
	if err := s.Store.DeleteConcurrencyLimit(r.Context(), chi.URLParam(r, "id_or_name")); err != nil {
		return limitNotFound(err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// slotsTaken is what the increment operations have in common.
type slotsTaken struct {
	Slots int32    `json:"slots" bind:"required,gt=0"`
	Names []string `json:"names" bind:"required"`
	Mode  string   `json:"mode" bind:"literal=concurrency|rate_limit"`
}

// SetDefaults is called by bind.
func (t *slotsTaken) SetDefaults() { t.Mode = "concurrency" }

// minimalLimit is the schema MinimalConcurrencyLimitResponse.
type minimalLimit struct {
	ID    uuid.UUID `json:"id"`
	Name  string    `json:"name"`
	Limit int       `json:"limit"`
}

func minimalLimits(limits []*prefect.ConcurrencyLimit) []minimalLimit {
	list := make([]minimalLimit, len(limits))
	for i, l := range limits {
		list[i] = minimalLimit{l.ID, l.Name, l.Limit}
	}
	return list
}

// leasedLimits is the schema ConcurrencyLimitWithLeaseResponse.
type leasedLimits struct {
	LeaseID uuid.UUID      `json:"lease_id"`
	Limits  []minimalLimit `json:"limits"`
}

type incrementSlots struct {
	_ struct{} `bind:"embed"`
	slotsTaken
	CreateIfMissing *bool `json:"create_if_missing"` // deprecated, without effect
}

func (s *server) incrementSlots(w http.ResponseWriter, r *http.Request) error {
	var body incrementSlots
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	limits, err := s.acquire(w, r, &body.slotsTaken, nil)
	if err != nil {
		return err
	}
	return s.marshal(w, http.StatusOK, minimalLimits(limits))
}

// leaseHolder is the schema ConcurrencyLeaseHolder.
type leaseHolder struct {
	_    struct{}  `bind:"forbid"`
	Type string    `json:"type" bind:"required,literal=flow_run|task_run|deployment"`
	ID   uuid.UUID `json:"id" bind:"required"`
}

type incrementWithLease struct {
	_ struct{} `bind:"embed"`
	slotsTaken
	leaseTerm
	Holder *leaseHolder `json:"holder"`
}

// SetDefaults is called by bind.
func (b *incrementWithLease) SetDefaults() {
	b.slotsTaken.SetDefaults()
	b.leaseTerm.SetDefaults()
}

// leaseTerm is how long a lease runs, in seconds.
type leaseTerm struct {
	LeaseDuration float64 `json:"lease_duration" bind:"ge=60,le=86400"`
}

// SetDefaults is called by bind.
func (l *leaseTerm) SetDefaults() { l.LeaseDuration = defaultLease }

func (s *server) incrementSlotsWithLease(w http.ResponseWriter, r *http.Request) error {
	var body incrementWithLease
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	lease := &prefect.SlotLease{ID: s.NewID(), Expires: s.leaseEnd(body.leaseTerm).Ptr()}
	if h := body.Holder; h != nil {
		lease.HolderType, lease.HolderID = &h.Type, &h.ID
	}
	limits, err := s.acquire(w, r, &body.slotsTaken, lease)
	if err != nil {
		return err
	}
	return s.marshal(w, http.StatusOK, leasedLimits{lease.ID, minimalLimits(limits)})
}

const defaultLease = 300 // seconds

func (s *server) leaseEnd(t leaseTerm) prefect.Time {
	return s.Now().Add(time.Duration(t.LeaseDuration * float64(time.Second)))
}

// acquire takes slots, or answers Locked with when to ask again.
func (s *server) acquire(w http.ResponseWriter, r *http.Request, t *slotsTaken, lease *prefect.SlotLease) ([]*prefect.ConcurrencyLimit, error) {
	if len(t.Names) == 0 {
		return nil, invalid("body", "names", "too_short", "List should have at least 1 item after validation, not 0", t.Names)
	}
	limits, acquired, err := s.Store.AcquireSlots(r.Context(), prefect.SlotRequest{
		Names: t.Names, Slots: int(t.Slots), RateLimit: t.Mode == "rate_limit", Lease: lease,
	})
	if err != nil {
		return nil, err
	}
	if !acquired {
		w.Header().Set("Retry-After", strconv.FormatFloat(retryAfter(limits, int(t.Slots)), 'f', 3, 64))
		return nil, prefect.Errorf(prefect.Locked, "Locked")
	}
	return limits, nil
}

// The longest waits that are suggested, in seconds, and by how much two
// suggestions differ, so that those who wait do not all come back at once.
const (
	longestTagWait   = 10
	longestLimitWait = 30
	waitSpread       = 0.3
)

// retryAfter suggests when slots may be free, in seconds, by the limit that is
// asked for most.
func retryAfter(limits []*prefect.ConcurrencyLimit, slots int) float64 {
	var most, wait float64
	for _, l := range limits {
		if !l.Active {
			continue
		}
		asked := float64(max(slots, l.DeniedSlots)) // what was denied just now is counted already
		if l.SlotDecayPerSecond == 0 && l.Limit > 0 {
			asked /= float64(l.Limit)
		}
		if asked <= most {
			continue
		}
		most = asked
		if l.SlotDecayPerSecond > 0 {
			wait = asked / l.SlotDecayPerSecond
			continue
		}
		longest := float64(longestLimitWait)
		if strings.HasPrefix(l.Name, "tag:") {
			longest = longestTagWait
		}
		wait = min(l.AvgSlotOccupancySeconds*asked, longest)
	}
	return wait * (1 + waitSpread*(2*rand.Float64()-1))
}

type decrementSlots struct {
	_                struct{} `bind:"embed"`
	Slots            int32    `json:"slots" bind:"required,gt=0"`
	Names            []string `json:"names" bind:"required"`
	OccupancySeconds *float64 `json:"occupancy_seconds" bind:"gt=0"`
	CreateIfMissing  bool     `json:"create_if_missing"` // deprecated, without effect
}

func (s *server) decrementSlots(w http.ResponseWriter, r *http.Request) error {
	var body decrementSlots
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	if len(body.Names) == 0 {
		return invalid("body", "names", "too_short", "List should have at least 1 item after validation, not 0", body.Names)
	}
	var seconds float64
	if body.OccupancySeconds != nil {
		seconds = *body.OccupancySeconds
	}
	limits, err := s.Store.ReleaseSlots(r.Context(), body.Names, int(body.Slots), seconds)
	if err != nil {
		return err
	}
	return s.marshal(w, http.StatusOK, minimalLimits(limits))
}

type decrementWithLease struct {
	_       struct{}  `bind:"embed"`
	LeaseID uuid.UUID `json:"lease_id" bind:"required"`
}

func (s *server) decrementSlotsWithLease(w http.ResponseWriter, r *http.Request) error {
	var body decrementWithLease
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	if err := s.Store.ReleaseLease(r.Context(), body.LeaseID); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

type renewLease struct {
	_ struct{} `bind:"embed"`
	leaseTerm
}

func (s *server) renewLease(w http.ResponseWriter, r *http.Request) error {
	id, err := uuid.Parse(chi.URLParam(r, "lease_id"))
	if err != nil {
		return errNoRoute()
	}
	var body renewLease
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	if err := s.Store.RenewLease(r.Context(), id, s.leaseEnd(body.leaseTerm)); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
