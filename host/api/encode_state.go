package api

import (
	"slices"

	"github.com/interlock-run/interlock/host/prefect"
)

// appendState appends s as the schema State, null for nil.
func appendState(b []byte, s *prefect.State) []byte {
	if s == nil {
		return append(b, "null"...)
	}
	b = appendUUID(append(b, `{"id":`...), s.ID)
	b = appendString(append(b, `,"type":`...), string(s.Type))
	b = appendString(append(b, `,"name":`...), s.Name)
	b = appendTime(append(b, `,"timestamp":`...), s.Timestamp)
	b = appendStringPtr(append(b, `,"message":`...), s.Message)
	b = appendRaw(append(b, `,"data":`...), s.Data, "null")
	b = appendStateDetails(append(b, `,"state_details":`...), &s.Details)
	return append(b, '}')
}

func appendStateDetails(b []byte, d *prefect.StateDetails) []byte {
	b = appendUUIDPtr(append(b, `{"flow_run_id":`...), d.FlowRunID)
	b = appendUUIDPtr(append(b, `,"task_run_id":`...), d.TaskRunID)
	b = appendUUIDPtr(append(b, `,"child_flow_run_id":`...), d.ChildFlowRunID)
	b = appendTimePtr(append(b, `,"scheduled_time":`...), d.ScheduledTime)
	b = appendStringPtr(append(b, `,"cache_key":`...), d.CacheKey)
	b = appendTimePtr(append(b, `,"cache_expiration":`...), d.CacheExpiration)
	b = appendBoolPtr(append(b, `,"deferred":`...), d.Deferred)
	b = appendBool(append(b, `,"untrackable_result":`...), d.UntrackableResult)
	b = appendTimePtr(append(b, `,"pause_timeout":`...), d.PauseTimeout)
	b = appendBool(append(b, `,"pause_reschedule":`...), d.PauseReschedule)
	b = appendStringPtr(append(b, `,"pause_key":`...), d.PauseKey)
	b = appendStringMap(append(b, `,"run_input_keyset":`...), d.RunInputKeyset)
	b = appendBoolPtr(append(b, `,"refresh_cache":`...), d.RefreshCache)
	b = appendBoolPtr(append(b, `,"retriable":`...), d.Retriable)
	b = appendUUIDPtr(append(b, `,"transition_id":`...), d.TransitionID)
	b = appendUUIDPtr(append(b, `,"task_parameters_id":`...), d.TaskParametersID)
	b = appendStringPtr(append(b, `,"traceparent":`...), d.Traceparent)
	b = appendUUIDPtr(append(b, `,"deployment_concurrency_lease_id":`...), d.DeploymentConcurrencyLeaseID)
	return append(b, '}')
}

// appendStringMap appends m with its keys in order, null for nil.
func appendStringMap(b []byte, m map[string]string) []byte {
	if m == nil {
		return append(b, "null"...)
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(append(appendString(b, k), ':'), m[k])
	}
	return append(b, '}')
}

// appendResult appends the schema OrchestrationResult.
func appendResult(b []byte, r *prefect.OrchestrationResult) []byte {
	b = appendState(append(b, `{"state":`...), r.State)
	b = appendString(append(b, `,"status":`...), string(r.Status))
	b = appendDetails(append(b, `,"details":`...), &r.Details)
	return append(b, '}')
}

func appendDetails(b []byte, d *prefect.ResponseDetails) []byte {
	b = appendString(append(b, `{"type":`...), d.Type)
	if d.Type == "wait_details" {
		b = appendInt(append(b, `,"delay_seconds":`...), d.DelaySeconds)
	}
	if d.Type != "accept_details" {
		b = appendStringPtr(append(b, `,"reason":`...), d.Reason)
	}
	return append(b, '}')
}

// appendLog appends the schema Log.
func appendLog(b []byte, l *prefect.Log) []byte {
	b = appendUUID(append(b, `{"id":`...), l.ID)
	b = appendTime(append(b, `,"created":`...), l.Created)
	b = appendTime(append(b, `,"updated":`...), l.Updated)
	b = appendString(append(b, `,"name":`...), l.Name)
	b = appendInt(append(b, `,"level":`...), l.Level)
	b = appendString(append(b, `,"message":`...), l.Message)
	b = appendTime(append(b, `,"timestamp":`...), l.Timestamp)
	b = appendUUIDPtr(append(b, `,"flow_run_id":`...), l.FlowRunID)
	b = appendUUIDPtr(append(b, `,"task_run_id":`...), l.TaskRunID)
	return append(b, '}')
}

// appendFlow appends the schema Flow.
func appendFlow(b []byte, f *prefect.Flow) []byte {
	b = appendUUID(append(b, `{"id":`...), f.ID)
	b = appendTime(append(b, `,"created":`...), f.Created)
	b = appendTime(append(b, `,"updated":`...), f.Updated)
	b = appendString(append(b, `,"name":`...), f.Name)
	b = appendStrings(append(b, `,"tags":`...), f.Tags)
	b = appendRaw(append(b, `,"labels":`...), f.Labels, "null")
	return append(b, '}')
}

// appendFlowRunInput appends the schema FlowRunInput.
func appendFlowRunInput(b []byte, in *prefect.FlowRunInput) []byte {
	b = appendUUID(append(b, `{"id":`...), in.ID)
	b = appendTime(append(b, `,"created":`...), in.Created)
	b = appendTime(append(b, `,"updated":`...), in.Updated)
	b = appendUUID(append(b, `,"flow_run_id":`...), in.FlowRunID)
	b = appendString(append(b, `,"key":`...), in.Key)
	b = appendString(append(b, `,"value":`...), in.Value)
	b = appendStringPtr(append(b, `,"sender":`...), in.Sender)
	return append(b, '}')
}
