package prefect

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
)

// EventLimits bounds the events that are accepted.
type EventLimits struct {
	NameLength int // characters of an event's name
	Labels     int // a resource
	Related    int // related resources an event
	Bytes      int // of an event's JSON
}

// DefaultEventLimits returns the reference's limits.
func DefaultEventLimits() EventLimits {
	return EventLimits{NameLength: 1024, Labels: 500, Related: 100, Bytes: 1_500_000}
}

// eventWire is an event as it comes in; pointers and raw values tell what is
// missing from what is null.
type eventWire struct {
	ID       json.RawMessage `json:"id"`
	Occurred json.RawMessage `json:"occurred"`
	Event    json.RawMessage `json:"event"`
	Resource json.RawMessage `json:"resource"`
	Related  json.RawMessage `json:"related"`
	Payload  json.RawMessage `json:"payload"`
	Follows  json.RawMessage `json:"follows"`
}

// Decode reads one event as a client sends it and checks it. Fields that events
// do not have are ignored, as is a time of receipt: Received is now. NULs are
// taken out of all texts. Errors: Invalid with a field each (Loc begins inside
// the event), TooLarge.
func (l EventLimits) Decode(b []byte, now Time) (*Event, error) {
	if len(b) > l.Bytes {
		return nil, Errorf(TooLarge, "an event of %d bytes is over the limit of %d", len(b), l.Bytes)
	}
	if !utf8.Valid(b) {
		return nil, invalidEvent([]FieldError{{Loc: []any{}, Msg: "the event is not valid UTF-8", Type: "json_invalid"}})
	}
	var w eventWire
	if err := json.Unmarshal(b, &w); err != nil {
		kind, msg := "json_invalid", "the event is not valid JSON"
		var wrongType *json.UnmarshalTypeError
		if errors.As(err, &wrongType) {
			kind, msg = "model_attributes_type", "an event is an object"
		}
		return nil, invalidEvent([]FieldError{{Loc: []any{}, Msg: msg, Type: kind}})
	}
	d := eventDecoder{limits: l}
	e := &Event{Received: now}
	d.id(w.ID, &e.ID)
	d.occurred(w.Occurred, &e.Occurred)
	d.name(w.Event, &e.Event)
	e.Resource = d.resource(w.Resource, false, "resource")
	e.Related = d.related(w.Related)
	e.Payload = d.payload(w.Payload)
	e.Follows = d.follows(w.Follows)
	if len(d.errs) > 0 {
		return nil, invalidEvent(d.errs)
	}
	return e, nil
}

func invalidEvent(fields []FieldError) *Error {
	parts := make([]string, len(fields))
	for i, f := range fields {
		parts[i] = f.Msg
		if len(f.Loc) > 0 {
			loc := make([]string, len(f.Loc))
			for j, l := range f.Loc {
				loc[j] = fmt.Sprint(l)
			}
			parts[i] = strings.Join(loc, ".") + ": " + f.Msg
		}
	}
	err := Errorf(Invalid, "invalid event: %s", strings.Join(parts, "; "))
	err.Fields = fields
	return err
}

// eventDecoder collects every refused field of one event.
type eventDecoder struct {
	limits EventLimits
	errs   []FieldError
}

func (d *eventDecoder) fail(kind, msg string, loc ...any) {
	d.errs = append(d.errs, FieldError{Loc: loc, Msg: msg, Type: kind})
}

func (d *eventDecoder) missing(raw json.RawMessage, loc ...any) bool {
	if raw == nil {
		d.fail("missing", "Field required", loc...)
		return true
	}
	return false
}

func (d *eventDecoder) id(raw json.RawMessage, dst *uuid.UUID) {
	if d.missing(raw, "id") {
		return
	}
	if err := unmarshalUUID(raw, dst); err != nil {
		d.fail("uuid_parsing", "the id is not a UUID", "id")
	}
}

func (d *eventDecoder) follows(raw json.RawMessage) *uuid.UUID {
	if raw == nil || isNull(raw) {
		return nil
	}
	var id uuid.UUID
	if err := unmarshalUUID(raw, &id); err != nil {
		d.fail("uuid_parsing", "not a UUID", "follows")
	}
	return &id
}

func unmarshalUUID(raw json.RawMessage, dst *uuid.UUID) error {
	var s string
	if err := json.Unmarshal(raw, &s); err != nil || isNull(raw) {
		return errors.New("not a string")
	}
	id, err := uuid.Parse(s)
	if err != nil {
		return err
	}
	*dst = id
	return nil
}

func (d *eventDecoder) occurred(raw json.RawMessage, dst *Time) {
	if d.missing(raw, "occurred") {
		return
	}
	if isNull(raw) || dst.UnmarshalJSON(raw) != nil {
		d.fail("datetime_parsing", "not a date and time", "occurred")
	}
}

func (d *eventDecoder) name(raw json.RawMessage, dst *string) {
	if d.missing(raw, "event") {
		return
	}
	switch err := json.Unmarshal(raw, dst); {
	case err != nil || isNull(raw):
		d.fail("string_type", "the name is not a string", "event")
	case utf8.RuneCountInString(*dst) > d.limits.NameLength:
		d.fail("value_error", fmt.Sprintf("the name is longer than %d characters", d.limits.NameLength), "event")
	}
	*dst = clean(*dst)
}

func (d *eventDecoder) resource(raw json.RawMessage, related bool, loc ...any) Resource {
	if d.missing(raw, loc...) {
		return nil
	}
	var r Resource
	if err := r.UnmarshalJSON(raw); err != nil || r == nil {
		d.fail("dict_type", "a resource is an object of strings", loc...)
		return nil
	}
	switch {
	case len(r) > d.limits.Labels:
		d.fail("value_error", fmt.Sprintf("a resource has at most %d labels", d.limits.Labels), loc...)
	case r.ID() == "":
		d.fail("value_error", "a resource needs a label "+LabelID, loc...)
	case related && r.Role() == "":
		d.fail("value_error", "a related resource needs a label "+LabelRole, loc...)
	}
	return r
}

func (d *eventDecoder) related(raw json.RawMessage) []Resource {
	if raw == nil {
		return []Resource{}
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil || list == nil {
		d.fail("list_type", "related is a list of resources", "related")
		return nil
	}
	if len(list) > d.limits.Related {
		d.fail("value_error", fmt.Sprintf("an event has at most %d related resources", d.limits.Related), "related")
		return nil
	}
	resources := make([]Resource, len(list))
	for i, item := range list {
		resources[i] = d.resource(item, true, "related", i)
	}
	return resources
}

func (d *eventDecoder) payload(raw json.RawMessage) json.RawMessage {
	switch {
	case raw == nil:
		return json.RawMessage("{}")
	case raw[0] != '{':
		d.fail("dict_type", "the payload is an object", "payload")
	}
	return CleanJSON(raw)
}

func isNull(raw json.RawMessage) bool { return len(raw) == 4 && string(raw) == "null" }

// UnmarshalJSON reads an object of strings and keeps its order; of a label given
// twice the last value counts. NULs are taken out. null makes r nil.
func (r *Resource) UnmarshalJSON(b []byte) error {
	if isNull(b) {
		*r = nil
		return nil
	}
	if len(b) == 0 || b[0] != '{' {
		return errors.New("not an object of strings")
	}
	if !json.Valid(b) {
		return errors.New("not valid JSON")
	}
	labels := make(Resource, 0, 8)
	rest := b[1:]
	for {
		rest = skipBlank(rest)
		if rest[0] == '}' {
			*r = labels.lastOfEach()
			return nil
		}
		name, after, err := cutString(rest)
		if err != nil {
			return err
		}
		value, after, err := cutString(skipBlank(skipBlank(after)[1:])) // past the colon
		if err != nil {
			return err
		}
		labels = append(labels, Label{clean(name), clean(value)})
		if rest = skipBlank(after); rest[0] == ',' {
			rest = rest[1:]
		}
	}
}

func skipBlank(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\n' || b[0] == '\t' || b[0] == '\r') {
		b = b[1:]
	}
	return b
}

// cutString takes a string from the front of valid JSON.
func cutString(b []byte) (s string, rest []byte, err error) {
	if b[0] != '"' {
		return "", nil, errors.New("a label's value is not a string")
	}
	plain := true
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			plain = false
			i++
		case '"':
			if plain && utf8.Valid(b[1:i]) {
				return string(b[1:i]), b[i+1:], nil
			}
			err := json.Unmarshal(b[:i+1], &s)
			return s, b[i+1:], err
		}
	}
	return "", nil, errors.New("a string does not end")
}

// MarshalJSON writes the labels in order.
func (r Resource) MarshalJSON() ([]byte, error) { return r.AppendJSON(nil), nil }

// AppendJSON appends the resource's object to b; a nil one is {}.
func (r Resource) AppendJSON(b []byte) []byte {
	b = append(b, '{')
	for i, l := range r {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, l.Name)
		b = append(b, ':')
		b = appendString(b, l.Value)
	}
	return append(b, '}')
}

// MarshalJSON writes the event as [Event.AppendJSON] does.
func (e *Event) MarshalJSON() ([]byte, error) { return e.AppendJSON(nil), nil }

// AppendJSON appends the event in the form in which the API sends it to b.
func (e *Event) AppendJSON(b []byte) []byte {
	b = append(b, `{"occurred":"`...)
	b = e.Occurred.AppendAPI(b)
	b = append(b, `","event":`...)
	b = appendString(b, e.Event)
	b = append(b, `,"resource":`...)
	b = e.Resource.AppendJSON(b)
	b = append(b, `,"related":`...)
	b = e.appendRelated(b)
	b = append(b, `,"payload":`...)
	if len(e.Payload) == 0 {
		b = append(b, "{}"...)
	} else {
		b = append(b, e.Payload...)
	}
	b = append(b, `,"id":"`...)
	b = append(b, e.ID.String()...)
	b = append(b, `","follows":`...)
	if e.Follows == nil {
		b = append(b, "null"...)
	} else {
		b = append(b, '"')
		b = append(b, e.Follows.String()...)
		b = append(b, '"')
	}
	b = append(b, `,"received":"`...)
	b = e.Received.AppendAPI(b)
	return append(b, `"}`...)
}

// appendRelated appends the list of related resources to b.
func (e *Event) appendRelated(b []byte) []byte {
	b = append(b, '[')
	for i, r := range e.Related {
		if i > 0 {
			b = append(b, ',')
		}
		b = r.AppendJSON(b)
	}
	return append(b, ']')
}

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string. Bytes that are not UTF-8 become
// U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			if r, size := utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
			b = append(b, s[from:i]...)
			b = append(b, "\ufffd"...)
			i++
			from = i
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, s[from:i]...)
		if c == '"' || c == '\\' {
			b = append(b, '\\', c)
		} else {
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		from = i
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}
