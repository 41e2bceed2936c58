package api

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/google/uuid"
)

const (
	maxFlowLabels      = 1024    // flows
	maxFlowLabelsBytes = 4 << 10 // of one flow
)

// flowLabels remembers the labels of flows, which every new run takes over. No
// operation changes those of a flow that is there, and a flow that is gone fails the
// commit of its run. The zero value works.
type flowLabels struct {
	mu   sync.Mutex
	kept map[uuid.UUID]json.RawMessage
}

func (l *flowLabels) get(id uuid.UUID) (labels json.RawMessage, found bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	labels, found = l.kept[id]
	return labels, found
}

func (l *flowLabels) put(id uuid.UUID, labels json.RawMessage) {
	if len(labels) > maxFlowLabelsBytes {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept == nil || len(l.kept) >= maxFlowLabels {
		l.kept = make(map[uuid.UUID]json.RawMessage)
	}
	l.kept[id] = labels
}

// labelsOfFlow returns the labels of the flow that a new run refers to. Errors:
// Conflict when it is not there.
func (s *server) labelsOfFlow(ctx context.Context, id uuid.UUID) (json.RawMessage, error) {
	if labels, found := s.labels.get(id); found {
		return labels, nil
	}
	flow, err := s.readFlowOf(ctx, id)
	if err != nil {
		return nil, err
	}
	s.labels.put(id, flow.Labels)
	return flow.Labels, nil
}
