package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// deploymentRunCreate is the schema DeploymentFlowRunCreate.
type deploymentRunCreate struct {
	_                        struct{}        `bind:"forbid"`
	State                    *stateCreate    `json:"state"`
	Name                     runName         `json:"name"`
	Parameters               json.RawMessage `json:"parameters" bind:"object"`
	EnforceParameterSchema   *bool           `json:"enforce_parameter_schema"`
	Context                  json.RawMessage `json:"context" bind:"object"`
	InfrastructureDocumentID *uuid.UUID      `json:"infrastructure_document_id"`
	Policy                   flowRunPolicy   `json:"empirical_policy"`
	Tags                     []string        `json:"tags"`
	IdempotencyKey           *string         `json:"idempotency_key"`
	Labels                   labels          `json:"labels"`
	ParentTaskRunID          *uuid.UUID      `json:"parent_task_run_id"`
	WorkQueueName            *string         `json:"work_queue_name"`
	JobVariables             json.RawMessage `json:"job_variables" bind:"object,null"`
}

// SetDefaults is called by bind.
func (c *deploymentRunCreate) SetDefaults() {
	c.Parameters, c.Context, c.JobVariables = json.RawMessage("{}"), json.RawMessage("{}"), json.RawMessage("{}")
	c.Tags = []string{}
}

// MostListed is asked by bind.
func (*deploymentRunCreate) MostListed() int { return bulkRunLimit }

func (s *server) createDeploymentRun(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	var body deploymentRunCreate
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	d, err := s.Store.ReadDeployment(r.Context(), id)
	if err != nil {
		return notFound(err, deploymentNotFound)
	}
	run, created, err := s.runDeployment(r, d, &body)
	if err != nil {
		return err
	}
	now := s.Now()
	s.encode(w, createdStatus(created), func(b []byte) []byte { return appendFlowRun(b, run, now) })
	return nil
}

// runDeployment creates a run of d, in the state SCHEDULED unless it has another.
func (s *server) runDeployment(r *http.Request, d *prefect.Deployment, body *deploymentRunCreate) (run *prefect.FlowRun, created bool, err error) {
	parameters, err := s.deploymentParameters(d, body)
	if err != nil {
		return nil, false, err
	}
	if d.WorkPoolName != nil {
		if err := s.checkJobVariables(r.Context(), *d.WorkPoolName, true, d.JobVariables, body.JobVariables); err != nil {
			return nil, false, about(err, "Error creating flow run")
		}
	}
	labels, err := deploymentRunLabels(d, json.RawMessage(body.Labels))
	if err != nil {
		return nil, false, err
	}
	queue, err := s.runQueue(r.Context(), d, textOf(body.WorkQueueName)) // when all else is checked, as it makes one
	if err != nil {
		return nil, false, err
	}
	run = s.deploymentRun(d, body, queue)
	run.Parameters, run.Labels, run.CreatedBy = parameters, labels, createdBy(r)
	first := firstState(body.State, client(r))
	if first.State == nil {
		first.State = &prefect.State{Type: prefect.Scheduled, Details: prefect.NewStateDetails()}
		first.State.Details.ScheduledTime = run.Created.Ptr()
	}
	created, err = s.Orchestrator.CreateFlowRun(r.Context(), run, first)
	return run, created, err
}

// deploymentParameters returns the deployment's parameters with the run's over
// them, checked against the schema if that is enforced. Errors: BadRequest, Conflict,
// Invalid.
func (s *server) deploymentParameters(d *prefect.Deployment, body *deploymentRunCreate) (json.RawMessage, error) {
	if err := s.checkParameters(body.Parameters); err != nil {
		return nil, err
	}
	merged, err := mergeLabels(d.Parameters, body.Parameters)
	if err != nil {
		return nil, err
	}
	parameters, err := hydrateParameters(merged)
	if err != nil {
		return nil, err
	}
	enforced := d.EnforceSchema
	if body.EnforceParameterSchema != nil {
		enforced = *body.EnforceParameterSchema
	}
	if !enforced {
		return parameters, nil
	}
	if d.ParameterSchema == nil {
		return nil, prefect.Errorf(prefect.Conflict, noParameterSchema)
	}
	if err := s.fits(parameters, d.ParameterSchema, looseness{required: true, amended: true}); err != nil {
		return nil, conflicting(err, "Error creating flow run")
	}
	return parameters, nil
}

// runQueue returns the queue that a run asks for, made if it is not there, nil when
// it asks for none. Errors: BadRequest for a deployment without a work pool.
func (s *server) runQueue(ctx context.Context, d *prefect.Deployment, name string) (*prefect.WorkQueue, error) {
	if name == "" {
		return nil, nil
	}
	if d.WorkPoolName == nil {
		return nil, prefect.Errorf(prefect.BadRequest, "The run asks for the work queue %q, but deployment %s has no work pool.", name, d.ID)
	}
	return s.Store.EnsureWorkQueue(ctx, *d.WorkPoolName, name)
}

func (s *server) deploymentRun(d *prefect.Deployment, body *deploymentRunCreate, queue *prefect.WorkQueue) *prefect.FlowRun {
	now := s.Now()
	run := &prefect.FlowRun{
		ID: s.NewID(), Created: now, Updated: now, Name: body.Name.or(randomName), FlowID: d.FlowID, DeploymentID: &d.ID,
		DeploymentVersion: d.Version, IdempotencyKey: nonEmpty(body.IdempotencyKey), Context: body.Context,
		Policy: prefect.FlowRunPolicy(body.Policy), ParentTaskRunID: body.ParentTaskRunID, JobVariables: body.JobVariables,
		InfrastructureDocumentID: d.InfrastructureDocumentID,
		WorkQueueID:              d.WorkQueueID, WorkQueueName: d.WorkQueueName, QueueName: d.QueueName,
		WorkPoolID: d.WorkPoolID, WorkPoolName: d.WorkPoolName,
	}
	if run.JobVariables == nil && run.IdempotencyKey == nil {
		run.JobVariables = json.RawMessage("{}") // as for runs without a deployment
	}
	if body.InfrastructureDocumentID != nil {
		run.InfrastructureDocumentID = body.InfrastructureDocumentID
	}
	if queue != nil {
		run.WorkQueueID, run.WorkQueueName, run.QueueName = &queue.ID, &queue.Name, &queue.Name
	}
	for _, tag := range slices.Concat(d.Tags, body.Tags) {
		if !slices.Contains(run.Tags, tag) {
			run.Tags = append(run.Tags, tag)
		}
	}
	return run
}

// deploymentRunLabels returns the labels of the deployment, the system's and the
// user's.
func deploymentRunLabels(d *prefect.Deployment, own json.RawMessage) (json.RawMessage, error) {
	return mergeLabels(d.Labels, label("prefect.flow.id", d.FlowID.String()), label("prefect.deployment.id", d.ID.String()), own)
}

// bulkRunLimit is the most runs that one request creates.
const bulkRunLimit = 100

// runCreated is the schema FlowRunCreateResult.
type runCreated struct {
	FlowRunID *uuid.UUID `json:"flow_run_id"`
	Status    string     `json:"status"` // CREATED or FAILED
	Error     *string    `json:"error"`
}

func (s *server) createDeploymentRuns(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	var body []deploymentRunCreate
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	if len(body) > bulkRunLimit {
		return prefect.Errorf(prefect.BadRequest, "One request creates at most %d flow runs.", bulkRunLimit)
	}
	d, err := s.Store.ReadDeployment(r.Context(), id)
	if err != nil {
		return notFound(err, deploymentNotFound)
	}
	results := make([]runCreated, len(body))
	for i := range body {
		run, _, err := s.runDeployment(r, d, &body[i])
		switch code := codeOf(err); code {
		case "":
			results[i] = runCreated{FlowRunID: &run.ID, Status: "CREATED"}
		case prefect.Internal, prefect.Unavailable:
			return err // what follows would fail as well, and its text is not for clients
		default:
			text := err.Error()
			results[i] = runCreated{Status: "FAILED", Error: &text}
		}
	}
	return s.marshal(w, http.StatusOK, map[string]any{"results": results})
}

type scheduledDeploymentRuns struct {
	_               struct{}                       `bind:"embed"`
	DeploymentIDs   []uuid.UUID                    `json:"deployment_ids" bind:"required"`
	ScheduledBefore prefect.Optional[prefect.Time] `json:"scheduled_before"`
	Limit           *int                           `json:"limit"`
}

// scheduledDeploymentRuns answers a runner that asks for work, which makes the
// deployments ready.
func (s *server) scheduledDeploymentRuns(w http.ResponseWriter, r *http.Request) error {
	var body scheduledDeploymentRuns
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	page, err := s.page("NEXT_SCHEDULED_START_TIME_ASC", window{Limit: body.Limit})
	if err != nil {
		return err
	}
	filters := prefect.Filters{
		Deployments: &prefect.DeploymentFilter{ID: &prefect.AnyNotAny[uuid.UUID]{Any: body.DeploymentIDs}},
		FlowRuns: &prefect.FlowRunFilter{State: &prefect.FlowRunStateFilter{
			Type: &prefect.AnyNotAny[prefect.StateType]{Any: []prefect.StateType{prefect.Scheduled}}}},
	}
	if body.ScheduledBefore.Set {
		filters.FlowRuns.NextScheduledStartTime = &prefect.TimeCriteria{Before: &body.ScheduledBefore.Value}
	}
	runs, err := s.Store.FilterFlowRuns(r.Context(), filters, page)
	if err != nil {
		return err
	}
	if err := s.Store.Polled(r.Context(), body.DeploymentIDs, nil); err != nil {
		return err
	}
	return list(s, w, runs, flowRunEncoder(s.Now()))
}
