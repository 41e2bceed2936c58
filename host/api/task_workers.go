package api

import (
	"net/http"

	"github.com/interlock-run/interlock/host/prefect"
)

// taskWorkerFilter is the schema TaskWorkerFilter.
type taskWorkerFilter struct {
	TaskKeys []string `json:"task_keys" bind:"required"`
}

type filterTaskWorkers struct {
	_      struct{}          `bind:"embed"`
	Filter *taskWorkerFilter `json:"task_worker_filter"`
}

// filterTaskWorkers lists the task workers that serve one of the keys, all
// without any.
func (s *server) filterTaskWorkers(w http.ResponseWriter, r *http.Request) error {
	var body filterTaskWorkers
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	workers := []prefect.TaskWorker{}
	if s.TaskWorkers != nil {
		var keys []string
		if body.Filter != nil {
			keys = body.Filter.TaskKeys
		}
		workers = append(workers, s.TaskWorkers(keys)...)
	}
	return s.marshal(w, http.StatusOK, workers)
}
