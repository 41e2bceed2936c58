package store

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

const (
	// revisionKey is the row of interlock_meta that counts changes of policies.
	revisionKey = "policy_revision"
	// policyChannel is notified of them on Postgres.
	policyChannel = "interlock_policy"
)

// SaveModule stores a module. Its digest is its identity: the same digest again
// changes nothing and returns false. The audit row, if not nil, is stored in the
// same transaction, here and below.
func (db *DB) SaveModule(ctx context.Context, m *prefect.PolicyModule, audit *prefect.PolicyAudit) (created bool, err error) {
	err = db.write(ctx, func(tx *tx) error {
		n, err := affected(tx.ExecContext(ctx, insertInto("interlock_policy_module", "digest, created, size, manifest, wasm")+" ON CONFLICT (digest) DO NOTHING",
			tx.d.args(m.Digest, m.Created, m.Size, object(m.Manifest), m.Wasm)...))
		if err != nil {
			return err
		}
		created = n > 0
		return insertAudit(ctx, tx, audit)
	})
	return created, err
}

// ReadModule returns a module with its bytes. Errors: NotFound.
func (db *DB) ReadModule(ctx context.Context, digest string) (m *prefect.PolicyModule, err error) {
	scan := func(row scanner) (*prefect.PolicyModule, error) {
		m := &prefect.PolicyModule{}
		return m, row.Scan(&m.Digest, into(&m.Created), &m.Size, into(&m.Manifest), &m.Wasm)
	}
	err = db.read(ctx, func(q querier) error {
		m, err = one(scan, q.QueryRowContext(ctx, "SELECT digest, created, size, manifest, wasm FROM interlock_policy_module WHERE digest = ?", digest))
		return err
	})
	return m, named(err, "policy_module", digest)
}

// ListModules returns all modules without their bytes, newest first.
func (db *DB) ListModules(ctx context.Context) (list []*prefect.PolicyModule, err error) {
	scan := func(row scanner) (*prefect.PolicyModule, error) {
		m := &prefect.PolicyModule{}
		return m, row.Scan(&m.Digest, into(&m.Created), &m.Size, into(&m.Manifest))
	}
	err = db.read(ctx, func(q querier) error {
		list, err = all(ctx, q, scan, "SELECT digest, created, size, manifest FROM interlock_policy_module ORDER BY created DESC, digest")
		return err
	})
	return list, err
}

// DeleteModule deletes a module. Errors: NotFound, Conflict while the active
// version of a policy names it.
func (db *DB) DeleteModule(ctx context.Context, digest string, audit *prefect.PolicyAudit) error {
	err := db.write(ctx, func(tx *tx) error {
		if err := lockPolicies(ctx, tx); err != nil {
			return err
		}
		active, err := activePolicies(ctx, tx)
		if err != nil {
			return err
		}
		for _, v := range active {
			for _, e := range v.Entries {
				if e.Module == digest {
					return prefect.Errorf(prefect.Conflict, "module %s is used by entry %s of policy %s", digest, e.Name, v.Name)
				}
			}
		}
		if err := deleteWhere(ctx, tx, "interlock_policy_module", "digest = ?", digest); err != nil {
			return err
		}
		if err := insertAudit(ctx, tx, audit); err != nil {
			return err
		}
		return policiesChanged(ctx, tx)
	})
	return named(err, "policy_module", digest)
}

const versionColumns = "name, version, created, reason, entries"

func scanVersion(row scanner) (*prefect.PolicyVersion, error) {
	v := &prefect.PolicyVersion{}
	var entries json.RawMessage
	if err := row.Scan(&v.Name, &v.Version, into(&v.Created), &v.Reason, into(&entries)); err != nil {
		return nil, err
	}
	v.Entries = []prefect.PolicyEntry{}
	if len(entries) == 0 {
		return v, nil
	}
	return v, json.Unmarshal(entries, &v.Entries)
}

// ActivePolicies returns the highest version of each policy, by name.
func (db *DB) ActivePolicies(ctx context.Context) (list []*prefect.PolicyVersion, err error) {
	err = db.read(ctx, func(q querier) error {
		list, err = activePolicies(ctx, q)
		return err
	})
	return list, err
}

func activePolicies(ctx context.Context, q querier) ([]*prefect.PolicyVersion, error) {
	return all(ctx, q, scanVersion, "SELECT "+versionColumns+` FROM interlock_policy_version v
		WHERE version = (SELECT max(version) FROM interlock_policy_version x WHERE x.name = v.name) ORDER BY name`)
}

// ReadPolicyVersions returns all versions of a policy, newest first; none for a
// name that has no policy.
func (db *DB) ReadPolicyVersions(ctx context.Context, name string) (list []*prefect.PolicyVersion, err error) {
	err = db.read(ctx, func(q querier) error {
		list, err = all(ctx, q, scanVersion, "SELECT "+versionColumns+" FROM interlock_policy_version WHERE name = ? ORDER BY version DESC", name)
		return err
	})
	return list, err
}

// SavePolicyVersion stores v as version expect+1 of its policy and so makes it
// the active one. Errors: Conflict when the active version is not expect (0: none
// yet), or when v names a module that is not stored.
func (db *DB) SavePolicyVersion(ctx context.Context, v *prefect.PolicyVersion, expect int, audit *prefect.PolicyAudit) error {
	entries, err := marshal(v.Entries)
	if err != nil {
		return err
	}
	return db.write(ctx, func(tx *tx) error {
		if err := lockPolicies(ctx, tx); err != nil {
			return err
		}
		var active int
		if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(version), 0) FROM interlock_policy_version WHERE name = ?", v.Name).Scan(&active); err != nil {
			return err
		}
		if active != expect {
			return prefect.Errorf(prefect.Conflict, "policy %s is at version %d, not %d", v.Name, active, expect)
		}
		for _, e := range v.Entries {
			if err := checkModule(ctx, tx, e); err != nil {
				return err
			}
		}
		v.Version = expect + 1
		_, err := tx.ExecContext(ctx, insertInto("interlock_policy_version", versionColumns),
			tx.d.args(v.Name, v.Version, v.Created, v.Reason, entries)...)
		if err != nil {
			return err
		}
		if audit != nil {
			audit.Version = v.Version
		}
		if err := insertAudit(ctx, tx, audit); err != nil {
			return err
		}
		return policiesChanged(ctx, tx)
	})
}

// checkModule keeps an entry from naming a module that was deleted meanwhile.
func checkModule(ctx context.Context, tx *tx, e prefect.PolicyEntry) error {
	if e.Module == prefect.BuiltinModule || e.Module == prefect.HostModule {
		return nil
	}
	var n int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM interlock_policy_module WHERE digest = ?", e.Module).Scan(&n); err != nil {
		return err
	}
	if n == 0 {
		return prefect.Errorf(prefect.Conflict, "entry %s: module %s is not stored", e.Name, e.Module)
	}
	return nil
}

// lockPolicies makes changes of policies wait for each other. The only writer of
// SQLite does that by itself.
func lockPolicies(ctx context.Context, tx *tx) error {
	if !tx.d.postgres {
		return nil
	}
	_, err := tx.ExecContext(ctx, "LOCK TABLE interlock_policy_version IN SHARE ROW EXCLUSIVE MODE")
	return err
}

// policiesChanged counts the change, and wakes those who listen.
func policiesChanged(ctx context.Context, tx *tx) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO interlock_meta (key, value) VALUES (?, '1')
		ON CONFLICT (key) DO UPDATE SET value = CAST(CAST(interlock_meta.value AS bigint) + 1 AS text)`, revisionKey)
	if err != nil || !tx.d.postgres {
		return err
	}
	_, err = tx.ExecContext(ctx, "NOTIFY "+policyChannel)
	return err
}

// PolicyRevision returns a number that changes with every change of policies or
// of the modules they may name.
func (db *DB) PolicyRevision(ctx context.Context) (int64, error) {
	var value string
	err := db.read(ctx, func(q querier) (err error) {
		value, err = one(scanText, q.QueryRowContext(ctx, "SELECT value FROM interlock_meta WHERE key = ?", revisionKey))
		return err
	})
	if errors.Is(err, errNoRow) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(value, 10, 64)
}

// ListenPolicies calls fn after every change of policies by any process, and each
// time it may have missed one, until ctx ends. SQLite has one process, so there
// it returns nil at once.
func (db *DB) ListenPolicies(ctx context.Context, fn func()) error {
	if !db.d.postgres {
		return nil
	}
	return db.listen(ctx, policyChannel, fn)
}

func insertDecision(ctx context.Context, tx *tx, d *prefect.Decision) error {
	insert, err := decisionOf(tx.d, d)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, insert.sql, insert.args...)
	return wrapf(err, "insert decision")
}

func decisionOf(d *dialect, decision *prefect.Decision) (statement, error) {
	body, err := marshal(decision)
	return statement{
		sql: insertInto("interlock_policy_decision", "id, created, run_type, run_id, transition_id, written, state_id, body"),
		args: d.args(decision.ID, decision.Created, string(decision.RunType), decision.RunID, decision.TransitionID,
			decision.StateID != nil, decision.StateID, string(body)),
	}, err
}

func scanDecision(row scanner) (*prefect.Decision, error) {
	d := &prefect.Decision{}
	var body json.RawMessage
	if err := row.Scan(into(&body)); err != nil {
		return nil, err
	}
	return d, json.Unmarshal(body, d)
}

// FilterDecisions returns decision records, oldest first and no more than the limit.
func (db *DB) FilterDecisions(ctx context.Context, f prefect.DecisionFilter) (list []*prefect.Decision, err error) {
	where, args := " WHERE 1 = 1", []any{}
	if f.RunType != "" {
		where, args = where+" AND run_type = ?", append(args, string(f.RunType))
	}
	if f.RunID != nil {
		where, args = where+" AND run_id = ?", append(args, db.d.arg(f.RunID))
	}
	err = db.read(ctx, func(q querier) error {
		list, err = all(ctx, q, scanDecision, "SELECT body FROM interlock_policy_decision"+where+" ORDER BY seq LIMIT ? OFFSET ?",
			append(args, max(f.Limit, 0), f.Offset)...)
		return err
	})
	return list, err
}

// FindDecision returns the decision that answered this transition id of the run
// and wrote a state, with that state; nothing if there is none.
func (db *DB) FindDecision(ctx context.Context, run prefect.RunType, runID, transitionID uuid.UUID) (d *prefect.Decision, s *prefect.State, err error) {
	err = db.read(ctx, func(q querier) error {
		d, s, err = findDecision(ctx, q, db.d, run, runID, transitionID)
		return err
	})
	return d, s, err
}

func findDecision(ctx context.Context, q querier, d *dialect, run prefect.RunType, runID, transitionID uuid.UUID) (*prefect.Decision, *prefect.State, error) {
	var s *prefect.State
	scan := func(row scanner) (*prefect.Decision, error) {
		found := &prefect.Decision{}
		var body json.RawMessage
		var r stateRow
		if err := row.Scan(append([]any{into(&body)}, r.columns()...)...); err != nil {
			return nil, err
		}
		var err error
		if s, err = r.state(); err != nil {
			return nil, err
		}
		return found, json.Unmarshal(body, found)
	}
	found, err := one(scan, q.QueryRowContext(ctx, "SELECT d.body, "+stateColumns+" FROM interlock_policy_decision d JOIN "+tablesOf(run).state+
		" s ON s.id = d.state_id"+stateArtifact+" WHERE d.run_id = ? AND d.transition_id = ? LIMIT 1", d.args(runID, transitionID)...))
	switch {
	case errors.Is(err, errNoRow):
		return nil, nil, nil
	case err != nil:
		return nil, nil, err
	}
	return found, s, nil
}

// deleteDecisions deletes the records of the runs that a query selects, which is
// to run before the runs themselves are deleted; with flow runs go those of
// their task runs.
func deleteDecisions(ctx context.Context, tx *tx, runs string, id uuid.UUID) error {
	key := tx.d.arg(id)
	_, err := tx.ExecContext(ctx, "DELETE FROM interlock_policy_decision WHERE run_id IN ("+runs+
		" UNION ALL SELECT id FROM task_run WHERE flow_run_id IN ("+runs+"))", key, key)
	return wrapf(err, "delete decisions")
}
