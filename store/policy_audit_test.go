package store

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store/storetest/pgtest"
)

// TestRefusalsAreBounded: the newest of them are kept, and all that was done.
func TestRefusalsAreBounded(t *testing.T) {
	sqlite, _ := openTemp(t)
	for name, db := range map[string]*DB{"sqlite": sqlite, "postgres": openPG(t, pgtest.URL(t))} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			add := func(outcome string) {
				t.Helper()
				if err := db.AddPolicyAudit(ctx, &prefect.PolicyAudit{ID: uuid.New(), Created: prefect.NewTime(db.now().Time), Outcome: outcome, Policy: "last"}); err != nil {
					t.Fatal(err)
				}
			}
			add(prefect.AuditDone)
			err := db.write(ctx, func(tx *tx) error {
				_, err := tx.ExecContext(ctx, fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
					INSERT INTO interlock_policy_audit (id, created, policy, outcome, body)
					SELECT (SELECT id FROM interlock_policy_audit), (SELECT created FROM interlock_policy_audit), 'old', 'refused', '{}' FROM n`, keptRefusals))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			for range auditTrim {
				add(prefect.AuditRefused)
			}
			add(prefect.AuditDone)
			count := func(where string) (n int) {
				t.Helper()
				err := db.read(ctx, func(q querier) error {
					return q.QueryRowContext(ctx, "SELECT count(*) FROM interlock_policy_audit WHERE "+where).Scan(&n)
				})
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
			if n := count("outcome = 'refused'"); n < keptRefusals || n >= keptRefusals+auditTrim {
				t.Errorf("%d refusals are kept", n)
			}
			if newest, done := count("outcome = 'refused' AND policy = 'last'"), count("outcome = 'done'"); newest != auditTrim || done != 2 {
				t.Errorf("%d of the newest and %d of what was done are kept", newest, done)
			}
		})
	}
}
