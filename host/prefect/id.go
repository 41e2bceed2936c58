package prefect

import "github.com/google/uuid"

// NewID returns a time-ordered UUID (version 7), a random one should the source
// of randomness fail.
func NewID() uuid.UUID {
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.New()
	}
	return id
}
