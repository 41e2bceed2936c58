package api

import "github.com/interlock-run/interlock/host/prefect"

// appendDeployment appends the schema DeploymentResponse.
func appendDeployment(b []byte, d *prefect.Deployment) []byte {
	b = appendUUID(append(b, `{"id":`...), d.ID)
	b = appendTime(append(b, `,"created":`...), d.Created)
	b = appendTime(append(b, `,"updated":`...), d.Updated)
	b = appendString(append(b, `,"name":`...), d.Name)
	b = appendStringPtr(append(b, `,"version":`...), d.Version)
	b = appendStringPtr(append(b, `,"description":`...), d.Description)
	b = appendUUID(append(b, `,"flow_id":`...), d.FlowID)
	b = appendBool(append(b, `,"paused":`...), d.Paused)
	b = appendList(append(b, `,"schedules":`...), d.Schedules, appendSchedule)
	b = append(b, `,"concurrency_limit":null`...) // deprecated: always null
	b = appendGlobalLimit(append(b, `,"global_concurrency_limit":`...), d.Limit)
	b = appendConcurrencyOptions(append(b, `,"concurrency_options":`...), d.ConcurrencyOptions)
	b = appendRaw(append(b, `,"job_variables":`...), d.JobVariables, "{}")
	b = appendRaw(append(b, `,"parameters":`...), d.Parameters, "{}")
	b = appendStrings(append(b, `,"tags":`...), d.Tags)
	b = appendRaw(append(b, `,"labels":`...), d.Labels, "{}")
	b = appendStringPtr(append(b, `,"work_queue_name":`...), shownQueue(d.QueueName, d.WorkQueueName))
	b = appendUUIDPtr(append(b, `,"work_queue_id":`...), d.WorkQueueID)
	b = appendTimePtr(append(b, `,"last_polled":`...), d.LastPolled)
	b = appendRaw(append(b, `,"parameter_openapi_schema":`...), d.ParameterSchema, "null")
	b = appendStringPtr(append(b, `,"path":`...), d.Path)
	b = appendRaw(append(b, `,"pull_steps":`...), d.PullSteps, "null")
	b = appendStringPtr(append(b, `,"entrypoint":`...), d.Entrypoint)
	b = appendUUIDPtr(append(b, `,"storage_document_id":`...), d.StorageDocumentID)
	b = appendUUIDPtr(append(b, `,"infrastructure_document_id":`...), d.InfrastructureDocumentID)
	b = appendCreatedBy(append(b, `,"created_by":`...), d.CreatedBy)
	b = appendCreatedBy(append(b, `,"updated_by":`...), d.UpdatedBy)
	b = appendStringPtr(append(b, `,"work_pool_name":`...), d.WorkPoolName)
	b = appendString(append(b, `,"status":`...), string(d.Status))
	b = appendBool(append(b, `,"enforce_parameter_schema":`...), d.EnforceSchema)
	return append(b, '}')
}

// appendSchedule appends the schema DeploymentSchedule.
func appendSchedule(b []byte, s *prefect.DeploymentSchedule) []byte {
	b = appendUUID(append(b, `{"id":`...), s.ID)
	b = appendTime(append(b, `,"created":`...), s.Created)
	b = appendTime(append(b, `,"updated":`...), s.Updated)
	b = appendUUID(append(b, `,"deployment_id":`...), s.DeploymentID)
	b = appendRaw(append(b, `,"schedule":`...), s.Schedule, "null")
	b = appendBool(append(b, `,"active":`...), s.Active)
	b = appendIntPtr(append(b, `,"max_scheduled_runs":`...), s.MaxScheduledRuns)
	b = appendRaw(append(b, `,"parameters":`...), s.Parameters, "{}")
	b = appendStringPtr(append(b, `,"slug":`...), s.Slug)
	return append(b, '}')
}

// appendGlobalLimit appends the schema GlobalConcurrencyLimitResponse, or null.
func appendGlobalLimit(b []byte, l *prefect.ConcurrencyLimit) []byte {
	if l == nil {
		return append(b, "null"...)
	}
	b = appendUUID(append(b, `{"id":`...), l.ID)
	b = appendTime(append(b, `,"created":`...), l.Created)
	b = appendTime(append(b, `,"updated":`...), l.Updated)
	b = appendBool(append(b, `,"active":`...), l.Active)
	b = appendString(append(b, `,"name":`...), l.Name)
	b = appendInt(append(b, `,"limit":`...), l.Limit)
	b = appendInt(append(b, `,"active_slots":`...), l.ActiveSlots)
	b = appendFloat(append(b, `,"slot_decay_per_second":`...), l.SlotDecayPerSecond)
	return append(b, '}')
}

func appendConcurrencyOptions(b []byte, o *prefect.ConcurrencyOptions) []byte {
	if o == nil {
		return append(b, "null"...)
	}
	b = appendString(append(b, `{"collision_strategy":`...), o.CollisionStrategy)
	b = appendIntPtr(append(b, `,"grace_period_seconds":`...), o.GracePeriodSeconds)
	return append(b, '}')
}
