package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// isTaskRunChange reports whether the event tells a state change of a task run
// that its client orchestrates.
func isTaskRunChange(e *prefect.Event) bool {
	if !strings.HasPrefix(e.Event, "prefect.task-run") {
		return false
	}
	by, _ := e.Resource.Get(prefect.LabelOrchestration)
	return by == "client"
}

// taskRunPayload is the part of such an event's payload that is recorded.
type taskRunPayload struct {
	State *struct {
		Type    prefect.StateType    `json:"type"`
		Name    string               `json:"name"`
		Message *string              `json:"message"`
		Data    json.RawMessage      `json:"data"`
		Details prefect.StateDetails `json:"state_details"`
	} `json:"validated_state"`
	TaskRun *struct {
		Name                   *string                `json:"name"`
		TaskKey                *string                `json:"task_key"`
		DynamicKey             *string                `json:"dynamic_key"`
		CacheKey               *string                `json:"cache_key"`
		CacheExpiration        *prefect.Time          `json:"cache_expiration"`
		TaskVersion            *string                `json:"task_version"`
		Policy                 *prefect.TaskRunPolicy `json:"empirical_policy"`
		Tags                   []string               `json:"tags"`
		Labels                 json.RawMessage        `json:"labels"`
		TaskInputs             json.RawMessage        `json:"task_inputs"`
		RunCount               int                    `json:"run_count"`
		FlowRunRunCount        int                    `json:"flow_run_run_count"`
		ExpectedStartTime      *prefect.Time          `json:"expected_start_time"`
		NextScheduledStartTime *prefect.Time          `json:"next_scheduled_start_time"`
		StartTime              *prefect.Time          `json:"start_time"`
		EndTime                *prefect.Time          `json:"end_time"`
		TotalRunTime           float64                `json:"total_run_time"`
	} `json:"task_run"`
}

// taskRunRecord reads what an event says of its task run. The state takes its id
// and time from the event, and the ids in its details from the resources,
// whatever the payload says.
func taskRunRecord(e *prefect.Event) (*prefect.TaskRunRecord, error) {
	id, err := resourceUUID(e.Resource, "prefect.task-run.")
	if err != nil {
		return nil, err
	}
	var flowRunID *uuid.UUID
	if r, ok := e.InRole("flow-run"); ok {
		flowRun, err := resourceUUID(r, "prefect.flow-run.")
		if err != nil {
			return nil, err
		}
		flowRunID = &flowRun
	}
	state, p, err := decodeTaskRunPayload(e)
	if err != nil {
		return nil, err
	}
	state.Details.TaskRunID, state.Details.FlowRunID = &id, flowRunID
	t := p.TaskRun
	if t.TaskKey == nil || t.DynamicKey == nil {
		return nil, errors.New("the task run has no task_key or no dynamic_key")
	}
	if math.Abs(t.TotalRunTime) > prefect.MaxTotalRunTime {
		return nil, fmt.Errorf("a total_run_time of %v seconds", t.TotalRunTime)
	}
	run := &prefect.TaskRun{
		ID: id, Created: e.Received, Updated: e.Received, FlowRunID: flowRunID,
		Name: *t.TaskKey, TaskKey: *t.TaskKey, DynamicKey: *t.DynamicKey,
		CacheKey: t.CacheKey, CacheExpiration: t.CacheExpiration, TaskVersion: t.TaskVersion,
		FlowRunRunCount: t.FlowRunRunCount, Tags: t.Tags,
		Labels: object(t.Labels), TaskInputs: object(t.TaskInputs),
		RunTimes: prefect.RunTimes{
			StateID: &state.ID, StateType: &state.Type, StateName: &state.Name, StateTimestamp: &state.Timestamp,
			RunCount: t.RunCount, ExpectedStartTime: t.ExpectedStartTime,
			NextScheduledStartTime: t.NextScheduledStartTime,
			StartTime:              t.StartTime, EndTime: t.EndTime, TotalRunTime: t.TotalRunTime,
		},
	}
	if t.Name != nil {
		run.Name = *t.Name
	}
	if t.Policy != nil {
		run.Policy = *t.Policy
	}
	return &prefect.TaskRunRecord{Run: run, State: state}, nil
}

func decodeTaskRunPayload(e *prefect.Event) (*prefect.State, *taskRunPayload, error) {
	var p taskRunPayload
	if err := json.Unmarshal(e.Payload, &p); err != nil {
		return nil, nil, fmt.Errorf("payload: %w", err)
	}
	if p.State == nil || p.TaskRun == nil {
		return nil, nil, errors.New("the payload has no validated_state or no task_run")
	}
	if !p.State.Type.Valid() {
		return nil, nil, fmt.Errorf("%q is not a state type", p.State.Type)
	}
	state := &prefect.State{
		ID: e.ID, Timestamp: e.Occurred, Type: p.State.Type, Name: p.State.Name,
		Message: p.State.Message, Data: notNull(p.State.Data), Details: p.State.Details,
	}
	if state.Details.Deferred == nil {
		state.Details.Deferred = prefect.NewStateDetails().Deferred
	}
	state.Normalize(e.Received)
	return state, &p, nil
}

// resourceUUID returns the UUID after the prefix in a resource's id.
func resourceUUID(r prefect.Resource, prefix string) (uuid.UUID, error) {
	rest, ok := strings.CutPrefix(r.ID(), prefix)
	if !ok {
		return uuid.UUID{}, fmt.Errorf("the resource id %q does not begin with %s", r.ID(), prefix)
	}
	id, err := uuid.Parse(rest)
	if err != nil {
		return uuid.UUID{}, fmt.Errorf("the resource id %q: %w", r.ID(), err)
	}
	return id, nil
}

func notNull(raw json.RawMessage) json.RawMessage {
	if string(raw) == "null" {
		return nil
	}
	return raw
}

// object returns raw if it is an object, else nil: not sent.
func object(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 || raw[0] != '{' {
		return nil
	}
	return raw
}
