package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

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

// The orchestrator: answers result, or accepts.

func (f *fake) set(p orchestrate.Proposal) (*prefect.OrchestrationResult, error) {
	f.proposal = p
	if f.fail != nil {
		return nil, f.fail
	}
	if f.result != nil {
		return f.result, nil
	}
	state := p.State.Copy()
	state.ID, state.Timestamp = uuid.New(), testNow
	state.Normalize(testNow)
	return &prefect.OrchestrationResult{State: state, Status: prefect.Accept, Details: prefect.DetailsFor(prefect.Accept, "", 0), Written: true}, nil
}

func (f *fake) SetFlowRunState(ctx context.Context, id uuid.UUID, p orchestrate.Proposal) (*prefect.OrchestrationResult, error) {
	if _, err := f.ReadFlowRun(ctx, id); err != nil {
		return nil, err
	}
	return f.set(p)
}

func (f *fake) SetTaskRunState(ctx context.Context, id uuid.UUID, p orchestrate.Proposal) (*prefect.OrchestrationResult, error) {
	if _, err := f.ReadTaskRun(ctx, id); err != nil {
		return nil, err
	}
	return f.set(p)
}

func (f *fake) CreateFlowRun(_ context.Context, run *prefect.FlowRun, p orchestrate.Proposal) (bool, error) {
	f.proposal = p
	old, i := find(f.flowRuns, func(o *prefect.FlowRun) bool {
		return o.IdempotencyKey != nil && run.IdempotencyKey != nil && *o.IdempotencyKey == *run.IdempotencyKey
	})
	if i >= 0 {
		*run = *old
		return false, nil
	}
	f.flowRuns = append(f.flowRuns, run)
	return true, f.fail
}

func (f *fake) CreateTaskRun(_ context.Context, run *prefect.TaskRun, p orchestrate.Proposal) (bool, error) {
	f.proposal = p
	if old, i := find(f.taskRuns, func(o *prefect.TaskRun) bool { return o.DynamicKey == run.DynamicKey }); i >= 0 {
		*run = *old
		return false, nil
	}
	f.taskRuns = append(f.taskRuns, run)
	return true, f.fail
}

// The registry.

func (f *fake) AddModule(_ context.Context, wasm []byte) (*prefect.PolicyModule, bool, error) {
	if !bytes.HasPrefix(wasm, []byte("\x00asm")) {
		return nil, false, prefect.Errorf(prefect.Invalid, "offset 0: not a WebAssembly module")
	}
	digest := "sha256:" + strings.Repeat("a", 64)
	if m, i := find(f.modules, func(m *prefect.PolicyModule) bool { return m.Digest == digest }); i >= 0 {
		return m, false, nil
	}
	m := &prefect.PolicyModule{Digest: digest, Created: testNow, Size: len(wasm), Manifest: json.RawMessage(`{"abi":1}`)}
	f.modules = append(f.modules, m)
	return m, true, nil
}

func (f *fake) Modules(context.Context) ([]*prefect.PolicyModule, error) { return f.modules, f.fail }

func (f *fake) Module(_ context.Context, digest string) (*prefect.PolicyModule, error) {
	if m, i := find(f.modules, func(m *prefect.PolicyModule) bool { return m.Digest == digest }); i >= 0 {
		return m, nil
	}
	return nil, missing("module")
}

func (f *fake) DeleteModule(ctx context.Context, digest string) error {
	if _, err := f.Module(ctx, digest); err != nil {
		return err
	}
	if len(f.policies) > 0 {
		return prefect.Errorf(prefect.Conflict, "the module is in use")
	}
	f.modules = nil
	return nil
}

func (f *fake) Readmit(ctx context.Context, digest string) error {
	_, err := f.Module(ctx, digest)
	return err
}

func (f *fake) Quarantined(digest string) bool { return strings.HasSuffix(digest, "b") }

func (f *fake) Policies(context.Context) ([]*prefect.PolicyVersion, error) { return f.policies, f.fail }

func (f *fake) Policy(_ context.Context, name string) (*prefect.PolicyVersion, error) {
	var active *prefect.PolicyVersion
	for _, p := range f.policies {
		if p.Name == name {
			active = p
		}
	}
	if active == nil {
		return nil, missing("policy")
	}
	return active, nil
}

func (f *fake) PutPolicy(ctx context.Context, name string, entries []prefect.PolicyEntry, version int) (*prefect.PolicyVersion, error) {
	active, err := f.Policy(ctx, name)
	if err != nil {
		return nil, err
	}
	if active.Version != version {
		return nil, prefect.Errorf(prefect.Conflict, "version %d is not active", version)
	}
	next := &prefect.PolicyVersion{Name: name, Version: version + 1, Created: testNow, Reason: "put", Entries: entries}
	f.policies = append(f.policies, next)
	return next, nil
}

func (f *fake) Versions(ctx context.Context, name string) ([]*prefect.PolicyVersion, error) {
	if _, err := f.Policy(ctx, name); err != nil {
		return nil, err
	}
	return f.policies, nil
}

func (f *fake) Rollback(ctx context.Context, name string, version int) (*prefect.PolicyVersion, error) {
	active, err := f.Policy(ctx, name)
	if err != nil {
		return nil, err
	}
	return f.PutPolicy(ctx, name, f.policies[version-1].Entries, active.Version)
}

func (f *fake) Decisions(_ context.Context, filter prefect.DecisionFilter) ([]*prefect.Decision, error) {
	f.decision = filter
	return f.decisions, f.fail
}

// The events.

func (f *fake) Receive(_ context.Context, list []byte) error {
	f.received = string(list)
	return f.fail
}

func (f *fake) FilterEvents(_ context.Context, filter json.RawMessage, limit int) (EventPage, error) {
	if strings.Contains(string(filter), "bad") {
		return EventPage{}, prefect.Errorf(prefect.Invalid, "bad filter")
	}
	f.received, f.page.Limit = string(filter), limit
	return EventPage{Events: f.events, Total: 7, Next: "a=b"}, f.fail
}

func (f *fake) NextEvents(_ context.Context, token string) (EventPage, error) {
	if token != "a=b" {
		return EventPage{}, prefect.Errorf(prefect.Forbidden, "not a page token")
	}
	return EventPage{Total: 7}, f.fail
}

// testNow is the time of every test.
var testNow = func() prefect.Time {
	t, err := prefect.ParseTime("2026-11-23T18:00:00.123456Z")
	if err != nil {
		panic(err)
	}
	return t
}()

// rig is an API on a fake.
type rig struct {
	*fake
	t    *testing.T
	http http.Handler
}

func newRig(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	f := &fake{states: map[uuid.UUID][]*prefect.State{}, tokens: map[string]string{}, config: map[string]json.RawMessage{}}
	c := Config{Store: f, Orchestrator: f, Registry: f, Events: f, Now: func() prefect.Time { return testNow },
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Version: "test"}
	for _, fn := range change {
		fn(&c)
	}
	return &rig{fake: f, t: t, http: New(c)}
}

// do sends a request; headers are name, value, ...
func (r *rig) do(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r.t.Helper()
	req := httptest.NewRequest(method, "/api"+path, strings.NewReader(body))
	if body != "" {
		req.Header.Set("Content-Type", jsonType)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	r.http.ServeHTTP(w, req)
	return w
}

// want sends a request and checks the status; it returns the decoded reply.
func (r *rig) want(status int, method, path, body string, headers ...string) any {
	r.t.Helper()
	w := r.do(method, path, body, headers...)
	if w.Code != status {
		r.t.Fatalf("%s %s %s: %d %s, want %d", method, path, body, w.Code, w.Body, status)
	}
	if w.Body.Len() == 0 {
		return nil
	}
	var v any
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		r.t.Fatalf("%s %s: the reply is not JSON: %v: %s", method, path, err, w.Body)
	}
	return v
}

// at returns what lies at path (keys and indexes) of a decoded reply.
func at(t *testing.T, v any, path ...any) any {
	t.Helper()
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, ok := v.(map[string]any)
			if !ok {
				t.Fatalf("no object at %v of %v", p, path)
			}
			v = m[p]
		case int:
			l, ok := v.([]any)
			if !ok || p >= len(l) {
				t.Fatalf("no element %d of %v", p, path)
			}
			v = l[p]
		}
	}
	return v
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
