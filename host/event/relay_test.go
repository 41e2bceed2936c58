package event

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
)

// changed is the n-th transition of a run.
func changed(n int) *prefect.FlowRunStateChange {
	return &prefect.FlowRunStateChange{
		FlowRunID: uuid.New(), Name: "otter", RunCount: 1, FlowID: uuid.New(),
		Written: prefect.EventState{ID: uuid.New(), Type: prefect.Running, Name: fmt.Sprint(n), Timestamp: start},
	}
}

// promise puts n transitions into the outbox.
func (f *fakeStore) promise(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		payload, err := json.Marshal(changed(i))
		if err != nil {
			t.Fatal(err)
		}
		f.outbox = append(f.outbox, orchestrate.OutboxRow{Seq: int64(len(f.outbox) + 1),
			OutboxItem: orchestrate.OutboxItem{Kind: prefect.OutboxEvent, Payload: payload}})
	}
}

func newRelay(store *fakeStore) (*Relay, *Subscription[*prefect.Event]) {
	bus := new(Bus[*prefect.Event])
	return NewRelay(store, bus, func() prefect.Time { return start }, quiet()), bus.Subscribe(nil)
}

// wantRelayed fails unless events are those of promise(n).
func wantRelayed(t *testing.T, what string, events []*prefect.Event, n int) {
	t.Helper()
	got := names(events)
	want := make([]string, n)
	for i := range want {
		want[i] = fmt.Sprintf("prefect.flow-run.%d", i)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%s: got %d events %v, want %d in order", what, len(got), got, n)
	}
}

func received(sub *Subscription[*prefect.Event]) (events []*prefect.Event) {
	for {
		select {
		case e := <-sub.C():
			events = append(events, e)
		default:
			return events
		}
	}
}

func TestRelayMovesAllInOrder(t *testing.T) {
	const n = 2*relayBatch + 50
	store := new(fakeStore)
	store.promise(t, n)
	store.outbox = append(store.outbox, orchestrate.OutboxRow{Seq: n + 1, OutboxItem: orchestrate.OutboxItem{Kind: prefect.OutboxCancellingTimeout}})
	relay, sub := newRelay(store)
	if _, err := relay.drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	wantRelayed(t, "stored", store.stored(), n)
	wantRelayed(t, "published", received(sub), n)
	if store.waiting() != 1 {
		t.Errorf("%d rows are left, want the one of another kind", store.waiting())
	}
}

func TestRelayWorksInTheBackground(t *testing.T) {
	noLeak(t)
	store := new(fakeStore)
	relay, _ := newRelay(store)
	relay.Start(context.Background())
	for want := 1; want <= 3; want++ {
		store.set(func() { store.promise(t, 1) })
		relay.Notify()
		eventually(t, "the row is relayed", func() bool { return store.waiting() == 0 && len(store.stored()) == want })
	}
	relay.Stop()
	relay.Stop()
}

func TestRelayAfterACrash(t *testing.T) {
	const n = 10
	store := new(fakeStore)
	store.promise(t, n)
	store.fail = func([]*prefect.Event) error { return errors.New("killed") }
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	dead, _ := newRelay(store)
	if _, err := dead.drain(ctx); err == nil {
		t.Fatal("the relay survived")
	}
	if store.waiting() != n {
		t.Fatalf("%d rows are left", store.waiting())
	}
	store.fail = nil
	next, sub := newRelay(store)
	if _, err := next.drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	wantRelayed(t, "stored", store.stored(), n)
	wantRelayed(t, "published", received(sub), n)
	if store.waiting() != 0 {
		t.Errorf("%d rows are left", store.waiting())
	}
}

func TestRelayPublishesOnceWhatItStored(t *testing.T) {
	store := new(fakeStore)
	store.promise(t, 5)
	unreadable := orchestrate.OutboxItem{Kind: prefect.OutboxEvent, Payload: json.RawMessage(`{"name":1}`)}
	store.outbox = append(store.outbox, orchestrate.OutboxRow{Seq: 6, OutboxItem: unreadable})
	store.failDel = func() error { return errDown }
	relay, sub := newRelay(store)
	for range 3 {
		if _, err := relay.drain(context.Background()); !errors.Is(err, errDown) {
			t.Fatalf("got %v", err)
		}
	}
	store.failDel = nil
	if _, err := relay.drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	wantRelayed(t, "published", received(sub), 5)
	if store.waiting() != 0 {
		t.Errorf("%d rows are left", store.waiting())
	}
}

func TestRelaysOfTwoReplicas(t *testing.T) {
	const n = 50
	store := new(fakeStore)
	store.promise(t, n)
	one, first := newRelay(store)
	two, second := newRelay(store)
	rows, err := store.ReadOutbox(context.Background(), relayBatch, prefect.OutboxEvent)
	if err != nil || len(rows) != n {
		t.Fatal(len(rows), err)
	}
	if _, err := one.drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	store.outbox = rows // as the second read them, before the first deleted them
	if _, err := two.drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	wantRelayed(t, "stored", store.stored(), n)
	wantRelayed(t, "published on one", received(first), n)
	wantRelayed(t, "published on the other", received(second), n)
}

func TestRelayDropsWhatItCannotUse(t *testing.T) {
	store := new(fakeStore)
	store.promise(t, 4)
	store.outbox[1].Payload = json.RawMessage(`{"name":1}`)
	bad := "prefect.flow-run.2"
	store.fail = func(events []*prefect.Event) error {
		if slices.ContainsFunc(events, func(e *prefect.Event) bool { return e.Event == bad }) {
			return errors.New("unsupported unicode escape")
		}
		return nil
	}
	relay, _ := newRelay(store)
	if _, err := relay.drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := names(store.stored()); !slices.Equal(got, []string{"prefect.flow-run.0", "prefect.flow-run.3"}) {
		t.Errorf("stored %v", got)
	}
	if store.waiting() != 0 {
		t.Errorf("%d rows are left", store.waiting())
	}
}

func TestFlowRunEvent(t *testing.T) {
	id := func(n byte) uuid.UUID { return uuid.UUID{15: n} }
	ptr := func(n byte) *uuid.UUID { u := id(n); return &u }
	str := func(s string) *string { return &s }
	at, err := prefect.ParseTime("2026-11-24T01:02:03.000004Z")
	if err != nil {
		t.Fatal(err)
	}
	full := &prefect.FlowRunStateChange{
		FlowRunID: id(1), Name: "otter", RunCount: 2, Tags: []string{"z", "a"}, FlowID: id(2),
		DeploymentID: ptr(3), WorkQueueID: ptr(4), ParentTaskRunID: ptr(5),
		CreatedBy: &prefect.CreatedBy{ID: ptr(3), Type: str("DEPLOYMENT"), DisplayValue: str("nightly")},
		Initial:   &prefect.EventState{ID: id(8), Type: prefect.Running, Name: "Running", Timestamp: at.Add(-time.Minute)},
		Written:   prefect.EventState{ID: id(9), Type: prefect.Paused, Name: "Suspended", Message: "wait", Timestamp: at, PauseReschedule: true},
	}
	rows := map[uuid.UUID]prefect.RelatedRow{
		id(2): {Kind: "flow", ID: id(2), Name: "f", Tags: []string{"a", "flow"}},
		id(3): {Kind: "deployment", ID: id(3), Name: "d", Tags: []string{"m"}},
		id(4): {Kind: "work-queue", ID: id(4), Name: "q", WorkPoolID: ptr(6)},
		id(5): {Kind: "task-run", ID: id(5), Name: "t"},
		id(6): {Kind: "work-pool", ID: id(6), Name: "p", Type: "process"},
	}
	const zeros = "00000000-0000-0000-0000-0000000000"
	want := `{"occurred":"2026-11-24T01:02:03.000004Z","event":"prefect.flow-run.Suspended",` +
		`"resource":{"prefect.resource.id":"prefect.flow-run.` + zeros + `01","prefect.resource.name":"otter","prefect.run-count":"2",` +
		`"prefect.state-message":"wait","prefect.state-name":"Suspended","prefect.state-timestamp":"2026-11-24T01:02:03.000004+00:00","prefect.state-type":"PAUSED"},` +
		`"related":[{"prefect.resource.id":"prefect.flow.` + zeros + `02","prefect.resource.role":"flow","prefect.resource.name":"f"},` +
		`{"prefect.resource.id":"prefect.deployment.` + zeros + `03","prefect.resource.role":"deployment","prefect.resource.name":"d"},` +
		`{"prefect.resource.id":"prefect.work-queue.` + zeros + `04","prefect.resource.role":"work-queue","prefect.resource.name":"q"},` +
		`{"prefect.resource.id":"prefect.work-pool.` + zeros + `06","prefect.resource.role":"work-pool","prefect.resource.name":"p","prefect.work-pool.type":"process"},` +
		`{"prefect.resource.id":"prefect.task-run.` + zeros + `05","prefect.resource.role":"task-run","prefect.resource.name":"t"},` +
		`{"prefect.resource.id":"prefect.tag.a","prefect.resource.role":"tag"},{"prefect.resource.id":"prefect.tag.flow","prefect.resource.role":"tag"},` +
		`{"prefect.resource.id":"prefect.tag.m","prefect.resource.role":"tag"},{"prefect.resource.id":"prefect.tag.z","prefect.resource.role":"tag"},` +
		`{"prefect.resource.id":"prefect.deployment.` + zeros + `03","prefect.resource.role":"creator","prefect.resource.name":"nightly"}],` +
		`"payload":{"intended":{"from":"RUNNING","to":"PAUSED"},"initial_state":{"type":"RUNNING","name":"Running"},` +
		`"validated_state":{"type":"PAUSED","name":"Suspended","message":"wait","pause_reschedule":"true"}},` +
		`"id":"` + zeros + `09","follows":"` + zeros + `08","received":"2026-11-24T01:02:03.000004Z"}`
	if got := wire(flowRunEvent(full, rows, at)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}

	full.Initial.Timestamp = at.Add(-followsWithin)
	if e := flowRunEvent(full, rows, at); e.Follows != nil {
		t.Error("follows a state of five minutes before")
	}
	first := &prefect.FlowRunStateChange{FlowRunID: id(1), FlowID: id(2), CreatedBy: &prefect.CreatedBy{Type: str("SCHEDULE")},
		Written: prefect.EventState{ID: id(9), Type: prefect.Pending, Name: "Pending", Timestamp: at}}
	e := flowRunEvent(first, nil, at)
	if e.Follows != nil || len(e.Related) != 0 || !strings.Contains(string(e.Payload), `"from":null`) || !strings.Contains(string(e.Payload), `"initial_state":null`) {
		t.Errorf("the event of a first state is %s", wire(e))
	}
}

func TestRelayReadsNamesOnce(t *testing.T) {
	store := new(fakeStore)
	c := changed(0)
	store.related = []prefect.RelatedRow{{Kind: "flow", ID: c.FlowID, Name: "f"}}
	now := start
	relay := NewRelay(store, new(Bus[*prefect.Event]), func() prefect.Time { return now }, quiet())
	payload, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	relayOne := func() {
		store.outbox = []orchestrate.OutboxRow{{Seq: 1, OutboxItem: orchestrate.OutboxItem{Kind: prefect.OutboxEvent, Payload: payload}}}
		if _, err := relay.drain(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	relayOne()
	relayOne()
	if len(store.asked) != 1 || !slices.Equal(store.asked[0].Flows, []uuid.UUID{c.FlowID}) {
		t.Errorf("asked for %+v", store.asked)
	}
	now = now.Add(namesFor + time.Second)
	relayOne()
	if len(store.asked) != 2 {
		t.Errorf("asked %d times, want again after a while", len(store.asked))
	}
}

func TestRelayEmitsWhatPoliciesAskFor(t *testing.T) {
	store := new(fakeStore)
	change, flowRun := changed(1), uuid.New()
	change.Tags = []string{"blue"}
	policies := []prefect.PolicyEvent{
		{ID: uuid.New(), Occurred: start, Event: "acme.slow", Payload: json.RawMessage(`{"n":1}`), FlowRun: change},
		{ID: uuid.New(), Occurred: start, Event: "acme.task", TaskRun: &prefect.EventTaskRun{ID: uuid.New(), Name: "t-1", FlowRunID: &flowRun, Tags: []string{"red"}}},
		{ID: uuid.New(), Event: "acme.nobody"},
		{ID: uuid.New(), Occurred: start, Event: "acme.broken", Payload: json.RawMessage(`{"a":"\ud800\u0000x"}`), FlowRun: change},
	}
	for i, p := range policies {
		payload, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		store.outbox = append(store.outbox, orchestrate.OutboxRow{Seq: int64(i + 1), OutboxItem: orchestrate.OutboxItem{Kind: prefect.OutboxPolicyEvent, Payload: payload}})
	}
	store.outbox = append(store.outbox, orchestrate.OutboxRow{Seq: 9, OutboxItem: orchestrate.OutboxItem{Kind: prefect.OutboxEvent, Payload: json.RawMessage("null")}})
	relay, sub := newRelay(store)
	if _, err := relay.drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	events := received(sub)
	if len(events) != 3 || store.waiting() != 0 {
		t.Fatalf("%d events, %d rows are left", len(events), store.waiting())
	}
	flow, task, broken := events[0], events[1], events[2]
	if string(broken.Payload) != `{"a":"\ufffdx"}` {
		t.Errorf("half a surrogate pair and a NUL became %s", broken.Payload)
	}
	if flow.ID != policies[0].ID || flow.Event != "acme.slow" || string(flow.Payload) != `{"n":1}` ||
		flow.Resource.ID() != "prefect.flow-run."+change.FlowRunID.String() || !slices.Contains(flow.RelatedIDs(), "prefect.tag.blue") {
		t.Errorf("of a flow run: %+v", flow)
	}
	if task.Event != "acme.task" || string(task.Payload) != "{}" || task.Resource.ID() != "prefect.task-run."+policies[1].TaskRun.ID.String() ||
		!slices.Equal(task.RelatedIDs(), []string{"prefect.flow-run." + flowRun.String(), "prefect.tag.red"}) {
		t.Errorf("of a task run: %+v", task)
	}
}
