package api

import (
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"
)

// handler answers a request or returns an error, which becomes the reply by the
// table in errors.go.
type handler func(w http.ResponseWriter, r *http.Request) error

// route is one operation. Patterns have no slash at the end: paths with one are
// served as if they had none.
type route struct {
	method, pattern string
	handle          handler
	anyVersion      bool // served to clients of every API version
}

func (s *server) routes() []route {
	return []route{
		{"GET", "/health", s.health, true},
		{"GET", "/version", s.version, true},
		{"GET", "/hello", s.hello, false},
		{"GET", "/ready", s.ready, false},
		{"GET", "/metrics", s.readMetrics, true},
		{"GET", "/csrf-token", s.createCSRFToken, false},

		{"GET", "/admin/version", s.prefectVersion, false},
		{"GET", "/admin/settings", s.readSettings, false},
		{"GET", "/admin/storage", s.readStorage, false},
		{"DELETE", "/admin/storage", s.clearStorage, false},

		{"POST", "/flows", s.createFlow, false},
		{"POST", "/flows/filter", s.filterFlows, false},
		{"POST", "/flows/count", s.countFlows, false},
		{"POST", "/flows/paginate", s.paginateFlows, false},
		{"POST", "/flows/bulk_delete", s.bulkDeleteFlows, false},
		{"GET", "/flows/name/{name}", s.readFlowByName, false},
		{"GET", "/flows/{id}", s.readFlow, false},
		{"PATCH", "/flows/{id}", s.updateFlow, false},
		{"DELETE", "/flows/{id}", s.deleteFlow, false},

		{"POST", "/flow_runs", s.createFlowRun, false},
		{"POST", "/flow_runs/filter", s.filterFlowRuns, false},
		{"POST", "/flow_runs/count", s.countFlowRuns, false},
		{"POST", "/flow_runs/paginate", s.paginateFlowRuns, false},
		{"POST", "/flow_runs/lateness", s.flowRunLateness, false},
		{"POST", "/flow_runs/bulk_delete", s.bulkDeleteFlowRuns, false},
		{"POST", "/flow_runs/bulk_set_state", s.bulkSetFlowRunState, false},
		{"GET", "/flow_runs/{id}", s.readFlowRun, false},
		{"PATCH", "/flow_runs/{id}", s.updateFlowRun, false},
		{"DELETE", "/flow_runs/{id}", s.deleteFlowRun, false},
		{"POST", "/flow_runs/{id}/set_state", s.setFlowRunState, false},
		{"POST", "/flow_runs/{id}/resume", s.resumeFlowRun, false},
		{"PATCH", "/flow_runs/{id}/labels", s.updateFlowRunLabels, false},
		{"GET", "/flow_runs/{id}/logs/download", s.downloadLogs, false},
		{"POST", "/flow_runs/{id}/input", s.createFlowRunInput, false},
		{"POST", "/flow_runs/{id}/input/filter", s.filterFlowRunInput, false},
		{"GET", "/flow_runs/{id}/input/{key}", s.readFlowRunInput, false},
		{"DELETE", "/flow_runs/{id}/input/{key}", s.deleteFlowRunInput, false},

		{"GET", "/flow_run_states", s.readFlowRunStates, false},
		{"GET", "/flow_run_states/{id}", s.readFlowRunState, false},

		{"POST", "/task_runs", s.createTaskRun, false},
		{"POST", "/task_runs/filter", s.filterTaskRuns, false},
		{"POST", "/task_runs/count", s.countTaskRuns, false},
		{"POST", "/task_runs/paginate", s.paginateTaskRuns, false},
		{"GET", "/task_runs/{id}", s.readTaskRun, false},
		{"PATCH", "/task_runs/{id}", s.updateTaskRun, false},
		{"DELETE", "/task_runs/{id}", s.deleteTaskRun, false},
		{"POST", "/task_runs/{id}/set_state", s.setTaskRunState, false},

		{"GET", "/task_run_states", s.readTaskRunStates, false},
		{"GET", "/task_run_states/{id}", s.readTaskRunState, false},

		{"POST", "/task_workers/filter", s.filterTaskWorkers, false},

		{"POST", "/logs", s.createLogs, false},
		{"POST", "/logs/filter", s.filterLogs, false},

		{"POST", "/deployments", s.createDeployment, false},
		{"POST", "/deployments/filter", s.filterDeployments, false},
		{"POST", "/deployments/count", s.countDeployments, false},
		{"POST", "/deployments/paginate", s.paginateDeployments, false},
		{"POST", "/deployments/bulk_delete", s.bulkDeleteDeployments, false},
		{"POST", "/deployments/get_scheduled_flow_runs", s.scheduledDeploymentRuns, false},
		{"GET", "/deployments/name/{flow_name}/{deployment_name}", s.readDeploymentByName, false},
		{"GET", "/deployments/{id}", s.readDeployment, false},
		{"PATCH", "/deployments/{id}", s.updateDeployment, false},
		{"DELETE", "/deployments/{id}", s.deleteDeployment, false},
		{"POST", "/deployments/{id}/pause_deployment", s.pauseDeployment, false},
		{"POST", "/deployments/{id}/resume_deployment", s.resumeDeployment, false},
		{"POST", "/deployments/{id}/create_flow_run", s.createDeploymentRun, false},
		{"POST", "/deployments/{id}/create_flow_run/bulk", s.createDeploymentRuns, false},
		{"GET", "/deployments/{id}/schedules", s.readSchedules, false},
		{"POST", "/deployments/{id}/schedules", s.createSchedules, false},
		{"PATCH", "/deployments/{id}/schedules/{schedule_id}", s.updateSchedule, false},
		{"DELETE", "/deployments/{id}/schedules/{schedule_id}", s.deleteSchedule, false},

		{"POST", "/work_pools", s.createWorkPool, false},
		{"POST", "/work_pools/filter", s.filterWorkPools, false},
		{"POST", "/work_pools/count", s.countWorkPools, false},
		{"GET", "/work_pools/{name}", s.readWorkPool, false},
		{"PATCH", "/work_pools/{name}", s.updateWorkPool, false},
		{"DELETE", "/work_pools/{name}", s.deleteWorkPool, false},
		{"POST", "/work_pools/{name}/get_scheduled_flow_runs", s.scheduledPoolRuns, false},
		{"POST", "/work_pools/{work_pool_name}/queues", s.createPoolQueue, false},
		{"POST", "/work_pools/{work_pool_name}/queues/filter", s.filterPoolQueues, false},
		{"GET", "/work_pools/{work_pool_name}/queues/{name}", s.readPoolQueue, false},
		{"PATCH", "/work_pools/{work_pool_name}/queues/{name}", s.updatePoolQueue, false},
		{"DELETE", "/work_pools/{work_pool_name}/queues/{name}", s.deletePoolQueue, false},
		{"POST", "/work_pools/{work_pool_name}/workers/heartbeat", s.workerHeartbeat, false},
		{"POST", "/work_pools/{work_pool_name}/workers/filter", s.filterWorkers, false},
		{"DELETE", "/work_pools/{work_pool_name}/workers/{name}", s.deleteWorker, false},

		{"POST", "/work_queues", s.createWorkQueue, false},
		{"POST", "/work_queues/filter", s.filterWorkQueues, false},
		{"GET", "/work_queues/name/{name}", s.readWorkQueueByName, false},
		{"GET", "/work_queues/{id}", s.readWorkQueue, false},
		{"PATCH", "/work_queues/{id}", s.updateWorkQueue, false},
		{"DELETE", "/work_queues/{id}", s.deleteWorkQueue, false},
		{"POST", "/work_queues/{id}/get_runs", s.queueRuns, false},
		{"GET", "/work_queues/{id}/status", s.queueStatus, false},

		{"POST", "/concurrency_limits", s.createTagLimit, false},
		{"POST", "/concurrency_limits/filter", s.filterTagLimits, false},
		{"POST", "/concurrency_limits/increment", s.incrementTagSlots, false},
		{"POST", "/concurrency_limits/decrement", s.decrementTagSlots, false},
		{"GET", "/concurrency_limits/tag/{tag}", s.readTagLimitByTag, false},
		{"DELETE", "/concurrency_limits/tag/{tag}", s.deleteTagLimitByTag, false},
		{"POST", "/concurrency_limits/tag/{tag}/reset", s.resetTagLimit, false},
		{"GET", "/concurrency_limits/{id}", s.readTagLimit, false},
		{"DELETE", "/concurrency_limits/{id}", s.deleteTagLimit, false},

		{"POST", "/v2/concurrency_limits", s.createConcurrencyLimitV2, false},
		{"POST", "/v2/concurrency_limits/filter", s.filterConcurrencyLimitsV2, false},
		{"POST", "/v2/concurrency_limits/increment", s.incrementSlots, false},
		{"POST", "/v2/concurrency_limits/increment-with-lease", s.incrementSlotsWithLease, false},
		{"POST", "/v2/concurrency_limits/decrement", s.decrementSlots, false},
		{"POST", "/v2/concurrency_limits/decrement-with-lease", s.decrementSlotsWithLease, false},
		{"POST", "/v2/concurrency_limits/leases/{lease_id}/renew", s.renewLease, false},
		{"GET", "/v2/concurrency_limits/{id_or_name}", s.readConcurrencyLimitV2, false},
		{"PATCH", "/v2/concurrency_limits/{id_or_name}", s.updateConcurrencyLimitV2, false},
		{"DELETE", "/v2/concurrency_limits/{id_or_name}", s.deleteConcurrencyLimitV2, false},

		{"POST", "/events", s.createEvents, false},
		{"POST", "/events/filter", s.filterEvents, false},
		{"GET", "/events/filter/next", s.nextEvents, false},

		{"POST", "/interlock/modules", s.addModule, true},
		{"GET", "/interlock/modules", s.listModules, true},
		{"GET", "/interlock/modules/{digest}", s.readModule, true},
		{"DELETE", "/interlock/modules/{digest}", s.deleteModule, true},
		{"POST", "/interlock/modules/{digest}/readmit", s.readmitModule, true},
		{"GET", "/interlock/policies", s.listPolicies, true},
		{"GET", "/interlock/policies/{name}", s.readPolicy, true},
		{"PUT", "/interlock/policies/{name}", s.putPolicy, true},
		{"GET", "/interlock/policies/{name}/versions", s.listPolicyVersions, true},
		{"POST", "/interlock/policies/{name}/rollback", s.rollbackPolicy, true},
		{"GET", "/interlock/decisions", s.listDecisions, true},
		{"GET", "/interlock/audit", s.listAudit, true},
		{"GET", "/interlock/version", s.interlockVersion, true},
	}
}

// newRouter routes by the path without /api and without a slash at its end, as
// rootless and routable make it.
func (s *server) newRouter() *chi.Mux {
	mux := chi.NewMux()
	mux.NotFound(func(w http.ResponseWriter, r *http.Request) { s.writeError(w, r, errNoRoute()) })
	mux.MethodNotAllowed(s.methodNotAllowed)
	for _, rt := range s.routes() {
		handle := rt.handle
		if !rt.anyVersion {
			handle = checkVersion(handle)
		}
		if strings.HasPrefix(rt.pattern, "/interlock/") {
			handle = s.acting(handle)
		}
		mux.MethodFunc(rt.method, rt.pattern, func(w http.ResponseWriter, r *http.Request) {
			if known, ok := r.Context().Value(requestKey{}).(*request); ok {
				known.route = rt.pattern
			}
			if err := handle(w, r); err != nil {
				s.writeError(w, r, err)
			}
		})
	}
	return mux
}

// methodNotAllowed answers 405 with the methods that the path has.
func (s *server) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	path := chi.RouteContext(r.Context()).RoutePath
	for _, method := range []string{"DELETE", "GET", "PATCH", "POST", "PUT"} {
		if s.router.Match(chi.NewRouteContext(), method, path) {
			w.Header().Add("Allow", method)
		}
	}
	s.detail(w, http.StatusMethodNotAllowed, "Method Not Allowed")
}
