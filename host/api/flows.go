package api

import (
	"encoding/json"
	"net/http"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// flowCreate is the schema FlowCreate.
type flowCreate struct {
	_      struct{} `bind:"forbid"`
	Name   string   `json:"name" bind:"required,pattern=name"`
	Tags   []string `json:"tags"`
	Labels labels   `json:"labels"`
}

// SetDefaults is called by bind.
func (c *flowCreate) SetDefaults() { c.Tags, c.Labels = []string{}, labels("{}") }

func (s *server) createFlow(w http.ResponseWriter, r *http.Request) error {
	var body flowCreate
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	now := s.Now()
	f := &prefect.Flow{ID: s.NewID(), Created: now, Updated: now, Name: body.Name, Tags: body.Tags, Labels: json.RawMessage(body.Labels)}
	created, err := s.Store.CreateFlow(r.Context(), f)
	if err != nil {
		return err
	}
	s.encode(w, createdStatus(created), func(b []byte) []byte { return appendFlow(b, f) })
	return nil
}

// createdStatus is 201 for what was written by this request, else 200.
func createdStatus(created bool) int {
	if created {
		return http.StatusCreated
	}
	return http.StatusOK
}

// flowUpdate is the schema FlowUpdate.
type flowUpdate struct {
	_    struct{}                   `bind:"forbid"`
	Tags prefect.Optional[[]string] `json:"tags"`
}

const flowNotFound = "Flow not found"

func (s *server) updateFlow(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	var body flowUpdate
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	err = s.Store.UpdateFlow(r.Context(), id, func(f *prefect.Flow) error {
		body.Tags.Apply(&f.Tags)
		return nil
	})
	if err != nil {
		return notFound(err, flowNotFound)
	}
	return noContent(w)
}

func (s *server) readFlow(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	f, err := s.Store.ReadFlow(r.Context(), id)
	return s.flow(w, f, err)
}

func (s *server) readFlowByName(w http.ResponseWriter, r *http.Request) error {
	f, err := s.Store.ReadFlowByName(r.Context(), pathText(r, "name"))
	return s.flow(w, f, err)
}

func (s *server) flow(w http.ResponseWriter, f *prefect.Flow, err error) error {
	if err != nil {
		return notFound(err, flowNotFound)
	}
	s.encode(w, http.StatusOK, func(b []byte) []byte { return appendFlow(b, f) })
	return nil
}

func (s *server) deleteFlow(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	if err := s.Store.DeleteFlow(r.Context(), id); err != nil {
		return notFound(err, flowNotFound)
	}
	return noContent(w)
}

// flowSort is the field of bodies that order flows.
type flowSort struct {
	Sort string `json:"sort" bind:"enum=CREATED_DESC|UPDATED_DESC|NAME_ASC|NAME_DESC"`
}

const defaultFlowSort = "NAME_ASC"

type filterFlows struct {
	_ struct{} `bind:"embed"`
	window
	flowFilters
	flowSort
}

func (s *server) filterFlows(w http.ResponseWriter, r *http.Request) error {
	body := filterFlows{flowSort: flowSort{defaultFlowSort}}
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	page, err := s.page(body.Sort, body.window)
	if err != nil {
		return err
	}
	flows, err := s.Store.FilterFlows(r.Context(), body.filters(), page)
	if err != nil {
		return err
	}
	return list(s, w, flows, appendFlow)
}

type countFlows struct {
	_ struct{} `bind:"embed"`
	flowFilters
}

func (s *server) countFlows(w http.ResponseWriter, r *http.Request) error {
	var body countFlows
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	n, err := s.Store.CountFlows(r.Context(), body.filters())
	if err != nil {
		return err
	}
	return s.count(w, n)
}

type paginateFlows struct {
	_ struct{} `bind:"embed"`
	numbered
	flowFilters
	flowSort
}

func (s *server) paginateFlows(w http.ResponseWriter, r *http.Request) error {
	body := paginateFlows{numbered: numbered{Page: 1}, flowSort: flowSort{defaultFlowSort}}
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	page, err := s.paged(body.Sort, body.numbered)
	if err != nil {
		return err
	}
	flows, err := s.Store.FilterFlows(r.Context(), body.filters(), page.Page)
	if err != nil {
		return err
	}
	n, err := s.Store.CountFlows(r.Context(), body.filters())
	if err != nil {
		return err
	}
	return paginated(s, w, page, n, flows, appendFlow)
}

type bulkDeleteFlows struct {
	_     struct{}            `bind:"embed"`
	Flows *prefect.FlowFilter `json:"flows" bind:"closed"`
	Limit int                 `json:"limit" bind:"ge=1,le=50"`
}

func (s *server) bulkDeleteFlows(w http.ResponseWriter, r *http.Request) error {
	body := bulkDeleteFlows{Limit: bulkLimit}
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	flows, err := s.Store.FilterFlows(r.Context(), prefect.Filters{Flows: body.Flows}, prefect.Page{Sort: defaultFlowSort, Limit: body.Limit})
	if err != nil {
		return err
	}
	ids := make([]uuid.UUID, len(flows))
	for i, f := range flows {
		ids[i] = f.ID
	}
	return s.bulkDelete(w, r, ids, s.Store.DeleteFlow)
}
