package api

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/api/bind"
	"github.com/interlock-run/interlock/host/prefect"
)

// scheduleCreate is the schema DeploymentScheduleCreate.
type scheduleCreate struct {
	_                struct{}        `bind:"forbid"`
	Active           bool            `json:"active"`
	Schedule         scheduleSpec    `json:"schedule" bind:"required"`
	MaxScheduledRuns *int32          `json:"max_scheduled_runs" bind:"gt=0"`
	Parameters       json.RawMessage `json:"parameters" bind:"object"`
	Slug             *string         `json:"slug"`
	Replaces         *string         `json:"replaces"`
}

// SetDefaults is called by bind.
func (c *scheduleCreate) SetDefaults() { c.Active, c.Parameters = true, json.RawMessage("{}") }

// CheckBind is called by bind.
func (c *scheduleCreate) CheckBind(r bind.Reporter) { checkMaxRuns(c.MaxScheduledRuns, r) }

// MostListed is asked by bind.
func (*scheduleCreate) MostListed() int { return mostListed }

// mostScheduledRuns is the reference's default of what a schedule may ask for.
const mostScheduledRuns = 50

func checkMaxRuns(n *int32, r bind.Reporter) {
	if n != nil && *n > mostScheduledRuns {
		r.Fail("value_error", "Value error, `max_scheduled_runs` must be less than or equal to 50.", appendInt(nil, int(*n)), "max_scheduled_runs")
	}
}

// schedule returns the new row.
func (c *scheduleCreate) schedule(now prefect.Time) *prefect.DeploymentSchedule {
	return &prefect.DeploymentSchedule{Schedule: c.Schedule.stored(now), Active: c.Active, MaxScheduledRuns: intOf(c.MaxScheduledRuns),
		Parameters: c.Parameters, Slug: c.Slug}
}

func intOf(n *int32) *int {
	if n == nil {
		return nil
	}
	wide := int(*n)
	return &wide
}

// scheduleUpdate is the schema DeploymentScheduleUpdate. Null leaves a field alone;
// parameters that are not sent become empty, as in the reference.
type scheduleUpdate struct {
	_                struct{}        `bind:"forbid"`
	Active           *bool           `json:"active"`
	Schedule         maybeSchedule   `json:"schedule"`
	MaxScheduledRuns *int32          `json:"max_scheduled_runs" bind:"gt=0"`
	Parameters       json.RawMessage `json:"parameters" bind:"object"`
	Slug             *string         `json:"slug"`
	Replaces         *string         `json:"replaces"`
}

// SetDefaults is called by bind.
func (u *scheduleUpdate) SetDefaults() { u.Parameters = json.RawMessage("{}") }

// CheckBind is called by bind.
func (u *scheduleUpdate) CheckBind(r bind.Reporter) { checkMaxRuns(u.MaxScheduledRuns, r) }

// MostListed is asked by bind.
func (*scheduleUpdate) MostListed() int { return mostListed }

func (u *scheduleUpdate) apply(s *prefect.DeploymentSchedule, now prefect.Time) {
	if u.Active != nil {
		s.Active = *u.Active
	}
	if !u.Schedule.none() {
		s.Schedule = u.Schedule.stored(now)
	}
	if u.MaxScheduledRuns != nil {
		s.MaxScheduledRuns = intOf(u.MaxScheduledRuns)
	}
	if u.Slug != nil {
		s.Slug = u.Slug
	}
	s.Parameters = u.Parameters
}

// schedule returns the row that u is where there is none to change.
func (u *scheduleUpdate) schedule(now prefect.Time) *prefect.DeploymentSchedule {
	return &prefect.DeploymentSchedule{Schedule: u.Schedule.stored(now), Active: u.Active == nil || *u.Active, Parameters: u.Parameters, Slug: u.Slug}
}

// The texts of the operations of schedules; the reference ends them with a dot.
const (
	schedulesNotFound = "Deployment not found."
	scheduleNotFound  = "Schedule not found."
)

func (s *server) readSchedules(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	d, err := s.Store.ReadDeployment(r.Context(), id)
	if err != nil {
		return notFound(err, schedulesNotFound)
	}
	return list(s, w, d.Schedules, appendSchedule)
}

func (s *server) createSchedules(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	var body []scheduleCreate
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	if len(body) > mostListed {
		return invalid("body", "schedules", "too_long", tooLong, nil)
	}
	var created []*prefect.DeploymentSchedule
	err = s.Store.UpdateDeployment(r.Context(), id, prefect.NoStaleRuns, func(d *prefect.Deployment) error {
		created, err = addSchedules(d, body, s.Now())
		return err
	})
	if err != nil {
		return notFound(err, schedulesNotFound)
	}
	s.encode(w, http.StatusCreated, func(b []byte) []byte { return appendList(b, created, appendSchedule) })
	return nil
}

// addSchedules gives d new schedules and returns them. Errors: Conflict for a slug
// that is taken, Invalid for more than a deployment can have.
func addSchedules(d *prefect.Deployment, list []scheduleCreate, now prefect.Time) ([]*prefect.DeploymentSchedule, error) {
	if err := checkScheduleCount(len(d.Schedules), len(d.Schedules)+len(list)); err != nil {
		return nil, err
	}
	slugs := make(map[string]bool, len(d.Schedules)+len(list))
	for _, s := range d.Schedules {
		if s.Slug != nil {
			slugs[*s.Slug] = true
		}
	}
	created := make([]*prefect.DeploymentSchedule, len(list))
	for i := range list {
		s := list[i].schedule(now)
		if s.Slug != nil {
			if slugs[*s.Slug] {
				return nil, prefect.Errorf(prefect.Conflict, "The slug %q is that of another schedule of this deployment.", *s.Slug)
			}
			slugs[*s.Slug] = true
		}
		created[i] = s
	}
	d.Schedules = append(d.Schedules, created...)
	return created, nil
}

// checkScheduleCount returns Invalid for a deployment that would get more schedules
// than it can have: all of them are read and written with it. One that has more
// already keeps them.
func checkScheduleCount(before, after int) error {
	if after > mostListed && after > before {
		return prefect.Errorf(prefect.Invalid, "A deployment has at most %d schedules; this would make %d.", mostListed, after)
	}
	return nil
}

func (s *server) updateSchedule(w http.ResponseWriter, r *http.Request) error {
	id, schedule, err := schedulePath(r)
	if err != nil {
		return err
	}
	var body scheduleUpdate
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	return s.changeSchedule(w, r, id, prefect.FutureScheduledRuns, func(d *prefect.Deployment) error {
		i := scheduleByID(d, schedule)
		if i < 0 {
			return prefect.Errorf(prefect.NotFound, scheduleNotFound)
		}
		body.apply(d.Schedules[i], s.Now())
		return nil
	})
}

func (s *server) deleteSchedule(w http.ResponseWriter, r *http.Request) error {
	id, schedule, err := schedulePath(r)
	if err != nil {
		return err
	}
	return s.changeSchedule(w, r, id, prefect.AutoScheduledRuns, func(d *prefect.Deployment) error {
		i := scheduleByID(d, schedule)
		if i < 0 {
			return prefect.Errorf(prefect.NotFound, scheduleNotFound)
		}
		d.Schedules = slices.Delete(d.Schedules, i, i+1)
		return nil
	})
}

func scheduleByID(d *prefect.Deployment, id uuid.UUID) int {
	return slices.IndexFunc(d.Schedules, func(s *prefect.DeploymentSchedule) bool { return s.ID == id })
}

// changeSchedule answers 404 with the text of what is missing: the deployment or
// its schedule.
func (s *server) changeSchedule(w http.ResponseWriter, r *http.Request, id uuid.UUID, stale prefect.StaleRuns, fn func(*prefect.Deployment) error) error {
	there := false
	err := s.Store.UpdateDeployment(r.Context(), id, stale, func(d *prefect.Deployment) error {
		there = true
		return fn(d)
	})
	switch {
	case err == nil:
		return noContent(w)
	case there:
		return notFound(err, scheduleNotFound)
	}
	return notFound(err, schedulesNotFound)
}

func schedulePath(r *http.Request) (deployment, schedule uuid.UUID, err error) {
	if deployment, err = pathID(r); err != nil {
		return deployment, schedule, err
	}
	if schedule, err = uuid.Parse(chi.URLParam(r, "schedule_id")); err != nil {
		return deployment, schedule, errNoRoute()
	}
	return deployment, schedule, nil
}
