package event

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// followsWithin is how close in time two state changes of a run are for the
// later event to name the earlier one: only then can they arrive out of order.
const followsWithin = 5 * time.Minute

// flowRunEvent makes the event of a flow run's state change. Its id is the
// state's id.
func flowRunEvent(c *prefect.FlowRunStateChange, names map[uuid.UUID]prefect.RelatedRow, now prefect.Time) *prefect.Event {
	s := &c.Written
	e := &prefect.Event{
		ID: s.ID, Occurred: s.Timestamp, Received: now, Event: c.EventName(),
		Resource: prefect.NewResource("prefect.flow-run."+c.FlowRunID.String(),
			prefect.LabelName, c.Name,
			"prefect.run-count", strconv.Itoa(c.RunCount),
			"prefect.state-message", s.Message,
			"prefect.state-name", s.Name,
			"prefect.state-timestamp", isoformat(s.Timestamp),
			"prefect.state-type", string(s.Type)),
		Related: flowRunRelated(c, names),
		Payload: flowRunPayload(c),
	}
	if i := c.Initial; i != nil {
		apart := s.Timestamp.Sub(i.Timestamp.Time)
		if -followsWithin < apart && apart < followsWithin {
			e.Follows = &i.ID
		}
	}
	return e
}

// isoformat writes t as the label prefect.state-timestamp has it: with an offset
// in digits, and a fraction of six digits or none.
func isoformat(t prefect.Time) string { return strings.TrimSuffix(t.String(), "Z") + "+00:00" }

type payloadState struct {
	Type            prefect.StateType `json:"type"`
	Name            string            `json:"name,omitempty"`
	Message         string            `json:"message,omitempty"`
	PauseReschedule string            `json:"pause_reschedule,omitempty"` // "true" or "false", of a paused state
}

func newPayloadState(s *prefect.EventState) *payloadState {
	if s == nil {
		return nil
	}
	p := &payloadState{Type: s.Type, Name: s.Name, Message: s.Message}
	if s.Type == prefect.Paused {
		p.PauseReschedule = strconv.FormatBool(s.PauseReschedule)
	}
	return p
}

func flowRunPayload(c *prefect.FlowRunStateChange) json.RawMessage {
	type intended struct {
		From *prefect.StateType `json:"from"`
		To   prefect.StateType  `json:"to"`
	}
	p := struct {
		Intended  intended      `json:"intended"`
		Initial   *payloadState `json:"initial_state"`
		Validated *payloadState `json:"validated_state"`
	}{intended{To: c.Written.Type}, newPayloadState(c.Initial), newPayloadState(&c.Written)}
	if c.Initial != nil {
		p.Intended.From = &c.Initial.Type
	}
	b, err := json.Marshal(p)
	if err != nil { // strings and pointers to strings: cannot happen
		return json.RawMessage("{}")
	}
	return b
}

// appendTags appends tags as related resources, as many as an event has room for:
// each is a row that others wait for. room is kept free.
func appendTags(related []prefect.Resource, tags []string, room int) []prefect.Resource {
	most := prefect.DefaultEventLimits().Related - len(related) - room
	for _, tag := range tags[:min(len(tags), most)] {
		related = append(related, prefect.NewResource("prefect.tag."+tag, prefect.LabelRole, "tag"))
	}
	return related
}

// flowRunRelated lists what the run belongs to, then the tags of all of it, then
// who made the run.
func flowRunRelated(c *prefect.FlowRunStateChange, names map[uuid.UUID]prefect.RelatedRow) []prefect.Resource {
	related := make([]prefect.Resource, 0, 8)
	tags := make(map[string]struct{})
	for _, tag := range c.Tags {
		tags[tag] = struct{}{}
	}
	add := func(id *uuid.UUID) (row prefect.RelatedRow) {
		if id == nil {
			return row
		}
		row, ok := names[*id]
		if !ok {
			return row
		}
		r := prefect.NewResource("prefect."+row.Kind+"."+row.ID.String(),
			prefect.LabelRole, row.Kind, prefect.LabelName, row.Name)
		if row.Kind == "work-pool" {
			r = append(r, prefect.Label{Name: "prefect.work-pool.type", Value: row.Type})
		}
		related = append(related, r)
		for _, tag := range row.Tags {
			tags[tag] = struct{}{}
		}
		return row
	}
	add(&c.FlowID)
	add(c.DeploymentID)
	queue := add(c.WorkQueueID)
	add(queue.WorkPoolID)
	add(c.ParentTaskRunID)
	related = appendTags(related, slices.Sorted(maps.Keys(tags)), 1)
	if r := creator(c.CreatedBy); r != nil {
		related = append(related, r)
	}
	return related
}

// creator returns the related resource of who made a run, nil unless that was a
// deployment or an automation.
func creator(by *prefect.CreatedBy) prefect.Resource {
	if by == nil || by.ID == nil || by.Type == nil {
		return nil
	}
	var kind string
	switch *by.Type {
	case "DEPLOYMENT":
		kind = "deployment"
	case "AUTOMATION":
		kind = "automation"
	default:
		return nil
	}
	r := prefect.NewResource("prefect."+kind+"."+by.ID.String(), prefect.LabelRole, "creator")
	if by.DisplayValue != nil && *by.DisplayValue != "" {
		r = append(r, prefect.Label{Name: prefect.LabelName, Value: *by.DisplayValue})
	}
	return r
}

// The bounds of the cache of names.
const (
	namesKept = 10_000
	namesFor  = 5 * time.Minute
)

// relatedCache remembers the names of what runs belong to, so that the events of
// a run cost one read and not one each. It is not safe for concurrent use.
type relatedCache struct {
	rows  map[uuid.UUID]prefect.RelatedRow
	since prefect.Time // of the oldest row
}

func newRelatedCache() *relatedCache {
	return &relatedCache{rows: make(map[uuid.UUID]prefect.RelatedRow)}
}

// read returns the rows that changes refer to, by id, among others.
func (c *relatedCache) read(ctx context.Context, store Outbox, changes []*prefect.FlowRunStateChange, now prefect.Time) (map[uuid.UUID]prefect.RelatedRow, error) {
	if len(c.rows) > namesKept || now.Sub(c.since.Time) > namesFor {
		clear(c.rows)
		c.since = now
	}
	var keys prefect.RelatedKeys
	asked := make(map[uuid.UUID]struct{})
	want := func(list *[]uuid.UUID, id *uuid.UUID) {
		if id == nil {
			return
		}
		if _, ok := c.rows[*id]; ok {
			return
		}
		if _, ok := asked[*id]; !ok {
			asked[*id] = struct{}{}
			*list = append(*list, *id)
		}
	}
	for _, change := range changes {
		want(&keys.Flows, &change.FlowID)
		want(&keys.Deployments, change.DeploymentID)
		want(&keys.WorkQueues, change.WorkQueueID)
		want(&keys.TaskRuns, change.ParentTaskRunID)
	}
	if len(asked) == 0 {
		return c.rows, nil
	}
	rows, err := store.ReadRelatedRows(ctx, keys)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		c.rows[row.ID] = row
	}
	return c.rows, nil
}
