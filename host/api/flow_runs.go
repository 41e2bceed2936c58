package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/api/bind"
	"github.com/interlock-run/interlock/host/prefect"
)

// flowRunCreate is the schema FlowRunCreate.
type flowRunCreate struct {
	_                        struct{}        `bind:"forbid"`
	State                    *stateCreate    `json:"state"`
	Name                     runName         `json:"name"`
	FlowID                   uuid.UUID       `json:"flow_id" bind:"required"`
	FlowVersion              *string         `json:"flow_version"`
	Parameters               json.RawMessage `json:"parameters" bind:"object"`
	Context                  json.RawMessage `json:"context" bind:"object"`
	ParentTaskRunID          *uuid.UUID      `json:"parent_task_run_id"`
	InfrastructureDocumentID *uuid.UUID      `json:"infrastructure_document_id"`
	Policy                   flowRunPolicy   `json:"empirical_policy"`
	Tags                     []string        `json:"tags"`
	Labels                   labels          `json:"labels"`
	IdempotencyKey           *string         `json:"idempotency_key"`
	WorkPoolName             *string         `json:"work_pool_name"`
	WorkQueueName            *string         `json:"work_queue_name"`
	JobVariables             json.RawMessage `json:"job_variables" bind:"object,null"`
	DeploymentID             *uuid.UUID      `json:"deployment_id"`
}

// SetDefaults is called by bind.
func (c *flowRunCreate) SetDefaults() {
	c.Parameters, c.Context = json.RawMessage("{}"), json.RawMessage("{}")
	c.Tags, c.Labels = []string{}, labels("{}")
}

// runName is the name of a run: null and "" ask for a random one.
type runName string

// UnmarshalBind is called by bind.
func (n *runName) UnmarshalBind(raw []byte, r bind.Reporter) {
	var s *string
	if refused := r.Try(raw, &s); len(refused) > 0 {
		r.Report(refused)
		return
	}
	if *n = ""; s != nil {
		*n = runName(*s)
	}
}

func (s *server) createFlowRun(w http.ResponseWriter, r *http.Request) error {
	var body flowRunCreate
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	if err := s.checkParameters(body.Parameters); err != nil {
		return err
	}
	run, err := s.newFlowRun(r, &body)
	if err != nil {
		return err
	}
	created, err := s.Orchestrator.CreateFlowRun(r.Context(), run, firstState(body.State, client(r)))
	if err != nil {
		return err
	}
	now := s.Now()
	s.encode(w, createdStatus(created), func(b []byte) []byte { return appendFlowRun(b, run, now) })
	return nil
}

// newFlowRun makes the run of body. Errors: Conflict for an unknown flow, NotFound
// for an unknown work pool or queue.
func (s *server) newFlowRun(r *http.Request, body *flowRunCreate) (*prefect.FlowRun, error) {
	merged, err := s.flowRunLabels(r.Context(), body)
	if err != nil {
		return nil, err
	}
	queue, err := s.existingQueue(r.Context(), textOf(body.WorkPoolName), textOf(body.WorkQueueName))
	if err != nil {
		return nil, err
	}
	if body.JobVariables == nil && nonEmpty(body.IdempotencyKey) == nil {
		body.JobVariables = json.RawMessage("{}") // the reference keeps null on keyed runs only
	}
	now := s.Now()
	run := &prefect.FlowRun{
		ID: s.NewID(), Created: now, Updated: now,
		Name: body.Name.or(randomName), FlowID: body.FlowID, DeploymentID: body.DeploymentID,
		FlowVersion: body.FlowVersion, Parameters: body.Parameters, IdempotencyKey: nonEmpty(body.IdempotencyKey),
		Context: body.Context, Policy: prefect.FlowRunPolicy(body.Policy), Tags: body.Tags, Labels: merged,
		ParentTaskRunID: body.ParentTaskRunID, InfrastructureDocumentID: body.InfrastructureDocumentID,
		WorkQueueName: body.WorkQueueName, JobVariables: body.JobVariables, CreatedBy: createdBy(r),
	}
	if queue != nil {
		run.WorkQueueID, run.QueueName, run.WorkPoolID, run.WorkPoolName = &queue.ID, &queue.Name, &queue.WorkPoolID, &queue.WorkPoolName
	}
	return run, nil
}

// flowRunLabels returns the labels of the deployment, or of the flow where there is
// none, the system's and the user's. Errors: Conflict for an unknown flow.
func (s *server) flowRunLabels(ctx context.Context, body *flowRunCreate) (json.RawMessage, error) {
	ofFlow, err := s.labelsOfFlow(ctx, body.FlowID)
	if err != nil {
		return nil, err
	}
	if body.DeploymentID != nil {
		d, err := s.Store.ReadDeployment(ctx, *body.DeploymentID)
		if err == nil {
			return deploymentRunLabels(d, json.RawMessage(body.Labels))
		}
		if prefect.CodeOf(err) != prefect.NotFound {
			return nil, err
		}
	}
	return mergeLabels(ofFlow, label("prefect.flow.id", body.FlowID.String()), json.RawMessage(body.Labels))
}

// existingQueue returns the queue of a pool, its default one for "", nil without a
// pool. Errors: NotFound.
func (s *server) existingQueue(ctx context.Context, pool, queue string) (*prefect.WorkQueue, error) {
	if pool == "" {
		return nil, nil
	}
	if queue == "" {
		queue = prefect.DefaultQueue
	}
	q, err := s.Store.ReadWorkQueue(ctx, pool, queue)
	if prefect.CodeOf(err) != prefect.NotFound {
		return q, err
	}
	if _, err := s.Store.ReadWorkPool(ctx, pool); err != nil {
		return nil, poolNotFound(err, pool)
	}
	return nil, noSuchQueue(pool, queue)
}

func noSuchQueue(pool, queue string) error {
	return prefect.Errorf(prefect.NotFound, "Work pool queue '%s/%s' not found.", pool, queue)
}

func (n runName) or(random func() string) string {
	if n == "" {
		return random()
	}
	return string(n)
}

// nonEmpty returns nil for an empty text, which is no key.
func nonEmpty(s *string) *string {
	if s != nil && *s == "" {
		return nil
	}
	return s
}

// checkParameters returns Invalid for parameters over their cap.
func (s *server) checkParameters(parameters json.RawMessage) error {
	if s.MaxParams == 0 || len(parameters) <= s.MaxParams {
		return nil
	}
	e := prefect.Errorf(prefect.Invalid, "parameters are too large")
	e.Fields = []prefect.FieldError{{Loc: []any{"body", "parameters"}, Type: "value_error",
		Msg: "Value error, parameters are larger than " + string(appendInt(nil, s.MaxParams)) + " bytes"}}
	return e
}

// createdBy returns who made the request, as an automation's action says in its
// headers.
func createdBy(r *http.Request) *prefect.CreatedBy {
	id, err := bind.ParseUUID(r.Header.Get("Prefect-Automation-Id"))
	name, nameErr := base64.StdEncoding.DecodeString(r.Header.Get("Prefect-Automation-Name"))
	if err != nil || nameErr != nil || len(name) == 0 || !utf8.Valid(name) {
		return nil
	}
	kind, display := "AUTOMATION", string(name)
	return &prefect.CreatedBy{ID: &id, Type: &kind, DisplayValue: &display}
}

// flowRunUpdate is the schema FlowRunUpdate.
type flowRunUpdate struct {
	_                 struct{}                          `bind:"forbid"`
	Name              prefect.Optional[runName]         `json:"name"`
	FlowVersion       prefect.Optional[*string]         `json:"flow_version"`
	Parameters        prefect.Optional[json.RawMessage] `json:"parameters" bind:"object"`
	Policy            prefect.Optional[flowRunPolicy]   `json:"empirical_policy"`
	Tags              prefect.Optional[[]string]        `json:"tags"`
	InfrastructurePID prefect.Optional[*string]         `json:"infrastructure_pid"`
	JobVariables      prefect.Optional[json.RawMessage] `json:"job_variables" bind:"object,null"`
}

const flowRunNotFound = "Flow run not found"

func (s *server) updateFlowRun(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	var body flowRunUpdate
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	if err := s.checkParameters(body.Parameters.Value); err != nil {
		return err
	}
	if body.Name.Set {
		body.Name.Value = runName(body.Name.Value.or(randomName))
	}
	if err := s.Store.UpdateFlowRun(r.Context(), id, body.apply); err != nil {
		return notFound(err, flowRunNotFound)
	}
	return noContent(w)
}

// apply changes what was sent. It can run again on a fresh row.
func (u *flowRunUpdate) apply(run *prefect.FlowRun) error {
	if u.JobVariables.Set && u.JobVariables.Value != nil {
		if err := jobVariablesAllowed(run); err != nil {
			return err
		}
	}
	if u.Name.Set {
		run.Name = string(u.Name.Value)
	}
	if u.Policy.Set {
		run.Policy = prefect.FlowRunPolicy(u.Policy.Value)
	}
	u.FlowVersion.Apply(&run.FlowVersion)
	u.Parameters.Apply(&run.Parameters)
	u.Tags.Apply(&run.Tags)
	u.InfrastructurePID.Apply(&run.InfrastructurePID)
	u.JobVariables.Apply(&run.JobVariables)
	return nil
}

func jobVariablesAllowed(run *prefect.FlowRun) error {
	switch {
	case run.StateType == nil:
		return prefect.Errorf(prefect.BadRequest, "Job variables change only while the flow run is SCHEDULED; it has no state")
	case *run.StateType != prefect.Scheduled:
		return prefect.Errorf(prefect.BadRequest, "Job variables change only while the flow run is SCHEDULED; it is %s", *run.StateType)
	case run.DeploymentID == nil:
		return prefect.Errorf(prefect.BadRequest, "The flow run has no deployment, and so no job variables")
	}
	return nil
}

func (s *server) updateFlowRunLabels(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	var body labels
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	err = s.Store.UpdateFlowRun(r.Context(), id, func(run *prefect.FlowRun) error {
		merged, err := mergeLabels(run.Labels, json.RawMessage(body))
		run.Labels = merged
		return err
	})
	if err != nil {
		return raised(notFound(err, "Flow run with id "+id.String()+" not found"))
	}
	return noContent(w)
}

func (s *server) readFlowRun(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	run, err := s.Store.ReadFlowRun(r.Context(), id)
	if err != nil {
		return notFound(err, flowRunNotFound)
	}
	now := s.Now()
	s.encode(w, http.StatusOK, func(b []byte) []byte { return appendFlowRun(b, run, now) })
	return nil
}

func (s *server) deleteFlowRun(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	if err := s.Store.DeleteFlowRun(r.Context(), id); err != nil {
		return notFound(err, flowRunNotFound)
	}
	return noContent(w)
}
