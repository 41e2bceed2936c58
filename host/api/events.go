package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"

	"github.com/interlock-run/interlock/host/api/bind"
	"github.com/interlock-run/interlock/host/prefect"
)

// events returns what takes in and queries events. Errors: NotFound without it.
func (s *server) events() (Events, error) {
	if s.Events == nil {
		return nil, errNoRoute()
	}
	return s.Events, nil
}

// rawList is a JSON list that its consumer decodes.
type rawList json.RawMessage

// UnmarshalBind is called by bind.
func (l *rawList) UnmarshalBind(raw []byte, r bind.Reporter) {
	if raw[0] != '[' {
		r.Fail("list_type", "Input should be a valid list", raw)
		return
	}
	*l = append(rawList(nil), raw...)
}

func (s *server) createEvents(w http.ResponseWriter, r *http.Request) error {
	events, err := s.events()
	if err != nil {
		return err
	}
	var body rawList
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	if err := events.Receive(r.Context(), body); err != nil {
		return &bodyError{err, body}
	}
	return noContent(w)
}

// eventFilter is the schema EventFilter, which the prefect package decodes.
type eventFilter json.RawMessage

// UnmarshalBind is called by bind.
func (f *eventFilter) UnmarshalBind(raw []byte, r bind.Reporter) {
	if raw[0] != '{' {
		r.Fail("model_attributes_type", "Input should be a valid dictionary or object to extract fields from", raw)
		return
	}
	*f = append(eventFilter(nil), raw...)
}

type filterEvents struct {
	_      struct{}    `bind:"embed"`
	Filter eventFilter `json:"filter"`
	Limit  int         `json:"limit" bind:"ge=0,le=50"`
}

// eventsPage is how many events a page has that no limit was given for, and the
// most. It stands in the le of filterEvents as well.
const eventsPage = 50

func (s *server) filterEvents(w http.ResponseWriter, r *http.Request) error {
	events, err := s.events()
	if err != nil {
		return err
	}
	body := filterEvents{Limit: eventsPage}
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	page, err := events.FilterEvents(r.Context(), json.RawMessage(body.Filter), body.Limit)
	var refused *prefect.Error
	if errors.As(err, &refused) && refused.Code == prefect.Invalid && len(refused.Fields) == 0 {
		return invalid("body", "filter", "value_error", refused.Message, json.RawMessage(body.Filter))
	}
	return s.eventPage(w, r, page, err)
}

func (s *server) nextEvents(w http.ResponseWriter, r *http.Request) error {
	events, err := s.events()
	if err != nil {
		return err
	}
	token, err := queryText(r, "page-token")
	if err != nil {
		return err
	}
	page, err := events.NextEvents(r.Context(), token)
	return s.eventPage(w, r, page, err)
}

// eventPage answers the schema EventPage; next_page is a whole URL.
func (s *server) eventPage(w http.ResponseWriter, r *http.Request, page EventPage, err error) error {
	if err != nil {
		return err
	}
	s.encode(w, http.StatusOK, func(b []byte) []byte {
		b = appendList(append(b, `{"events":`...), page.Events, func(b []byte, e *prefect.Event) []byte { return e.AppendJSON(b) })
		b = appendInt(append(b, `,"total":`...), page.Total)
		b = append(b, `,"next_page":`...)
		if page.Next == "" {
			return append(b, "null}"...)
		}
		return append(appendString(b, baseURL(r)+"/api/events/filter/next?page-token="+url.QueryEscape(page.Next)), '}')
	})
	return nil
}

// baseURL is how the client reached the server.
func baseURL(r *http.Request) string {
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}
