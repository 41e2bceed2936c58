package prefect

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

const minimalEvent = `{"id":"6f7c0a51-8d2c-4c0a-9a64-0d9b3f3c1b01","occurred":"2026-11-24T01:02:03Z","event":"e","resource":{"prefect.resource.id":"r"}}`

var eventNow = Time{}.Add(0)

func decodeEvent(b string) (*Event, error) {
	return DefaultEventLimits().Decode([]byte(b), eventNow)
}

func TestDecodeEvent(t *testing.T) {
	e, err := decodeEvent(`{"occurred":"2026-11-24T01:02:03.5+01:00","event":"e\u00fc","resource":{"b":"2","prefect.resource.id":"old","a":"\"\\\n\u2028","prefect.resource.id":"r"},` +
		`"related":[{"prefect.resource.id":"x","prefect.resource.role":"y"}],"payload":{"n": [1, null]},"id":"6F7C0A51-8D2C-4C0A-9A64-0D9B3F3C1B01","follows":"6f7c0a51-8d2c-4c0a-9a64-0d9b3f3c1b02","received":"2000-01-01","unknown":1}`)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"occurred":"2026-11-24T00:02:03.500000Z","event":"eü","resource":{"b":"2","prefect.resource.id":"r","a":"\"\\\u000a` + "\u2028" + `"},` +
		`"related":[{"prefect.resource.id":"x","prefect.resource.role":"y"}],"payload":{"n": [1, null]},"id":"6f7c0a51-8d2c-4c0a-9a64-0d9b3f3c1b01","follows":"6f7c0a51-8d2c-4c0a-9a64-0d9b3f3c1b02","received":"0001-01-01T00:00:00Z"}`
	if got := string(e.AppendJSON(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if r, ok := e.InRole("y"); !ok || r.ID() != "x" {
		t.Errorf("in role y is %v", r)
	}
	if _, ok := e.InRole("z"); ok {
		t.Error("there is nobody in role z")
	}
	if ids := e.RelatedIDs(); !reflect.DeepEqual(ids, []string{"x"}) {
		t.Errorf("related are %v", ids)
	}
	if rest := e.Resource.Without(LabelID, "b"); len(rest) != 1 || rest[0].Name != "a" {
		t.Errorf("without two labels it is %v", rest)
	}
}

func TestDecodeMinimalEvent(t *testing.T) {
	e, err := decodeEvent(minimalEvent)
	if err != nil {
		t.Fatal(err)
	}
	if string(e.Payload) != "{}" || e.Related == nil || len(e.Related) != 0 || e.Follows != nil {
		t.Errorf("the blanks are %s, %v, %v", e.Payload, e.Related, e.Follows)
	}
	again, err := decodeEvent(string(e.AppendJSON(nil)))
	if err != nil || !reflect.DeepEqual(e, again) {
		t.Errorf("after a round trip it is %+v, %v", again, err)
	}
}

func TestDecodeEventRefuses(t *testing.T) {
	limits := DefaultEventLimits()
	with := func(field, value string) string {
		var m map[string]json.RawMessage
		if err := json.Unmarshal([]byte(minimalEvent), &m); err != nil {
			t.Fatal(err)
		}
		if value == "" {
			delete(m, field)
		} else {
			m[field] = json.RawMessage(value)
		}
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	labels := func(n int) string {
		var b strings.Builder
		b.WriteString(`{"prefect.resource.id":"r","prefect.resource.role":"r"`)
		for i := 2; i < n; i++ {
			fmt.Fprintf(&b, `,"%d":""`, i)
		}
		return b.String() + "}"
	}
	related := func(n int) string { return "[" + strings.Repeat(labels(2)+",", n-1) + labels(2) + "]" }
	for name, c := range map[string]struct{ in, loc, kind string }{
		"nothing":                 {"", "", "json_invalid"},
		"half an event":           {minimalEvent[:40], "", "json_invalid"},
		"two events":              {minimalEvent + minimalEvent, "", "json_invalid"},
		"a list":                  {"[]", "", "model_attributes_type"},
		"bytes that are no UTF-8": {with("event", "\"\xff\""), "", "json_invalid"},
		"no id":                   {with("id", ""), "id", "missing"},
		"null as id":              {with("id", "null"), "id", "uuid_parsing"},
		"another id":              {with("id", `"x"`), "id", "uuid_parsing"},
		"a number as id":          {with("id", "1"), "id", "uuid_parsing"},
		"no time":                 {with("occurred", ""), "occurred", "missing"},
		"null as time":            {with("occurred", "null"), "occurred", "datetime_parsing"},
		"another time":            {with("occurred", `"noon"`), "occurred", "datetime_parsing"},
		"no name":                 {with("event", ""), "event", "missing"},
		"null as name":            {with("event", "null"), "event", "string_type"},
		"a number as name":        {with("event", "1"), "event", "string_type"},
		"a long name":             {with("event", `"`+strings.Repeat("ü", limits.NameLength+1)+`"`), "event", "value_error"},
		"no resource":             {with("resource", ""), "resource", "missing"},
		"null as resource":        {with("resource", "null"), "resource", "dict_type"},
		"a list as resource":      {with("resource", "[]"), "resource", "dict_type"},
		"a number as label":       {with("resource", `{"prefect.resource.id":"r","n":1}`), "resource", "dict_type"},
		"null as label":           {with("resource", `{"prefect.resource.id":"r","n":null}`), "resource", "dict_type"},
		"no resource id":          {with("resource", `{"a":"b"}`), "resource", "value_error"},
		"an empty resource id":    {with("resource", `{"prefect.resource.id":""}`), "resource", "value_error"},
		"many labels":             {with("resource", labels(limits.Labels+1)), "resource", "value_error"},
		"null as related":         {with("related", "null"), "related", "list_type"},
		"an object as related":    {with("related", "{}"), "related", "list_type"},
		"many related":            {with("related", related(limits.Related+1)), "related", "value_error"},
		"related without role":    {with("related", `[{"prefect.resource.id":"r"}]`), "related.0", "value_error"},
		"related without id":      {with("related", `[{"prefect.resource.role":"r"}]`), "related.0", "value_error"},
		"null as payload":         {with("payload", "null"), "payload", "dict_type"},
		"a list as payload":       {with("payload", "[]"), "payload", "dict_type"},
		"another follows":         {with("follows", `"x"`), "follows", "uuid_parsing"},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := decodeEvent(c.in)
			var refusal *Error
			if !errors.As(err, &refusal) || refusal.Code != Invalid || len(refusal.Fields) != 1 {
				t.Fatalf("got %v, %v", e, err)
			}
			loc := strings.Trim(strings.ReplaceAll(fmt.Sprint(refusal.Fields[0].Loc...), " ", "."), ".")
			loc = strings.Replace(loc, "related0", "related.0", 1)
			if loc != c.loc || refusal.Fields[0].Type != c.kind {
				t.Errorf("refused %q for %s, want %q for %s", loc, refusal.Fields[0].Type, c.loc, c.kind)
			}
		})
	}
	for name, in := range map[string]string{
		"the longest name": with("event", `"`+strings.Repeat("ü", limits.NameLength)+`"`),
		"the most labels":  with("resource", labels(limits.Labels)),
		"the most related": with("related", related(limits.Related)),
		"null as follows":  with("follows", "null"),
		"no payload":       with("payload", ""),
	} {
		if _, err := decodeEvent(in); err != nil {
			t.Errorf("%s is refused: %v", name, err)
		}
	}
	if _, err := decodeEvent(strings.Repeat(" ", limits.Bytes+1)); CodeOf(err) != TooLarge {
		t.Errorf("too many bytes: %v", err)
	}
	var refusal *Error
	if _, err := decodeEvent("{}"); !errors.As(err, &refusal) || len(refusal.Fields) != 4 {
		t.Errorf("an empty object is refused for %+v, want its four fields", refusal)
	}
}

func TestDecodeEventTakesOutWhatPostgresRefuses(t *testing.T) {
	for in, want := range map[string]string{
		`{"a":"x"}`:                      `{"a":"x"}`,
		`{"a\u0000":"\u0000x\u0000"}`:    `{"a":"x"}`,
		`{"a":"\\u0000 \n\u00e9\u0001"}`: `{"a":"\\u0000 \n\u00e9\u0001"}`,
		`{"a":"\ud83d\ude00"}`:           `{"a":"\ud83d\ude00"}`,
		`{"a":"\ud83d"}`:                 `{"a":"\ufffd"}`,
		`{"a":"\uDE00\ud83d\u0000x"}`:    `{"a":"\ufffd\ufffdx"}`,
		`{"a":"\ud83d\ud83d\ude00"}`:     `{"a":"\ufffd\ud83d\ude00"}`,
		`{"a":"\ud83dx\\"}`:              `{"a":"\ufffdx\\"}`,
	} {
		e, err := decodeEvent(`{"id":"6f7c0a51-8d2c-4c0a-9a64-0d9b3f3c1b01","occurred":"2026-11-24","event":"\u0000e\u0000","resource":{"prefect.resource.id":"\u0000r","\u0000":"v"},"payload":` + in + `}`)
		if err != nil {
			t.Fatal(err)
		}
		if string(e.Payload) != want {
			t.Errorf("%s became %s, want %s", in, e.Payload, want)
		}
		if got := string(e.Resource.AppendJSON(nil)); e.Event != "e" || got != `{"prefect.resource.id":"r","":"v"}` {
			t.Errorf("the name is %q, the resource %s", e.Event, got)
		}
	}
}

func FuzzDecodeEvent(f *testing.F) {
	f.Add([]byte(minimalEvent))
	f.Add([]byte(`{"resource":{"a":"\ud800","b" : "c","b":"\u0000"} ,"related":[{}],"payload":{"x":1e400}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DefaultEventLimits().Decode(b, eventNow)
		if err != nil {
			return
		}
		out := e.AppendJSON(nil)
		again, err := DefaultEventLimits().Decode(out, eventNow)
		if err != nil {
			t.Fatalf("%s is refused: %v", out, err)
		}
		if second := again.AppendJSON(nil); string(second) != string(out) {
			t.Fatalf("%s became %s", out, second)
		}
		if !json.Valid(out) || strings.Contains(strings.ReplaceAll(string(out), `\\`, ""), `\u0000`) {
			t.Fatalf("%s is no good", out)
		}
	})
}

func FuzzResourceLikeTheStandardDecoder(f *testing.F) {
	f.Add([]byte(`{"a":"b","a":"\u0063" , "d":""}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var want map[string]*string
		var got Resource
		wantErr, gotErr := json.Unmarshal(b, &want), got.UnmarshalJSON(b)
		for _, v := range want {
			if v == nil { // null is no string here
				return
			}
		}
		if (wantErr == nil) != (gotErr == nil) && string(b) != "null" && len(b) > 0 && b[0] == '{' {
			t.Fatalf("%q: %v, but the standard decoder says %v", b, gotErr, wantErr)
		}
		if gotErr != nil || wantErr != nil || bytes.Contains(b, []byte(`\u0000`)) {
			return
		}
		if len(got) != len(want) {
			t.Fatalf("%q has %d labels, want %d", b, len(got), len(want))
		}
		for _, l := range got {
			if want[l.Name] == nil || *want[l.Name] != l.Value {
				t.Fatalf("%q: %s is %q", b, l.Name, l.Value)
			}
		}
	})
}

func TestFlowRunStateChangeCutsMessages(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"short":           {"ü", "ü"},
		"as long as can":  {strings.Repeat("ü", maxEventMessage), strings.Repeat("ü", maxEventMessage)},
		"cut by little":   {strings.Repeat("x", maxEventMessage+1), strings.Repeat("x", maxEventMessage+1)}, // the note would be longer
		"cut by a lot":    {strings.Repeat("ü", maxEventMessage/2) + strings.Repeat("-", 5000) + strings.Repeat("ö", maxEventMessage/2), strings.Repeat("ü", maxEventMessage/2) + "... 5000 characters left out ..." + strings.Repeat("ö", maxEventMessage/2)},
		"nothing at all ": {"", ""},
	} {
		run := &FlowRun{Name: "r"}
		change := NewFlowRunStateChange(run, nil, &State{Message: &c.in, Name: "N"})
		if change.Written.Message != c.want {
			t.Errorf("%s: the message has %d bytes, want %d", name, len(change.Written.Message), len(c.want))
		}
		if change.EventName() != "prefect.flow-run.N" || change.Initial != nil {
			t.Errorf("got %s, %v", change.EventName(), change.Initial)
		}
	}
}
