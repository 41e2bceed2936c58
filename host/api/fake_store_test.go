package api

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
)

// fake is a store, an orchestrator and a registry in memory. It filters nothing:
// filters are kept in asked for the test to look at.
type fake struct {
	flows     []*prefect.Flow
	flowRuns  []*prefect.FlowRun
	taskRuns  []*prefect.TaskRun
	states    map[uuid.UUID][]*prefect.State // by run
	logs      []*prefect.Log
	inputs    []*prefect.FlowRunInput
	tokens    map[string]string
	config    map[string]json.RawMessage
	modules   []*prefect.PolicyModule
	policies  []*prefect.PolicyVersion
	decisions []*prefect.Decision
	audit     prefect.PolicyAuditFilter // the last one
	actor     prefect.Actor             // of the last readmission

	deployments []*prefect.Deployment
	stale       prefect.StaleRuns // of the last update
	polled      []uuid.UUID       // deployments and queues, the last
	pools       []*prefect.WorkPool
	queues      []*prefect.WorkQueue
	workers     []*prefect.Worker
	work        prefect.WorkQuery

	limit   prefect.ConcurrencyLimit // what updates are applied to
	request prefect.SlotRequest      // the last one

	events   []*prefect.Event
	received string

	asked     prefect.Filters
	page      prefect.Page
	logFilter *prefect.LogFilter
	proposal  orchestrate.Proposal
	decision  prefect.DecisionFilter
	result    *prefect.OrchestrationResult
	fail      error // returned by reads and by the orchestrator
}

func missing(what string) error { return prefect.Errorf(prefect.NotFound, "no such %s", what) }

func find[T any](items []T, match func(T) bool) (T, int) {
	for i, item := range items {
		if match(item) {
			return item, i
		}
	}
	var none T
	return none, -1
}

func (f *fake) Ping(context.Context) error { return f.fail }

func (f *fake) CreateFlow(_ context.Context, flow *prefect.Flow) (bool, error) {
	if old, i := find(f.flows, func(o *prefect.Flow) bool { return o.Name == flow.Name }); i >= 0 {
		*flow = *old
		return false, f.fail
	}
	f.flows = append(f.flows, flow)
	return true, f.fail
}

func (f *fake) ReadFlow(_ context.Context, id uuid.UUID) (*prefect.Flow, error) {
	flow, i := find(f.flows, func(o *prefect.Flow) bool { return o.ID == id })
	if f.fail != nil || i < 0 {
		return nil, orMissing(f.fail, "flow")
	}
	return flow, nil
}

func orMissing(err error, what string) error {
	if err != nil {
		return err
	}
	return missing(what)
}

func (f *fake) ReadFlowByName(_ context.Context, name string) (*prefect.Flow, error) {
	if flow, i := find(f.flows, func(o *prefect.Flow) bool { return o.Name == name }); i >= 0 {
		return flow, nil
	}
	return nil, missing("flow")
}

func (f *fake) UpdateFlow(ctx context.Context, id uuid.UUID, fn func(*prefect.Flow) error) error {
	flow, err := f.ReadFlow(ctx, id)
	if err != nil {
		return err
	}
	return fn(flow)
}

func (f *fake) DeleteFlow(_ context.Context, id uuid.UUID) error {
	_, i := find(f.flows, func(o *prefect.Flow) bool { return o.ID == id })
	if i < 0 {
		return missing("flow")
	}
	f.flows = append(f.flows[:i:i], f.flows[i+1:]...)
	return nil
}

func (f *fake) FilterFlows(_ context.Context, asked prefect.Filters, p prefect.Page) ([]*prefect.Flow, error) {
	f.asked, f.page = asked, p
	return f.flows, f.fail
}

func (f *fake) CountFlows(_ context.Context, asked prefect.Filters) (int, error) {
	f.asked = asked
	return len(f.flows), f.fail
}

func (f *fake) ReadFlowRun(_ context.Context, id uuid.UUID) (*prefect.FlowRun, error) {
	run, i := find(f.flowRuns, func(o *prefect.FlowRun) bool { return o.ID == id })
	if f.fail != nil || i < 0 {
		return nil, orMissing(f.fail, "flow run")
	}
	return run, nil
}

func (f *fake) UpdateFlowRun(ctx context.Context, id uuid.UUID, fn func(*prefect.FlowRun) error) error {
	run, err := f.ReadFlowRun(ctx, id)
	if err != nil {
		return err
	}
	return fn(run)
}

func (f *fake) DeleteFlowRun(_ context.Context, id uuid.UUID) error {
	_, i := find(f.flowRuns, func(o *prefect.FlowRun) bool { return o.ID == id })
	if i < 0 {
		return missing("flow run")
	}
	f.flowRuns = append(f.flowRuns[:i:i], f.flowRuns[i+1:]...)
	return nil
}

func (f *fake) FilterFlowRuns(_ context.Context, asked prefect.Filters, p prefect.Page) ([]*prefect.FlowRun, error) {
	f.asked, f.page = asked, p
	return f.flowRuns, f.fail
}

func (f *fake) CountFlowRuns(_ context.Context, asked prefect.Filters) (int, error) {
	f.asked = asked
	return len(f.flowRuns), f.fail
}

func (f *fake) AverageFlowRunLateness(_ context.Context, asked prefect.Filters) (*float64, error) {
	f.asked = asked
	if len(f.flowRuns) == 0 {
		return nil, f.fail
	}
	late := 2.5
	return &late, f.fail
}

func (f *fake) ReadTaskRun(_ context.Context, id uuid.UUID) (*prefect.TaskRun, error) {
	run, i := find(f.taskRuns, func(o *prefect.TaskRun) bool { return o.ID == id })
	if f.fail != nil || i < 0 {
		return nil, orMissing(f.fail, "task run")
	}
	return run, nil
}

func (f *fake) UpdateTaskRun(ctx context.Context, id uuid.UUID, fn func(*prefect.TaskRun) error) error {
	run, err := f.ReadTaskRun(ctx, id)
	if err != nil {
		return err
	}
	return fn(run)
}

func (f *fake) DeleteTaskRun(_ context.Context, id uuid.UUID) error {
	_, i := find(f.taskRuns, func(o *prefect.TaskRun) bool { return o.ID == id })
	if i < 0 {
		return missing("task run")
	}
	f.taskRuns = append(f.taskRuns[:i:i], f.taskRuns[i+1:]...)
	return nil
}

func (f *fake) FilterTaskRuns(_ context.Context, asked prefect.Filters, p prefect.Page) ([]*prefect.TaskRun, error) {
	f.asked, f.page = asked, p
	return f.taskRuns, f.fail
}

func (f *fake) CountTaskRuns(_ context.Context, asked prefect.Filters) (int, error) {
	f.asked = asked
	return len(f.taskRuns), f.fail
}

func (f *fake) readState(id uuid.UUID) (*prefect.State, error) {
	for _, states := range f.states {
		if s, i := find(states, func(s *prefect.State) bool { return s.ID == id }); i >= 0 {
			return s, nil
		}
	}
	return nil, missing("state")
}

func (f *fake) ReadFlowRunState(_ context.Context, id uuid.UUID) (*prefect.State, error) {
	return f.readState(id)
}

func (f *fake) ReadTaskRunState(_ context.Context, id uuid.UUID) (*prefect.State, error) {
	return f.readState(id)
}

func (f *fake) ReadFlowRunStates(_ context.Context, run uuid.UUID) ([]*prefect.State, error) {
	return f.states[run], f.fail
}

func (f *fake) ReadTaskRunStates(_ context.Context, run uuid.UUID) ([]*prefect.State, error) {
	return f.states[run], f.fail
}

func (f *fake) CreateLogs(_ context.Context, logs []*prefect.Log) error {
	f.logs = append(f.logs, logs...)
	return f.fail
}

func (f *fake) FilterLogs(_ context.Context, filter *prefect.LogFilter, p prefect.Page) ([]*prefect.Log, error) {
	f.logFilter, f.page = filter, p
	if p.Offset > len(f.logs) {
		return nil, f.fail
	}
	return f.logs[p.Offset:min(p.Offset+p.Limit, len(f.logs))], f.fail
}

func (f *fake) findInput(run uuid.UUID, key string) (*prefect.FlowRunInput, int) {
	return find(f.inputs, func(in *prefect.FlowRunInput) bool { return in.FlowRunID == run && in.Key == key })
}

func (f *fake) CreateFlowRunInput(ctx context.Context, in *prefect.FlowRunInput) error {
	if _, err := f.ReadFlowRun(ctx, in.FlowRunID); err != nil {
		return prefect.Errorf(prefect.Conflict, "foreign key")
	}
	if _, i := f.findInput(in.FlowRunID, in.Key); i >= 0 {
		return prefect.Errorf(prefect.Conflict, "key taken")
	}
	f.inputs = append(f.inputs, in)
	return nil
}

func (f *fake) ReadFlowRunInput(_ context.Context, run uuid.UUID, key string) (*prefect.FlowRunInput, error) {
	in, i := f.findInput(run, key)
	if i < 0 {
		return nil, missing("input")
	}
	return in, nil
}

func (f *fake) FilterFlowRunInput(_ context.Context, run uuid.UUID, prefix string, limit int, exclude []string) ([]*prefect.FlowRunInput, error) {
	var found []*prefect.FlowRunInput
	for _, in := range f.inputs {
		_, excluded := find(exclude, func(k string) bool { return k == in.Key })
		if in.FlowRunID == run && strings.HasPrefix(in.Key, prefix) && excluded < 0 && len(found) < limit {
			found = append(found, in)
		}
	}
	return found, f.fail
}

func (f *fake) DeleteFlowRunInput(_ context.Context, run uuid.UUID, key string) error {
	_, i := f.findInput(run, key)
	if i < 0 {
		return missing("input")
	}
	f.inputs = append(f.inputs[:i:i], f.inputs[i+1:]...)
	return nil
}

func (f *fake) CreateOrUpdateCSRFToken(_ context.Context, client, token string, _ prefect.Time) error {
	f.tokens[client] = token
	return f.fail
}

func (f *fake) ReadCSRFToken(_ context.Context, client string) (string, prefect.Time, error) {
	token, ok := f.tokens[client]
	if !ok {
		return "", prefect.Time{}, missing("token")
	}
	if client == "expired" {
		return token, testNow, nil
	}
	return token, testNow.Add(1e9), f.fail
}

func (f *fake) DeleteExpiredCSRFTokens(context.Context) error { return f.fail }

func (f *fake) ReadConfiguration(_ context.Context, key string) (json.RawMessage, error) {
	raw, ok := f.config[key]
	if !ok {
		return nil, missing("configuration")
	}
	return raw, nil
}

func (f *fake) WriteConfiguration(_ context.Context, key string, value json.RawMessage) error {
	f.config[key] = value
	return nil
}

// The limits of the fake: one called n, with a slot to give. What they do is the
// store's, and tested there.

var oneLimit = prefect.ConcurrencyLimit{Name: "n", Limit: 1, Active: true}

func (f *fake) CreateConcurrencyLimit(context.Context, *prefect.ConcurrencyLimit) error { return nil }

func (f *fake) ReadConcurrencyLimit(_ context.Context, idOrName string) (*prefect.ConcurrencyLimit, error) {
	l := oneLimit
	return &l, nil
}

func (f *fake) FilterConcurrencyLimits(context.Context, prefect.Page) ([]*prefect.ConcurrencyLimit, error) {
	l := oneLimit
	return []*prefect.ConcurrencyLimit{&l}, nil
}

func (f *fake) UpdateConcurrencyLimit(_ context.Context, idOrName string, fn func(*prefect.ConcurrencyLimit) error) error {
	if idOrName != oneLimit.Name {
		return prefect.Errorf(prefect.NotFound, "no such limit")
	}
	return fn(&f.limit)
}

func (f *fake) DeleteConcurrencyLimit(context.Context, string) error { return nil }

func (f *fake) AcquireSlots(_ context.Context, r prefect.SlotRequest) ([]*prefect.ConcurrencyLimit, bool, error) {
	f.request = r
	l := oneLimit
	l.AvgSlotOccupancySeconds = 4
	return []*prefect.ConcurrencyLimit{&l}, r.Slots <= l.Limit, nil
}

func (f *fake) ReleaseSlots(context.Context, []string, int, float64) ([]*prefect.ConcurrencyLimit, error) {
	return nil, nil
}

func (f *fake) ReleaseLease(context.Context, uuid.UUID) error { return nil }

func (f *fake) RenewLease(_ context.Context, id uuid.UUID, _ prefect.Time) error {
	if id == uuid.Nil {
		return prefect.Errorf(prefect.Gone, "gone")
	}
	return nil
}
