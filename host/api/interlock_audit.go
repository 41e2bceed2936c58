package api

import (
	"math"
	"net"
	"net/http"
	"strings"

	"github.com/interlock-run/interlock/host/prefect"
)

// listAudit answers the attempts at changing policies, newest first.
func (s *server) listAudit(w http.ResponseWriter, r *http.Request) error {
	registry, err := s.registry()
	if err != nil {
		return err
	}
	query := r.URL.Query()
	f := prefect.PolicyAuditFilter{Policy: query.Get("policy"), Outcome: query.Get("outcome")}
	switch f.Outcome {
	case "", prefect.AuditDone, prefect.AuditRefused:
	default:
		return invalid("query", "outcome", "enum", "Input should be 'done' or 'refused'", f.Outcome)
	}
	if f.Limit, err = queryInt(r, "limit", s.DefaultLimit, 0, s.DefaultLimit); err != nil {
		return err
	}
	if f.Offset, err = queryInt(r, "offset", 0, 0, math.MaxInt32); err != nil {
		return err
	}
	rows, err := registry.Audit(r.Context(), f)
	if err != nil {
		return err
	}
	return s.marshal(w, http.StatusOK, prefect.OrEmpty(rows))
}

// agentBytes is how much of a User-Agent is kept.
const agentBytes = 128

// acting says in the context who asks. The user is that of the credentials, which
// were checked before if any are asked for.
func (s *server) acting(next handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.Method == http.MethodGet {
			return next(w, r)
		}
		var a prefect.Actor
		if user, _, ok := strings.Cut(s.AuthString, ":"); ok {
			a.User = user
		}
		if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
			a.Address = host
		}
		a.Agent = prefect.Cut(strings.ToValidUTF8(r.UserAgent(), ""), agentBytes)
		return next(w, r.WithContext(prefect.WithActor(r.Context(), a)))
	}
}
