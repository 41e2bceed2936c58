package api

import "net/http"

func (s *server) readTaskRunState(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	state, err := s.Store.ReadTaskRunState(r.Context(), id)
	if err != nil {
		return notFound(err, "Task run state not found")
	}
	s.encode(w, http.StatusOK, func(b []byte) []byte { return appendState(b, state) })
	return nil
}

func (s *server) readTaskRunStates(w http.ResponseWriter, r *http.Request) error {
	id, err := queryID(r, "task_run_id")
	if err != nil {
		return err
	}
	states, err := s.Store.ReadTaskRunStates(r.Context(), id)
	if err != nil {
		return err
	}
	return list(s, w, states, appendState)
}
