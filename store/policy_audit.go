package store

import (
	"context"
	"encoding/json"

	"github.com/interlock-run/interlock/host/prefect"
)

// Of refused attempts, which everybody can make, the newest are kept: so many, and
// up to auditTrim more until the next time that old ones are deleted. What was done
// is kept for ever.
const (
	keptRefusals = 10_000
	auditTrim    = 100
)

// AddPolicyAudit stores an attempt that changed nothing else in the database.
func (db *DB) AddPolicyAudit(ctx context.Context, a *prefect.PolicyAudit) error {
	return db.write(ctx, func(tx *tx) error { return insertAudit(ctx, tx, a) })
}

// insertAudit stores an attempt with what it changed; nil stores nothing.
func insertAudit(ctx context.Context, tx *tx, a *prefect.PolicyAudit) error {
	if a == nil {
		return nil
	}
	body, err := marshal(a)
	if err != nil {
		return err
	}
	var seq int64
	err = tx.QueryRowContext(ctx, insertInto("interlock_policy_audit", "id, created, policy, outcome, body")+" RETURNING seq",
		tx.d.args(a.ID, a.Created, tx.d.textArg(a.Policy), a.Outcome, string(body))...).Scan(&seq)
	if err == nil && a.Outcome == prefect.AuditRefused && seq%auditTrim == 0 {
		_, err = tx.ExecContext(ctx, `DELETE FROM interlock_policy_audit WHERE outcome = ? AND seq <= (
			SELECT seq FROM interlock_policy_audit WHERE outcome = ? ORDER BY seq DESC LIMIT 1 OFFSET ?)`,
			prefect.AuditRefused, prefect.AuditRefused, keptRefusals)
	}
	return wrapf(err, "insert policy audit")
}

// FilterPolicyAudit returns attempts, newest first and no more than the limit.
func (db *DB) FilterPolicyAudit(ctx context.Context, f prefect.PolicyAuditFilter) (list []*prefect.PolicyAudit, err error) {
	scan := func(row scanner) (*prefect.PolicyAudit, error) {
		a := &prefect.PolicyAudit{}
		var body json.RawMessage
		if err := row.Scan(into(&body)); err != nil {
			return nil, err
		}
		return a, json.Unmarshal(body, a)
	}
	where, args := " WHERE 1 = 1", []any{}
	if f.Policy != "" {
		where, args = where+" AND policy = ?", append(args, db.d.textArg(f.Policy))
	}
	if f.Outcome != "" {
		where, args = where+" AND outcome = ?", append(args, f.Outcome)
	}
	err = db.read(ctx, func(q querier) error {
		list, err = all(ctx, q, scan, "SELECT body FROM interlock_policy_audit"+where+" ORDER BY seq DESC LIMIT ? OFFSET ?",
			append(args, max(f.Limit, 0), f.Offset)...)
		return err
	})
	return list, err
}
