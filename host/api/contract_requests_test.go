package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

type comparison struct {
	t *testing.T
	d *document
}

// fieldRules is what a bind tag says, read here on its own.
type fieldRules struct {
	tag    []string
	closed bool
}

func (r fieldRules) has(name string) bool { return slices.Contains(r.tag, name) }

func (r fieldRules) value(name string) string {
	for _, part := range r.tag {
		if v, ok := strings.CutPrefix(part, name+"="); ok {
			return v
		}
	}
	return ""
}

func (c *comparison) compare(path string, s *schema, t reflect.Type, rules fieldRules) {
	c.t.Helper()
	s, nullable := c.d.resolve(s)
	if t.Kind() == reflect.Struct && strings.HasPrefix(t.Name(), "Optional[") {
		t = t.Field(1).Type
	}
	custom := slices.Contains([]string{"labels", "runName", "taskInputs", "retryDelay", "rawList", "eventFilter", "scheduleSpec", "maybeSchedule", "pullSteps", "zoneName", "jobTemplate", "maybeTemplate", "poolName"}, t.Name())
	raw := t == reflect.TypeFor[json.RawMessage]()
	accepts := t.Kind() == reflect.Pointer || rules.has("null") || (raw && !rules.has("object")) || (rules.closed && t.Kind() == reflect.Slice)
	if !custom && nullable != accepts && !rules.has("embedded") {
		c.t.Errorf("%s: null is allowed there: %v, here: %v", path, nullable, accepts)
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	c.bounds(path, s, t, rules)
	switch {
	case custom:
		return
	case len(s.Properties) > 0:
		c.object(path, s, t, rules)
	case s.Type == "array":
		if t.Kind() != reflect.Slice {
			c.t.Errorf("%s: a list there, %v here", path, t)
			return
		}
		c.compare(path+"[]", s.Items, t.Elem(), fieldRules{closed: rules.closed})
	default:
		if want := goType(s); want != "" && want != kindName(t) {
			c.t.Errorf("%s: %s there, %s here", path, want, kindName(t))
		}
	}
}

// goType names the type that decodes a schema; "" is any.
func goType(s *schema) string {
	if s.Format == "uuid" || s.Format == "date-time" {
		return s.Format
	}
	return s.Type
}

func kindName(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[uuid.UUID]():
		return "uuid"
	case t == reflect.TypeFor[prefect.Time]():
		return "date-time"
	case t == reflect.TypeFor[json.RawMessage]() || t.Kind() == reflect.Map || t.Kind() == reflect.Struct:
		return "object"
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int32:
		return "integer"
	case reflect.Float64:
		return "number"
	case reflect.Bool:
		return "boolean"
	case reflect.String:
		return "string"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "string"
		}
		return "array"
	}
	return t.String()
}

func (c *comparison) bounds(path string, s *schema, t reflect.Type, rules fieldRules) {
	c.t.Helper()
	text := func(f *float64) string {
		if f == nil {
			return ""
		}
		return fmt.Sprint(*f)
	}
	if text(s.Minimum) != rules.value("ge") || text(s.Maximum) != rules.value("le") || text(s.Above) != rules.value("gt") {
		c.t.Errorf("%s: bounds %s%s to %s there, %v here", path, text(s.Above), text(s.Minimum), text(s.Maximum), rules.tag)
	}
	if length := rules.value("max_length"); (s.MaxLength == nil && length != "") || (s.MaxLength != nil && fmt.Sprint(*s.MaxLength) != length) {
		c.t.Errorf("%s: at most %v characters there, %q here", path, s.MaxLength, length)
	}
	if (s.Pattern != "") != (rules.value("pattern") != "") {
		c.t.Errorf("%s: pattern %q there, %v here", path, s.Pattern, rules.tag)
	}
	var here []string
	switch {
	case rules.value("enum") != "":
		here = strings.Split(rules.value("enum"), "|")
	case rules.value("literal") != "":
		here = strings.Split(rules.value("literal"), "|")
	case t == reflect.TypeFor[prefect.StateType]():
		for _, one := range prefect.StateTypes() {
			here = append(here, string(one))
		}
	case t == reflect.TypeFor[prefect.WorkerStatus]():
		here = []string{"ONLINE", "OFFLINE"}
	case t == reflect.TypeFor[prefect.Operator]():
		here = []string{"and_", "or_"}
	}
	there := slices.Clone(s.Enum)
	slices.Sort(there)
	slices.Sort(here)
	if !slices.Equal(there, here) {
		c.t.Errorf("%s: values %v there, %v here", path, there, here)
	}
}

func (c *comparison) object(path string, s *schema, t reflect.Type, rules fieldRules) {
	c.t.Helper()
	if t.Kind() != reflect.Struct {
		c.t.Errorf("%s: an object there, %v here", path, t)
		return
	}
	fields, types, mark := map[string]fieldRules{}, map[string]reflect.Type{}, ""
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		for i := range t.NumField() {
			f := t.Field(i)
			name := f.Tag.Get("json")
			switch {
			case f.Name == "_":
				mark = f.Tag.Get("bind")
			case f.Anonymous:
				walk(f.Type)
			default:
				r := fieldRules{tag: strings.Split(f.Tag.Get("bind"), ","), closed: rules.closed}
				r.closed = r.closed || r.has("closed")
				fields[name], types[name] = r, f.Type
			}
		}
	}
	walk(t)
	if forbid := string(s.Additional) == "false"; forbid != (mark == "forbid" || rules.closed) {
		c.t.Errorf("%s: unknown fields are refused there: %v", path, forbid)
	}
	here, there := slices.Sorted(maps.Keys(fields)), slices.Sorted(maps.Keys(s.Properties))
	if !slices.Equal(here, there) {
		c.t.Errorf("%s: fields\n%v there,\n%v here", path, there, here)
		return
	}
	for _, name := range here {
		if there := slices.Contains(s.Required, name); there != fields[name].has("required") {
			c.t.Errorf("%s.%s: required there: %v", path, name, there)
		}
		r := fields[name]
		if mark == "embed" {
			r.tag = append(r.tag, "embedded") // null is absent there, whatever the schema says
		}
		c.compare(path+"."+name, s.Properties[name], types[name], r)
	}
}
