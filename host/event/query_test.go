package event

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/interlock-run/interlock/host/prefect"
)

// newHub returns a started hub; its clock stands at the start.
func newHub(t *testing.T, store *fakeStore) *Hub {
	t.Helper()
	noLeak(t)
	hub := New(Config{Store: store, Logger: quiet(), Now: func() prefect.Time { return start }})
	hub.Start(context.Background())
	t.Cleanup(func() { hub.Stop(context.Background()) })
	return hub
}

func TestFilterPages(t *testing.T) {
	store := new(fakeStore)
	for i := range 25 {
		store.events = append(store.events, newEvent(-i)) // in the past: a filter ends now
	}
	hub := newHub(t, store)
	ctx := context.Background()
	filter := json.RawMessage(`{"order":"ASC","event":{"prefix":["test."]},"resource":{"labels":{"prefect.resource.id":["test.*"]}},"any_resource":{"id_prefix":["test."]}}`)
	page, err := hub.Filter(ctx, filter, 10)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for n := 1; ; n++ {
		if page.Total != 25 {
			t.Fatalf("page %d says %d events in all", n, page.Total)
		}
		got = append(got, names(page.Events)...)
		if page.Next == "" {
			break
		}
		if page, err = hub.Next(ctx, page.Next); err != nil {
			t.Fatal(err)
		}
	}
	for i, name := range got {
		if want := fmt.Sprintf("test.event.%d", i-24); name != want {
			t.Fatalf("event %d is %s, want %s", i, name, want)
		}
	}
	if len(got) != 25 {
		t.Errorf("the pages had %d events", len(got))
	}
}

func TestFilterEdges(t *testing.T) {
	store := new(fakeStore)
	store.events = []*prefect.Event{newEvent(-1), newEvent(-2)}
	hub := newHub(t, store)
	ctx := context.Background()
	for _, c := range []struct{ limit, events int }{{0, 0}, {2, 2}, {50, 2}} {
		page, err := hub.Filter(ctx, nil, c.limit)
		if err != nil || page.Events == nil || len(page.Events) != c.events || page.Total != 2 || page.Next != "" {
			t.Errorf("limit %d: %+v, %v", c.limit, page, err)
		}
	}
	if _, err := hub.Filter(ctx, json.RawMessage(`{"nonsense":1}`), 10); prefect.CodeOf(err) != prefect.Invalid {
		t.Errorf("an invalid filter: %v", err)
	}
	token := func(s string) string { return base64.URLEncoding.EncodeToString([]byte(s)) }
	for _, bad := range []string{"", "%", token(""), token("[]"), token(`{"filter":{},"count":9,"page_size":0,"offset":0}`),
		token(`{"filter":{},"count":9,"page_size":51,"offset":0}`), token(`{"filter":{},"count":9,"page_size":5,"offset":-1}`),
		token(`{"filter":{"x":1},"count":9,"page_size":5,"offset":0}`)} {
		if page, err := hub.Next(ctx, bad); prefect.CodeOf(err) != prefect.Forbidden {
			t.Errorf("%q: %+v, %v", bad, page, err)
		}
	}
}

func TestReceive(t *testing.T) {
	store := new(fakeStore)
	hub := newHub(t, store)
	ctx := context.Background()
	list := func(events ...string) []byte { return []byte("[" + strings.Join(events, ",") + "]") }
	if err := hub.Receive(ctx, list()); err != nil {
		t.Fatal(err)
	}
	if err := hub.Receive(ctx, list(wire(newEvent(0)), wire(newEvent(1)))); err != nil {
		t.Fatal(err)
	}
	wantInOrder(t, store.stored(), 2) // when it returns they are stored

	err := hub.Receive(ctx, list(wire(newEvent(2)), `{"event":1}`, `[]`))
	var refusal *prefect.Error
	if !errors.As(err, &refusal) || refusal.Code != prefect.Invalid {
		t.Fatalf("a bad event: %v", err)
	}
	var locs []string
	for _, f := range refusal.Fields {
		locs = append(locs, fmt.Sprint(f.Loc))
	}
	if got, want := strings.Join(locs, ""), "[body 1 id][body 1 occurred][body 1 event][body 1 resource][body 2]"; got != want {
		t.Errorf("refused %s, want %s", got, want)
	}
	// A list of millions that are none: its reply must not be millions of refusals.
	err = hub.Receive(ctx, []byte("["+strings.Repeat("0,", 10*prefect.MaxFields)+"0]"))
	if !errors.As(err, &refusal) || len(refusal.Fields) != prefect.MaxFields {
		t.Errorf("%d refused fields, want %d", len(refusal.Fields), prefect.MaxFields)
	}
	for _, bad := range []string{"", "{}", "null", "1", "[", `{"a":`} {
		if err := hub.Receive(ctx, []byte(bad)); prefect.CodeOf(err) != prefect.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
	wantInOrder(t, store.stored(), 2)

	hub.Stop(ctx)
	if err := hub.Receive(ctx, list(wire(newEvent(2)))); prefect.CodeOf(err) != prefect.Unavailable {
		t.Errorf("after the stop: %v", err)
	}
}

func TestAHubWithoutRelayLeavesTheOutbox(t *testing.T) {
	noLeak(t)
	store := new(fakeStore)
	store.promise(t, 3)
	hub := New(Config{Store: store, Logger: quiet(), NoRelay: true})
	hub.Start(context.Background())
	hub.Notify()
	hub.Stop(context.Background())
	if store.waiting() != 3 {
		t.Errorf("%d rows are left", store.waiting())
	}
}

func TestLogFilter(t *testing.T) {
	run := "6f7c0a51-8d2c-4c0a-9a64-0d9b3f3c1b01"
	var log prefect.Log
	if err := json.Unmarshal([]byte(`{"name":"prefect.flow_runs","level":20,"message":"Hello there","timestamp":"2026-11-24T12:00:00Z","flow_run_id":"`+run+`"}`), &log); err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]bool{
		`{}`:                            true,
		`{"level":{"ge_":20,"le_":20}}`: true,
		`{"level":{"ge_":21}}`:          false,
		`{"level":{"le_":19}}`:          false,
		`{"timestamp":{"before_":"2026-11-24T12:00:00Z","after_":"2026-11-24T12:00:00Z"}}`: true,
		`{"timestamp":{"before_":"2026-11-24T11:59:59Z"}}`:                                 false,
		`{"timestamp":{"after_":"2026-11-24T12:00:01Z"}}`:                                  false,
		`{"flow_run_id":{"any_":["` + run + `"]}}`:                                         true,
		`{"flow_run_id":{"any_":[]}}`:                                                      false,
		`{"task_run_id":{"any_":["` + run + `"]}}`:                                         false,
		`{"task_run_id":{"is_null_":true}}`:                                                true,
		`{"task_run_id":{"is_null_":false}}`:                                               false,
		`{"text":{"query":"hello flow_runs -x"}}`:                                          true,
		`{"text":{"query":"x"}}`:                                                           false,
		`{"level":{"ge_":10},"text":{"query":"x"}}`:                                        false,
		`{"operator":"or_","level":{"ge_":10},"text":{"query":"x"}}`:                       true,
		`{"operator":"or_","level":{"ge_":21},"text":{"query":"x"}}`:                       false,
		`{"operator":"or_"}`:                                                               true,
	} {
		include, err := logFilter([]byte(in))
		if err != nil {
			t.Errorf("%s: %v", in, err)
		} else if got := include(&log); got != want {
			t.Errorf("%s: %v, want %v", in, got, want)
		}
	}
	for _, bad := range []string{`[]`, `{"x":1}`, `{"level":{"ge_":"x"}}`, `{"text":{"query":"` + strings.Repeat("x", 201) + `"}}`} {
		if _, err := logFilter([]byte(bad)); prefect.CodeOf(err) != prefect.Invalid {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
