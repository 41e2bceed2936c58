package prefect

import (
	"encoding/json"
	"slices"

	"github.com/google/uuid"
)

// The labels that this server reads or writes itself.
const (
	LabelID            = "prefect.resource.id"
	LabelName          = "prefect.resource.name"
	LabelRole          = "prefect.resource.role"
	LabelOrchestration = "prefect.orchestration" // "client" on task runs whose states the client decides
)

// Event is something that happened to a resource. Its JSON is that of Prefect's
// events API, by [Event.AppendJSON] and [EventLimits.Decode].
type Event struct {
	ID       uuid.UUID // chosen by the sender: an event sent twice is one event
	Occurred Time      // by the sender's clock
	Event    string    // its name, such as prefect.flow-run.Running
	Resource Resource
	Related  []Resource      // each with a role; never nil after Decode
	Payload  json.RawMessage // object
	Follows  *uuid.UUID      // an event known to have occurred before this one
	Received Time            // by this server's clock
}

// Label is one name and value of a [Resource].
type Label struct{ Name, Value string }

// Resource is a set of labels in the order they were given, among them
// [LabelID], and [LabelRole] on a related resource. Its JSON is an object of
// strings.
type Resource []Label

// NewResource returns a resource of labels given as name, value, name, value,
// ..., beginning with its id. An odd name at the end is left out.
func NewResource(id string, labels ...string) Resource {
	r := make(Resource, 1, 1+len(labels)/2)
	r[0] = Label{LabelID, id}
	for i := 0; i+1 < len(labels); i += 2 {
		r = append(r, Label{labels[i], labels[i+1]})
	}
	return r
}

// Get returns the value of a label, and whether the resource has it.
func (r Resource) Get(name string) (value string, ok bool) {
	for i := range r {
		if r[i].Name == name {
			return r[i].Value, true
		}
	}
	return "", false
}

// ID returns the resource's id, such as prefect.flow-run.<uuid>.
func (r Resource) ID() string {
	id, _ := r.Get(LabelID)
	return id
}

// Role returns the role of a related resource, "" for the primary one.
func (r Resource) Role() string {
	role, _ := r.Get(LabelRole)
	return role
}

// Without returns the labels but for the named ones: the resource column of
// event_resources, where id and role are columns of their own.
func (r Resource) Without(names ...string) Resource {
	rest := make(Resource, 0, len(r))
	for _, l := range r {
		if !slices.Contains(names, l.Name) {
			rest = append(rest, l)
		}
	}
	return rest
}

// lastOfEach returns the labels with one of each name: at its first place, with
// its last value.
func (r Resource) lastOfEach() Resource {
	at := make(map[string]int, len(r))
	kept := r[:0]
	for _, l := range r {
		if i, ok := at[l.Name]; ok {
			kept[i].Value = l.Value
			continue
		}
		at[l.Name] = len(kept)
		kept = append(kept, l)
	}
	return kept
}

// RelatedIDs returns the ids of the related resources, in order; never nil. It
// is the column related_resource_ids.
func (e *Event) RelatedIDs() []string {
	ids := make([]string, len(e.Related))
	for i, r := range e.Related {
		ids[i] = r.ID()
	}
	return ids
}

// InRole returns the first related resource of that role.
func (e *Event) InRole(role string) (Resource, bool) {
	for _, r := range e.Related {
		if r.Role() == role {
			return r, true
		}
	}
	return nil, false
}
