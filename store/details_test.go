package store

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/interlock-run/interlock/host/prefect"
)

// What the quick readers understand has to mean the same as to encoding/json.
func TestQuickReaders(t *testing.T) {
	for _, s := range []string{
		`{}`, `{"cache_key": null}`, `{"deferred": null, "retriable":true,"pause_reschedule" : true}`,
		`{"flow_run_id":"00000000-0000-4000-8000-00000000000a","cache_key":"a","unknown":[1,{"x":"}"}]}`,
		`{"cache_key":"a\"b,}"}`, `{"cache_key":"a b, c: }"}`, `{"cache_key":"a\u0041"}`, `{"c\u0061che_key":"z"}`,
		`{"scheduled_time":"2026-11-23T18:00:01.123456Z","pause_timeout":"2026-11-23T18:00:01+02:00"}`,
		`{"run_input_keyset":{"a":"b"},"untrackable_result":true}`, `{"run_input_keyset":null}`, ` {"pause_key" : "k" } `,
		`{"untrackable_result":null}`,
	} {
		got, want := prefect.NewStateDetails(), prefect.NewStateDetails()
		gotErr, wantErr := stateDetails([]byte(s), &got), json.Unmarshal([]byte(s), &want)
		if (gotErr == nil) != (wantErr == nil) || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v, %v", s, got, gotErr, want, wantErr)
		}
	}
	for _, s := range []string{
		`{}`, `{"max_retries":3,"retry_delay_seconds":2.0,"retries":null}`, `{"retries": 2, "retry_delay": 0, "pause_keys": ["a"], "resuming": null}`,
		`{"pause_keys":null,"retry_type":"in_process"}`, `{"pause_keys": [], "resuming": true, "retry_type": null, "retries": -1}`,
	} {
		got, err := flowRunPolicy([]byte(s))
		no := false
		want := prefect.FlowRunPolicy{PauseKeys: []string{}, Resuming: &no}
		if wantErr := json.Unmarshal([]byte(s), &want); err != nil || wantErr != nil {
			t.Fatal(err, wantErr)
		}
		if want.MaxRetries != 0 {
			want.Retries = &want.MaxRetries
		}
		if delay := int(want.RetryDelaySeconds); delay != 0 {
			want.RetryDelay = &delay
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", s, got, want)
		}
	}
	for _, s := range []string{`[]`, ` [ ] `, `["a"]`, `["a", "b,]"]`, `["a\nb"]`, `["ü","\u00fc"]`, `["a" , "b" ]`, `[""]`} {
		var got tagsColumn
		var want []string
		gotErr, wantErr := got.Scan(s), json.Unmarshal([]byte(s), &want)
		if gotErr != nil || wantErr != nil || !reflect.DeepEqual([]string(got), want) {
			t.Errorf("%s: got %q, %v, want %q", s, got, gotErr, want)
		}
	}
	for _, s := range []string{`[1]`, `["a",]x`, `{`, `["a`, `[`, `["a"`} {
		if err := new(tagsColumn).Scan(s); err == nil {
			t.Errorf("%s is no list of strings, and no error", s)
		}
	}
}

func TestPythonJSON(t *testing.T) {
	for in, want := range map[string]string{
		`{}`:                               `{}`,
		`{"a":1,"b":[1,2,{}],"c":"x,y:z"}`: `{"a": 1, "b": [1, 2, {}], "c": "x,y:z"}`,
		" [ 1 ,\n2 ] ":                     `[1, 2]`,
		`"ü😀"`:                             `"\u00fc\ud83d\ude00"`,
		`"\u003c\u0026\u2028\u0022\\\/"`:   `"<&\u2028\u0022\\/"`,
		`"a\"b\nc"`:                        `"a\"b\nc"`,
	} {
		if got := string(pythonJSON([]byte(in))); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestIntervals(t *testing.T) {
	for in, want := range map[any]float64{
		"00:00:05.25": 5.25, "1 day 02:00:00": 93600, "-1 days +00:00:01": -86399, "3 days": 259200, "0": 0, int64(0): 0,
		"1970-01-01 00:00:05.250000": 5.25, "1970-01-02 00:00:00": 86400, "-00:00:01": -1,
	} {
		var got secondsColumn
		if err := got.Scan(in); err != nil || float64(got) != want {
			t.Errorf("%v: got %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []any{"soon", "x days", true} {
		if err := new(secondsColumn).Scan(in); err == nil {
			t.Errorf("%v is no interval, and no error", in)
		}
	}
}

func TestWithoutEscapedNUL(t *testing.T) {
	for in, want := range map[string]string{
		`{"a":"x"}`: `{"a":"x"}`, `"a\u0000b\u0000"`: `"ab"`, `"\\u0000"`: `"\\u0000"`, `"\\\u0000\""`: `"\\\""`, `"\u0000\u00001"`: `"1"`,
	} {
		if got := string(withoutEscapedNUL([]byte(in))); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}
