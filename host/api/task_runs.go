package api

import (
	"encoding/json"
	"net/http"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/api/bind"
	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
)

// taskRunCreate is the schema TaskRunCreate.
type taskRunCreate struct {
	_               struct{}      `bind:"forbid"`
	ID              *uuid.UUID    `json:"id"`
	State           *stateCreate  `json:"state"`
	Name            runName       `json:"name"`
	FlowRunID       *uuid.UUID    `json:"flow_run_id"`
	TaskKey         string        `json:"task_key" bind:"required"`
	DynamicKey      string        `json:"dynamic_key" bind:"required"`
	CacheKey        *string       `json:"cache_key"`
	CacheExpiration *prefect.Time `json:"cache_expiration"`
	TaskVersion     *string       `json:"task_version"`
	Policy          taskRunPolicy `json:"empirical_policy"`
	Tags            []string      `json:"tags"`
	Labels          labels        `json:"labels"`
	TaskInputs      taskInputs    `json:"task_inputs"`
}

// SetDefaults is called by bind.
func (c *taskRunCreate) SetDefaults() {
	c.Tags, c.Labels, c.TaskInputs = []string{}, labels("{}"), taskInputs("{}")
}

// maxCacheKey is the longest cache key, in characters.
const maxCacheKey = 2000

// CheckBind is called by bind.
func (c *taskRunCreate) CheckBind(r bind.Reporter) {
	if c.CacheKey != nil && utf8.RuneCountInString(*c.CacheKey) > maxCacheKey {
		r.Fail("value_error", "Value error, the cache key is longer than 2000 characters", appendString(nil, *c.CacheKey), "cache_key")
	}
}

func (s *server) createTaskRun(w http.ResponseWriter, r *http.Request) error {
	var body taskRunCreate
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	run, err := s.newTaskRun(r, &body)
	if err != nil {
		return err
	}
	created, err := s.Orchestrator.CreateTaskRun(r.Context(), run, firstState(body.State, orchestrate.Client{}))
	if err != nil {
		return err
	}
	now := s.Now()
	s.encode(w, createdStatus(created), func(b []byte) []byte { return AppendTaskRun(b, run, now) })
	return nil
}

// newTaskRun makes the run of body, with the labels of its flow run and the
// system's. Errors: Conflict for an unknown flow run.
func (s *server) newTaskRun(r *http.Request, body *taskRunCreate) (*prefect.TaskRun, error) {
	now := s.Now()
	run := &prefect.TaskRun{
		ID: s.NewID(), Created: now, Updated: now, Name: body.Name.or(randomName), FlowRunID: body.FlowRunID,
		TaskKey: body.TaskKey, DynamicKey: body.DynamicKey, CacheKey: body.CacheKey, CacheExpiration: body.CacheExpiration,
		TaskVersion: body.TaskVersion, Policy: body.Policy.policy(), Tags: body.Tags, Labels: json.RawMessage(body.Labels),
		TaskInputs: json.RawMessage(body.TaskInputs),
	}
	if body.ID != nil {
		run.ID = *body.ID
	}
	if body.FlowRunID == nil {
		if run.Labels == nil {
			run.Labels = json.RawMessage("{}")
		}
		return run, nil
	}
	parent, err := s.Store.ReadFlowRun(r.Context(), *body.FlowRunID)
	if prefect.CodeOf(err) == prefect.NotFound {
		return nil, prefect.Errorf(prefect.Conflict, "Data integrity conflict: there is no flow run %s.", *body.FlowRunID)
	}
	if err != nil {
		return nil, err
	}
	run.Labels, err = mergeLabels(parent.Labels, label("prefect.flow-run.id", body.FlowRunID.String()), run.Labels)
	return run, err
}

// taskRunUpdate is the schema TaskRunUpdate.
type taskRunUpdate struct {
	_    struct{}                  `bind:"forbid"`
	Name prefect.Optional[runName] `json:"name"`
}

const taskRunNotFound = "Task run not found"

func (s *server) updateTaskRun(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	var body taskRunUpdate
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	name := body.Name.Value.or(randomName)
	err = s.Store.UpdateTaskRun(r.Context(), id, func(run *prefect.TaskRun) error {
		if body.Name.Set {
			run.Name = name
		}
		return nil
	})
	if err != nil {
		return notFound(err, taskRunNotFound)
	}
	return noContent(w)
}

func (s *server) readTaskRun(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	run, err := s.Store.ReadTaskRun(r.Context(), id)
	if err != nil {
		return notFound(err, taskRunNotFound)
	}
	now := s.Now()
	s.encode(w, http.StatusOK, func(b []byte) []byte { return AppendTaskRun(b, run, now) })
	return nil
}

func (s *server) deleteTaskRun(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	if err := s.Store.DeleteTaskRun(r.Context(), id); err != nil {
		return notFound(err, taskRunNotFound)
	}
	return noContent(w)
}

// setTaskRunState is setFlowRunState for a task run. The client's versions do not
// count here, as in the reference.
func (s *server) setTaskRunState(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	var body setState
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	result, err := s.Orchestrator.SetTaskRunState(r.Context(), id, body.proposal(orchestrate.Client{}))
	if err != nil {
		return raised(notFound(err, "Task run with id "+id.String()+" not found"))
	}
	return s.result(w, result)
}

// taskRunSort is the field of bodies that order task runs.
type taskRunSort struct {
	Sort string `json:"sort" bind:"enum=ID_DESC|EXPECTED_START_TIME_ASC|EXPECTED_START_TIME_DESC|NAME_ASC|NAME_DESC|NEXT_SCHEDULED_START_TIME_ASC|END_TIME_DESC"`
}

type filterTaskRuns struct {
	_ struct{} `bind:"embed"`
	taskRunSort
	window
	taskRunFilters
}

func (s *server) filterTaskRuns(w http.ResponseWriter, r *http.Request) error {
	body := filterTaskRuns{taskRunSort: taskRunSort{defaultRunSort}}
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	page, err := s.page(body.Sort, body.window)
	if err != nil {
		return err
	}
	runs, err := s.Store.FilterTaskRuns(r.Context(), body.filters(), page)
	if err != nil {
		return err
	}
	return list(s, w, runs, taskRunEncoder(s.Now()))
}

type countTaskRuns struct {
	_ struct{} `bind:"embed"`
	taskRunFilters
}

func (s *server) countTaskRuns(w http.ResponseWriter, r *http.Request) error {
	var body countTaskRuns
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	n, err := s.Store.CountTaskRuns(r.Context(), body.filters())
	if err != nil {
		return err
	}
	return s.count(w, n)
}

type paginateTaskRuns struct {
	_ struct{} `bind:"embed"`
	taskRunSort
	numbered
	taskRunFilters
}

func (s *server) paginateTaskRuns(w http.ResponseWriter, r *http.Request) error {
	body := paginateTaskRuns{taskRunSort: taskRunSort{defaultRunSort}, numbered: numbered{Page: 1}}
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	page, err := s.paged(body.Sort, body.numbered)
	if err != nil {
		return err
	}
	runs, err := s.Store.FilterTaskRuns(r.Context(), body.filters(), page.Page)
	if err != nil {
		return err
	}
	n, err := s.Store.CountTaskRuns(r.Context(), body.filters())
	if err != nil {
		return err
	}
	return paginated(s, w, page, n, runs, taskRunPageEncoder(s.Now()))
}
