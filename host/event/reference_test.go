package event

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/interlock-run/interlock/host/prefect"
)

// raw makes values of JSON texts.
func raw(texts ...string) []json.RawMessage {
	values := make([]json.RawMessage, len(texts))
	for i, text := range texts {
		values[i] = json.RawMessage(text)
	}
	return values
}

// variants returns every object that has one of the values at one place of the
// base, or nothing there, and n objects with values at several places.
func variants(r *rand.Rand, base map[string]json.RawMessage, values []json.RawMessage, n int) []any {
	keys := slices.Sorted(maps.Keys(base))
	with := func(change func(map[string]json.RawMessage)) any {
		object := maps.Clone(base)
		change(object)
		return object
	}
	var all []any
	for _, key := range keys {
		all = append(all, with(func(o map[string]json.RawMessage) { delete(o, key) }))
		for _, value := range values {
			all = append(all, with(func(o map[string]json.RawMessage) { o[key] = value }))
		}
	}
	for range n {
		all = append(all, with(func(o map[string]json.RawMessage) {
			for range 3 {
				o[keys[r.IntN(len(keys))]] = values[r.IntN(len(values))]
			}
		}))
	}
	return all
}

// TestEventsAndFiltersLikeTheReference compares which events and filters are
// valid, and which filter includes which event, with the reference's own classes.
// Filters by related resources are left out: the reference does not apply them
// to events that stream by.
func TestEventsAndFiltersLikeTheReference(t *testing.T) {
	const id = `"6f7c0a51-8d2c-4c0a-9a64-0d9b3f3c1b01"`
	r := rand.New(rand.NewPCG(1, 2))
	events := variants(r, map[string]json.RawMessage{
		"id": json.RawMessage(id), "occurred": json.RawMessage(`"2026-11-24T01:02:03Z"`), "event": json.RawMessage(`"prefect.flow-run.Running"`),
		"resource": json.RawMessage(`{"prefect.resource.id":"prefect.flow-run.1","name":"otter"}`),
		"related":  json.RawMessage(`[{"prefect.resource.id":"prefect.flow.2","prefect.resource.role":"flow","name":"walrus"}]`),
		"payload":  json.RawMessage(`{"why":"because"}`), "follows": json.RawMessage(`null`),
	}, raw(`null`, `1`, `0`, `-1.5`, `true`, `""`, `"x"`, `[]`, `{}`, `[[]]`, `[{}]`, `[null]`, `["x"]`, id, `"6F7C0A518D2C4C0A9A640D9B3F3C1B01"`, `"urn:uuid:6f7c0a51-8d2c-4c0a-9a64-0d9b3f3c1b02"`,
		`"2026-11-24T00:00:00Z"`, `"2026-11-23"`, `"2026-11-24 01:02:03.5+02:00"`, `1764000000`, `1764000000000`, `"1764000000"`, `"2026-13-01"`, `"2026-11-24T25:00:00Z"`, `"2026-11-24T00:00:00.123456789Z"`,
		`{"prefect.resource.id":"r"}`, `{"prefect.resource.id":""}`, `{"prefect.resource.id":1}`, `{"a":"b"}`, `{"prefect.resource.id":"r","prefect.resource.role":"x"}`, `{"prefect.resource.id":"r","name":"Ott[er]"}`,
		`[{"prefect.resource.id":"r","prefect.resource.role":"x"}]`, `[{"prefect.resource.id":"r"}]`, `[{"prefect.resource.role":"x"}]`, `{"a":{"b":[1,null]}}`,
		`"`+strings.Repeat("é", 1024)+`"`, `"`+strings.Repeat("é", 1025)+`"`), 400)
	filters := variants(r, map[string]json.RawMessage{
		"occurred": json.RawMessage(`{"since":"2020-01-01T00:00:00Z","until":"2030-01-01T00:00:00Z"}`), "event": json.RawMessage(`null`), "resource": json.RawMessage(`null`),
		"any_resource": json.RawMessage(`null`), "id": json.RawMessage(`{}`), "text": json.RawMessage(`null`), "order": json.RawMessage(`"ASC"`),
	}, raw(`1`, `"x"`, `"DESC"`, `[1]`, `{"nonsense":1}`, `{"id":[`+id+`]}`, `{"id":["prefect.flow-run.1"]}`, `{"id":["prefect.flow.2","r"]}`, `{"id":[]}`, `{"id":null}`,
		`{"since":"2026-11-24T01:02:03Z","until":"2026-11-25"}`, `{"since":"2000-01-01","until":"2026-11-24T00:00:00Z"}`,
		`{"prefix":["prefect."]}`, `{"prefix":["x","prefect.task-run"]}`, `{"name":["x"]}`, `{"name":["x","prefect.flow-run.Running"],"exclude_prefix":["x"]}`, `{"exclude_name":["x"]}`, `{"prefix":"x"}`,
		`{"id_prefix":["prefect.flow"]}`, `{"id_prefix":["prefect.flow."]}`, `{"labels":{"name":"otter"}}`, `{"labels":{"name":["w*","?tter"]}}`, `{"labels":{"name":"!otter"}}`, `{"labels":{"name":"[ow]*"}}`,
		`{"labels":{"name":"Ott[[]er]"}}`, `{"labels":{"name":[]}}`, `{"labels":{"prefect.resource.id":"prefect.*","name":"*"}}`, `{"labels":{"other":"!x"}}`, `{"labels":{"name":1}}`,
		`[{"id_prefix":["prefect.flow."]},{"labels":{"name":"otter"}}]`, `[{"id":["r"]},{"nonsense":1}]`,
		`{"query":"otter"}`, `{"query":"OTTER -walrus"}`, `{"query":"+because walrus"}`, `{"query":"\"flow-run.1\" !x"}`, `{"query":"`+strings.Repeat("x", 201)+`"}`), 200)

	asked, err := json.Marshal(map[string]any{"events": events, "filters": filters})
	if err != nil {
		t.Fatal(err)
	}
	cmd := python(t, "testdata/reference.py")
	cmd.Stdin = bytes.NewReader(asked)
	printed, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Events  []bool
		Filters [][]bool
	}
	if err := json.Unmarshal(printed, &want); err != nil {
		t.Fatal(err)
	}
	valid := compareEvents(t, events, want.Events)
	compareFilters(t, filters, valid, want.Filters)
}

// compareEvents returns the events that are valid in the reference.
func compareEvents(t *testing.T, events []any, want []bool) (valid []*prefect.Event) {
	t.Helper()
	for i, event := range events {
		b, err := json.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		e, err := prefect.DefaultEventLimits().Decode(b, start)
		if (err == nil) != want[i] {
			t.Errorf("%.300s: %v, but the reference says %v", b, err, want[i])
		}
		if want[i] {
			valid = append(valid, e)
		}
	}
	if len(valid) < 20 || len(valid) > len(events)/2 {
		t.Errorf("%d of %d events are valid: not a test of much", len(valid), len(events))
	}
	return valid
}

func compareFilters(t *testing.T, filters []any, events []*prefect.Event, want [][]bool) {
	t.Helper()
	included := 0
	for i, filter := range filters {
		b, err := json.Marshal(filter)
		if err != nil {
			t.Fatal(err)
		}
		f, err := prefect.DecodeEventFilter(b, start)
		if (err == nil) != (want[i] != nil) {
			t.Errorf("%.300s: %v, but the reference says %v", b, err, want[i] != nil)
		}
		if err != nil || t.Failed() {
			continue
		}
		got := make([]bool, len(events))
		for j, e := range events {
			if got[j] = f.Includes(e); got[j] {
				included++
			}
		}
		if !reflect.DeepEqual(got, want[i]) {
			t.Errorf("%.300s includes %v, in the reference %v", b, got, want[i])
		}
	}
	t.Logf("%d filters on %d events, %d times included", len(filters), len(events), included)
}
