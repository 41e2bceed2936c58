package query

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/interlock-run/interlock/host/prefect"
)

// FuzzFilters turns any JSON that is a filter into SQL: it must not panic, each
// placeholder must have its argument, and no text of the filter may be in it.
func FuzzFilters(f *testing.F) {
	for _, seed := range []string{
		`{}`,
		`{"flow_runs":{"operator":"or_","name":{"like_":"mark%er","any_":["marker"]},"tags":{"all_":["marker"],"any_":["x","marker"]}}}`,
		`{"flow_runs":{"state":{"type":{"any_":["RUNNING"]},"name":{"not_any_":["marker","y"]}},"start_time":{"before_":"2026-11-23T18:00:00Z","is_null_":true}}}`,
		`{"task_runs":{"subflow_runs":{"exists_":false},"flow_run_id":{"is_null_":true}},"work_pools":{"type":{"any_":["marker"]}}}`,
		`{"deployments":{"flow_or_deployment_name":{"like_":"marker"},"paused":{"eq_":true},"concurrency_limit":{"ge_":1}}}`,
		`{"work_pool_queues":{"name":{"startswith_":["marker"]}},"flows":{"deployment":{"is_null_":true}}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var filters prefect.Filters
		if json.Unmarshal([]byte(text), &filters) != nil {
			return
		}
		for _, noun := range []Noun{Flow, FlowRun, TaskRun, Deployment, WorkPool, WorkQueue} {
			for _, d := range []Dialect{SQLite, Postgres} {
				c, err := Filters(d, noun, filters)
				if err != nil {
					if prefect.CodeOf(err) != prefect.Invalid {
						t.Errorf("%v", err)
					}
					continue
				}
				if n := strings.Count(c.SQL, "?"); n != len(c.Args) {
					t.Errorf("%d placeholders and %d arguments: %s", n, len(c.Args), c.SQL)
				}
				if strings.Contains(c.SQL, "marker") {
					t.Errorf("the filter's text is in %s", c.SQL)
				}
			}
		}
	})
}

// FuzzLogSearch does the same for the text of a log search.
func FuzzLogSearch(f *testing.F) {
	for _, seed := range []string{"", "marker", `"mark er" -marker +x`, `100%_/\`, "-", "+", `"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Filter(SQLite, Log, &prefect.LogFilter{Text: &prefect.TextCriteria{Query: text}})
		if err != nil {
			return
		}
		if n := strings.Count(c.SQL, "?"); n != len(c.Args) || strings.Contains(c.SQL, "marker") {
			t.Errorf("%d arguments: %s", len(c.Args), c.SQL)
		}
	})
}
