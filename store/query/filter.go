package query

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/interlock-run/interlock/host/prefect"
)

// Filter returns the condition that a noun's own filter, a pointer to one of the
// filter structs of package prefect, asks of its rows. Errors: Invalid for an
// operator or a state type that does not exist and for text with a NUL.
func Filter(d Dialect, noun Noun, filter any) (Condition, error) {
	v := reflect.ValueOf(filter)
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return Condition{}, nil
		}
		v = v.Elem()
	}
	w := walker{d: d, table: string(noun)}
	c := w.fields(v)
	if w.err != nil {
		return Condition{}, w.err
	}
	return c, nil
}

// maxPatterns bounds what of a filter becomes a condition each: beginnings of names,
// patterns of labels, related resources. SQLite refuses an expression that is nested
// a thousand deep, as an OR of half as many is, and Postgres takes long over it.
const maxPatterns = 200

// walker walks one filter struct. The first error ends it, but the walk goes on.
type walker struct {
	d        Dialect
	table    string
	patterns int
	err      error
}

// room counts n patterns more and reports whether the filter may have them.
func (w *walker) room(n int) bool {
	if w.patterns += n; w.patterns > maxPatterns {
		w.fail("a filter has at most %d patterns", maxPatterns)
	}
	return w.err == nil
}

// fields combines the criteria of a filter by its operator. A criteria struct
// without a single criterion counts as true, as in the reference: with or_ it
// makes the whole filter true.
func (w *walker) fields(v reflect.Value) Condition {
	var list []Condition
	t := v.Type()
	for i := range t.NumField() {
		field := v.Field(i)
		if field.Kind() != reflect.Pointer || field.IsNil() {
			continue
		}
		tag := readTag(t.Field(i).Tag)
		if tag == (fieldTag{}) {
			list = w.nested(list, field.Elem())
			continue
		}
		if text, ok := field.Interface().(*prefect.TextCriteria); ok {
			list = append(list, w.text(tag, text.Query)...)
			continue
		}
		c := join(w.operator(field.Elem()), w.criteria(tag, field.Elem()))
		if c.SQL == "" {
			c = always()
		}
		list = append(list, c)
	}
	return join(w.operator(v), list)
}

// nested adds a filter within a filter, the one for states. Unlike criteria it
// counts for nothing if it is empty, except that it is there: so the reference,
// which leaves empty criteria out of it.
func (w *walker) nested(list []Condition, v reflect.Value) []Condition {
	if v.Type() == reflect.TypeFor[prefect.IgnoredRange]() {
		return list
	}
	var kept []Condition
	t := v.Type()
	for i := range t.NumField() {
		field := v.Field(i)
		if field.Kind() != reflect.Pointer || field.IsNil() {
			continue
		}
		criteria := w.criteria(readTag(t.Field(i).Tag), field.Elem())
		if len(criteria) > 0 {
			kept = append(kept, join(" AND ", criteria))
		}
	}
	c := join(w.operator(v), kept)
	if c.SQL == "" {
		c = always()
	}
	return append(list, c)
}

// operator returns how the parts of v combine.
func (w *walker) operator(v reflect.Value) string {
	field := v.FieldByName("Operator")
	if !field.IsValid() {
		return " AND "
	}
	switch operator, _ := field.Interface().(prefect.Operator); operator {
	case "", prefect.And:
		return " AND "
	case prefect.Or:
		return " OR "
	default:
		w.fail("%q is not a filter operator", operator)
		return " AND "
	}
}

func (w *walker) fail(format string, args ...any) {
	if w.err == nil {
		w.err = prefect.Errorf(prefect.Invalid, format, args...)
	}
}

// fieldTag is what the tags of a filter's field say, see package prefect.
type fieldTag struct{ col, via, or, rows string }

func readTag(t reflect.StructTag) fieldTag {
	return fieldTag{col: t.Get("col"), via: t.Get("via"), or: t.Get("or"), rows: t.Get("rows")}
}

// columns returns the columns of the tag, with their table.
func (w *walker) columns(tag fieldTag) []string {
	columns := strings.Split(tag.col, ",")
	for i, c := range columns {
		columns[i] = w.table + "." + c
	}
	return columns
}

// span is the expression that a range of times is about.
func (w *walker) span(tag fieldTag) string {
	columns := w.columns(tag)
	if len(columns) == 1 {
		return columns[0]
	}
	return "coalesce(" + strings.Join(columns, ", ") + ")"
}

// criteria returns the conditions of one criteria struct, in the order of its
// fields, none for fields that are not set.
func (w *walker) criteria(tag fieldTag, v reflect.Value) []Condition {
	if either, ok := v.Addr().Interface().(*prefect.AnyElseNull[uuidType]); ok {
		v = reflect.ValueOf(elseNull(either)).Elem()
	}
	var list []Condition
	t := v.Type()
	for i := range t.NumField() {
		field := v.Field(i)
		if (field.Kind() == reflect.Pointer || field.Kind() == reflect.Slice) && field.IsNil() {
			continue
		}
		if c := w.criterion(tag, t.Field(i).Tag.Get("json"), field); c.SQL != "" {
			list = append(list, c)
		}
	}
	return list
}

// criterion returns the condition of one set field, by its name in the API.
func (w *walker) criterion(tag fieldTag, name string, v reflect.Value) Condition {
	w.check(v)
	column := w.columns(tag)[0]
	switch name {
	case "any_":
		switch {
		case tag.col == "tags":
			return w.hasAny(column, v)
		case tag.via != "":
			table, on, _ := strings.Cut(tag.via, ".")
			c := anyOf(w.d, "x."+on, v)
			c.SQL = fmt.Sprintf("%s IN (SELECT x.id FROM %s x WHERE %s)", column, table, c.SQL)
			return c
		}
		return anyOf(w.d, column, v)
	case "not_any_":
		return noneOf(w.d, column, v)
	case "all_":
		return w.hasAll(column, v)
	case "is_null_":
		return w.isNull(tag, column, v.Elem().Bool())
	case "like_":
		return w.like(tag, column, v.Elem().String())
	case "startswith_":
		return w.startsWith(column, v)
	case "before_", "le_":
		return Condition{w.span(tag) + " <= ?", []any{w.value(v.Elem())}}
	case "after_", "ge_":
		return Condition{w.span(tag) + " >= ?", []any{w.value(v.Elem())}}
	case "eq_":
		return Condition{column + " = ?", []any{v.Elem().Bool()}}
	case "exists_":
		return w.pointedAt(tag, v.Elem().Bool())
	case "id_":
		return anyOf(w.d, column+" ->> 'id'", texts(v))
	case "type_":
		return anyOf(w.d, column+" ->> 'type'", v)
	}
	return Condition{}
}

// elseNull leaves the one criterion that counts, see [prefect.AnyElseNull].
func elseNull(c *prefect.AnyElseNull[uuidType]) *prefect.AnyIsNull[uuidType] {
	switch {
	case c.IsNull != nil && *c.IsNull, c.Any == nil:
		return &prefect.AnyIsNull[uuidType]{IsNull: c.IsNull}
	}
	return &prefect.AnyIsNull[uuidType]{Any: c.Any}
}

// isNull also says of tags that there are none, and of a filter by rows that
// nothing points here.
func (w *walker) isNull(tag fieldTag, column string, null bool) Condition {
	switch {
	case tag.rows != "":
		return w.pointedAt(tag, !null)
	case tag.col == "tags" && null:
		return Condition{SQL: column + " = '[]'"}
	case tag.col == "tags":
		return Condition{SQL: column + " <> '[]'"}
	case null:
		return Condition{SQL: column + " IS NULL"}
	}
	return Condition{SQL: column + " IS NOT NULL"}
}

// pointedAt says whether rows of another table point at the row.
func (w *walker) pointedAt(tag fieldTag, exists bool) Condition {
	table, column, _ := strings.Cut(tag.rows, ".")
	sql := fmt.Sprintf("EXISTS (SELECT 1 FROM %s x WHERE x.%s = %s.id)", table, column, w.table)
	if !exists {
		sql = "NOT " + sql
	}
	return Condition{SQL: sql}
}

// like matches a part of the text, any case; an empty part is no criterion.
func (w *walker) like(tag fieldTag, column, part string) Condition {
	if part == "" {
		return Condition{}
	}
	pattern := "%" + part + "%"
	c := Condition{ilike(w.d, column), []any{pattern}}
	if tag.or == "" {
		return c
	}
	key, other, _ := strings.Cut(tag.or, " ")
	table, name, _ := strings.Cut(other, ".")
	return Condition{
		SQL: fmt.Sprintf("%s OR EXISTS (SELECT 1 FROM %s x WHERE x.id = %s.%s AND %s)",
			c.SQL, table, w.table, key, ilike(w.d, "x."+name)),
		Args: []any{pattern, pattern},
	}
}

func (w *walker) startsWith(column string, v reflect.Value) Condition {
	if v.Len() == 0 || !w.room(v.Len()) {
		return never()
	}
	list := make([]Condition, v.Len())
	for i := range list {
		list[i] = Condition{ilike(w.d, column), []any{v.Index(i).String() + "%"}}
	}
	return join(" OR ", list)
}

// text returns the conditions of a text search as separate ones: the operator of
// the filter combines them with its other criteria, as in the reference.
func (w *walker) text(tag fieldTag, query string) []Condition {
	return w.textIn("lower("+strings.Join(w.columns(tag), " || ' ' || ")+")", query)
}

// textIn searches a field, an expression in lower case.
func (w *walker) textIn(field, query string) []Condition {
	if strings.ContainsRune(query, 0) {
		w.fail("a text search cannot contain NUL")
	}
	q := prefect.ParseTextQuery(query)
	contains := func(terms []string, operator, not string) []Condition {
		list := make([]Condition, len(terms))
		for i, term := range terms {
			list[i] = Condition{field + not + " LIKE ? ESCAPE '/'", []any{"%" + escapeLike(term) + "%"}}
		}
		if c := join(operator, list); c.SQL != "" {
			return []Condition{c}
		}
		return nil
	}
	list := contains(q.Include, " OR ", "")
	list = append(list, contains(q.Exclude, " AND ", " NOT")...)
	return append(list, contains(q.Required, " AND ", "")...)
}

// escapeLike takes the meaning from the wildcards in s, with / as the escape.
func escapeLike(s string) string {
	return strings.NewReplacer("/", "//", "%", "/%", "_", "/_").Replace(s)
}
