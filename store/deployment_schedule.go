package store

import (
	"bytes"
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

const scheduleColumns = "id, created, updated, deployment_id, schedule, active, max_scheduled_runs, parameters, slug"

func scanSchedule(row scanner) (*prefect.DeploymentSchedule, error) {
	s := &prefect.DeploymentSchedule{}
	err := row.Scan(into(&s.ID), into(&s.Created), into(&s.Updated), into(&s.DeploymentID), into(&s.Schedule), &s.Active,
		&s.MaxScheduledRuns, into(&s.Parameters), &s.Slug)
	return s, err
}

// addSchedules reads the schedules of deployments, the last written first.
func addSchedules(ctx context.Context, q querier, d *dialect, list []*prefect.Deployment) error {
	if len(list) == 0 {
		return nil
	}
	byID := make(map[uuid.UUID]*prefect.Deployment, len(list))
	ids := make([]uuid.UUID, len(list))
	for i, one := range list {
		ids[i], byID[one.ID], one.Schedules = one.ID, one, []*prefect.DeploymentSchedule{}
	}
	which, arg := d.anyOf("deployment_id", ids)
	found, err := all(ctx, q, scanSchedule, "SELECT "+scheduleColumns+" FROM deployment_schedule WHERE "+which+" ORDER BY updated DESC, id DESC", arg)
	for _, s := range found {
		owner := byID[s.DeploymentID]
		owner.Schedules = append(owner.Schedules, s)
	}
	return err
}

func copySchedules(list []*prefect.DeploymentSchedule) []prefect.DeploymentSchedule {
	copies := make([]prefect.DeploymentSchedule, len(list))
	for i, s := range list {
		copies[i] = *s
	}
	return copies
}

// saveSchedules makes the rows of a deployment those in list: what is not in it
// goes, what has no id yet is new. New ones get their ids and stamps, which grow in
// the order of the list.
func saveSchedules(ctx context.Context, tx *tx, deployment uuid.UUID, before []prefect.DeploymentSchedule, list []*prefect.DeploymentSchedule) error {
	was, stays := make(map[uuid.UUID]*prefect.DeploymentSchedule, len(before)), make(map[uuid.UUID]*prefect.DeploymentSchedule, len(list))
	for _, s := range list {
		stays[s.ID] = s
	}
	for i := range before {
		old := &before[i]
		was[old.ID] = old
		s, err := stays[old.ID], error(nil)
		switch {
		case s == nil:
			err = deleteOne(ctx, tx, "deployment_schedule", old.ID)
		case old.Slug != nil && !sameSchedule(old, s):
			// Two schedules may swap their slugs, which are unique.
			_, err = tx.ExecContext(ctx, "UPDATE deployment_schedule SET slug = NULL WHERE id = ?", tx.d.arg(old.ID))
		}
		if err != nil {
			return err
		}
	}
	now := tx.now()
	for i, s := range list {
		at := now.Add(time.Duration(i) * time.Microsecond)
		if s.ID == uuid.Nil {
			s.ID, s.Created, s.Updated, s.DeploymentID = prefect.NewID(), at, at, deployment
			if _, err := tx.ExecContext(ctx, insertInto("deployment_schedule", scheduleColumns), tx.d.args(s.ID, s.Created, s.Updated, s.DeploymentID,
				s.Schedule, s.Active, s.MaxScheduledRuns, object(s.Parameters), s.Slug)...); err != nil {
				return err
			}
			continue
		}
		if old := was[s.ID]; old == nil || sameSchedule(old, s) {
			continue
		}
		s.Updated = later(at, s.Updated)
		if _, err := tx.ExecContext(ctx, "UPDATE deployment_schedule SET "+assign("updated, schedule, active, max_scheduled_runs, parameters, slug")+" WHERE id = ?",
			tx.d.args(s.Updated, s.Schedule, s.Active, s.MaxScheduledRuns, object(s.Parameters), s.Slug, s.ID)...); err != nil {
			return err
		}
	}
	return nil
}

func sameSchedule(a, b *prefect.DeploymentSchedule) bool {
	return a.Active == b.Active && same(a.MaxScheduledRuns, b.MaxScheduledRuns) && same(a.Slug, b.Slug) &&
		bytes.Equal(a.Schedule, b.Schedule) && bytes.Equal(a.Parameters, b.Parameters)
}

func same[T comparable](a, b *T) bool { return a == b || (a != nil && b != nil && *a == *b) }
