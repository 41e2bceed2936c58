package api

import (
	"net/http"

	"github.com/interlock-run/interlock/host/prefect"
)

func (s *server) health(w http.ResponseWriter, r *http.Request) error {
	s.write(w, http.StatusOK, jsonType, []byte("true"))
	return nil
}

func (s *server) hello(w http.ResponseWriter, r *http.Request) error {
	return s.marshal(w, http.StatusOK, "👋")
}

func (s *server) version(w http.ResponseWriter, r *http.Request) error {
	return s.marshal(w, http.StatusOK, APIVersion)
}

// ready answers 503 while the database does not.
func (s *server) ready(w http.ResponseWriter, r *http.Request) error {
	if err := s.Store.Ping(r.Context()); err != nil {
		s.Logger.WarnContext(r.Context(), "not ready", s.about(r, err)...)
		return s.marshal(w, status(prefect.Unavailable), map[string]string{"message": "Database is not available"})
	}
	return s.marshal(w, http.StatusOK, map[string]string{"message": "OK"})
}
