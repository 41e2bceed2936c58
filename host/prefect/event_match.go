package prefect

import (
	"slices"
	"strings"
)

// Includes reports whether the event meets the filter. For many events take
// [EventFilter.Matcher].
func (f *EventFilter) Includes(e *Event) bool { return f.Matcher()(e) }

// Matcher returns Includes with what patterns need worked out once.
func (f *EventFilter) Matcher() func(*Event) bool {
	m := eventMatcher{EventFilter: f}
	if f.Resource != nil {
		m.resource = compileSpec(f.Resource.Labels)
	}
	for _, r := range f.Related {
		m.related = append(m.related, compileSpec(r.Labels))
	}
	for _, r := range f.AnyResource {
		m.any = append(m.any, compileSpec(r.Labels))
	}
	if f.Text != nil {
		q := ParseTextQuery(f.Text.Query)
		m.text = &q
	}
	return m.includes
}

// eventMatcher is a filter with its patterns compiled, in the order in which the
// filter has them.
type eventMatcher struct {
	*EventFilter
	resource spec
	related  []spec
	any      []spec
	text     *TextQuery
}

func (f *eventMatcher) includes(e *Event) bool {
	if e.Occurred.Before(f.Occurred.Since.Time) || e.Occurred.After(f.Occurred.Until.Time) {
		return false
	}
	if len(f.ID.ID) > 0 && !slices.Contains(f.ID.ID, e.ID) {
		return false
	}
	if f.Event != nil && !f.Event.includes(e.Event) {
		return false
	}
	if r := f.Resource; r != nil && !(in(r.ID, e.Resource.ID()) && inPrefix(r.IDPrefix, e.Resource.ID()) && f.resource.matches(e.Resource)) {
		return false
	}
	for i := range f.Related {
		wanted := &f.Related[i]
		if !wanted.empty() && !slices.ContainsFunc(e.Related, func(r Resource) bool { return wanted.includes(r) && f.related[i].matches(r) }) {
			return false
		}
	}
	for i := range f.AnyResource {
		wanted := &f.AnyResource[i]
		meets := func(r Resource) bool {
			return in(wanted.ID, r.ID()) && inPrefix(wanted.IDPrefix, r.ID()) && f.any[i].matches(r)
		}
		if !meets(e.Resource) && !slices.ContainsFunc(e.Related, meets) {
			return false
		}
	}
	return f.text == nil || f.text.Matches(searchText(e))
}

func (f *EventNameFilter) includes(name string) bool {
	begins := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
	return (len(f.Prefix) == 0 || slices.ContainsFunc(f.Prefix, begins)) &&
		!slices.ContainsFunc(f.ExcludePrefix, begins) &&
		in(f.Name, name) && !slices.Contains(f.ExcludeName, name)
}

func (f *EventRelatedFilter) empty() bool {
	return len(f.ID) == 0 && len(f.Role) == 0 && len(f.ResourcesInRoles) == 0 && len(f.Labels) == 0
}

// includes looks at all but the labels.
func (f *EventRelatedFilter) includes(r Resource) bool {
	return in(f.ID, r.ID()) && in(f.Role, r.Role()) &&
		(len(f.ResourcesInRoles) == 0 || slices.Contains(f.ResourcesInRoles, [2]string{r.ID(), r.Role()}))
}

// in reports whether v is in list, or there is no list.
func in(list []string, v string) bool { return len(list) == 0 || slices.Contains(list, v) }

func inPrefix(prefixes []string, v string) bool {
	return len(prefixes) == 0 ||
		slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(v, prefix) })
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
