package query

import (
	"encoding/json"
	"reflect"
	"strings"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

type uuidType = uuid.UUID

// sqliteTime is how the reference stores an instant in SQLite; text in this form
// sorts as the instants do.
const sqliteTime = "2006-01-02 15:04:05.000000"

// value returns a bound value as the database stores it.
func (w *walker) value(v reflect.Value) any {
	if t, ok := v.Interface().(prefect.Time); ok {
		return w.time(t)
	}
	return v.Interface()
}

func (w *walker) time(t prefect.Time) any {
	if w.d == Postgres {
		return t.Time
	}
	return t.UTC().Format(sqliteTime)
}

// check refuses values which no row can have and a database chokes on.
func (w *walker) check(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		w.check(v.Elem())
	case reflect.String:
		if strings.ContainsRune(v.String(), 0) {
			w.fail("a filter cannot contain NUL")
		}
		if t, ok := v.Interface().(prefect.StateType); ok && !t.Valid() {
			w.fail("%q is not a state type", string(t))
		}
	case reflect.Slice:
		for i := range v.Len() {
			w.check(v.Index(i))
		}
	}
}

// texts returns a list of strings for a list of strings or ids.
func texts(v reflect.Value) reflect.Value {
	list := make([]string, v.Len())
	for i := range list {
		if id, ok := v.Index(i).Interface().(uuid.UUID); ok {
			list[i] = id.String()
		} else {
			list[i] = v.Index(i).String()
		}
	}
	return reflect.ValueOf(list)
}

// list binds a list as one value: an array in Postgres, a JSON array in SQLite.
// It returns what IN or ANY takes.
func list(d Dialect, v reflect.Value) (sql string, arg any) {
	values, _ := texts(v).Interface().([]string)
	if d == SQLite {
		b, err := json.Marshal(values)
		if err != nil { // strings always marshal
			b = []byte("[]")
		}
		return "(SELECT value FROM json_each(?))", string(b)
	}
	switch v.Type().Elem() {
	case reflect.TypeFor[uuid.UUID]():
		return "(CAST(CAST(? AS text[]) AS uuid[]))", values
	case reflect.TypeFor[prefect.StateType]():
		return "(CAST(CAST(? AS text[]) AS state_type[]))", values
	case reflect.TypeFor[prefect.WorkerStatus]():
		return "(CAST(CAST(? AS text[]) AS worker_status[]))", values
	}
	return "(CAST(? AS text[]))", values
}

// anyOf says that the column is one of a list. One value alone is compared as
// such, which lets an index give the order as well.
func anyOf(d Dialect, column string, v reflect.Value) Condition {
	switch v.Len() {
	case 0:
		return never()
	case 1:
		return Condition{column + " = ?", []any{texts(v).Index(0).String()}}
	}
	sql, arg := list(d, v)
	if d == Postgres {
		return Condition{column + " = ANY " + sql, []any{arg}}
	}
	return Condition{column + " IN " + sql, []any{arg}}
}

// noneOf says that the column is not null and none of a list. An empty list is no
// criterion.
func noneOf(d Dialect, column string, v reflect.Value) Condition {
	switch v.Len() {
	case 0:
		return Condition{}
	case 1:
		return Condition{column + " <> ?", []any{texts(v).Index(0).String()}}
	}
	sql, arg := list(d, v)
	if d == Postgres {
		return Condition{column + " <> ALL " + sql, []any{arg}}
	}
	return Condition{column + " NOT IN " + sql, []any{arg}}
}

// hasAll says that all of a list are among the tags. An empty list is no
// criterion.
func (w *walker) hasAll(column string, v reflect.Value) Condition {
	if v.Len() == 0 {
		return Condition{}
	}
	b, err := json.Marshal(v.Interface())
	if err != nil {
		w.fail("a list of tags that cannot be read")
	}
	if w.d == Postgres {
		return Condition{column + " @> CAST(? AS jsonb)", []any{string(b)}}
	}
	return Condition{"NOT EXISTS (SELECT 1 FROM json_each(?) x WHERE x.value NOT IN (SELECT value FROM json_each(" +
		column + ")))", []any{string(b)}}
}

// hasAny says that one of a list is among the tags; of an empty list none is.
func (w *walker) hasAny(column string, v reflect.Value) Condition {
	if v.Len() == 0 {
		return never()
	}
	sql, arg := list(w.d, v)
	if w.d == Postgres {
		// The function behind the operator ?|, which would read as a placeholder.
		return Condition{"jsonb_exists_any(" + column + ", " + sql + ")", []any{arg}}
	}
	return Condition{"EXISTS (SELECT 1 FROM json_each(" + column + ") x WHERE x.value IN " + sql + ")", []any{arg}}
}

// ilike compares any case. SQLite folds ASCII only, as the reference does there.
func ilike(d Dialect, column string) string {
	if d == Postgres {
		return column + " ILIKE ?"
	}
	return "lower(" + column + ") LIKE lower(?)"
}
