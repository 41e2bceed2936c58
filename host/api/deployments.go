package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/api/bind"
	"github.com/interlock-run/interlock/host/prefect"
)

// deploymentCreate is the schema DeploymentCreate. What was not sent leaves a
// deployment that is there already as it is.
type deploymentCreate struct {
	_                        struct{}                              `bind:"ignore=worker_pool_queue_id|worker_pool_name|worker_pool_queue_name|work_pool_queue_name"`
	_                        struct{}                              `bind:"forbid"`
	Name                     string                                `json:"name" bind:"required"`
	FlowID                   uuid.UUID                             `json:"flow_id" bind:"required"`
	Paused                   prefect.Optional[bool]                `json:"paused"`
	Schedules                []scheduleCreate                      `json:"schedules"`
	ConcurrencyLimit         prefect.Optional[*int32]              `json:"concurrency_limit" bind:"gt=0"`
	ConcurrencyOptions       prefect.Optional[*concurrencyOptions] `json:"concurrency_options"`
	GlobalConcurrencyLimitID prefect.Optional[*uuid.UUID]          `json:"global_concurrency_limit_id"`
	EnforceParameterSchema   prefect.Optional[bool]                `json:"enforce_parameter_schema"`
	ParameterSchema          prefect.Optional[json.RawMessage]     `json:"parameter_openapi_schema" bind:"object,null"`
	Parameters               json.RawMessage                       `json:"parameters" bind:"object"`
	Tags                     prefect.Optional[[]string]            `json:"tags"`
	Labels                   labels                                `json:"labels"`
	PullSteps                prefect.Optional[pullSteps]           `json:"pull_steps"`
	WorkQueueName            prefect.Optional[*string]             `json:"work_queue_name"`
	WorkPoolName             *string                               `json:"work_pool_name"`
	StorageDocumentID        prefect.Optional[*uuid.UUID]          `json:"storage_document_id"`
	InfrastructureDocumentID prefect.Optional[*uuid.UUID]          `json:"infrastructure_document_id"`
	Description              prefect.Optional[*string]             `json:"description"`
	Path                     prefect.Optional[*string]             `json:"path"`
	Version                  prefect.Optional[*string]             `json:"version"`
	Entrypoint               prefect.Optional[*string]             `json:"entrypoint"`
	JobVariables             prefect.Optional[json.RawMessage]     `json:"job_variables" bind:"object"`
	VersionInfo              *versionInfo                          `json:"version_info"` // without effect, as in the reference
}

// SetDefaults is called by bind.
func (c *deploymentCreate) SetDefaults() { c.Parameters = json.RawMessage("{}") }

// CheckBind is called by bind.
func (c *deploymentCreate) CheckBind(r bind.Reporter) {
	checkOneLimit(c.ConcurrencyLimit.Value, c.GlobalConcurrencyLimitID.Value, r)
	checkLength(len(c.Schedules), "schedules", r)
	if strings.ContainsAny(c.Name, "/%&><") {
		r.Fail("value_error", "Value error, the name of a deployment contains none of / % & > <", appendString(nil, c.Name), "name")
	}
}

func checkOneLimit(own *int32, global *uuid.UUID, r bind.Reporter) {
	if own != nil && global != nil {
		r.Fail("value_error", "Value error, a deployment has its own limit or shares one: send concurrency_limit or global_concurrency_limit_id", jsonNull)
	}
}

var jsonNull = []byte("null")

// concurrencyOptions is the schema ConcurrencyOptions.
type concurrencyOptions struct {
	CollisionStrategy  string `json:"collision_strategy" bind:"required,enum=ENQUEUE|CANCEL_NEW"`
	GracePeriodSeconds *int   `json:"grace_period_seconds" bind:"ge=60,le=86400"`
}

// versionInfo is the schema VersionInfo.
type versionInfo struct {
	Type    string `json:"type" bind:"required"`
	Version string `json:"version" bind:"required"`
}

// pullSteps is a list of JSON objects, or null.
type pullSteps json.RawMessage

// UnmarshalBind is called by bind.
func (p *pullSteps) UnmarshalBind(raw []byte, r bind.Reporter) {
	*p = nil
	if raw[0] == 'n' {
		return
	}
	var list []map[string]json.RawMessage
	if refused := r.Try(raw, &list); len(refused) > 0 {
		r.Report(refused)
		return
	}
	*p = append(pullSteps(nil), raw...)
}

const (
	deploymentNotFound = "Deployment not found"
	limitMissing       = "Concurrency limit not found"
)

func (s *server) createDeployment(w http.ResponseWriter, r *http.Request) error {
	var body deploymentCreate
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	if err := s.checkParameters(body.Parameters); err != nil {
		return err
	}
	if body.EnforceParameterSchema.Value {
		if err := s.fits(body.Parameters, body.ParameterSchema.Value, looseness{}); err != nil {
			return inBody(err)
		}
	}
	if pool := textOf(body.WorkPoolName); pool != "" && pool != prefect.DefaultAgentPool {
		if err := s.checkJobVariables(r.Context(), pool, false, body.JobVariables.Value); err != nil {
			return about(err, "Error creating deployment")
		}
	}
	if err := s.checkGlobalLimit(r.Context(), body.GlobalConcurrencyLimitID.Value); err != nil {
		return err
	}
	own, err := s.deploymentLabels(r.Context(), body.FlowID, json.RawMessage(body.Labels))
	if err != nil {
		return err
	}
	d, created, err := s.Store.PutDeployment(r.Context(), body.FlowID, body.Name, func(d *prefect.Deployment) error {
		d.Labels = own
		d.AskedQueue = &prefect.QueueName{Pool: textOf(body.WorkPoolName), Name: textOf(body.WorkQueueName.Value)}
		body.apply(d, s.Now())
		return nil
	})
	if err != nil {
		return poolNotFound(err, textOf(body.WorkPoolName))
	}
	s.encode(w, createdStatus(created), func(b []byte) []byte { return appendDeployment(b, d) })
	return nil
}

// apply writes what was sent. Schedules and parameters are the new ones alone.
func (c *deploymentCreate) apply(d *prefect.Deployment, now prefect.Time) {
	d.Parameters, d.Schedules, d.Updated = c.Parameters, nil, now
	for i := range c.Schedules {
		schedule := c.Schedules[i].schedule(now)
		schedule.MaxScheduledRuns = nil // which only the operation of schedules sets, as in the reference
		d.Schedules = append(d.Schedules, schedule)
	}
	c.Paused.Apply(&d.Paused)
	setLimit(d, c.ConcurrencyLimit, c.GlobalConcurrencyLimitID)
	if c.ConcurrencyOptions.Set {
		d.ConcurrencyOptions = (*prefect.ConcurrencyOptions)(c.ConcurrencyOptions.Value)
	}
	c.EnforceParameterSchema.Apply(&d.EnforceSchema)
	c.ParameterSchema.Apply(&d.ParameterSchema)
	c.Tags.Apply(&d.Tags)
	if c.PullSteps.Set {
		d.PullSteps = json.RawMessage(c.PullSteps.Value)
	}
	c.WorkQueueName.Apply(&d.WorkQueueName)
	c.StorageDocumentID.Apply(&d.StorageDocumentID)
	c.InfrastructureDocumentID.Apply(&d.InfrastructureDocumentID)
	c.Description.Apply(&d.Description)
	c.Path.Apply(&d.Path)
	c.Version.Apply(&d.Version)
	c.Entrypoint.Apply(&d.Entrypoint)
	c.JobVariables.Apply(&d.JobVariables)
}

// setLimit asks for a limit of the deployment's own, or makes it share one.
func setLimit(d *prefect.Deployment, own prefect.Optional[*int32], global prefect.Optional[*uuid.UUID]) {
	global.Apply(&d.ConcurrencyLimitID)
	d.OwnLimit = prefect.Optional[*int]{Set: own.Set}
	if own.Value != nil {
		slots := int(*own.Value)
		d.OwnLimit.Value = &slots
	}
	if own.Set && own.Value == nil && global.Value != nil {
		d.OwnLimit.Set = false // a null beside the limit to share asks for nothing
	}
}

// checkGlobalLimit returns NotFound for the id of a limit that is not there.
func (s *server) checkGlobalLimit(ctx context.Context, id *uuid.UUID) error {
	if id == nil {
		return nil
	}
	_, err := s.Store.ReadConcurrencyLimit(ctx, id.String())
	return notFound(err, limitMissing)
}

func poolNotFound(err error, name string) error {
	if prefect.CodeOf(err) == prefect.NotFound {
		return prefect.Errorf(prefect.NotFound, "Work pool %q not found.", name)
	}
	return err
}

// deploymentLabels returns the labels of the flow, the system's and the user's.
// Errors: Conflict for an unknown flow.
func (s *server) deploymentLabels(ctx context.Context, flowID uuid.UUID, own json.RawMessage) (json.RawMessage, error) {
	flow, err := s.readFlowOf(ctx, flowID)
	if err != nil {
		return nil, err
	}
	return mergeLabels(flow.Labels, label("prefect.flow.id", flowID.String()), own)
}

// readFlowOf reads the flow that a new row refers to. Errors: Conflict when it is
// not there.
func (s *server) readFlowOf(ctx context.Context, id uuid.UUID) (*prefect.Flow, error) {
	flow, err := s.Store.ReadFlow(ctx, id)
	if prefect.CodeOf(err) == prefect.NotFound {
		return nil, prefect.Errorf(prefect.Conflict, "Data integrity conflict: there is no flow %s.", id)
	}
	return flow, err
}

func textOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (s *server) readDeployment(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	d, err := s.Store.ReadDeployment(r.Context(), id)
	return s.deployment(w, d, err)
}

func (s *server) readDeploymentByName(w http.ResponseWriter, r *http.Request) error {
	d, err := s.Store.ReadDeploymentByName(r.Context(), pathText(r, "flow_name"), pathText(r, "deployment_name"))
	return s.deployment(w, d, err)
}

func (s *server) deployment(w http.ResponseWriter, d *prefect.Deployment, err error) error {
	if err != nil {
		return notFound(err, deploymentNotFound)
	}
	s.encode(w, http.StatusOK, func(b []byte) []byte { return appendDeployment(b, d) })
	return nil
}

func (s *server) deleteDeployment(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	if err := s.Store.DeleteDeployment(r.Context(), id); err != nil {
		return notFound(err, deploymentNotFound)
	}
	return noContent(w)
}

func (s *server) pauseDeployment(w http.ResponseWriter, r *http.Request) error {
	return s.setPaused(w, r, true, prefect.AutoScheduledRuns)
}

func (s *server) resumeDeployment(w http.ResponseWriter, r *http.Request) error {
	return s.setPaused(w, r, false, prefect.NoStaleRuns)
}

func (s *server) setPaused(w http.ResponseWriter, r *http.Request, paused bool, stale prefect.StaleRuns) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	err = s.Store.UpdateDeployment(r.Context(), id, stale, func(d *prefect.Deployment) error {
		d.Paused = paused
		return nil
	})
	if err != nil {
		return notFound(err, deploymentNotFound)
	}
	return s.null(w)
}

// null answers 200 with null, what an operation without a reply has.
func (s *server) null(w http.ResponseWriter) error {
	s.encode(w, http.StatusOK, func(b []byte) []byte { return append(b, "null"...) })
	return nil
}
