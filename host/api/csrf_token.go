package api

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// csrfToken is the schema CsrfToken.
type csrfToken struct {
	ID         uuid.UUID    `json:"id"`
	Created    prefect.Time `json:"created"`
	Updated    prefect.Time `json:"updated"`
	Token      string       `json:"token"`
	Client     string       `json:"client"`
	Expiration prefect.Time `json:"expiration"`
}

func (s *server) createCSRFToken(w http.ResponseWriter, r *http.Request) error {
	client, err := queryText(r, "client")
	if err != nil {
		return err
	}
	if !s.CSRF {
		return prefect.Errorf(prefect.Invalid, "CSRF protection is disabled.")
	}
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	now := s.Now()
	token := csrfToken{ID: s.NewID(), Created: now, Updated: now, Client: client,
		Token: hex.EncodeToString(secret), Expiration: now.Add(s.CSRFExpiration)}
	if err := s.Store.CreateOrUpdateCSRFToken(r.Context(), client, token.Token, token.Expiration); err != nil {
		return err
	}
	if err := s.Store.DeleteExpiredCSRFTokens(r.Context()); err != nil {
		return err
	}
	return s.marshal(w, http.StatusOK, token)
}
