package store

import (
	"context"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store/query"
)

// TestSlotsOfAQueueAreCountedOnce: for each queue, not for each of its runs.
func TestSlotsOfAQueueAreCountedOnce(t *testing.T) {
	db, _ := openTemp(t)
	c := work{queues: query.Condition{SQL: "w.id = ?", Args: []any{uuid.NewString()}}, belongs: "r.work_queue_id = w.id", active: "a.work_queue_id = w.id"}.
		sql(db.d, prefect.WorkQuery{Limit: 1})
	type step struct {
		id, parent, unused int
		what               string
	}
	var plan []step
	err := db.read(context.Background(), func(q querier) (err error) {
		plan, err = all(context.Background(), q, func(row scanner) (s step, err error) {
			err = row.Scan(&s.id, &s.parent, &s.unused, &s.what)
			return s, err
		}, "EXPLAIN QUERY PLAN "+c.SQL, c.Args...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	byID := map[int]step{}
	counts := 0
	for _, s := range plan {
		byID[s.id] = s
		if !strings.Contains(s.what, "CORRELATED SCALAR SUBQUERY") {
			continue
		}
		counts++
		if within := byID[s.parent].what; !strings.HasPrefix(within, "MATERIALIZE w") {
			t.Errorf("counted within %q of %+v", within, plan)
		}
	}
	if counts != 1 {
		t.Errorf("counted %d times: %+v", counts, plan)
	}
}
