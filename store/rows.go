package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store/query"
)

// errNoRow is one's error until named says what was looked for.
var errNoRow = errors.New("no such row")

// one scans a single row. Errors: errNoRow.
func one[T any](scan func(scanner) (T, error), row *sql.Row) (T, error) {
	v, err := scan(row)
	if errors.Is(err, sql.ErrNoRows) {
		err = errNoRow
	}
	return v, err
}

// all scans every row of a query; the list is never nil.
func all[T any](ctx context.Context, q querier, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []T{}
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, rows.Err()
}

func scanID(row scanner) (id uuid.UUID, err error) {
	err = row.Scan(into(&id))
	return id, err
}

func scanText(row scanner) (text string, err error) {
	err = row.Scan(&text)
	return text, err
}

// named makes errNoRow a NotFound that names the noun by its table, and its key.
func named(err error, table string, key any) error {
	if !errors.Is(err, errNoRow) {
		return err
	}
	return prefect.Errorf(prefect.NotFound, "%s %v not found", strings.ReplaceAll(table, "_", " "), key)
}

// anyOf is anyKey for ids.
func (d *dialect) anyOf(column string, ids []uuid.UUID) (sql string, arg any) {
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = id.String()
	}
	return d.anyKey(column, list)
}

// anyKey says that a column, an id or a name, is one of a list, bound as one value.
func (d *dialect) anyKey(column string, list []string) (sql string, arg any) {
	switch {
	case !d.postgres:
		return column + " IN (SELECT value FROM json_each(?))", string(stringList(list))
	case column == "id" || strings.HasSuffix(column, "_id") || strings.HasSuffix(column, ".id"):
		return column + " = ANY (CAST(CAST(? AS text[]) AS uuid[]))", list
	}
	return column + " = ANY (CAST(? AS text[]))", withoutNULs(list)
}

// affected returns how many rows a statement changed.
func affected(result sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// deleteOne deletes the row of table with that id. Errors: errNoRow.
func deleteOne(ctx context.Context, tx *tx, table string, id uuid.UUID) error {
	return deleteWhere(ctx, tx, table, "id = ?", id)
}

// deleteWhere deletes the row of table that a condition selects. Errors: errNoRow.
func deleteWhere(ctx context.Context, tx *tx, table, where string, keys ...any) error {
	n, err := affected(tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE "+where, tx.d.args(keys...)...))
	if err == nil && n == 0 {
		err = errNoRow
	}
	return err
}

// columnList is the columns of a SELECT. In SQLite each has a plus sign, which
// does nothing but hide its declared type: the driver would look that up for each
// value, and parse times in its own, slower way.
type columnList struct{ sqlite, postgres string }

func newColumnList(columns string) columnList {
	return columnList{sqlite: "+" + strings.Join(splitColumns(columns), ", +"), postgres: columns}
}

func (d *dialect) columns(c columnList) string { return d.pick(c.sqlite, c.postgres) }

// query returns the dialect as package query names it.
func (d *dialect) query() query.Dialect {
	if d.postgres {
		return query.Postgres
	}
	return query.SQLite
}

// lock ends a SELECT whose row of table is to be written next. SQLite has one
// writer and needs none.
func (d *dialect) lock(table string) string { return d.pick("", " FOR UPDATE OF "+table) }

// secondsBetween is the number of seconds from one time expression to another.
func (d *dialect) secondsBetween(to, from string) string {
	if d.postgres {
		return "extract(epoch FROM CAST(" + to + " AS timestamptz) - " + from + ")"
	}
	return "((julianday(" + to + ") - julianday(" + from + ")) * 86400.0)"
}

// later returns the stamp for the next write of a row that was last written at
// last: now, or just after last if the clock is not past it.
func later(now, last prefect.Time) prefect.Time {
	if now.After(last.Time) {
		return now
	}
	return last.Add(time.Microsecond)
}

// selection is a FROM item, named as its table, of the rows that a page of a
// filtered query has, and the order that they are to be read in. What is joined to
// it is then looked up for those rows alone.
func (db *DB) selection(noun query.Noun, f prefect.Filters, p prefect.Page) (from, order string, args []any, err error) {
	c, err := query.Filters(db.d.query(), noun, f)
	if err != nil {
		return "", "", nil, err
	}
	by, err := query.OrderBy(noun, p.Sort)
	if err != nil {
		return "", "", nil, err
	}
	from = fmt.Sprintf("(SELECT * FROM %s%s%s LIMIT ? OFFSET ?) AS %s", noun, c.Where(), by, noun)
	return from, by, append(c.Args, p.Limit, p.Offset), nil
}

// count returns how many rows of noun the filters select.
func (db *DB) count(ctx context.Context, noun query.Noun, f prefect.Filters) (int, error) {
	c, err := query.Filters(db.d.query(), noun, f)
	if err != nil {
		return 0, err
	}
	var n int
	err = db.read(ctx, func(q querier) error {
		return q.QueryRowContext(ctx, fmt.Sprintf("SELECT count(*) FROM %s%s", noun, c.Where()), c.Args...).Scan(&n)
	})
	return n, err
}
