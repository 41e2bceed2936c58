package api

import (
	"net/http"

	"github.com/interlock-run/interlock/host/metrics"
)

// readMetrics answers what the server counts, in Prometheus' text form.
func (s *server) readMetrics(w http.ResponseWriter, r *http.Request) error {
	if s.Metrics == nil {
		return errNoRoute()
	}
	text, err := s.Metrics(r.Context())
	if err != nil {
		return err
	}
	s.write(w, http.StatusOK, metrics.ContentType, text)
	return nil
}
