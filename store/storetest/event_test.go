package storetest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store"
	"github.com/interlock-run/interlock/store/storetest"
)

func TestEvents(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		related := func(id, role string, labels ...string) prefect.Resource {
			return append(prefect.NewResource(id, labels...), prefect.Label{Name: prefect.LabelRole, Value: role})
		}
		events := []*prefect.Event{
			{ID: id(1), Occurred: at(1), Event: "prefect.flow-run.Running", Resource: prefect.NewResource("prefect.flow-run.1", prefect.LabelName, "Ünicode"),
				Related: []prefect.Resource{related("prefect.flow.1", "flow", prefect.LabelName, "hello[1]"), related("prefect.tag.a", "tag")},
				Payload: json.RawMessage(`{"message":"a 100% failure"}`), Received: at(2)},
			{ID: id(2), Occurred: at(2), Event: "prefect.flow-run.Completed", Resource: prefect.NewResource("prefect.flow-run.1"),
				Related: []prefect.Resource{related("prefect.flow.1", "flow", prefect.LabelName, "hello[1]")}, Payload: json.RawMessage(`{}`),
				Follows: ptr(id(1)), Received: at(3)},
			{ID: id(3), Occurred: at(3), Event: "acme.Thing", Resource: prefect.NewResource("acme.thing.1", "kind", "big"),
				Related: []prefect.Resource{}, Payload: json.RawMessage(`{"n":[1,null]}`), Received: at(3)},
		}
		check(t, db.WriteEvents(ctx, events[:1]))
		check(t, db.WriteEvents(ctx, events)) // the first one again

		for name, test := range map[string]struct {
			filter string
			want   []int
		}{
			"all":                {`{}`, []int{3, 2, 1}},
			"ascending":          {`{"order":"ASC"}`, []int{1, 2, 3}},
			"since":              {`{"occurred":{"since":"2026-11-23T18:00:02.123456Z"}}`, []int{3, 2}},
			"until":              {`{"occurred":{"until":"2026-11-23T18:00:02.123456Z"}}`, []int{2, 1}},
			"prefix":             {`{"event":{"prefix":["prefect.","nothing"]}}`, []int{2, 1}},
			"prefix by case":     {`{"event":{"prefix":["Prefect."]}}`, nil},
			"prefix, wildcards":  {`{"event":{"prefix":["pre%"]}}`, nil},
			"exclude prefix":     {`{"event":{"exclude_prefix":["acme","zzz"]}}`, []int{2, 1}},
			"name":               {`{"event":{"name":["acme.Thing","x"]}}`, []int{3}},
			"exclude name":       {`{"event":{"exclude_name":["acme.Thing","x"]}}`, []int{2, 1}},
			"id":                 {`{"id":{"id":["` + id(2).String() + `"]}}`, []int{2}},
			"resource":           {`{"resource":{"id":["prefect.flow-run.1"]}}`, []int{2, 1}},
			"resource prefix":    {`{"resource":{"id_prefix":["acme."]}}`, []int{3}},
			"distinct":           {`{"resource":{"distinct":true}}`, []int{3, 2}},
			"label":              {`{"resource":{"labels":{"kind":"b?g"}}}`, []int{3}},
			"label of id":        {`{"resource":{"labels":{"prefect.resource.id":"*.1","prefect.resource.name":["x","Ü*"]}}}`, []int{1}},
			"label negated":      {`{"resource":{"labels":{"kind":"!small"}}}`, []int{3}},
			"no pattern":         {`{"resource":{"labels":{"kind":[]}}}`, nil},
			"related":            {`{"related":{"id":["prefect.flow.1"]}}`, []int{2, 1}},
			"related role":       {`{"related":{"role":["tag"]}}`, []int{1}},
			"related not itself": {`{"related":{"id":["acme.thing.1"]}}`, nil},
			"related, two":       {`{"related":[{"role":["flow"]},{"role":["tag"]}]}`, []int{1}},
			"in roles":           {`{"related":{"resources_in_roles":[["prefect.flow.1","flow"],["x","y"]]}}`, []int{2, 1}},
			"in another role":    {`{"related":{"resources_in_roles":[["prefect.flow.1","tag"]]}}`, nil},
			"related label":      {`{"related":{"labels":{"prefect.resource.name":"hello[1]*"}}}`, []int{2, 1}},
			"related role label": {`{"related":{"labels":{"prefect.resource.role":"t*"}}}`, []int{1}},
			"any resource":       {`{"any_resource":{"id":["acme.thing.1"]}}`, []int{3}},
			"any prefix":         {`{"any_resource":{"id_prefix":["prefect.tag"]}}`, []int{1}},
			"any, two":           {`{"any_resource":[{"id":["prefect.tag.a"]},{"id":["prefect.flow-run.1"]}]}`, []int{1}},
			"any role label":     {`{"any_resource":{"labels":{"prefect.resource.role":"!flow"}}}`, []int{1}},
			"text":               {`{"text":{"query":"FAILURE"}}`, []int{1}},
			"text, wildcards":    {`{"text":{"query":"100%"}}`, []int{1}},
			"text excluded":      {`{"text":{"query":"-failure"}}`, []int{3, 2}},
		} {
			t.Run(name, func(t *testing.T) {
				f := must(prefect.DecodeEventFilter([]byte(test.filter), at(100)))(t)
				got := must(db.FilterEvents(ctx, f, 10, 0))(t)
				var ids, want []uuid.UUID
				for _, e := range got {
					ids = append(ids, e.ID)
				}
				for _, n := range test.want {
					want = append(want, id(n))
				}
				if !slices.Equal(ids, want) {
					t.Errorf("got %v, want %v", ids, want)
				}
				if n := must(db.CountEvents(ctx, f))(t); n != len(want) {
					t.Errorf("the count is %d, want %d", n, len(want))
				}
			})
		}
		f := prefect.NewEventFilter(at(100))
		for i, got := range must(db.FilterEvents(ctx, f, 10, 0))(t) {
			wantJSON(t, "event", eventJSON(got), eventJSON(events[len(events)-1-i]))
		}
		if page := must(db.FilterEvents(ctx, f, 1, 1))(t); len(page) != 1 || page[0].ID != id(2) {
			t.Errorf("the second page has %v", page)
		}
	})
}

// eventJSON is an event as comparable JSON.
func eventJSON(e *prefect.Event) any {
	return []any{e.ID, e.Occurred, e.Event, e.Resource, e.Related, e.Payload, e.Follows, e.Received}
}

func TestRelatedRows(t *testing.T) {
	eachURL(t, func(t *testing.T, db *store.DB, exec func(string)) {
		if rows := must(db.ReadRelatedRows(ctx, prefect.RelatedKeys{}))(t); len(rows) != 0 {
			t.Errorf("no keys: got %v", rows)
		}
		w := newWorld(t, db, exec)
		rows := must(db.ReadRelatedRows(ctx, prefect.RelatedKeys{Flows: []uuid.UUID{w.flow, uuid.New()}, Deployments: []uuid.UUID{w.deployment},
			WorkQueues: []uuid.UUID{w.queue}, TaskRuns: []uuid.UUID{w.task}}))(t)
		got := map[string]prefect.RelatedRow{}
		for _, r := range rows {
			got[r.Kind] = r
		}
		want := map[string]prefect.RelatedRow{
			"flow":       {Kind: "flow", ID: w.flow, Name: "alpha", Tags: []string{"x", "y"}},
			"deployment": {Kind: "deployment", ID: w.deployment, Name: "prod", Tags: []string{"d"}},
			"work-queue": {Kind: "work-queue", ID: w.queue, Name: "default", Tags: []string{}, WorkPoolID: &w.pool},
			"work-pool":  {Kind: "work-pool", ID: w.pool, Name: "pool", Tags: []string{}, Type: "process"},
			"task-run":   {Kind: "task-run", ID: w.task, Name: "task-1", Tags: []string{}},
		}
		if len(rows) != len(want) {
			t.Errorf("got %d rows, want %d", len(rows), len(want))
		}
		wantJSON(t, "rows", got, want)
	})
}

func TestRelayedEventsTakeThePlaceOfTheirRows(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		run := newFlowRun(t, db, prefect.FlowRun{Name: "r"}, newState(prefect.Pending, at(0)))
		next, s := *run, newState(prefect.Running, at(1))
		enter(&next.RunTimes, s)
		check(t, db.Commit(ctx, &orchestrate.Commit{FlowRun: &next, State: s, ExpectStateID: run.StateID, ExpectUpdated: run.Updated,
			Outbox: []orchestrate.OutboxItem{{Kind: "event", Key: "a"}, {Kind: "event", Key: "b"}}}))
		rows := must(db.ReadOutbox(ctx, 10, "event"))(t)
		event := &prefect.Event{ID: id(1), Occurred: at(1), Event: "acme.Thing", Resource: prefect.NewResource("acme.thing.1"), Received: at(1)}
		count := func(when string, rows, events int) {
			t.Helper()
			got := len(must(db.ReadOutbox(ctx, 10, "event"))(t))
			if stored := must(db.CountEvents(ctx, prefect.NewEventFilter(at(100))))(t); got != rows || stored != events {
				t.Errorf("%s: %d rows and %d events, want %d and %d", when, got, stored, rows, events)
			}
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if err := db.RelayEvents(ended, []*prefect.Event{event}, []int64{rows[0].Seq}); err == nil {
			t.Error("a caller that is gone was served")
		}
		count("after nothing", 2, 0)
		for range 2 { // again is no error
			check(t, db.RelayEvents(ctx, []*prefect.Event{event}, []int64{rows[0].Seq}))
			count("after one", 1, 1)
		}
	})
}

// TestManyEventsAreRelayed has more than a unit of SQLite's writer stores.
func TestManyEventsAreRelayed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		const many = 150
		run := newFlowRun(t, db, prefect.FlowRun{Name: "r"}, newState(prefect.Pending, at(0)))
		next, s := *run, newState(prefect.Running, at(1))
		enter(&next.RunTimes, s)
		commit := &orchestrate.Commit{FlowRun: &next, State: s, ExpectStateID: run.StateID, ExpectUpdated: run.Updated}
		for range many {
			commit.Outbox = append(commit.Outbox, orchestrate.OutboxItem{Kind: "event", Key: "a"})
		}
		check(t, db.Commit(ctx, commit))
		rows := must(db.ReadOutbox(ctx, 2*many, "event"))(t)
		var events []*prefect.Event
		var seqs []int64
		for n, row := range rows[:many-1] {
			events = append(events, &prefect.Event{ID: id(n), Occurred: at(1), Event: "acme.Thing", Resource: prefect.NewResource("acme.thing.1"), Received: at(1)})
			seqs = append(seqs, row.Seq)
		}
		check(t, db.RelayEvents(ctx, events, seqs))
		if left := must(db.ReadOutbox(ctx, 2*many, "event"))(t); len(left) != 1 || left[0].Seq != rows[many-1].Seq {
			t.Errorf("%d rows are left", len(left))
		}
		if n := must(db.CountEvents(ctx, prefect.NewEventFilter(at(100))))(t); n != many-1 {
			t.Errorf("%d events are stored, want %d", n, many-1)
		}
	})
}

// TestEventsThatNoDatabaseTakesAreRefused has Postgres refuse for good what is in
// the payload of an event alone. SQLite keeps it as the text that it is.
func TestEventsThatNoDatabaseTakesAreRefused(t *testing.T) {
	eachURLAt(t, func(t *testing.T, db *store.DB, url string, _ func(string)) {
		want := prefect.Code("")
		if strings.HasPrefix(url, "postgres") {
			want = prefect.Invalid
		}
		for n, payload := range []string{`{"a":"\ud800"}`, `{"a":1e999999}`} {
			err := db.WriteEvents(ctx, []*prefect.Event{{ID: id(n), Occurred: at(1), Event: "acme.Thing", Resource: prefect.NewResource("acme.thing.1"),
				Payload: json.RawMessage(payload), Received: at(1)}})
			if prefect.CodeOf(err) != want {
				t.Errorf("%s: %v, want %q", payload, err, want)
			}
			if err != nil && strings.Contains(err.Error(), "999") {
				t.Errorf("the message repeats what was sent: %v", err)
			}
		}
	})
}

// TestFiltersOfManyPatterns: as many as are allowed are what both databases take.
func TestFiltersOfManyPatterns(t *testing.T) {
	const most = 200
	list := func(n int, element string) string { return "[" + strings.Repeat(element+",", n-1) + element + "]" }
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for name, filter := range map[string]func(n int) string{
			"prefix":         func(n int) string { return `{"event":{"prefix":` + list(n, `"a"`) + `}}` },
			"exclude prefix": func(n int) string { return `{"event":{"exclude_prefix":` + list(n, `"a"`) + `}}` },
			"id prefix":      func(n int) string { return `{"resource":{"id_prefix":` + list(n, `"a"`) + `}}` },
			"label":          func(n int) string { return `{"resource":{"labels":{"a":` + list(n-1, `"!a*"`) + `}}}` },
			"labels": func(n int) string {
				spec := make([]string, n)
				for i := range spec {
					spec[i] = fmt.Sprintf(`"%d":[]`, i)
				}
				return `{"resource":{"labels":{` + strings.Join(spec, ",") + `}}}`
			},
			"related":      func(n int) string { return `{"related":` + list((n+9)/10, `{"id":["a"]}`) + `}` },
			"in roles":     func(n int) string { return `{"related":{"resources_in_roles":` + list(n-10, `["a","b"]`) + `}}` },
			"any resource": func(n int) string { return `{"any_resource":` + list((n+9)/10, `{"id":["a"]}`) + `}` },
		} {
			f := must(prefect.DecodeEventFilter([]byte(filter(most)), at(100)))(t)
			if _, err := db.FilterEvents(ctx, f, 10, 0); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := prefect.DecodeEventFilter([]byte(filter(most+1)), at(100)); prefect.CodeOf(err) != prefect.Invalid {
				t.Errorf("%s, one too many is read: %v", name, err)
			}
			f = prefect.NewEventFilter(at(100))
			check(t, json.Unmarshal([]byte(filter(most+1)), f))
			if _, err := db.CountEvents(ctx, f); prefect.CodeOf(err) != prefect.Invalid {
				t.Errorf("%s, one too many: %v", name, err)
			}
		}
		queues := func(n int) prefect.Filters {
			return prefect.Filters{WorkPoolQueues: &prefect.WorkQueueFilter{Name: &prefect.StartsWithCriteria{StartsWith: slices.Repeat([]string{"a"}, n)}}}
		}
		must(db.CountFlowRuns(ctx, queues(most)))(t)
		if _, err := db.CountFlowRuns(ctx, queues(most+1)); prefect.CodeOf(err) != prefect.Invalid {
			t.Errorf("queues, one too many: %v", err)
		}
	})
}
