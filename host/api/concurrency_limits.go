package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/api/bind"
	"github.com/interlock-run/interlock/host/prefect"
)

// tagLimitCreate is the schema ConcurrencyLimitCreate.
type tagLimitCreate struct {
	_     struct{} `bind:"forbid"`
	Tag   string   `json:"tag" bind:"required"`
	Limit int32    `json:"concurrency_limit" bind:"required"`
}

func (s *server) createTagLimit(w http.ResponseWriter, r *http.Request) error {
	var body tagLimitCreate
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	if body.Limit < 0 {
		return invalid("body", "concurrency_limit", "greater_than_equal", "Input should be greater than or equal to 0", body.Limit)
	}
	l, created, err := s.Store.PutTagLimit(r.Context(), body.Tag, int(body.Limit))
	if err != nil {
		return err
	}
	return s.marshal(w, createdStatus(created), l)
}

func (s *server) readTagLimit(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	l, err := s.Store.ReadTagLimitByID(r.Context(), id)
	return s.tagLimit(w, l, err)
}

func (s *server) readTagLimitByTag(w http.ResponseWriter, r *http.Request) error {
	l, err := s.Store.ReadTagLimit(r.Context(), pathText(r, "tag"))
	return s.tagLimit(w, l, err)
}

func (s *server) tagLimit(w http.ResponseWriter, l *prefect.TagLimit, err error) error {
	if err != nil {
		return notFound(err, limitMissing)
	}
	return s.marshal(w, http.StatusOK, l)
}

func (s *server) filterTagLimits(w http.ResponseWriter, r *http.Request) error {
	page, err := s.limitsPage(w, r)
	if err != nil {
		return err
	}
	limits, err := s.Store.FilterTagLimits(r.Context(), page)
	if err != nil {
		return err
	}
	return s.marshal(w, http.StatusOK, limits)
}

// deleteTagLimit deletes a limit of any kind, as in the reference.
func (s *server) deleteTagLimit(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	if err := s.Store.DeleteConcurrencyLimit(r.Context(), id.String()); err != nil {
		return notFound(err, limitMissing)
	}
	return s.null(w)
}

func (s *server) deleteTagLimitByTag(w http.ResponseWriter, r *http.Request) error {
	l, err := s.Store.ReadTagLimit(r.Context(), pathText(r, "tag"))
	if err != nil {
		return notFound(err, limitMissing)
	}
	if err := s.Store.DeleteConcurrencyLimit(r.Context(), l.ID.String()); err != nil {
		return notFound(err, limitMissing)
	}
	return s.null(w)
}

type resetTagLimit struct {
	_            struct{}    `bind:"embed"`
	SlotOverride []uuid.UUID `json:"slot_override" bind:"null"`
}

// CheckBind is called by bind.
func (b *resetTagLimit) CheckBind(r bind.Reporter) {
	checkLength(len(b.SlotOverride), "slot_override", r)
}

func (s *server) resetTagLimit(w http.ResponseWriter, r *http.Request) error {
	var body resetTagLimit
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	if err := s.Store.ResetTagLimit(r.Context(), pathText(r, "tag"), body.SlotOverride, s.tagSlotEnd()); err != nil {
		return notFound(err, limitMissing)
	}
	return s.null(w)
}

// tagSlotEnd is the end of a lease that its client cannot renew: none to speak of.
func (s *server) tagSlotEnd() prefect.Time { return prefect.NewTime(s.Now().AddDate(100, 0, 0)) }

// tagSlots is the body of the operations that take and give back slots of tags.
type tagSlots struct {
	_         struct{}  `bind:"embed"`
	Names     []string  `json:"names" bind:"required"`
	TaskRunID uuid.UUID `json:"task_run_id" bind:"required"`
}

// CheckBind is called by bind.
func (b *tagSlots) CheckBind(r bind.Reporter) { checkLength(len(b.Names), "names", r) }

// tagSlotWait is when a client that got no slot may ask again.
const tagSlotWait = 10 * time.Second

func (s *server) incrementTagSlots(w http.ResponseWriter, r *http.Request) error {
	var body tagSlots
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	limits, full, err := s.Store.AcquireTagSlots(r.Context(), body.Names, body.TaskRunID, s.tagSlotEnd())
	if err != nil {
		return err
	}
	if full != "" {
		w.Header().Set("Retry-After", strconv.FormatFloat(tagSlotWait.Seconds(), 'f', 1, 64))
		return prefect.Errorf(prefect.Locked, "All slots of the tag %q are taken.", full)
	}
	minimal := minimalLimits(limits)
	for i := range minimal {
		minimal[i].Name = strings.TrimPrefix(minimal[i].Name, "tag:")
	}
	return s.marshal(w, http.StatusOK, minimal)
}

func (s *server) decrementTagSlots(w http.ResponseWriter, r *http.Request) error {
	var body tagSlots
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	limits, err := s.Store.ReleaseTagSlots(r.Context(), body.Names, body.TaskRunID)
	if err != nil {
		return err
	}
	return s.marshal(w, http.StatusOK, minimalLimits(limits))
}
