package event

import (
	"bytes"
	"encoding/json"
	"slices"
	"unicode/utf8"

	"github.com/interlock-run/interlock/host/prefect"
)

// logFilter reads a log filter and returns what it includes. Errors: Invalid.
func logFilter(raw []byte) (func(*prefect.Log) bool, error) {
	var f prefect.LogFilter
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, prefect.Errorf(prefect.Invalid, "invalid log filter: %v", err)
	}
	if f.Text != nil && utf8.RuneCountInString(f.Text.Query) > prefect.TextQueryLength {
		return nil, prefect.Errorf(prefect.Invalid, "a text query has at most %d characters", prefect.TextQueryLength)
	}
	criteria := logCriteria(&f)
	return func(l *prefect.Log) bool {
		holds := func(c func(*prefect.Log) bool) bool { return c(l) }
		if f.Operator == prefect.Or {
			return len(criteria) == 0 || slices.ContainsFunc(criteria, holds)
		}
		return !slices.ContainsFunc(criteria, func(c func(*prefect.Log) bool) bool { return !c(l) })
	}, nil
}

func logCriteria(f *prefect.LogFilter) []func(*prefect.Log) bool {
	var criteria []func(*prefect.Log) bool
	add := func(c func(*prefect.Log) bool) { criteria = append(criteria, c) }
	if c := f.Level; c != nil {
		add(func(l *prefect.Log) bool {
			return (c.Ge == nil || l.Level >= *c.Ge) && (c.Le == nil || l.Level <= *c.Le)
		})
	}
	if c := f.Timestamp; c != nil {
		add(func(l *prefect.Log) bool {
			return (c.Before == nil || !l.Timestamp.After(c.Before.Time)) &&
				(c.After == nil || !l.Timestamp.Before(c.After.Time))
		})
	}
	if c := f.FlowRunID; c != nil {
		add(func(l *prefect.Log) bool { return c.Any == nil || anyOf(c.Any, l.FlowRunID) })
	}
	if c := f.TaskRunID; c != nil {
		add(func(l *prefect.Log) bool {
			return (c.Any == nil || anyOf(c.Any, l.TaskRunID)) &&
				(c.IsNull == nil || *c.IsNull == (l.TaskRunID == nil))
		})
	}
	if c := f.Text; c != nil {
		query := prefect.ParseTextQuery(c.Query)
		add(func(l *prefect.Log) bool { return query.Matches(l.Message + " " + l.Name) })
	}
	return criteria
}

func anyOf[T comparable](list []T, v *T) bool { return v != nil && slices.Contains(list, *v) }
