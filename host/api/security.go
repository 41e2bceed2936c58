package api

import (
	"crypto/hmac"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"

	"github.com/interlock-run/interlock/host/prefect"
)

// authenticated asks for HTTP Basic credentials equal to AuthString. The health
// checks stay open, so that probes need no secret.
func (s *server) authenticated(next http.Handler) http.Handler {
	if s.AuthString == "" {
		return next
	}
	want := []byte(s.AuthString)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		open := r.Method == http.MethodGet && (r.URL.Path == "/api/health" || r.URL.Path == "/api/ready")
		if !open && !hmac.Equal(credentials(r), want) {
			s.exception(w, prefect.Unauthorized, "Unauthorized")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// credentials returns the decoded Basic credentials, nil if there are none.
func credentials(r *http.Request) []byte {
	scheme, encoded, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || scheme != "Basic" {
		return nil
	}
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return nil
	}
	return decoded
}

// csrf asks changing requests for the token that their client was given by
// GET /api/csrf-token.
func (s *server) csrf(next http.Handler) http.Handler {
	if !s.CSRF {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
			if err := s.checkCSRF(r); err != nil {
				s.writeError(w, r, err)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (s *server) checkCSRF(r *http.Request) error {
	token, client := r.Header.Get("Prefect-Csrf-Token"), r.Header.Get("Prefect-Csrf-Client")
	switch {
	case token == "":
		return prefect.Errorf(prefect.Forbidden, "Missing CSRF token.")
	case client == "":
		return prefect.Errorf(prefect.Forbidden, "Missing client identifier.")
	}
	known, expiration, err := s.Store.ReadCSRFToken(r.Context(), client)
	if err != nil && prefect.CodeOf(err) != prefect.NotFound {
		return err
	}
	if err != nil || !expiration.After(s.Now().Time) || !hmac.Equal([]byte(known), []byte(token)) {
		return prefect.Errorf(prefect.Forbidden, "Invalid CSRF token or client identifier.")
	}
	return nil
}

// sameOrigin refuses changing requests that a browser sends for a page of an
// origin that is not allowed: a server on this machine is in reach of every page
// that its user opens. What is no browser is not concerned.
func (s *server) sameOrigin(next http.Handler) http.Handler {
	if slices.Contains(s.CORS.Origins, "*") {
		return next
	}
	guard := http.NewCrossOriginProtection()
	for _, origin := range s.CORS.Origins {
		if err := guard.AddTrustedOrigin(origin); err != nil {
			s.Logger.Warn("not an origin, it is not allowed", "origin", origin, "error", err)
		}
	}
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.writeError(w, r, prefect.Errorf(prefect.Forbidden, "Requests of pages from other origins are refused."))
	}))
	return guard.Handler(next)
}

// cors answers preflights and marks replies for pages of the allowed origins.
func (s *server) cors(next http.Handler) http.Handler {
	if len(s.CORS.Origins) == 0 {
		return next
	}
	all := slices.Contains(s.CORS.Origins, "*")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		if origin == "" {
			next.ServeHTTP(w, r)
			return
		}
		allowed := all || slices.Contains(s.CORS.Origins, origin)
		h := w.Header()
		switch {
		case all:
			h.Set("Access-Control-Allow-Origin", "*")
		case allowed:
			h.Set("Access-Control-Allow-Origin", origin)
			h.Add("Vary", "Origin")
		}
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			s.preflight(w, r, allowed)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *server) preflight(w http.ResponseWriter, r *http.Request, allowed bool) {
	h := w.Header()
	h.Set("Access-Control-Max-Age", "600")
	methods, headers := s.CORS.Methods, strings.Join(s.CORS.Headers, ", ")
	if slices.Contains(methods, "*") {
		methods = []string{"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}
	}
	if slices.Contains(s.CORS.Headers, "*") {
		headers = r.Header.Get("Access-Control-Request-Headers")
	}
	h.Set("Access-Control-Allow-Methods", strings.Join(methods, ", "))
	if headers != "" {
		h.Set("Access-Control-Allow-Headers", headers)
	}
	if !allowed || !slices.Contains(methods, r.Header.Get("Access-Control-Request-Method")) {
		s.write(w, http.StatusBadRequest, "text/plain; charset=utf-8", []byte("Disallowed by CORS"))
		return
	}
	s.write(w, http.StatusOK, "text/plain; charset=utf-8", []byte("OK"))
}
