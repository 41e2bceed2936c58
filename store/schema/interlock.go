package schema

// Version counts the changes of our own tables that are more than a new table,
// which is added wherever it is missing; interlock_meta holds the one that a
// database has. A database of an older one is brought here when it is opened, by
// [InterlockSteps].
const Version = 3

// Interlock returns our own tables, which Prefect's never refer to. What is
// written in every transition has no index but those that a read needs.
func Interlock() []Table {
	return []Table{
		{
			Name: "interlock_meta",
			Key:  "key",
			Columns: []Column{
				{Name: "key", Kind: String},
				{Name: "value", Kind: Text},
			},
		},
		{
			Name: "interlock_policy_module",
			Key:  "digest",
			Columns: []Column{
				{Name: "digest", Kind: String},
				{Name: "created", Kind: Timestamp},
				{Name: "size", Kind: Integer},
				{Name: "manifest", Kind: JSONB},
				{Name: "wasm", Kind: Blob},
			},
		},
		{
			Name: "interlock_policy_version",
			Key:  "name, version",
			Columns: []Column{
				{Name: "name", Kind: String},
				{Name: "version", Kind: Integer},
				{Name: "created", Kind: Timestamp},
				{Name: "reason", Kind: Text},
				{Name: "entries", Kind: JSONB},
			},
		},
		{
			Name: "interlock_policy_decision",
			Key:  "seq",
			Columns: []Column{
				{Name: "seq", Kind: Sequence},
				{Name: "id", Kind: UUID},
				{Name: "created", Kind: Timestamp},
				{Name: "run_type", Kind: String},
				{Name: "run_id", Kind: UUID},
				{Name: "transition_id", Kind: UUID, Null: true},
				{Name: "written", Kind: Boolean},
				{Name: "state_id", Kind: UUID, Null: true},
				{Name: "body", Kind: JSON},
			},
			Indexes: []Index{
				{Name: "ix_interlock_policy_decision__run_id_transition_id", On: "run_id, transition_id"},
			},
		},
		{
			// Attempts at changing policies, those that were refused included.
			Name: "interlock_policy_audit",
			Key:  "seq",
			Columns: []Column{
				{Name: "seq", Kind: Sequence},
				{Name: "id", Kind: UUID},
				{Name: "created", Kind: Timestamp},
				{Name: "policy", Kind: String},
				{Name: "outcome", Kind: String},
				{Name: "body", Kind: JSON},
			},
		},
		{
			// Leases of slots; one can be of no limit at all. Without an expiry it
			// ends with its holder, a run.
			Name: "interlock_slot_lease",
			Columns: []Column{
				{Name: "id", Kind: UUID},
				{Name: "created", Kind: Timestamp},
				{Name: "expires", Kind: Timestamp, Null: true},
				{Name: "slots", Kind: Integer}, // of each limit
				{Name: "holder_type", Kind: String, Null: true},
				{Name: "holder_id", Kind: UUID, Null: true},
			},
			Indexes: []Index{
				{Name: "ix_interlock_slot_lease__expires", On: "expires"},
				{Name: "ix_interlock_slot_lease__holder_id", On: "holder_id"},
			},
		},
		{
			// Which limits a lease holds slots of. Their counts in
			// concurrency_limit_v2 are kept in the same transactions.
			Name: "interlock_slot_holding",
			Key:  "lease_id, limit_id",
			Columns: []Column{
				{Name: "lease_id", Kind: UUID},
				{Name: "limit_id", Kind: UUID},
			},
		},
		{
			// Background task runs that wait for a task worker, one row a run.
			Name: "interlock_task_queue",
			Key:  "seq",
			Columns: []Column{
				{Name: "seq", Kind: Sequence},
				{Name: "run_id", Kind: UUID},
				{Name: "task_key", Kind: String},
				{Name: "rank", Kind: SmallInt},               // what goes first: 0 retries, 1 scheduled runs
				{Name: "due", Kind: Timestamp},               // hidden until then; a claim hides for as long as it lasts
				{Name: "claim", Kind: UUID, Null: true},      // of the worker that it is on its way to
				{Name: "again", Kind: Timestamp, Null: true}, // due then, if it was queued again under the claim
			},
			Uniques: []Unique{{Name: "uq_interlock_task_queue__run_id", Columns: []string{"run_id"}}},
			Indexes: []Index{{Name: "ix_interlock_task_queue__task_key_rank_seq", On: "task_key, rank, seq"}},
		},
		{
			Name: "interlock_outbox",
			Key:  "seq",
			Columns: []Column{
				{Name: "seq", Kind: Sequence},
				{Name: "kind", Kind: String},
				{Name: "key", Kind: String},
				{Name: "payload", Kind: JSON},
				{Name: "created", Kind: Timestamp},
			},
		},
	}
}

// InterlockSteps returns the statements that bring our tables from a version to
// the next one, nil for a version that has none.
func InterlockSteps(from int, postgres bool) []string {
	switch {
	case from == 1 && postgres:
		return []string{
			"ALTER TABLE interlock_slot_lease ALTER COLUMN expires DROP NOT NULL",
			"CREATE INDEX ix_interlock_slot_lease__holder_id ON interlock_slot_lease (holder_id)",
		}
	case from == 1:
		return remake("interlock_slot_lease", "id, created, expires, slots, holder_type, holder_id", "ix_interlock_slot_lease__expires")
	case from == 2 && postgres:
		return []string{"ALTER TABLE IF EXISTS interlock_task_queue ADD COLUMN IF NOT EXISTS again TIMESTAMP WITH TIME ZONE"}
	case from == 2:
		// A database of version 2 need not have the table, which came later.
		const columns = "seq, run_id, task_key, rank, due, claim"
		return append([]string{"CREATE TABLE IF NOT EXISTS interlock_task_queue (" + columns + ")"},
			remake("interlock_task_queue", columns, "ix_interlock_task_queue__task_key_rank_seq")...)
	}
	return nil
}

// remake returns the statements that make a table of ours anew in SQLite, which
// cannot change a column, with the rows that it has and without its old indexes.
func remake(name, columns string, indexes ...string) []string {
	var steps []string
	for _, i := range indexes {
		steps = append(steps, "DROP INDEX IF EXISTS "+i)
	}
	steps = append(steps, "ALTER TABLE "+name+" RENAME TO "+name+"_old")
	steps = append(steps, CreateInterlock(false, allBut(name))...)
	return append(steps,
		"INSERT INTO "+name+" ("+columns+") SELECT "+columns+" FROM "+name+"_old",
		"DROP TABLE "+name+"_old")
}

// allBut says that all of our tables are present but one.
func allBut(name string) map[string]bool {
	present := map[string]bool{}
	for _, t := range Interlock() {
		present[t.Name] = t.Name != name
	}
	return present
}
