package api

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/api/bind"
	"github.com/interlock-run/interlock/host/prefect"
)

// deploymentUpdate is the schema DeploymentUpdate.
type deploymentUpdate struct {
	_                        struct{}                              `bind:"ignore=worker_pool_queue_id|worker_pool_name|worker_pool_queue_name|work_pool_queue_name"`
	_                        struct{}                              `bind:"forbid"`
	Version                  prefect.Optional[*string]             `json:"version"`
	Description              prefect.Optional[*string]             `json:"description"`
	Paused                   prefect.Optional[bool]                `json:"paused"`
	Schedules                prefect.Optional[[]scheduleUpdate]    `json:"schedules"`
	ConcurrencyLimit         prefect.Optional[*int32]              `json:"concurrency_limit" bind:"gt=0"`
	ConcurrencyOptions       prefect.Optional[*concurrencyOptions] `json:"concurrency_options"`
	GlobalConcurrencyLimitID prefect.Optional[*uuid.UUID]          `json:"global_concurrency_limit_id"`
	Parameters               prefect.Optional[json.RawMessage]     `json:"parameters" bind:"object,null"`
	ParameterSchema          prefect.Optional[json.RawMessage]     `json:"parameter_openapi_schema" bind:"object,null"`
	Tags                     prefect.Optional[[]string]            `json:"tags"`
	WorkQueueName            prefect.Optional[*string]             `json:"work_queue_name"`
	WorkPoolName             prefect.Optional[*string]             `json:"work_pool_name"`
	Path                     prefect.Optional[*string]             `json:"path"`
	JobVariables             json.RawMessage                       `json:"job_variables" bind:"object,null"`
	PullSteps                prefect.Optional[pullSteps]           `json:"pull_steps"`
	Entrypoint               prefect.Optional[*string]             `json:"entrypoint"`
	StorageDocumentID        prefect.Optional[*uuid.UUID]          `json:"storage_document_id"`
	InfrastructureDocumentID prefect.Optional[*uuid.UUID]          `json:"infrastructure_document_id"`
	EnforceParameterSchema   prefect.Optional[*bool]               `json:"enforce_parameter_schema"`
	VersionInfo              *versionInfo                          `json:"version_info"` // without effect, as in the reference
}

// CheckBind is called by bind.
func (u *deploymentUpdate) CheckBind(r bind.Reporter) {
	checkOneLimit(u.ConcurrencyLimit.Value, u.GlobalConcurrencyLimitID.Value, r)
	checkLength(len(u.Schedules.Value), "schedules", r)
}

const noParameterSchema = "The deployment enforces the schema of its parameters and has none."

func (s *server) updateDeployment(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	var body deploymentUpdate
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	if err := s.checkParameters(body.Parameters.Value); err != nil {
		return err
	}
	d, err := s.Store.ReadDeployment(r.Context(), id)
	if err != nil {
		return notFound(err, schedulesNotFound)
	}
	if err := s.checkDeploymentUpdate(r, d, &body); err != nil {
		return err
	}
	err = s.Store.UpdateDeployment(r.Context(), id, prefect.FutureScheduledRuns, func(d *prefect.Deployment) error {
		if body.WorkPoolName.Set && body.WorkPoolName.Value == nil {
			d.WorkQueueID = nil
		} else {
			d.AskedQueue = &prefect.QueueName{Pool: textOf(body.WorkPoolName.Value), Name: textOf(body.WorkQueueName.Value)}
		}
		return body.apply(d, s.Now())
	})
	if err != nil {
		return notFound(err, schedulesNotFound)
	}
	return noContent(w)
}

// checkDeploymentUpdate checks what the form does not tell, against the deployment
// as it is; parameters are hydrated.
func (s *server) checkDeploymentUpdate(r *http.Request, d *prefect.Deployment, body *deploymentUpdate) error {
	if _, err := body.schedules(d.Schedules, s.Now()); err != nil {
		return err
	}
	enforced := body.EnforceParameterSchema
	if body.Parameters.Set && body.Parameters.Value == nil || enforced.Set && enforced.Value == nil {
		return prefect.Errorf(prefect.Conflict, "Data integrity conflict: a deployment has parameters, and enforces their schema or does not.")
	}
	if pool := textOf(body.WorkPoolName.Value); pool != "" {
		p, err := s.Store.ReadWorkPool(r.Context(), pool)
		if err != nil {
			return poolNotFound(err, pool)
		}
		if len(body.JobVariables) > 0 {
			err := s.fits(body.JobVariables, member(p.BaseJobTemplate, "variables"), looseness{amended: true})
			if err != nil {
				return conflicting(err, "Error updating deployment")
			}
		}
	}
	parameters, err := hydrateParameters(body.Parameters.Value)
	if err != nil {
		return err
	}
	if body.Parameters.Value = parameters; parameters == nil {
		parameters = d.Parameters
	}
	if enforced.Set && *enforced.Value || !enforced.Set && d.EnforceSchema {
		schema := d.ParameterSchema
		if given := body.ParameterSchema.Value; len(given) > 0 && string(given) != "{}" {
			schema = given
		}
		if schema == nil {
			return prefect.Errorf(prefect.Conflict, noParameterSchema)
		}
		if err := s.fits(parameters, schema, looseness{amended: true}); err != nil {
			return conflicting(err, "Error updating deployment")
		}
	}
	return s.checkGlobalLimit(r.Context(), body.GlobalConcurrencyLimitID.Value)
}

// apply changes what was sent. It can run again on a fresh row.
func (u *deploymentUpdate) apply(d *prefect.Deployment, now prefect.Time) error {
	schedules, err := u.schedules(d.Schedules, now)
	if err != nil {
		return err
	}
	d.Schedules, d.Updated = schedules, now // even if all is as it was
	setLimit(d, u.ConcurrencyLimit, u.GlobalConcurrencyLimitID)
	if u.ConcurrencyOptions.Set {
		d.ConcurrencyOptions = (*prefect.ConcurrencyOptions)(u.ConcurrencyOptions.Value)
	}
	if u.Parameters.Value != nil {
		d.Parameters = u.Parameters.Value
	}
	if u.JobVariables != nil {
		d.JobVariables = u.JobVariables
	}
	if u.EnforceParameterSchema.Value != nil {
		d.EnforceSchema = *u.EnforceParameterSchema.Value
	}
	if u.PullSteps.Set {
		d.PullSteps = json.RawMessage(u.PullSteps.Value)
	}
	u.Version.Apply(&d.Version)
	u.Description.Apply(&d.Description)
	u.Paused.Apply(&d.Paused)
	u.ParameterSchema.Apply(&d.ParameterSchema)
	u.Tags.Apply(&d.Tags)
	u.WorkQueueName.Apply(&d.WorkQueueName)
	u.Path.Apply(&d.Path)
	u.Entrypoint.Apply(&d.Entrypoint)
	u.StorageDocumentID.Apply(&d.StorageDocumentID)
	u.InfrastructureDocumentID.Apply(&d.InfrastructureDocumentID)
	return nil
}

// schedules returns what becomes of a deployment's schedules. Where all of the old
// and of the new ones have slugs, each new one changes the old one of its slug or is
// added, and none goes; otherwise the new ones take the place of the old ones. It
// changes nothing of old. Errors: Invalid.
func (u *deploymentUpdate) schedules(old []*prefect.DeploymentSchedule, now prefect.Time) ([]*prefect.DeploymentSchedule, error) {
	slugged := len(old) > 0 && !slices.ContainsFunc(old, func(s *prefect.DeploymentSchedule) bool { return s.Slug == nil })
	sent := u.Schedules.Value
	allSlugged := !slices.ContainsFunc(sent, func(s scheduleUpdate) bool { return s.Slug == nil })
	switch {
	case slugged && allSlugged:
		return mergeSchedules(old, sent, now)
	case slugged:
		return nil, prefect.Errorf(prefect.Invalid, "The schedules of this deployment have slugs, so each one sent needs its slug too.")
	case !u.Schedules.Set:
		return old, nil
	}
	fresh := []*prefect.DeploymentSchedule{}
	for i := range sent {
		if !sent[i].Schedule.none() {
			fresh = append(fresh, sent[i].schedule(now))
		}
	}
	return fresh, nil
}

func mergeSchedules(old []*prefect.DeploymentSchedule, sent []scheduleUpdate, now prefect.Time) ([]*prefect.DeploymentSchedule, error) {
	merged := make([]*prefect.DeploymentSchedule, len(old))
	bySlug := map[string]*prefect.DeploymentSchedule{}
	for i, s := range old {
		one := *s
		merged[i], bySlug[*s.Slug] = &one, &one
	}
	replaced := map[string]bool{}
	for i := range sent {
		target := textOf(sent[i].Replaces)
		if target != "" && replaced[target] {
			return nil, prefect.Errorf(prefect.Invalid, "Only one schedule can replace %q.", target)
		}
		replaced[target] = true
	}
	for i := range sent {
		change, slug, target := &sent[i], *sent[i].Slug, textOf(sent[i].Replaces)
		if target != "" && bySlug[slug] != nil && !replaced[slug] {
			return nil, prefect.Errorf(prefect.Invalid, "%q cannot replace %q: that slug is taken by a schedule that stays.", slug, target)
		}
		if target == "" {
			target = slug
		}
		switch there := bySlug[target]; {
		case there != nil:
			change.apply(there, now)
		case change.Schedule.none():
			return nil, prefect.Errorf(prefect.Invalid, "There is no schedule with the slug %q, and a new one says when it runs: send its schedule.", slug)
		default:
			merged = append(merged, change.schedule(now))
		}
	}
	return merged, checkScheduleCount(len(old), len(merged))
}
