package twin

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/interlock-run/interlock/test/servers"
)

// row is one row to be written, as its table's columns.
type row struct {
	table   string
	columns object
}

// write inserts rows, many at a time. Foreign keys are left to the scripts,
// which have rows that point at what is missing, and at each other.
func (s *side) write(ctx context.Context, rows []row) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing to undo after the commit
	postgres := servers.IsPostgres(s.server.DatabaseURL)
	if postgres {
		if _, err := tx.ExecContext(ctx, "SET LOCAL session_replication_role = replica"); err != nil {
			return err
		}
	}
	groups := map[string][]object{}
	var order []string
	for _, r := range rows {
		if !postgres && (r.table == "flow_run" || r.table == "task_run") {
			r.columns["total_run_time"] = time.Unix(0, 0) // how the reference writes intervals there
		}
		var names []string
		for name := range r.columns {
			names = append(names, `"`+name+`"`)
		}
		slices.Sort(names)
		head := fmt.Sprintf("INSERT INTO %s (%s) VALUES ", r.table, strings.Join(names, ", "))
		if groups[head] == nil {
			order = append(order, head)
		}
		groups[head] = append(groups[head], r.columns)
	}
	for _, head := range order {
		for part := range slices.Chunk(groups[head], 500) {
			sql, args := values(part, postgres)
			if _, err := tx.ExecContext(ctx, head+sql, args...); err != nil {
				return fmt.Errorf("%s: %s: %w", s.server.Kind, head, err)
			}
		}
	}
	return tx.Commit()
}

// values writes the value lists of rows with the same columns.
func values(rows []object, postgres bool) (string, []any) {
	var sql strings.Builder
	var args []any
	for i, r := range rows {
		if i > 0 {
			sql.WriteString(", ")
		}
		var names []string
		for name := range r {
			names = append(names, name)
		}
		slices.SortFunc(names, func(a, b string) int { return strings.Compare(`"`+a+`"`, `"`+b+`"`) })
		for j, name := range names {
			sep := ", "
			if j == 0 {
				sep = "("
			}
			v := r[name]
			if t, ok := v.(time.Time); ok && !postgres {
				v = t.UTC().Format("2006-01-02 15:04:05.000000")
			}
			args = append(args, v)
			fmt.Fprintf(&sql, "%s$%d", sep, len(args))
		}
		sql.WriteString(")")
	}
	return sql.String(), args
}
