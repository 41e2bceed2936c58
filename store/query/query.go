// Package query turns the filters and sort names of the Prefect API into SQL.
// It is pure: structs in, SQL text and arguments out, with ? as placeholder.
// Values are always bound and never become part of the text, so that one filter
// shape is one statement, however many values a list has.
package query

import (
	"reflect"
	"strings"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// Dialect says for which database the SQL is.
type Dialect uint8

// The dialects.
const (
	SQLite Dialect = iota
	Postgres
)

// Noun is the table that a query selects from.
type Noun string

// The nouns with filters.
const (
	Flow       Noun = "flow"
	FlowRun    Noun = "flow_run"
	TaskRun    Noun = "task_run"
	Deployment Noun = "deployment"
	WorkPool   Noun = "work_pool"
	WorkQueue  Noun = "work_queue"
	Worker     Noun = "worker"
	Log        Noun = "log"
)

// Condition is a boolean SQL expression and its arguments. Its zero value is
// true: no condition at all.
type Condition struct {
	SQL  string
	Args []any
}

// Where returns " WHERE ..." for the condition, "" for none.
func (c Condition) Where() string {
	if c.SQL == "" {
		return ""
	}
	return " WHERE " + c.SQL
}

// never and always are conditions without a column.
func never() Condition  { return Condition{SQL: "1 = 0"} }
func always() Condition { return Condition{SQL: "1 = 1"} }

// join combines conditions with AND or OR; one alone stays as it is, none is the
// zero Condition.
func join(operator string, list []Condition) Condition {
	switch len(list) {
	case 0:
		return Condition{}
	case 1:
		return list[0]
	}
	var sql strings.Builder
	var args []any
	for i, c := range list {
		if i > 0 {
			sql.WriteString(operator)
		}
		sql.WriteString("(" + c.SQL + ")")
		args = append(args, c.Args...)
	}
	return Condition{SQL: sql.String(), Args: args}
}

// And combines conditions that all must hold, leaving out those that are zero.
func And(list ...Condition) Condition {
	kept := make([]Condition, 0, len(list))
	for _, c := range list {
		if c.SQL != "" {
			kept = append(kept, c)
		}
	}
	return join(" AND ", kept)
}

// Filters returns the condition on rows of noun that f asks for: its own filter,
// and EXISTS for those of the nouns around it. Errors: Invalid.
func Filters(d Dialect, noun Noun, f prefect.Filters) (Condition, error) {
	own, links := relations(noun, f)
	conditions := make([]Condition, 0, 1+len(links))
	if ids := onlyFlowRunIDs(f); noun == TaskRun && ids != nil {
		conditions = append(conditions, anyOf(d, "task_run.flow_run_id", reflect.ValueOf(ids)))
		links = nil
	}
	if own != nil {
		c, err := Filter(d, noun, own)
		if err != nil {
			return Condition{}, err
		}
		conditions = append(conditions, c)
	}
	for _, l := range links {
		c, err := l.condition(d)
		if err != nil {
			return Condition{}, err
		}
		conditions = append(conditions, c)
	}
	return And(conditions...), nil
}

// link is a noun beside the one that is selected.
type link struct {
	noun   Noun
	on     string // how its rows belong to the row outside
	filter any    // nil for all of them
	under  []link // what its rows must have beside them in turn
}

// condition returns the zero Condition for a link that nothing asks for.
func (l link) condition(d Dialect) (Condition, error) {
	conditions := []Condition{{SQL: l.on}}
	asked := false
	if l.filter != nil {
		asked = true
		c, err := Filter(d, l.noun, l.filter)
		if err != nil {
			return Condition{}, err
		}
		conditions = append(conditions, c)
	}
	for _, under := range l.under {
		c, err := under.condition(d)
		if err != nil {
			return Condition{}, err
		}
		asked = asked || c.SQL != ""
		conditions = append(conditions, c)
	}
	if !asked {
		return Condition{}, nil
	}
	c := And(conditions...)
	c.SQL = "EXISTS (SELECT 1 FROM " + string(l.noun) + " WHERE " + c.SQL + ")"
	return c, nil
}

// relations returns the filter of noun itself (nil for none) and its links. A
// nil pointer must not end up in an interface, hence the asAny calls.
func relations(noun Noun, f prefect.Filters) (own any, links []link) {
	flow := link{noun: Flow, filter: asAny(f.Flows)}
	run := link{noun: FlowRun, filter: asAny(f.FlowRuns)}
	task := link{noun: TaskRun, on: "task_run.flow_run_id = flow_run.id", filter: asAny(f.TaskRuns)}
	deployment := link{noun: Deployment, filter: asAny(f.Deployments)}
	pool := link{noun: WorkPool, on: "work_pool.id = work_queue.work_pool_id", filter: asAny(f.WorkPools)}
	queue := link{noun: WorkQueue, filter: asAny(f.WorkPoolQueues), under: []link{pool}}

	switch noun {
	case Flow:
		queue.filter, queue.on = nil, "work_queue.id = deployment.work_queue_id"
		deployment.on, deployment.under = "deployment.flow_id = flow.id", []link{queue}
		run.on, run.under = "flow_run.flow_id = flow.id", []link{task}
		return flow.filter, []link{deployment, run}
	case FlowRun, TaskRun:
		flow.on = "flow.id = flow_run.flow_id"
		deployment.on = "deployment.id = flow_run.deployment_id"
		queue.on = "work_queue.id = flow_run.work_queue_id"
		if noun == FlowRun {
			return run.filter, []link{deployment, queue, flow, task}
		}
		run.on, run.under = "flow_run.id = task_run.flow_run_id", []link{deployment, queue, flow}
		return task.filter, []link{run}
	case Deployment:
		flow.on = "flow.id = deployment.flow_id"
		run.on, run.under = "flow_run.deployment_id = deployment.id", []link{task}
		queue.on = "work_queue.id = deployment.work_queue_id"
		return deployment.filter, []link{flow, run, queue}
	case WorkPool:
		return pool.filter, nil
	case WorkQueue:
		return queue.filter, nil
	}
	return nil, nil
}

// onlyFlowRunIDs returns the ids if a list of flow runs is all that f asks of the
// nouns around task runs: the column flow_run_id answers that by itself.
func onlyFlowRunIDs(f prefect.Filters) []uuid.UUID {
	runs := f.FlowRuns
	if runs == nil || runs.ID == nil || len(runs.ID.Any) == 0 || len(runs.ID.NotAny) > 0 ||
		f.Flows != nil || f.Deployments != nil || f.WorkPools != nil || f.WorkPoolQueues != nil {
		return nil
	}
	rest := *runs
	rest.ID, rest.Operator = nil, ""
	if rest != (prefect.FlowRunFilter{}) {
		return nil
	}
	return runs.ID.Any
}

// asAny keeps a nil pointer a nil interface.
func asAny[T any](p *T) any {
	if p == nil {
		return nil
	}
	return p
}
