package store_test

import (
	"context"
	"database/sql"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/interlock-run/interlock/store"
	"github.com/interlock-run/interlock/store/schema"
	"github.com/interlock-run/interlock/store/storetest"
	"github.com/interlock-run/interlock/store/storetest/pgtest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	pgtest.Stop()
	os.Exit(code)
}

// reference runs a Python program of the reference's virtual environment with
// the database at url.
func reference(t *testing.T, url string, args ...string) string {
	t.Helper()
	bin, err := filepath.Abs("../.build/venv/bin")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(bin); err != nil {
		t.Fatalf("the reference is not installed: run 'make venv'")
	}
	cmd := exec.Command(filepath.Join(bin, args[0]), args[1:]...)
	cmd.Env = append(os.Environ(),
		"PREFECT_HOME="+t.TempDir(),
		"PREFECT_SERVER_ANALYTICS_ENABLED=false",
		"PREFECT_API_DATABASE_CONNECTION_URL="+url)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// alchemy gives a plain Postgres URL the driver that the reference needs.
func alchemy(url string) string {
	return strings.Replace(url, "postgresql://", "postgresql+asyncpg://", 1)
}

func plain(url string) (driver, dsn string) {
	if path, ok := strings.CutPrefix(url, "sqlite+aiosqlite:///"); ok {
		return "sqlite", path
	}
	return "pgx", url
}

func factsOf(t *testing.T, kind, url string) map[string]bool {
	t.Helper()
	if kind == "postgres" {
		return postgresFacts(t, url)
	}
	return sqliteFacts(t, url)
}

// sameFacts names each fact that only one side has.
func sameFacts(t *testing.T, got, want map[string]bool) {
	t.Helper()
	for fact := range want {
		if !got[fact] {
			t.Errorf("missing  %s", fact)
		}
	}
	for fact := range got {
		if !want[fact] {
			t.Errorf("surplus  %s", fact)
		}
	}
}

func TestTheSchemaIsTheReferences(t *testing.T) {
	theirs, ours := storetest.URLs(t), storetest.URLs(t)
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			reference(t, alchemy(theirs[kind]), "prefect", "server", "database", "upgrade", "-y")
			storetest.Open(t, ours[kind])
			want := factsOf(t, kind, theirs[kind])
			if len(want) < 500 {
				t.Fatalf("only %d facts were found in the reference's database", len(want))
			}
			sameFacts(t, factsOf(t, kind, ours[kind]), want)

			// The way from the revisions before the head is the reference's own: its
			// downgrade walks it back.
			first := schema.Steps(kind == "postgres")[0].From
			reference(t, alchemy(theirs[kind]), "prefect", "server", "database", "downgrade", "-y", "-r", first)
			if at := rowsOf(t, theirs[kind], "SELECT version_num FROM alembic_version"); at[0] != first {
				t.Fatalf("the reference went down to %v", at)
			}
			if err := store.Upgrade(context.Background(), theirs[kind]); err != nil {
				t.Fatal(err)
			}
			sameFacts(t, factsOf(t, kind, theirs[kind]), want)
		})
	}
}

// execute runs a statement on the database at url.
func execute(t *testing.T, url, statement string) {
	t.Helper()
	driver, dsn := plain(url)
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// rowsOf returns the rows of a query as text, columns apart by a bar.
func rowsOf(t *testing.T, url, query string) []string {
	t.Helper()
	driver, dsn := plain(url)
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(context.Background(), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for rows.Next() {
		values := make([]sql.NullString, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		texts := make([]string, len(columns))
		for i, v := range values {
			texts[i] = v.String
		}
		all = append(all, strings.Join(texts, " | "))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

var (
	spaces  = regexp.MustCompile(`\s+`)
	without = regexp.MustCompile(`[\s"()]`)
)

// facts makes a set of the lines that are not about our own tables.
func facts(set map[string]bool, kind string, lines []string, normal func(string) string) {
	for _, l := range lines {
		if !strings.Contains(l, "interlock_") {
			set[kind+" "+normal(l)] = true
		}
	}
}

func same(s string) string { return spaces.ReplaceAllString(s, " ") }

// bare drops spaces, quotes, parentheses and case, which SQL texts that mean the
// same differ in.
func bare(s string) string { return strings.ToLower(without.ReplaceAllString(s, "")) }

func sqliteFacts(t *testing.T, url string) map[string]bool {
	set := map[string]bool{}
	facts(set, "column", rowsOf(t, url, `SELECT m.name, x.name, x.type, x."notnull", x.dflt_value, x.pk
		FROM sqlite_master m, pragma_table_xinfo(m.name) x WHERE m.type = 'table'`), bare)
	facts(set, "foreign key", rowsOf(t, url, `SELECT m.name, f."from", f."table", f."to", f.on_delete, f.on_update
		FROM sqlite_master m, pragma_foreign_key_list(m.name) f WHERE m.type = 'table'`), bare)
	facts(set, "unique", rowsOf(t, url, `SELECT m.name, i.origin, i."unique", group_concat(c.name)
		FROM sqlite_master m, pragma_index_list(m.name) i, pragma_index_info(i.name) c
		WHERE m.type = 'table' AND i.origin <> 'c' GROUP BY m.name, i.name`), same)
	facts(set, "index", rowsOf(t, url, `SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL`), bare)
	for _, row := range rowsOf(t, url, `SELECT name, sql FROM sqlite_master WHERE type = 'table'`) {
		table, text, _ := strings.Cut(row, " | ")
		for _, name := range regexp.MustCompile(`CONSTRAINT (\w+)`).FindAllStringSubmatch(text, -1) {
			facts(set, "constraint", []string{table + " " + name[1]}, same)
		}
	}
	facts(set, "revision", rowsOf(t, url, "SELECT version_num FROM alembic_version"), same)
	facts(set, "other", rowsOf(t, url, "SELECT type, name FROM sqlite_master WHERE type NOT IN ('table', 'index')"), same)
	return set
}

func postgresFacts(t *testing.T, url string) map[string]bool {
	set := map[string]bool{}
	facts(set, "column", rowsOf(t, url, `SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid)
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
		WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped`), same)
	facts(set, "constraint", rowsOf(t, url, `SELECT c.relname, k.conname, k.contype::text, pg_get_constraintdef(k.oid)
		FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid WHERE c.relnamespace = 'public'::regnamespace AND k.contype <> 'n'`), same)
	facts(set, "index", rowsOf(t, url, `SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'`), same)
	facts(set, "enum", rowsOf(t, url, `SELECT t.typname, string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder)
		FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid GROUP BY 1`), same)
	facts(set, "extension", rowsOf(t, url, `SELECT extname FROM pg_extension`), same)
	facts(set, "trigger or function", rowsOf(t, url, `SELECT tgname FROM pg_trigger WHERE NOT tgisinternal
		UNION SELECT viewname FROM pg_views WHERE schemaname = 'public'`), same)
	facts(set, "revision", rowsOf(t, url, "SELECT version_num FROM alembic_version"), same)
	return set
}
