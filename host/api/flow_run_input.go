package api

import (
	"net/http"

	"github.com/interlock-run/interlock/host/prefect"
)

type createFlowRunInput struct {
	_      struct{} `bind:"embed"`
	Key    string   `json:"key" bind:"required"`
	Value  []byte   `json:"value" bind:"required"`
	Sender *string  `json:"sender"`
}

func (s *server) createFlowRunInput(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	var body createFlowRunInput
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	now := s.Now()
	err = s.Store.CreateFlowRunInput(r.Context(), &prefect.FlowRunInput{
		ID: s.NewID(), Created: now, Updated: now, FlowRunID: id,
		Key: body.Key, Value: string(body.Value), Sender: body.Sender,
	})
	switch prefect.CodeOf(err) {
	case "":
		s.encode(w, http.StatusCreated, func(b []byte) []byte { return append(b, "null"...) })
		return nil
	case prefect.Conflict:
		// A foreign key is a conflict as well.
		if _, err := s.Store.ReadFlowRun(r.Context(), id); err != nil {
			return notFound(err, flowRunNotFound)
		}
		return prefect.Errorf(prefect.Conflict, "The flow run has an input of this key.")
	}
	return notFound(err, flowRunNotFound)
}

type filterFlowRunInput struct {
	_           struct{} `bind:"embed"`
	Prefix      string   `json:"prefix" bind:"required"`
	Limit       int      `json:"limit"`
	ExcludeKeys []string `json:"exclude_keys"`
}

func (s *server) filterFlowRunInput(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	body := filterFlowRunInput{Limit: 1}
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	limit, err := s.inputLimit(body.Limit)
	if err != nil {
		return err
	}
	inputs, err := s.Store.FilterFlowRunInput(r.Context(), id, body.Prefix, limit, body.ExcludeKeys)
	if err != nil {
		return err
	}
	return list(s, w, inputs, appendFlowRunInput)
}

// inputLimit caps the limit of a read of inputs, which has no cap in the
// reference: more inputs than that are read by excluding the keys that were read.
func (s *server) inputLimit(asked int) (int, error) {
	if asked < 0 {
		return 0, prefect.Errorf(prefect.Invalid, "Invalid limit: must be greater than or equal to 0.")
	}
	return min(asked, s.DefaultLimit), nil
}

const inputNotFound = "Flow run input not found"

func (s *server) readFlowRunInput(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	in, err := s.Store.ReadFlowRunInput(r.Context(), id, pathText(r, "key"))
	if err != nil {
		return notFound(err, inputNotFound)
	}
	s.write(w, http.StatusOK, "text/plain; charset=utf-8", []byte(in.Value))
	return nil
}

func (s *server) deleteFlowRunInput(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	if err := s.Store.DeleteFlowRunInput(r.Context(), id, pathText(r, "key")); err != nil {
		return notFound(err, inputNotFound)
	}
	return noContent(w)
}
