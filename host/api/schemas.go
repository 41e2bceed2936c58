package api

import (
	"encoding/json"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/api/bind"
	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
)

// stateCreate is the schema StateCreate.
type stateCreate struct {
	_       struct{}          `bind:"forbid"`
	Type    prefect.StateType `json:"type" bind:"required"`
	Name    *string           `json:"name"`
	Message *string           `json:"message"`
	Data    json.RawMessage   `json:"data"`
	Details stateDetails      `json:"state_details"`
}

// stateDetails is prefect.StateDetails with what its schema allows.
type stateDetails struct {
	FlowRunID                    *uuid.UUID        `json:"flow_run_id"`
	TaskRunID                    *uuid.UUID        `json:"task_run_id"`
	ChildFlowRunID               *uuid.UUID        `json:"child_flow_run_id"`
	ScheduledTime                *prefect.Time     `json:"scheduled_time"`
	CacheKey                     *string           `json:"cache_key"`
	CacheExpiration              *prefect.Time     `json:"cache_expiration"`
	Deferred                     *bool             `json:"deferred"`
	UntrackableResult            bool              `json:"untrackable_result"`
	PauseTimeout                 *prefect.Time     `json:"pause_timeout"`
	PauseReschedule              bool              `json:"pause_reschedule"`
	PauseKey                     *string           `json:"pause_key"`
	RunInputKeyset               map[string]string `json:"run_input_keyset" bind:"null"`
	RefreshCache                 *bool             `json:"refresh_cache"`
	Retriable                    *bool             `json:"retriable"`
	TransitionID                 *uuid.UUID        `json:"transition_id"`
	TaskParametersID             *uuid.UUID        `json:"task_parameters_id"`
	Traceparent                  *string           `json:"traceparent"`
	DeploymentConcurrencyLeaseID *uuid.UUID        `json:"deployment_concurrency_lease_id"`
}

// SetDefaults is called by bind.
func (d *stateDetails) SetDefaults() { *d = stateDetails(prefect.NewStateDetails()) }

// state returns what the client sent, not normalized.
func (c *stateCreate) state() *prefect.State {
	s := &prefect.State{Type: c.Type, Message: c.Message, Data: c.Data, Details: prefect.StateDetails(c.Details)}
	if c.Name != nil {
		s.Name = *c.Name
	}
	return s
}

// setState is the body of the set_state operations.
type setState struct {
	_     struct{}    `bind:"embed"`
	State stateCreate `json:"state" bind:"required"`
	Force bool        `json:"force"`
}

func (b *setState) proposal(c orchestrate.Client) orchestrate.Proposal {
	return orchestrate.Proposal{State: b.State.state(), Force: b.Force, Client: c}
}

// firstState is the proposal of a created run; no state is PENDING.
func firstState(c *stateCreate, client orchestrate.Client) orchestrate.Proposal {
	p := orchestrate.Proposal{Force: true, Client: client}
	if c != nil {
		p.State = c.state()
	}
	return p
}

// labels is a JSON object whose values are strings, numbers or booleans. Null is
// no labels.
type labels json.RawMessage

// UnmarshalBind is called by bind.
func (l *labels) UnmarshalBind(raw []byte, r bind.Reporter) {
	switch raw[0] {
	case 'n':
		*l = nil
		return
	case '{':
	default:
		r.Fail("dict_type", "Input should be a valid dictionary", raw)
		return
	}
	bind.Members(raw, func(key string, value []byte) {
		switch value[0] {
		case 'n', '[', '{':
			r.Fail("bool_type", "Input should be a valid boolean", value, key, "bool")
			r.Fail("int_type", "Input should be a valid integer", value, key, "int")
			r.Fail("float_type", "Input should be a valid number", value, key, "float")
			r.Fail("string_type", "Input should be a valid string", value, key, "str")
		}
	})
	*l = append(labels(nil), raw...)
}

// mergeLabels returns the union of JSON objects, later ones winning; nil and null
// are empty.
func mergeLabels(objects ...json.RawMessage) (json.RawMessage, error) {
	merged := map[string]json.RawMessage{}
	for _, o := range objects {
		if len(o) == 0 {
			continue
		}
		if err := json.Unmarshal(o, &merged); err != nil {
			return nil, err
		}
		if merged == nil {
			merged = map[string]json.RawMessage{}
		}
	}
	return json.Marshal(merged)
}

// label returns a JSON object of one label.
func label(name, value string) json.RawMessage {
	b := append(appendString([]byte{'{'}, name), ':')
	return append(appendString(b, value), '}')
}

// The filters that reads of a noun take.

type flowFilters struct {
	Flows       *prefect.FlowFilter       `json:"flows" bind:"closed"`
	FlowRuns    *prefect.FlowRunFilter    `json:"flow_runs" bind:"closed"`
	TaskRuns    *prefect.TaskRunFilter    `json:"task_runs" bind:"closed"`
	Deployments *prefect.DeploymentFilter `json:"deployments" bind:"closed"`
	WorkPools   *prefect.WorkPoolFilter   `json:"work_pools" bind:"closed"`
}

func (f flowFilters) filters() prefect.Filters {
	return prefect.Filters{Flows: f.Flows, FlowRuns: f.FlowRuns, TaskRuns: f.TaskRuns,
		Deployments: f.Deployments, WorkPools: f.WorkPools}
}

type flowRunFilters struct {
	flowFilters
	WorkPoolQueues *prefect.WorkQueueFilter `json:"work_pool_queues" bind:"closed"`
}

func (f flowRunFilters) filters() prefect.Filters {
	all := f.flowFilters.filters()
	all.WorkPoolQueues = f.WorkPoolQueues
	return all
}

type taskRunFilters struct {
	Flows       *prefect.FlowFilter       `json:"flows" bind:"closed"`
	FlowRuns    *prefect.FlowRunFilter    `json:"flow_runs" bind:"closed"`
	TaskRuns    *prefect.TaskRunFilter    `json:"task_runs" bind:"closed"`
	Deployments *prefect.DeploymentFilter `json:"deployments" bind:"closed"`
}

func (f taskRunFilters) filters() prefect.Filters {
	return prefect.Filters{Flows: f.Flows, FlowRuns: f.FlowRuns, TaskRuns: f.TaskRuns, Deployments: f.Deployments}
}

// bulkLimit is the most rows that a bulk operation touches, and its default. It
// stands in the le of the bulk bodies as well.
const bulkLimit = 50
