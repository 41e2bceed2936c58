package api

import "github.com/interlock-run/interlock/host/prefect"

// flowRunEncoder returns the function that appends the schema FlowRunResponse;
// estimates are as of now.
func flowRunEncoder(now prefect.Time) func([]byte, *prefect.FlowRun) []byte {
	return func(b []byte, r *prefect.FlowRun) []byte { return appendFlowRun(b, r, now) }
}

func appendFlowRun(b []byte, r *prefect.FlowRun, now prefect.Time) []byte {
	return appendFlowRunAs(b, r, now, true)
}

// appendFlowRunAs leaves the work pool out of the schema FlowRun.
func appendFlowRunAs(b []byte, r *prefect.FlowRun, now prefect.Time, withPool bool) []byte {
	b = appendUUID(append(b, `{"id":`...), r.ID)
	b = appendTime(append(b, `,"created":`...), r.Created)
	b = appendTime(append(b, `,"updated":`...), r.Updated)
	b = appendString(append(b, `,"name":`...), r.Name)
	b = appendUUID(append(b, `,"flow_id":`...), r.FlowID)
	b = appendUUIDPtr(append(b, `,"deployment_id":`...), r.DeploymentID)
	b = appendStringPtr(append(b, `,"deployment_version":`...), r.DeploymentVersion)
	b = appendUUIDPtr(append(b, `,"work_queue_id":`...), r.WorkQueueID)
	b = appendStringPtr(append(b, `,"work_queue_name":`...), shownQueue(r.QueueName, r.WorkQueueName))
	b = appendStringPtr(append(b, `,"flow_version":`...), r.FlowVersion)
	b = appendRaw(append(b, `,"parameters":`...), r.Parameters, "{}")
	b = appendStringPtr(append(b, `,"idempotency_key":`...), r.IdempotencyKey)
	b = appendRaw(append(b, `,"context":`...), r.Context, "{}")
	b = appendFlowRunPolicy(append(b, `,"empirical_policy":`...), &r.Policy)
	b = appendStrings(append(b, `,"tags":`...), r.Tags)
	b = appendRaw(append(b, `,"labels":`...), r.Labels, "{}")
	b = appendUUIDPtr(append(b, `,"parent_task_run_id":`...), r.ParentTaskRunID)
	b = appendRunTimes(b, &r.RunTimes, now)
	b = appendBool(append(b, `,"auto_scheduled":`...), r.AutoScheduled)
	b = appendUUIDPtr(append(b, `,"infrastructure_document_id":`...), r.InfrastructureDocumentID)
	b = appendStringPtr(append(b, `,"infrastructure_pid":`...), r.InfrastructurePID)
	b = appendCreatedBy(append(b, `,"created_by":`...), r.CreatedBy)
	if withPool {
		b = appendUUIDPtr(append(b, `,"work_pool_id":`...), r.WorkPoolID)
		b = appendStringPtr(append(b, `,"work_pool_name":`...), r.WorkPoolName)
	}
	b = appendState(append(b, `,"state":`...), r.State)
	b = appendRaw(append(b, `,"job_variables":`...), r.JobVariables, "null")
	return append(b, '}')
}

// shownQueue is the name of the work queue, or the one that was written where there
// is no queue.
func shownQueue(queue, written *string) *string {
	if queue != nil {
		return queue
	}
	return written
}

// appendRunTimes appends what flow runs and task runs have in common, with a
// comma before it.
func appendRunTimes(b []byte, r *prefect.RunTimes, now prefect.Time) []byte {
	b = appendUUIDPtr(append(b, `,"state_id":`...), r.StateID)
	b = appendStringPtr(append(b, `,"state_type":`...), r.StateType)
	b = appendStringPtr(append(b, `,"state_name":`...), r.StateName)
	b = appendInt(append(b, `,"run_count":`...), r.RunCount)
	b = appendTimePtr(append(b, `,"expected_start_time":`...), r.ExpectedStartTime)
	b = appendTimePtr(append(b, `,"next_scheduled_start_time":`...), r.NextScheduledStartTime)
	b = appendTimePtr(append(b, `,"start_time":`...), r.StartTime)
	b = appendTimePtr(append(b, `,"end_time":`...), r.EndTime)
	b = appendSeconds(append(b, `,"total_run_time":`...), r.TotalRunTime)
	b = appendSeconds(append(b, `,"estimated_run_time":`...), r.EstimatedRunTime(now))
	return appendSeconds(append(b, `,"estimated_start_time_delta":`...), r.EstimatedStartTimeDelta(now))
}

func appendFlowRunPolicy(b []byte, p *prefect.FlowRunPolicy) []byte {
	b = appendInt(append(b, `{"max_retries":`...), p.MaxRetries)
	b = appendFloat(append(b, `,"retry_delay_seconds":`...), p.RetryDelaySeconds)
	b = appendIntPtr(append(b, `,"retries":`...), p.Retries)
	b = appendIntPtr(append(b, `,"retry_delay":`...), p.RetryDelay)
	b = append(b, `,"pause_keys":`...)
	if p.PauseKeys == nil {
		b = append(b, "null"...)
	} else {
		b = appendStrings(b, p.PauseKeys)
	}
	b = appendBoolPtr(append(b, `,"resuming":`...), p.Resuming)
	b = appendStringPtr(append(b, `,"retry_type":`...), p.RetryType)
	return append(b, '}')
}

func appendCreatedBy(b []byte, c *prefect.CreatedBy) []byte {
	if c == nil {
		return append(b, "null"...)
	}
	b = appendUUIDPtr(append(b, `{"id":`...), c.ID)
	b = appendStringPtr(append(b, `,"type":`...), c.Type)
	b = appendStringPtr(append(b, `,"display_value":`...), c.DisplayValue)
	return append(b, '}')
}

// taskRunEncoder returns AppendTaskRun as of now.
func taskRunEncoder(now prefect.Time) func([]byte, *prefect.TaskRun) []byte {
	return func(b []byte, r *prefect.TaskRun) []byte { return AppendTaskRun(b, r, now) }
}

// AppendTaskRun appends the schema TaskRun; estimates are as of now.
func AppendTaskRun(b []byte, r *prefect.TaskRun, now prefect.Time) []byte {
	b = appendUUID(append(b, `{"id":`...), r.ID)
	b = appendTime(append(b, `,"created":`...), r.Created)
	b = appendTime(append(b, `,"updated":`...), r.Updated)
	b = appendString(append(b, `,"name":`...), r.Name)
	b = appendUUIDPtr(append(b, `,"flow_run_id":`...), r.FlowRunID)
	b = appendString(append(b, `,"task_key":`...), r.TaskKey)
	b = appendString(append(b, `,"dynamic_key":`...), r.DynamicKey)
	b = appendStringPtr(append(b, `,"cache_key":`...), r.CacheKey)
	b = appendTimePtr(append(b, `,"cache_expiration":`...), r.CacheExpiration)
	b = appendStringPtr(append(b, `,"task_version":`...), r.TaskVersion)
	b = appendTaskRunPolicy(append(b, `,"empirical_policy":`...), &r.Policy)
	b = appendStrings(append(b, `,"tags":`...), r.Tags)
	b = appendRaw(append(b, `,"labels":`...), r.Labels, "null")
	b = appendRaw(append(b, `,"task_inputs":`...), r.TaskInputs, "{}")
	b = appendInt(append(b, `,"flow_run_run_count":`...), r.FlowRunRunCount)
	b = appendRunTimes(b, &r.RunTimes, now)
	b = appendState(append(b, `,"state":`...), r.State)
	return append(b, '}')
}

func appendTaskRunPolicy(b []byte, p *prefect.TaskRunPolicy) []byte {
	b = appendInt(append(b, `{"max_retries":`...), p.MaxRetries)
	b = appendFloat(append(b, `,"retry_delay_seconds":`...), p.RetryDelaySeconds)
	b = appendIntPtr(append(b, `,"retries":`...), p.Retries)
	b = appendRaw(append(b, `,"retry_delay":`...), p.RetryDelay, "null")
	b = append(b, `,"retry_jitter_factor":`...)
	if p.RetryJitterFactor == nil {
		b = append(b, "null"...)
	} else {
		b = appendFloat(b, *p.RetryJitterFactor)
	}
	return append(b, '}')
}

// taskRunPageEncoder returns the function that appends the schema
// TaskRunResponse, the smaller form that pages of task runs have.
func taskRunPageEncoder(now prefect.Time) func([]byte, *prefect.TaskRun) []byte {
	return func(b []byte, r *prefect.TaskRun) []byte {
		b = appendUUID(append(b, `{"id":`...), r.ID)
		b = appendTime(append(b, `,"created":`...), r.Created)
		b = appendTime(append(b, `,"updated":`...), r.Updated)
		b = appendString(append(b, `,"name":`...), r.Name)
		b = appendString(append(b, `,"task_key":`...), r.TaskKey)
		b = appendStringPtr(append(b, `,"task_version":`...), r.TaskVersion)
		b = appendUUIDPtr(append(b, `,"flow_run_id":`...), r.FlowRunID)
		b = appendTaskRunPolicy(append(b, `,"empirical_policy":`...), &r.Policy)
		b = appendStrings(append(b, `,"tags":`...), r.Tags)
		b = appendRaw(append(b, `,"task_inputs":`...), r.TaskInputs, "{}")
		b = appendUUIDPtr(append(b, `,"state_id":`...), r.StateID)
		b = appendTimePtr(append(b, `,"start_time":`...), r.StartTime)
		b = appendTimePtr(append(b, `,"end_time":`...), r.EndTime)
		b = appendSeconds(append(b, `,"total_run_time":`...), r.TotalRunTime)
		b = appendSeconds(append(b, `,"estimated_run_time":`...), r.EstimatedRunTime(now))
		b = appendSeconds(append(b, `,"estimated_start_time_delta":`...), r.EstimatedStartTimeDelta(now))
		b = appendState(append(b, `,"state":`...), r.State)
		return append(b, '}')
	}
}
