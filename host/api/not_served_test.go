package api

// notServed lists the operations of the reference that this server does not
// answer yet. What gets served must be taken out of it.
func notServed() []string {
	return []string{
		"PUT /admin/storage",

		"POST /artifacts", "POST /artifacts/count", "POST /artifacts/filter", "POST /artifacts/latest/count", "POST /artifacts/latest/filter",
		"DELETE /artifacts/{id}", "GET /artifacts/{id}", "PATCH /artifacts/{id}", "GET /artifacts/{key}/latest",

		"POST /automations", "POST /automations/count", "POST /automations/filter", "DELETE /automations/owned-by/{resource_id}",
		"GET /automations/related-to/{resource_id}", "POST /automations/templates/validate", "DELETE /automations/{id}", "GET /automations/{id}",
		"PATCH /automations/{id}", "PUT /automations/{id}",

		"GET /block_capabilities",

		"POST /block_documents", "POST /block_documents/count", "POST /block_documents/filter", "DELETE /block_documents/{id}",
		"GET /block_documents/{id}", "PATCH /block_documents/{id}",

		"POST /block_schemas", "GET /block_schemas/checksum/{checksum}", "POST /block_schemas/filter", "DELETE /block_schemas/{id}",
		"GET /block_schemas/{id}",

		"POST /block_types", "POST /block_types/filter", "POST /block_types/install_system_block_types", "GET /block_types/slug/{slug}",
		"GET /block_types/slug/{slug}/block_documents", "GET /block_types/slug/{slug}/block_documents/name/{block_document_name}",
		"DELETE /block_types/{id}", "GET /block_types/{id}", "PATCH /block_types/{id}",

		"GET /collections/views/{view}",

		"POST /deployments/{id}/schedule", "GET /deployments/{id}/work_queue_check",

		"POST /events/count-by/{countable}",

		"POST /flow_runs/history", "GET /flow_runs/{id}/graph", "GET /flow_runs/{id}/graph-v2",

		"PUT /saved_searches", "POST /saved_searches/filter", "DELETE /saved_searches/{id}", "GET /saved_searches/{id}",

		"POST /task_runs/history",

		"POST /templates/validate",

		"POST /ui/flow_runs/count-task-runs", "POST /ui/flow_runs/history", "POST /ui/flows/count-deployments", "POST /ui/flows/next-runs",
		"POST /ui/schemas/validate", "POST /ui/task_runs/count", "POST /ui/task_runs/dashboard/counts", "GET /ui/task_runs/{id}",

		"POST /variables", "POST /variables/count", "POST /variables/filter", "DELETE /variables/name/{name}", "GET /variables/name/{name}",
		"PATCH /variables/name/{name}", "DELETE /variables/{id}", "GET /variables/{id}", "PATCH /variables/{id}",

		"POST /work_pools/{name}/concurrency_status", "POST /work_queues/{id}/concurrency_status",
	}
}
