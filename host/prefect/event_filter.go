package prefect

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
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
	if f.Text != nil && utf8.RuneCountInString(f.Text.Query) > TextQueryLength {
		return nil, Errorf(Invalid, "invalid event filter: a text query has at most %d characters", TextQueryLength)
	}
	return f, nil
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

// Includes reports whether the event meets the filter.
func (f *EventFilter) Includes(e *Event) bool {
	if e.Occurred.Before(f.Occurred.Since.Time) || e.Occurred.After(f.Occurred.Until.Time) {
		return false
	}
	if len(f.ID.ID) > 0 && !slices.Contains(f.ID.ID, e.ID) {
		return false
	}
	if f.Event != nil && !f.Event.includes(e.Event) {
		return false
	}
	if f.Resource != nil && !f.Resource.includes(e.Resource) {
		return false
	}
	for _, related := range f.Related {
		if !related.empty() && !slices.ContainsFunc(e.Related, related.includes) {
			return false
		}
	}
	for _, any := range f.AnyResource {
		if !any.includes(e.Resource) && !slices.ContainsFunc(e.Related, any.includes) {
			return false
		}
	}
	return f.Text == nil || ParseTextQuery(f.Text.Query).Matches(searchText(e))
}

func (f *EventNameFilter) includes(name string) bool {
	begins := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
	return (len(f.Prefix) == 0 || slices.ContainsFunc(f.Prefix, begins)) &&
		!slices.ContainsFunc(f.ExcludePrefix, begins) &&
		in(f.Name, name) && !slices.Contains(f.ExcludeName, name)
}

func (f *EventResourceFilter) includes(r Resource) bool {
	return in(f.ID, r.ID()) && inPrefix(f.IDPrefix, r.ID()) && f.Labels.Matches(r)
}

func (f *EventAnyResourceFilter) includes(r Resource) bool {
	return in(f.ID, r.ID()) && inPrefix(f.IDPrefix, r.ID()) && f.Labels.Matches(r)
}

func (f *EventRelatedFilter) empty() bool {
	return len(f.ID) == 0 && len(f.Role) == 0 && len(f.ResourcesInRoles) == 0 && len(f.Labels) == 0
}

func (f *EventRelatedFilter) includes(r Resource) bool {
	return in(f.ID, r.ID()) && in(f.Role, r.Role()) && f.Labels.Matches(r) &&
		(len(f.ResourcesInRoles) == 0 || slices.Contains(f.ResourcesInRoles, [2]string{r.ID(), r.Role()}))
}

// in reports whether v is in list, or there is no list.
func in(list []string, v string) bool { return len(list) == 0 || slices.Contains(list, v) }

func inPrefix(prefixes []string, v string) bool {
	return len(prefixes) == 0 ||
		slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(v, prefix) })
}

// Matches reports whether the resource has every label of s with a value that
// one of its patterns matches.
func (s ResourceSpec) Matches(r Resource) bool {
	for name, patterns := range s {
		value, ok := r.Get(name)
		if !ok || !slices.ContainsFunc(patterns, func(p string) bool { return matchLabel(p, value) }) {
			return false
		}
	}
	return true
}

func matchLabel(pattern, value string) bool {
	if positive, ok := strings.CutPrefix(pattern, "!"); ok {
		return !matchGlob([]rune(positive), []rune(value))
	}
	return matchGlob([]rune(pattern), []rune(value))
}

// matchGlob matches shell patterns over the whole of text: * and ? match any
// character, [abc], [a-z] and [!abc] one of a set. It goes back to the last star
// only, so it takes at most len(pattern)*len(text) steps.
func matchGlob(pattern, text []rune) bool {
	p, t, star, mark := 0, 0, -1, 0
	for t < len(text) {
		if p < len(pattern) {
			if pattern[p] == '*' {
				star, mark = p, t
				p++
				continue
			}
			if width, ok := matchOne(pattern[p:], text[t]); ok {
				p += width
				t++
				continue
			}
		}
		if star < 0 {
			return false
		}
		mark++
		p, t = star+1, mark
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// matchOne matches one character with the front of pattern, which is not a star,
// and returns how much of pattern that took.
func matchOne(pattern []rune, c rune) (width int, ok bool) {
	switch pattern[0] {
	case '?':
		return 1, true
	case '[':
		if end := setEnd(pattern); end > 0 {
			return end + 1, inSet(pattern[1:end], c)
		}
	}
	return 1, pattern[0] == c
}

// setEnd returns where the set at the front of pattern ends, 0 if it does not. A
// bracket right after the opening one belongs to the set.
func setEnd(pattern []rune) int {
	i := 1
	if i < len(pattern) && pattern[i] == '!' {
		i++
	}
	if i < len(pattern) && pattern[i] == ']' {
		i++
	}
	for ; i < len(pattern); i++ {
		if pattern[i] == ']' {
			return i
		}
	}
	return 0
}

func inSet(set []rune, c rune) bool {
	negated := set[0] == '!'
	if negated {
		set = set[1:]
	}
	found := false
	for i := 0; i < len(set); i++ {
		if i+2 < len(set) && set[i+1] == '-' {
			found = found || set[i] <= c && c <= set[i+2]
			i += 2
			continue
		}
		found = found || set[i] == c
	}
	return found != negated
}

// searchText is what a text search looks at: the name, every label's value, and
// the payload.
func searchText(e *Event) string {
	var b strings.Builder
	b.WriteString(e.Event)
	for _, r := range append([]Resource{e.Resource}, e.Related...) {
		for _, l := range r {
			b.WriteByte(' ')
			b.WriteString(l.Value)
		}
	}
	b.WriteByte(' ')
	b.Write(e.Payload)
	return b.String()
}
