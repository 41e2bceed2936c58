package api

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
)

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
	f.actor = prefect.ActorOf(ctx)
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

func (f *fake) Audit(ctx context.Context, filter prefect.PolicyAuditFilter) ([]*prefect.PolicyAudit, error) {
	f.audit = filter
	return []*prefect.PolicyAudit{{Action: prefect.AuditPut, Actor: f.actor}}, f.fail
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
