package api

import (
	"encoding/json"
	"net/http"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// prefectVersion answers the version of the reference: clients compare it with
// their own.
func (s *server) prefectVersion(w http.ResponseWriter, r *http.Request) error {
	return s.marshal(w, http.StatusOK, PrefectVersion)
}

func (s *server) readSettings(w http.ResponseWriter, r *http.Request) error {
	if s.Settings == nil {
		return s.marshal(w, http.StatusOK, struct{}{})
	}
	return s.marshal(w, http.StatusOK, s.Settings)
}

// storageKey is the row of configuration that names the block where results go
// by default.
const storageKey = "server-default-result-storage"

// resultStorage is the schema ServerDefaultResultStorage.
type resultStorage struct {
	BlockID *uuid.UUID `json:"default_result_storage_block_id"`
}

func (s *server) readStorage(w http.ResponseWriter, r *http.Request) error {
	var storage resultStorage
	raw, err := s.Store.ReadConfiguration(r.Context(), storageKey)
	if err == nil {
		err = json.Unmarshal(raw, &storage)
	}
	if err != nil && prefect.CodeOf(err) != prefect.NotFound {
		return err
	}
	return s.marshal(w, http.StatusOK, storage)
}

func (s *server) clearStorage(w http.ResponseWriter, r *http.Request) error {
	raw, err := json.Marshal(resultStorage{})
	if err != nil {
		return err
	}
	if err := s.Store.WriteConfiguration(r.Context(), storageKey, raw); err != nil {
		return err
	}
	return noContent(w)
}
