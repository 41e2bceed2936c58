package query

import (
	"reflect"
	"testing"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

func ptr[T any](v T) *T { return &v }

var (
	idA = uuid.MustParse("00000000-0000-4000-8000-00000000000a")
	idB = uuid.MustParse("00000000-0000-4000-8000-00000000000b")
)

func TestFilters(t *testing.T) {
	for _, test := range []struct {
		name string
		noun Noun
		f    prefect.Filters
		want Condition
	}{
		{"nothing", FlowRun, prefect.Filters{}, Condition{}},
		{"an empty filter of its own", FlowRun, prefect.Filters{FlowRuns: &prefect.FlowRunFilter{}}, Condition{}},
		{"an empty filter beside", FlowRun, prefect.Filters{Deployments: &prefect.DeploymentFilter{}},
			Condition{SQL: "EXISTS (SELECT 1 FROM deployment WHERE deployment.id = flow_run.deployment_id)"}},
		{"one id", Flow, prefect.Filters{Flows: &prefect.FlowFilter{ID: &prefect.AnyNotAny[uuid.UUID]{Any: []uuid.UUID{idA}}}},
			Condition{"flow.id = ?", []any{idA.String()}}},
		{"ids", Flow, prefect.Filters{Flows: &prefect.FlowFilter{ID: &prefect.AnyNotAny[uuid.UUID]{Any: []uuid.UUID{idA, idB}}}},
			Condition{"flow.id IN (SELECT value FROM json_each(?))", []any{`["` + idA.String() + `","` + idB.String() + `"]`}}},
		{"no ids", Flow, prefect.Filters{Flows: &prefect.FlowFilter{ID: &prefect.AnyNotAny[uuid.UUID]{Any: []uuid.UUID{}}}},
			Condition{SQL: "1 = 0"}},
		{"or with an empty criterion", Flow, prefect.Filters{Flows: &prefect.FlowFilter{
			Operator: prefect.Or, ID: &prefect.AnyNotAny[uuid.UUID]{}, Name: &prefect.NameCriteria{Like: ptr("x")}}},
			Condition{"(1 = 1) OR (lower(flow.name) LIKE lower(?))", []any{"%x%"}}},
		{"or in a state", FlowRun, prefect.Filters{FlowRuns: &prefect.FlowRunFilter{State: &prefect.FlowRunStateFilter{
			Operator: prefect.Or,
			Type:     &prefect.AnyNotAny[prefect.StateType]{Any: []prefect.StateType{prefect.Running}},
			Name:     &prefect.AnyNotAny[string]{Any: []string{"Late"}}}}},
			Condition{"(flow_run.state_type = ?) OR (flow_run.state_name = ?)", []any{"RUNNING", "Late"}}},
		{"an empty state beside a name", FlowRun, prefect.Filters{FlowRuns: &prefect.FlowRunFilter{
			Operator: prefect.Or, State: &prefect.FlowRunStateFilter{Name: &prefect.AnyNotAny[string]{}}}},
			Condition{SQL: "1 = 1"}},
		{"task runs of flow runs by id", TaskRun, prefect.Filters{FlowRuns: &prefect.FlowRunFilter{
			ID: &prefect.AnyNotAny[uuid.UUID]{Any: []uuid.UUID{idA}}}},
			Condition{"task_run.flow_run_id = ?", []any{idA.String()}}},
		{"three deep", Flow, prefect.Filters{WorkPools: &prefect.WorkPoolFilter{Name: &prefect.Any[string]{Any: []string{"p"}}}},
			Condition{"EXISTS (SELECT 1 FROM deployment WHERE (deployment.flow_id = flow.id) AND (EXISTS (SELECT 1 FROM work_queue " +
				"WHERE (work_queue.id = deployment.work_queue_id) AND (EXISTS (SELECT 1 FROM work_pool " +
				"WHERE (work_pool.id = work_queue.work_pool_id) AND (work_pool.name = ?))))))", []any{"p"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Filters(SQLite, test.noun, test.f)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got  %v\nwant %v", got, test.want)
			}
		})
	}
}

func TestInvalid(t *testing.T) {
	for name, f := range map[string]prefect.FlowRunFilter{
		"operator":   {Operator: "xor_"},
		"within":     {Tags: &prefect.TagsCriteria{Operator: "xor_"}},
		"state type": {State: &prefect.FlowRunStateFilter{Type: &prefect.AnyNotAny[prefect.StateType]{NotAny: []prefect.StateType{"LATE"}}}},
		"nul":        {Name: &prefect.NameCriteria{Any: []string{"a", "b\x00"}}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Filters(SQLite, TaskRun, prefect.Filters{FlowRuns: &f})
			if prefect.CodeOf(err) != prefect.Invalid {
				t.Errorf("got %v, want an Invalid error", err)
			}
		})
	}
}

func TestOrderBy(t *testing.T) {
	if by, err := OrderBy(TaskRun, "NAME_ASC"); err != nil || by != " ORDER BY task_run.name ASC, task_run.id" {
		t.Errorf("got %q, %v", by, err)
	}
	for _, sort := range []string{"", "START_TIME_ASC", "name; DROP TABLE flow"} {
		if by, err := OrderBy(TaskRun, sort); prefect.CodeOf(err) != prefect.Invalid {
			t.Errorf("sort %q: got %q, %v, want an Invalid error", sort, by, err)
		}
	}
}
