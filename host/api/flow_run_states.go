package api

import "net/http"

const stateNotFound = "Flow run state not found"

func (s *server) readFlowRunState(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	state, err := s.Store.ReadFlowRunState(r.Context(), id)
	if err != nil {
		return notFound(err, stateNotFound)
	}
	s.encode(w, http.StatusOK, func(b []byte) []byte { return appendState(b, state) })
	return nil
}

func (s *server) readFlowRunStates(w http.ResponseWriter, r *http.Request) error {
	id, err := queryID(r, "flow_run_id")
	if err != nil {
		return err
	}
	states, err := s.Store.ReadFlowRunStates(r.Context(), id)
	if err != nil {
		return err
	}
	return list(s, w, states, appendState)
}
