package prefect

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// EventFilter selects events; every criterion that is set must hold. An empty
// list is no criterion.
type EventFilter struct {
	Occurred    EventOccurredFilter               `json:"occurred"`
	Event       *EventNameFilter                  `json:"event"`
	Resource    *EventResourceFilter              `json:"resource"`
	Related     OneOrMore[EventRelatedFilter]     `json:"related"`
	AnyResource OneOrMore[EventAnyResourceFilter] `json:"any_resource"`
	ID          EventIDFilter                     `json:"id"`
	Text        *EventTextFilter                  `json:"text"`
	Order       string                            `json:"order"` // ASC or DESC, by occurred
}

// EventOccurredFilter is a span of time, both ends included.
type EventOccurredFilter struct {
	Since Time `json:"since"`
	Until Time `json:"until"`
}

// EventNameFilter selects by the event's name.
type EventNameFilter struct {
	Prefix        []string `json:"prefix"`
	ExcludePrefix []string `json:"exclude_prefix"`
	Name          []string `json:"name"`
	ExcludeName   []string `json:"exclude_name"`
}

// EventResourceFilter selects by the primary resource.
type EventResourceFilter struct {
	ID       []string     `json:"id"`
	IDPrefix []string     `json:"id_prefix"`
	Labels   ResourceSpec `json:"labels"`
	Distinct bool         `json:"distinct"` // of each resource one event only, the first in order; a query's matter
}

// EventRelatedFilter selects events that have a related resource for which all
// its criteria hold.
type EventRelatedFilter struct {
	ID               []string     `json:"id"`
	Role             []string     `json:"role"`
	ResourcesInRoles [][2]string  `json:"resources_in_roles"` // id, role
	Labels           ResourceSpec `json:"labels"`
}

// EventAnyResourceFilter selects events of which some resource, primary or
// related, meets all its criteria.
type EventAnyResourceFilter struct {
	ID       []string     `json:"id"`
	IDPrefix []string     `json:"id_prefix"`
	Labels   ResourceSpec `json:"labels"`
}

// EventIDFilter selects events by id.
type EventIDFilter struct {
	ID []uuid.UUID `json:"id"`
}

// EventTextFilter searches the whole event, see [TextQuery].
type EventTextFilter struct {
	Query string `json:"query"`
}

// OneOrMore is a list that may be given as its only element.
type OneOrMore[T any] []T

// UnmarshalJSON reads a T, a list of them, or null.
func (l *OneOrMore[T]) UnmarshalJSON(b []byte) error {
	*l = nil
	if len(b) > 0 && b[0] == '[' {
		return unmarshalStrict(b, (*[]T)(l))
	}
	if isNull(b) {
		return nil
	}
	var one T
	if err := unmarshalStrict(b, &one); err != nil {
		return err
	}
	*l = OneOrMore[T]{one}
	return nil
}

// ResourceSpec selects resources by their labels: each label named must match
// one of its patterns. A pattern may hold * and ?, and [sets] where events are
// matched as they stream by; a leading ! negates it. A label that a resource
// lacks matches nothing.
type ResourceSpec map[string]Patterns

// Patterns is a list of patterns that may be given as a single string.
type Patterns []string

// UnmarshalJSON reads a string or a list of them.
func (p *Patterns) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		return json.Unmarshal(b, (*[]string)(p))
	}
	var one *string
	if err := json.Unmarshal(b, &one); err != nil {
		return err
	}
	if one == nil {
		return errors.New("not a string or a list of strings")
	}
	*p = Patterns{*one}
	return nil
}

// maxEventSpan is how far back a filter looks that does not say.
const maxEventSpan = 180 * 24 * time.Hour

// NewEventFilter returns the filter that an empty one means: events of the last
// 180 days up to now, newest first.
func NewEventFilter(now Time) *EventFilter {
	day := NewTime(now.Truncate(24 * time.Hour))
	return &EventFilter{Occurred: EventOccurredFilter{Since: day.Add(-maxEventSpan), Until: now}, Order: "DESC"}
}

// DecodeEventFilter reads a filter as the API has it; unknown criteria are
// refused. Errors: Invalid.
func DecodeEventFilter(b []byte, now Time) (*EventFilter, error) {
	f := NewEventFilter(now)
	if len(b) == 0 || isNull(b) {
		return f, nil
	}
	if err := unmarshalStrict(b, f); err != nil {
		return nil, Errorf(Invalid, "invalid event filter: %v", err)
	}
	if f.Order != "ASC" && f.Order != "DESC" {
		return nil, Errorf(Invalid, "invalid event filter: order is ASC or DESC")
	}
	if err := f.check(); err != nil {
		return nil, Errorf(Invalid, "invalid event filter: %v", err)
	}
	return f, nil
}

// The bounds of an event filter. Patterns are beginnings of names and ids, labels with
// what they may match, pairs of resource and role; a related resource counts for
// relatedPatterns. The bounds keep what matching an event may take in proportion.
const (
	MaxPatterns      = 200  // of a filter
	MaxPatternLength = 1000 // characters of one
	MaxStarLength    = 4000 // of all patterns with a star, which are tried at every place of a text
	relatedPatterns  = 10
)

// check says what of a filter is beyond bounds.
func (f *EventFilter) check() error {
	if f.Text != nil && utf8.RuneCountInString(f.Text.Query) > TextQueryLength {
		return fmt.Errorf("a text query has at most %d characters", TextQueryLength)
	}
	count := patternCount{all: relatedPatterns * (len(f.Related) + len(f.AnyResource))}
	if n := f.Event; n != nil {
		count.texts(n.Prefix)
		count.texts(n.ExcludePrefix)
	}
	if r := f.Resource; r != nil {
		count.texts(r.IDPrefix)
		count.labels(r.Labels)
	}
	for _, r := range f.Related {
		count.all += len(r.ResourcesInRoles)
		count.labels(r.Labels)
	}
	for _, r := range f.AnyResource {
		count.texts(r.IDPrefix)
		count.labels(r.Labels)
	}
	switch {
	case count.all > MaxPatterns:
		return fmt.Errorf("it has more than %d patterns", MaxPatterns)
	case count.longest > MaxPatternLength:
		return fmt.Errorf("a pattern has at most %d characters", MaxPatternLength)
	case count.stars > MaxStarLength:
		return fmt.Errorf("patterns with a star have at most %d characters together", MaxStarLength)
	}
	return nil
}

// patternCount is how much a filter asks for.
type patternCount struct{ all, longest, stars int }

func (c *patternCount) texts(list []string) {
	c.all += len(list)
	for _, p := range list {
		c.longest = max(c.longest, utf8.RuneCountInString(p))
	}
}

func (c *patternCount) labels(s ResourceSpec) {
	c.all += len(s)
	for _, patterns := range s {
		c.texts(patterns)
		for _, p := range patterns {
			if strings.Contains(p, "*") {
				c.stars += utf8.RuneCountInString(p)
			}
		}
	}
}

// unmarshalStrict refuses unknown fields and anything after the value.
func unmarshalStrict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("more than one value")
	}
	return nil
}

// Clamp moves the beginning of the filter's span to at most d before now.
func (f *EventFilter) Clamp(now Time, d time.Duration) {
	if earliest := now.Add(-d); f.Occurred.Since.Before(earliest.Time) {
		f.Occurred.Since = earliest
	}
}
