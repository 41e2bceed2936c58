package api

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// bulkDelete deletes rows one by one and answers with the ids of those it
// deleted; one that somebody else deleted first is left out.
func (s *server) bulkDelete(w http.ResponseWriter, r *http.Request, ids []uuid.UUID, remove func(context.Context, uuid.UUID) error) error {
	deleted := make([]uuid.UUID, 0, len(ids))
	for _, id := range ids {
		err := remove(r.Context(), id)
		if prefect.CodeOf(err) == prefect.NotFound {
			continue
		}
		if err != nil {
			return err
		}
		deleted = append(deleted, id)
	}
	s.encode(w, http.StatusOK, func(b []byte) []byte {
		return append(appendList(append(b, `{"deleted":`...), deleted, appendUUID), '}')
	})
	return nil
}
