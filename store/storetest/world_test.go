package storetest_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store"
	"github.com/interlock-run/interlock/store/storetest"
)

// eachURL is storetest.Each with a way to run statements beside the store.
func eachURL(t *testing.T, fn func(t *testing.T, db *store.DB, exec func(query string))) {
	eachURLAt(t, func(t *testing.T, db *store.DB, _ string, exec func(query string)) { fn(t, db, exec) })
}

func eachURLAt(t *testing.T, fn func(t *testing.T, db *store.DB, url string, exec func(query string))) {
	for kind, url := range storetest.URLs(t) {
		t.Run(kind, func(t *testing.T) {
			db := storetest.Open(t, url)
			driver, dsn := "pgx", url
			if path, ok := strings.CutPrefix(url, "sqlite+aiosqlite:///"); ok {
				driver, dsn = "sqlite", "file:"+path+"?_pragma=busy_timeout(5000)"
			}
			raw := must(sql.Open(driver, dsn))(t)
			t.Cleanup(func() { check(t, raw.Close()) })
			fn(t, db, url, func(query string) {
				t.Helper()
				if _, err := raw.Exec(query); err != nil {
					t.Fatalf("%s: %v", query, err)
				}
			})
		})
	}
}

// world is a small set of rows of every noun that filters join.
type world struct {
	flow, pool, queue, deployment, task uuid.UUID
}

// newWorld makes flows alpha, Beta and unused, deployments prod and Idle, flow
// runs 1 to 4 and task runs 1 to 3; ids are id(10*kind + number).
func newWorld(t *testing.T, db *store.DB, exec func(query string)) world {
	t.Helper()
	w := world{flow: id(11), pool: id(21), queue: id(31), deployment: id(41), task: id(61)}
	newFlow(t, db, prefect.Flow{ID: w.flow, Name: "alpha", Tags: []string{"x", "y"}})
	newFlow(t, db, prefect.Flow{ID: id(12), Name: "Beta", Tags: []string{"y"}})
	newFlow(t, db, prefect.Flow{ID: id(13), Name: "unused"})
	exec(fmt.Sprintf("INSERT INTO work_pool (id, name, type) VALUES ('%s', 'pool', 'process')", w.pool))
	exec(fmt.Sprintf("INSERT INTO work_queue (id, name, work_pool_id) VALUES ('%s', 'default', '%s')", w.queue, w.pool))
	exec(fmt.Sprintf(`INSERT INTO deployment (id, name, flow_id, tags, work_queue_id, work_queue_name, paused)
		VALUES ('%s', 'prod', '%s', '["d"]', '%s', 'default', false)`, w.deployment, w.flow, w.queue))
	exec(fmt.Sprintf("INSERT INTO deployment (id, name, flow_id, paused) VALUES ('%s', 'Idle', '%s', true)", id(42), id(12)))

	scheduled := newState(prefect.Scheduled, at(0))
	scheduled.Name = "Late"
	newFlowRun(t, db, prefect.FlowRun{ID: id(51), Name: "marvin-1", FlowID: w.flow, DeploymentID: &w.deployment, WorkQueueID: &w.queue,
		Tags: []string{"a", "b"}, IdempotencyKey: ptr("k1"), FlowVersion: ptr("v1"),
		CreatedBy: &prefect.CreatedBy{ID: ptr(id(90)), Type: ptr("DEPLOYMENT")},
		RunTimes:  prefect.RunTimes{StartTime: ptr(at(10)), ExpectedStartTime: ptr(at(5))}}, newState(prefect.Running, at(10)))
	newFlowRun(t, db, prefect.FlowRun{ID: id(52), Name: "sad-Marvin", FlowID: w.flow, Tags: []string{"b", "ü\"q"}, WorkQueueName: ptr("wq"),
		RunTimes: prefect.RunTimes{ExpectedStartTime: ptr(at(20)), NextScheduledStartTime: ptr(at(20))}}, scheduled)
	newTaskRun(t, db, prefect.TaskRun{ID: w.task, Name: "task-1", FlowRunID: ptr(id(51)),
		RunTimes: prefect.RunTimes{StartTime: ptr(at(11)), ExpectedStartTime: ptr(at(11))}}, newState(prefect.Running, at(11)))
	newFlowRun(t, db, prefect.FlowRun{ID: id(53), Name: "trillian", FlowID: id(12), ParentTaskRunID: &w.task,
		RunTimes: prefect.RunTimes{ExpectedStartTime: ptr(at(30)), StartTime: ptr(at(31)), EndTime: ptr(at(40))}}, newState(prefect.Completed, at(40)))
	newFlowRun(t, db, prefect.FlowRun{ID: id(54), Name: "100%_x", FlowID: id(12)}, nil)
	newTaskRun(t, db, prefect.TaskRun{ID: id(62), Name: "task-2", FlowRunID: ptr(id(53)), Tags: []string{"z"},
		RunTimes: prefect.RunTimes{StartTime: ptr(at(32)), EndTime: ptr(at(33))}}, newState(prefect.Completed, at(33)))
	newTaskRun(t, db, prefect.TaskRun{ID: id(63), Name: "Task-3", Tags: []string{"w", "z"}}, nil)
	return w
}
