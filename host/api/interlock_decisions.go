package api

import (
	"math"
	"net/http"

	"github.com/interlock-run/interlock/host/prefect"
)

// listDecisions answers the decision records of one run, oldest first, or of all
// runs.
func (s *server) listDecisions(w http.ResponseWriter, r *http.Request) error {
	registry, err := s.registry()
	if err != nil {
		return err
	}
	filter, err := s.decisionFilter(r)
	if err != nil {
		return err
	}
	decisions, err := registry.Decisions(r.Context(), filter)
	if err != nil {
		return err
	}
	return s.marshal(w, http.StatusOK, prefect.OrEmpty(decisions))
}

func (s *server) decisionFilter(r *http.Request) (f prefect.DecisionFilter, err error) {
	for name, run := range map[string]prefect.RunType{"flow_run_id": prefect.FlowRunType, "task_run_id": prefect.TaskRunType} {
		if !r.URL.Query().Has(name) {
			continue
		}
		id, err := queryID(r, name)
		if err != nil {
			return f, err
		}
		if f.RunID != nil {
			return f, prefect.Errorf(prefect.Invalid, "Give flow_run_id or task_run_id, not both")
		}
		f.RunType, f.RunID = run, &id
	}
	if f.Limit, err = queryInt(r, "limit", s.DefaultLimit, 0, s.DefaultLimit); err != nil {
		return f, err
	}
	f.Offset, err = queryInt(r, "offset", 0, 0, math.MaxInt32)
	return f, err
}
