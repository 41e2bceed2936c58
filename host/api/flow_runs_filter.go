package api

import (
	"net/http"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// flowRunSort is the field of bodies that order flow runs.
type flowRunSort struct {
	Sort string `json:"sort" bind:"enum=ID_DESC|START_TIME_ASC|START_TIME_DESC|EXPECTED_START_TIME_ASC|EXPECTED_START_TIME_DESC|NAME_ASC|NAME_DESC|NEXT_SCHEDULED_START_TIME_ASC|END_TIME_DESC"`
}

// defaultRunSort orders flow runs and task runs.
const defaultRunSort = "ID_DESC"

type filterFlowRuns struct {
	_ struct{} `bind:"embed"`
	flowRunSort
	window
	flowRunFilters
}

func (s *server) filterFlowRuns(w http.ResponseWriter, r *http.Request) error {
	body := filterFlowRuns{flowRunSort: flowRunSort{defaultRunSort}}
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	page, err := s.page(body.Sort, body.window)
	if err != nil {
		return err
	}
	runs, err := s.Store.FilterFlowRuns(r.Context(), body.filters(), page)
	if err != nil {
		return err
	}
	return list(s, w, runs, flowRunEncoder(s.Now()))
}

type countFlowRuns struct {
	_ struct{} `bind:"embed"`
	flowRunFilters
}

func (s *server) countFlowRuns(w http.ResponseWriter, r *http.Request) error {
	var body countFlowRuns
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	n, err := s.Store.CountFlowRuns(r.Context(), body.filters())
	if err != nil {
		return err
	}
	return s.count(w, n)
}

func (s *server) flowRunLateness(w http.ResponseWriter, r *http.Request) error {
	var body countFlowRuns
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	seconds, err := s.Store.AverageFlowRunLateness(r.Context(), body.filters())
	if err != nil {
		return err
	}
	s.encode(w, http.StatusOK, func(b []byte) []byte {
		if seconds == nil {
			return append(b, "null"...)
		}
		return appendSeconds(b, *seconds)
	})
	return nil
}

type paginateFlowRuns struct {
	_ struct{} `bind:"embed"`
	flowRunSort
	numbered
	flowRunFilters
}

func (s *server) paginateFlowRuns(w http.ResponseWriter, r *http.Request) error {
	body := paginateFlowRuns{flowRunSort: flowRunSort{defaultRunSort}, numbered: numbered{Page: 1}}
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	page, err := s.paged(body.Sort, body.numbered)
	if err != nil {
		return err
	}
	runs, err := s.Store.FilterFlowRuns(r.Context(), body.filters(), page.Page)
	if err != nil {
		return err
	}
	n, err := s.Store.CountFlowRuns(r.Context(), body.filters())
	if err != nil {
		return err
	}
	return paginated(s, w, page, n, runs, flowRunEncoder(s.Now()))
}

type bulkDeleteFlowRuns struct {
	_        struct{}               `bind:"embed"`
	FlowRuns *prefect.FlowRunFilter `json:"flow_runs" bind:"closed"`
	Limit    int                    `json:"limit" bind:"ge=1,le=50"`
}

func (s *server) bulkDeleteFlowRuns(w http.ResponseWriter, r *http.Request) error {
	body := bulkDeleteFlowRuns{Limit: bulkLimit}
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	ids, err := s.matchingFlowRuns(r, body.FlowRuns, body.Limit)
	if err != nil {
		return err
	}
	return s.bulkDelete(w, r, ids, s.Store.DeleteFlowRun)
}

// matchingFlowRuns returns the ids that a bulk operation is about.
func (s *server) matchingFlowRuns(r *http.Request, f *prefect.FlowRunFilter, limit int) ([]uuid.UUID, error) {
	runs, err := s.Store.FilterFlowRuns(r.Context(), prefect.Filters{FlowRuns: f}, prefect.Page{Sort: defaultRunSort, Limit: limit})
	if err != nil {
		return nil, err
	}
	ids := make([]uuid.UUID, len(runs))
	for i, run := range runs {
		ids[i] = run.ID
	}
	return ids, nil
}
