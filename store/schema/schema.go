package schema

// Revisions of the reference's migrations that the declared tables are equal to.
const (
	SQLiteRevision   = "a3b9c7d2e5f1"
	PostgresRevision = "d4a7e1c93f52"
)

// Step is a migration of the reference that does nothing but build an index. It
// ends at revision To.
type Step struct{ From, To, Index string }

// Steps returns the migrations that lead to the head and build indexes alone,
// oldest first, so that each begins where the one before it ends.
func Steps(postgres bool) []Step {
	const occurred, event = "ix_event_resources__occurred", "ix_event_resources__event_id"
	const deployment, start = "ix_flow_run__deployment_id", "ix_flow_run__state_type_coalesce_start_time"
	if postgres {
		return []Step{
			{"7218aad17905", "bad1e352c597", occurred},
			{"bad1e352c597", "50737cdaee36", event},
			{"50737cdaee36", "9e9dadc36797", deployment},
			{"9e9dadc36797", "c8d5f2a71b3e", occurred}, // again, where it was left invalid
			{"c8d5f2a71b3e", PostgresRevision, start},
		}
	}
	return []Step{
		{"2095de406cbe", "79e7a60e43d8", occurred},
		{"79e7a60e43d8", "14806cb26270", event},
		{"14806cb26270", "f416ea180ae1", deployment},
		{"f416ea180ae1", SQLiteRevision, start},
	}
}

// Kind is what a column holds.
type Kind int

// The kinds; what each is called in the two databases stands in kindNames.
const (
	UUID Kind = iota
	Timestamp
	Interval // SQLite: an instant that far from 1970
	String
	String32
	Text
	Integer
	SmallInt
	Float
	Boolean
	JSONB // JSON text in SQLite
	JSON  // not binary on Postgres either
	StateType
	DeploymentStatus
	WorkPoolStatus
	WorkQueueStatus
	WorkerStatus
	Blob     // ours
	Sequence // ours: an integer key that counts up by itself
)

// Table is one table of both databases.
type Table struct {
	Name       string
	Columns    []Column
	Key        string // the primary key's columns, "id" if empty
	KeyName    string // of the primary key's constraint, pk_<table> if empty
	Uniques    []Unique
	References []Reference
	Checks     []Check
	Indexes    []Index
}

// Column is one column, NOT NULL unless Null.
type Column struct {
	Name    string
	Kind    Kind
	Null    bool
	Default Default
}

// Default is a column's default as SQL; empty means none.
type Default struct{ SQLite, Postgres string }

// Unique is a constraint on a table.
type Unique struct {
	Name    string
	Columns []string
}

// Reference is a foreign key to a table's id.
type Reference struct {
	Name          string // of the constraint; fk_<table>__<column>__<referred> if empty
	Column, Table string
	OnDelete      string // CASCADE, SET NULL or nothing
}

// Check is a constraint on the rows of a table.
type Check struct{ Name, Condition string }

// Index is one index. On holds for both databases; SQLite and Postgres are set
// instead where the lists differ, or where only one of them has the index.
type Index struct {
	Name                       string
	Unique                     bool
	On                         string
	SQLite, Postgres           string
	WhereSQLite, WherePostgres string
	Using                      string // Postgres: an access method other than btree
	Include                    string // Postgres: columns kept beside the key
}

// literal is a constant default. SQLite takes the text as it is, Postgres casts
// it to the column's type.
func literal(sql string) Default { return Default{sql, sql} }

// The defaults of the reference. Its id on SQLite is put together from random
// digits; genRandomUUID names a function that SQLite lacks, and stays so, since the
// tables have to be equal (rows are always inserted with an id).
var (
	newID            = Default{sqliteUUID, "gen_random_uuid()"}
	genRandomUUID    = Default{"(GEN_RANDOM_UUID())", "gen_random_uuid()"}
	now              = Default{"(strftime('%Y-%m-%d %H:%M:%f000', 'now'))", "CURRENT_TIMESTAMP"}
	currentTimestamp = Default{"CURRENT_TIMESTAMP", "CURRENT_TIMESTAMP"}
)

const sqliteUUID = `((lower(hex(randomblob(4))) || '-' || lower(hex(randomblob(2))) || '-4' || substr(lower(hex(randomblob(2))),2) || '-' || substr('89ab',abs(random()) % 4 + 1, 1) || substr(lower(hex(randomblob(2))),2) || '-' || lower(hex(randomblob(6)))))`

// The columns that nearly every table has.
var (
	id      = Column{Name: "id", Kind: UUID, Default: newID}
	created = Column{Name: "created", Kind: Timestamp, Default: now}
	updated = Column{Name: "updated", Kind: Timestamp, Default: now}
)

// Prefect returns the reference's tables, each after those that it refers to
// where the references have no cycle.
func Prefect() []Table {
	var all []Table
	for _, group := range [][]Table{others(), blocks(), deployments(), runs(), events()} {
		all = append(all, group...)
	}
	return all
}
