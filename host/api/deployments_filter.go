package api

import (
	"net/http"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// deploymentSort is the field of bodies that order deployments.
type deploymentSort struct {
	Sort string `json:"sort" bind:"enum=CREATED_DESC|UPDATED_DESC|NAME_ASC|NAME_DESC"`
}

const defaultDeploymentSort = "NAME_ASC"

type filterDeployments struct {
	_ struct{} `bind:"embed"`
	window
	flowRunFilters
	deploymentSort
}

func (s *server) filterDeployments(w http.ResponseWriter, r *http.Request) error {
	body := filterDeployments{deploymentSort: deploymentSort{defaultDeploymentSort}}
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	page, err := s.page(body.Sort, body.window)
	if err != nil {
		return err
	}
	found, err := s.Store.FilterDeployments(r.Context(), body.filters(), page)
	if err != nil {
		return err
	}
	return list(s, w, found, appendDeployment)
}

type countDeployments struct {
	_ struct{} `bind:"embed"`
	flowRunFilters
}

func (s *server) countDeployments(w http.ResponseWriter, r *http.Request) error {
	var body countDeployments
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	n, err := s.Store.CountDeployments(r.Context(), body.filters())
	if err != nil {
		return err
	}
	return s.count(w, n)
}

type paginateDeployments struct {
	_ struct{} `bind:"embed"`
	numbered
	flowRunFilters
	deploymentSort
}

func (s *server) paginateDeployments(w http.ResponseWriter, r *http.Request) error {
	body := paginateDeployments{numbered: numbered{Page: 1}, deploymentSort: deploymentSort{defaultDeploymentSort}}
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	page, err := s.paged(body.Sort, body.numbered)
	if err != nil {
		return err
	}
	found, err := s.Store.FilterDeployments(r.Context(), body.filters(), page.Page)
	if err != nil {
		return err
	}
	n, err := s.Store.CountDeployments(r.Context(), body.filters())
	if err != nil {
		return err
	}
	return paginated(s, w, page, n, found, appendDeployment)
}

type bulkDeleteDeployments struct {
	_           struct{}                  `bind:"embed"`
	Deployments *prefect.DeploymentFilter `json:"deployments" bind:"closed"`
	Limit       int                       `json:"limit" bind:"ge=1,le=50"`
}

func (s *server) bulkDeleteDeployments(w http.ResponseWriter, r *http.Request) error {
	body := bulkDeleteDeployments{Limit: bulkLimit}
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	found, err := s.Store.FilterDeployments(r.Context(), prefect.Filters{Deployments: body.Deployments},
		prefect.Page{Sort: defaultDeploymentSort, Limit: body.Limit})
	if err != nil {
		return err
	}
	ids := make([]uuid.UUID, len(found))
	for i, d := range found {
		ids[i] = d.ID
	}
	return s.bulkDelete(w, r, ids, s.Store.DeleteDeployment)
}
