package query

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/interlock-run/interlock/host/prefect"
)

// Events returns the condition on rows of events that f asks for. Errors: Invalid
// for text with a NUL.
func Events(d Dialect, f *prefect.EventFilter) (Condition, error) {
	w := walker{d: d, table: "events"}
	e := eventWalker{walker: &w, filter: f}
	list := []Condition{
		{"events.occurred >= ?", []any{w.time(f.Occurred.Since)}},
		{"events.occurred <= ?", []any{w.time(f.Occurred.Until)}},
	}
	if len(f.ID.ID) > 0 {
		list = append(list, anyOf(d, "events.id", reflect.ValueOf(f.ID.ID)))
	}
	if n := f.Event; n != nil {
		list = append(list, e.prefixes("events.event", n.Prefix), e.in("events.event", n.Name))
		if c := e.prefixes("events.event", n.ExcludePrefix); c.SQL != "" {
			c.SQL = "NOT (" + c.SQL + ")"
			list = append(list, c)
		}
		if len(n.ExcludeName) > 0 {
			list = append(list, noneOf(d, "events.event", e.checked(n.ExcludeName)))
		}
	}
	if r := f.Resource; r != nil {
		list = append(list, e.in("events.resource_id", r.ID), e.prefixes("events.resource_id", r.IDPrefix),
			e.labels(r.Labels, "events.resource", "events.resource_id", "NULL"))
	}
	if !w.room(subquery * (len(f.Related) + len(f.AnyResource))) {
		return Condition{}, w.err
	}
	for _, r := range f.Related {
		list = append(list, e.related(r))
	}
	for _, r := range f.AnyResource {
		list = append(list, e.within(e.in("r.resource_id", r.ID), e.prefixes("r.resource_id", r.IDPrefix), e.resourceLabels(r.Labels)))
	}
	if f.Text != nil {
		list = append(list, e.search(f.Text.Query))
	}
	if w.err != nil {
		return Condition{}, w.err
	}
	return And(list...), nil
}

// subquery is how many patterns a resource counts for that is looked for among the
// related ones: Postgres plans such joins in minutes when they are hundreds.
const subquery = 10

type eventWalker struct {
	*walker
	filter *prefect.EventFilter
}

// checked refuses what no row can hold.
func (e *eventWalker) checked(list []string) reflect.Value {
	v := reflect.ValueOf(list)
	e.check(v)
	return v
}

// in is no criterion for an empty list.
func (e *eventWalker) in(column string, list []string) Condition {
	if len(list) == 0 {
		return Condition{}
	}
	return anyOf(e.d, column, e.checked(list))
}

// prefixes takes the text as it is: no wildcards, and its case counts.
func (e *eventWalker) prefixes(column string, list []string) Condition {
	e.checked(list)
	if !e.room(len(list)) {
		return Condition{}
	}
	conditions := make([]Condition, len(list))
	for i, p := range list {
		conditions[i] = Condition{"substr(" + column + ", 1, length(?)) = ?", []any{p, p}}
	}
	return join(" OR ", conditions)
}

// related is about resources in a role.
func (e *eventWalker) related(r prefect.EventRelatedFilter) Condition {
	if !e.room(len(r.ResourcesInRoles)) {
		return Condition{}
	}
	pairs := make([]Condition, len(r.ResourcesInRoles))
	for i, p := range r.ResourcesInRoles {
		e.checked(p[:])
		pairs[i] = Condition{"r.resource_id = ? AND r.resource_role = ?", []any{p[0], p[1]}}
	}
	asked := And(e.in("r.resource_id", r.ID), e.in("r.resource_role", r.Role), join(" OR ", pairs), e.resourceLabels(r.Labels))
	if asked.SQL == "" {
		return Condition{}
	}
	return e.within(asked, Condition{SQL: "r.resource_role <> ''"})
}

// within says that one resource of the event meets all conditions, none if there
// are none.
func (e *eventWalker) within(conditions ...Condition) Condition {
	c := And(conditions...)
	if c.SQL == "" {
		return c
	}
	span := e.filter.Occurred
	c = And(Condition{"r.occurred >= ?", []any{e.time(span.Since)}}, Condition{"r.occurred <= ?", []any{e.time(span.Until)}}, c)
	c.SQL = "events.id IN (SELECT r.event_id FROM event_resources r WHERE " + c.SQL + ")"
	return c
}

func (e *eventWalker) resourceLabels(spec prefect.ResourceSpec) Condition {
	return e.labels(spec, "r.resource", "r.resource_id", "nullif(r.resource_role, '')")
}

// labels says that each label matches one of its patterns. Id and role are
// columns of their own; a label that is not there matches nothing.
func (e *eventWalker) labels(spec prefect.ResourceSpec, resource, id, role string) Condition {
	var list []Condition
	for _, label := range slices.Sorted(maps.Keys(spec)) {
		patterns := spec[label]
		if !e.room(1 + len(patterns)) {
			return Condition{}
		}
		e.checked(append(slices.Clone(patterns), label))
		column, args := resource+" ->> CAST(? AS text)", []any{label}
		switch label {
		case prefect.LabelID:
			column, args = id, nil
		case prefect.LabelRole:
			column, args = role, nil
		}
		either := make([]Condition, len(patterns))
		for i, p := range patterns {
			either[i] = e.matches(column, args, p)
		}
		if len(either) == 0 {
			either = []Condition{never()}
		}
		list = append(list, join(" OR ", either))
	}
	return And(list...)
}

// matches compares with a pattern of * and ?; a leading ! negates it.
func (e *eventWalker) matches(column string, args []any, pattern string) Condition {
	positive, negated := strings.CutPrefix(pattern, "!")
	c := Condition{"(" + column + ")", append([]any{}, args...)}
	switch {
	case !strings.ContainsAny(positive, "*?"):
		c.SQL += " = ?"
	case e.d == SQLite: // GLOB minds the case, which LIKE does not there
		c.SQL += " GLOB ?"
		positive = strings.ReplaceAll(positive, "[", "[[]")
	default:
		c.SQL += " LIKE ? ESCAPE '/'"
		positive = strings.NewReplacer("*", "%", "?", "_").Replace(escapeLike(positive))
	}
	c.Args = append(c.Args, positive)
	if negated {
		c.SQL = "NOT (" + c.SQL + ")"
	}
	return c
}

// search looks at the JSON as it is stored, keys included, as the reference does.
func (e *eventWalker) search(query string) Condition {
	return And(e.textIn("lower(events.event || ' ' || CAST(events.resource AS text) || ' ' || CAST(events.related AS text) || ' ' || CAST(events.payload AS text))", query)...)
}
