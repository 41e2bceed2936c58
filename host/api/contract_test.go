package api

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// requestBodies are the structs that the bodies of our operations are decoded
// into.
func requestBodies() map[string]any {
	return map[string]any{
		"POST /flows": flowCreate{}, "PATCH /flows/{id}": flowUpdate{}, "POST /flows/filter": filterFlows{}, "POST /flows/count": countFlows{},
		"POST /flows/paginate": paginateFlows{}, "POST /flows/bulk_delete": bulkDeleteFlows{},
		"POST /flow_runs": flowRunCreate{}, "PATCH /flow_runs/{id}": flowRunUpdate{}, "POST /flow_runs/filter": filterFlowRuns{},
		"POST /flow_runs/count": countFlowRuns{}, "POST /flow_runs/lateness": countFlowRuns{}, "POST /flow_runs/paginate": paginateFlowRuns{},
		"POST /flow_runs/bulk_delete": bulkDeleteFlowRuns{}, "POST /flow_runs/bulk_set_state": bulkSetFlowRunState{},
		"POST /flow_runs/{id}/set_state": setState{}, "POST /flow_runs/{id}/resume": resumeFlowRun{},
		"PATCH /flow_runs/{id}/labels":      labels{},
		"POST /flow_runs/{id}/input":        createFlowRunInput{},
		"POST /flow_runs/{id}/input/filter": filterFlowRunInput{},
		"POST /task_runs":                   taskRunCreate{}, "PATCH /task_runs/{id}": taskRunUpdate{}, "POST /task_runs/filter": filterTaskRuns{},
		"POST /task_runs/count": countTaskRuns{}, "POST /task_runs/paginate": paginateTaskRuns{}, "POST /task_runs/{id}/set_state": setState{},
		"POST /deployments": deploymentCreate{}, "PATCH /deployments/{id}": deploymentUpdate{}, "POST /deployments/filter": filterDeployments{},
		"POST /deployments/count": countDeployments{}, "POST /deployments/paginate": paginateDeployments{}, "POST /deployments/bulk_delete": bulkDeleteDeployments{},
		"POST /deployments/get_scheduled_flow_runs": scheduledDeploymentRuns{}, "POST /deployments/{id}/create_flow_run": deploymentRunCreate{},
		"POST /deployments/{id}/create_flow_run/bulk": []deploymentRunCreate{}, "POST /deployments/{id}/schedules": []scheduleCreate{},
		"PATCH /deployments/{id}/schedules/{schedule_id}": scheduleUpdate{},
		"POST /concurrency_limits":                        tagLimitCreate{}, "POST /concurrency_limits/filter": filterLimits{}, "POST /concurrency_limits/increment": tagSlots{},
		"POST /concurrency_limits/decrement": tagSlots{}, "POST /concurrency_limits/tag/{tag}/reset": resetTagLimit{},
		"POST /work_pools": workPoolCreate{}, "PATCH /work_pools/{name}": workPoolUpdate{}, "POST /work_pools/filter": filterWorkPools{},
		"POST /work_pools/count": countWorkPools{}, "POST /work_pools/{name}/get_scheduled_flow_runs": scheduledPoolRuns{},
		"POST /work_pools/{work_pool_name}/queues": workQueueCreate{}, "POST /work_pools/{work_pool_name}/queues/filter": filterWorkQueues{},
		"PATCH /work_pools/{work_pool_name}/queues/{name}":    workQueueUpdate{},
		"POST /work_pools/{work_pool_name}/workers/heartbeat": workerHeartbeat{},
		"POST /work_pools/{work_pool_name}/workers/filter":    filterWorkers{},
		"POST /work_queues": workQueueCreate{}, "PATCH /work_queues/{id}": workQueueUpdate{}, "POST /work_queues/filter": filterWorkQueues{},
		"POST /work_queues/{id}/get_runs": queueRuns{},
		"POST /v2/concurrency_limits":     limitCreate{}, "PATCH /v2/concurrency_limits/{id_or_name}": limitUpdate{}, "POST /v2/concurrency_limits/filter": filterLimits{},
		"POST /v2/concurrency_limits/increment": incrementSlots{}, "POST /v2/concurrency_limits/increment-with-lease": incrementWithLease{},
		"POST /v2/concurrency_limits/decrement": decrementSlots{}, "POST /v2/concurrency_limits/decrement-with-lease": decrementWithLease{},
		"POST /v2/concurrency_limits/leases/{lease_id}/renew": renewLease{},
		"POST /task_workers/filter":                           filterTaskWorkers{},
		"POST /logs":                                          []logCreate{}, "POST /logs/filter": filterLogs{},
		"POST /events": rawList{}, "POST /events/filter": filterEvents{},
	}
}

// TestContract compares what is served with the reference's OpenAPI document.
func TestContract(t *testing.T) {
	d := readDocument(t)
	t.Run("operations", func(t *testing.T) { testOperations(t, d) })
	t.Run("requests", func(t *testing.T) { testRequests(t, d) })
	t.Run("replies", func(t *testing.T) { testReplies(t, d) })
}

// testOperations has each operation of the reference either
// routed or in the list of those that are not served.
func testOperations(t *testing.T, d *document) {
	t.Helper()
	var routed []string
	for _, rt := range (&server{}).routes() {
		if !strings.HasPrefix(rt.pattern, "/interlock/") && rt.pattern != "/metrics" { // which the reference has when told to, but not in its document
			routed = append(routed, rt.method+" "+rt.pattern)
		}
	}
	missing := notServed()
	for _, op := range d.operations() {
		served, listed := slices.Contains(routed, op), slices.Contains(missing, op)
		switch {
		case !served && !listed:
			t.Errorf("%s is not served", op)
		case served && listed:
			t.Errorf("%s is served: take it out of notServed", op)
		}
	}
	for _, op := range slices.Concat(routed, missing) {
		if !slices.Contains(d.operations(), op) {
			t.Errorf("the reference has no operation %s", op)
		}
	}
}

// testRequests compares the structs of our bodies with the
// schemas: names, what is required, types, null, bounds and values.
func testRequests(t *testing.T, d *document) {
	t.Helper()
	bodies, compared := requestBodies(), 0
	for path, methods := range d.Paths {
		for method, op := range methods {
			name := strings.ToUpper(method) + " " + trimPath(path)
			if op.RequestBody == nil || slices.Contains(notServed(), name) {
				continue
			}
			body, ok := bodies[name]
			if !ok {
				t.Errorf("%s: no struct for the body", name)
				continue
			}
			c := comparison{t: t, d: d}
			c.compare(name, op.RequestBody.Content[jsonType].Schema, reflect.TypeOf(body), fieldRules{})
			compared++
		}
	}
	if compared != len(bodies) {
		t.Errorf("compared %d bodies of %d", compared, len(bodies))
	}
}
