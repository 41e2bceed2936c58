package schema

import (
	"crypto/md5"
	"encoding/hex"
	"slices"
	"strings"
)

// kindNames are the type names in SQLite and in Postgres.
var kindNames = map[Kind][2]string{
	UUID:             {"CHAR(36)", "UUID"},
	Timestamp:        {"DATETIME", "TIMESTAMP WITH TIME ZONE"},
	Interval:         {"DATETIME", "INTERVAL"},
	String:           {"VARCHAR", "VARCHAR"},
	String32:         {"VARCHAR(32)", "VARCHAR(32)"},
	Text:             {"TEXT", "TEXT"},
	Integer:          {"INTEGER", "INTEGER"},
	SmallInt:         {"SMALLINT", "SMALLINT"},
	Float:            {"FLOAT", "DOUBLE PRECISION"},
	Boolean:          {"BOOLEAN", "BOOLEAN"},
	JSONB:            {"JSON", "JSONB"},
	JSON:             {"JSON", "JSON"},
	StateType:        {"VARCHAR(9)", "state_type"},
	DeploymentStatus: {"VARCHAR(9)", "deployment_status"},
	WorkPoolStatus:   {"VARCHAR(9)", "work_pool_status"},
	WorkQueueStatus:  {"VARCHAR(9)", "work_queue_status"},
	WorkerStatus:     {"VARCHAR(7)", "worker_status"},
	Blob:             {"BLOB", "BYTEA"},
	Sequence:         {"INTEGER", "BIGINT GENERATED ALWAYS AS IDENTITY"},
}

// enums are the types that Postgres has beside its own, values in order.
var enums = [][2]string{
	{"state_type", "'SCHEDULED', 'PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED', 'CRASHED', 'PAUSED', 'CANCELLING'"},
	{"deployment_status", "'READY', 'NOT_READY'"},
	{"work_pool_status", "'READY', 'NOT_READY', 'PAUSED'"},
	{"work_queue_status", "'READY', 'NOT_READY', 'PAUSED'"},
	{"worker_status", "'ONLINE', 'OFFLINE'"},
}

// nameLimit is the longest identifier of Postgres.
const nameLimit = 63

// CreatePrefect returns the statements that make the reference's tables in an
// empty database and mark it with the revision.
func CreatePrefect(postgres bool) []string {
	tables := Prefect()
	var all []string
	if postgres {
		all = append(all, "CREATE EXTENSION IF NOT EXISTS pg_trgm")
		for _, e := range enums {
			all = append(all, "CREATE TYPE "+e[0]+" AS ENUM ("+e[1]+")")
		}
	}
	all = append(all, createTables(tables, postgres)...)
	revision := SQLiteRevision
	if postgres {
		revision = PostgresRevision
	}
	return append(all, "INSERT INTO alembic_version (version_num) VALUES ('"+revision+"')")
}

// CreateInterlock returns the statements that make those of our own tables that
// are not present.
func CreateInterlock(postgres bool, present map[string]bool) []string {
	missing := slices.DeleteFunc(Interlock(), func(t Table) bool { return present[t.Name] })
	return createTables(missing, postgres)
}

// CreateIndex returns the statement that makes the index of that name, "" if no
// table of that database has one.
func CreateIndex(name string, postgres bool) string {
	for _, t := range Prefect() {
		for _, i := range t.Indexes {
			if i.Name == name {
				return i.create(t.Name, postgres)
			}
		}
	}
	return ""
}

// createTables makes tables first and references last on Postgres, since
// references have cycles; SQLite takes them inside the table, in any order.
func createTables(tables []Table, postgres bool) []string {
	var creates, indexes, references []string
	for _, t := range tables {
		creates = append(creates, t.create(postgres))
		for _, i := range t.Indexes {
			if sql := i.create(t.Name, postgres); sql != "" {
				indexes = append(indexes, sql)
			}
		}
		if postgres {
			for _, r := range t.References {
				references = append(references, "ALTER TABLE "+t.Name+" ADD "+r.constraint(t.Name, true))
			}
		}
	}
	return append(append(creates, references...), indexes...)
}

func (t Table) create(postgres bool) string {
	var parts []string
	for _, c := range t.Columns {
		parts = append(parts, c.define(postgres))
	}
	parts = append(parts, "CONSTRAINT "+t.keyName()+" PRIMARY KEY ("+t.key()+")")
	for _, u := range t.Uniques {
		parts = append(parts, "CONSTRAINT "+u.Name+" UNIQUE ("+quoteAll(u.Columns)+")")
	}
	for _, c := range t.Checks {
		parts = append(parts, "CONSTRAINT "+shorten(c.fullName(t.Name), postgres)+" CHECK ("+c.Condition+")")
	}
	if !postgres {
		for _, r := range t.References {
			parts = append(parts, r.constraint(t.Name, false))
		}
	}
	return "CREATE TABLE " + t.Name + " (\n\t" + strings.Join(parts, ",\n\t") + "\n)"
}

func (t Table) key() string {
	if t.Key == "" {
		return "id"
	}
	return quoteAll(strings.Split(t.Key, ", "))
}

func (t Table) keyName() string {
	if t.KeyName == "" {
		return "pk_" + t.Name
	}
	return t.KeyName
}

func (c Column) define(postgres bool) string {
	kind, value := kindNames[c.Kind][0], c.Default.SQLite
	if postgres {
		kind, value = kindNames[c.Kind][1], c.Default.Postgres
	}
	sql := quote(c.Name) + " " + kind
	if value != "" {
		sql += " DEFAULT " + value
	}
	if !c.Null {
		sql += " NOT NULL"
	}
	return sql
}

func (r Reference) constraint(table string, postgres bool) string {
	name := r.Name
	if name == "" {
		name = "fk_" + table + "__" + r.Column + "__" + r.Table
	}
	sql := "CONSTRAINT " + shorten(name, postgres) + " FOREIGN KEY (" + r.Column + ") REFERENCES " + r.Table + " (id)"
	if r.OnDelete != "" {
		sql += " ON DELETE " + r.OnDelete
	}
	return sql
}

func (i Index) create(table string, postgres bool) string {
	on, where := i.SQLite, i.WhereSQLite
	if postgres {
		on, where = i.Postgres, i.WherePostgres
	}
	if i.On != "" {
		on = i.On
	}
	if on == "" {
		return ""
	}
	sql := "CREATE INDEX "
	if i.Unique {
		sql = "CREATE UNIQUE INDEX "
	}
	sql += i.Name + " ON " + table
	if postgres && i.Using != "" {
		sql += " USING " + i.Using
	}
	sql += " (" + quoteKeywords(on) + ")"
	if postgres && i.Include != "" {
		sql += " INCLUDE (" + i.Include + ")"
	}
	if where != "" {
		sql += " WHERE " + where
	}
	return sql
}

// shorten cuts a constraint's name as SQLAlchemy does for Postgres, which keeps
// 63 characters: the end gives way to a piece of the name's MD5.
func shorten(name string, postgres bool) string {
	if !postgres || len(name) <= nameLimit {
		return name
	}
	sum := md5.Sum([]byte(name))
	return name[:nameLimit-8] + "_" + hex.EncodeToString(sum[:])[28:]
}

// fullName is doubled, since the reference's naming convention was applied to a
// name that followed it already.
func (c Check) fullName(table string) string { return "ck_" + table + "__ck_" + table + "__" + c.Name }

// quote quotes a column, as some of the reference's are keywords.
func quote(name string) string { return `"` + name + `"` }

func quoteAll(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = quote(n)
	}
	return strings.Join(quoted, ", ")
}

// quoteKeywords quotes the plain columns of an index.
func quoteKeywords(on string) string {
	if strings.ContainsAny(on, "(") {
		return on
	}
	parts := strings.Split(on, ", ")
	for i, p := range parts {
		column, rest, _ := strings.Cut(p, " ")
		parts[i] = strings.TrimSpace(quote(column) + " " + rest)
	}
	return strings.Join(parts, ", ")
}
