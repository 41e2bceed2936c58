package bind

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

type inner struct {
	_    struct{} `bind:"forbid"`
	Kind string   `json:"kind" bind:"literal=a|b"`
	N    int      `json:"n" bind:"ge=0,le=5"`
}

func (i *inner) SetDefaults() { i.Kind = "a" }

type record struct {
	ID       uuid.UUID                         `json:"id"`
	Name     string                            `json:"name" bind:"pattern=name"`
	Short    string                            `json:"short" bind:"max_length=3"`
	When     *prefect.Time                     `json:"when"`
	Yes      *bool                             `json:"yes"`
	Ratio    float64                           `json:"ratio" bind:"ge=-1,le=2"`
	Inner    inner                             `json:"inner"`
	Pointer  *inner                            `json:"pointer"`
	List     []inner                           `json:"list"`
	Tags     []string                          `json:"tags" bind:"set,null"`
	Map      map[string]string                 `json:"map"`
	Raw      json.RawMessage                   `json:"raw"`
	Object   json.RawMessage                   `json:"object" bind:"object"`
	Bytes    []byte                            `json:"bytes"`
	Optional prefect.Optional[*string]         `json:"optional"`
	Sub      prefect.Optional[inner]           `json:"sub"`
	Sent     prefect.Optional[json.RawMessage] `json:"sent" bind:"object,null"`
	State    prefect.StateType                 `json:"state"`
	Self     *record                           `json:"self"`
	ignored  int
}

type body struct {
	_     struct{} `bind:"embed"`
	State inner    `json:"state" bind:"required"`
	Limit int      `json:"limit"`
}

func TestDecode(t *testing.T) {
	var r record
	err := New().Decode([]byte(` {"id":"12345678-1234-1234-1234-123456789012","name":"n\u00e9\ud83d\ude80","when":"2026-01-02T03:04:05Z","yes":"on",
		"ratio":"1.5","inner":{"n":3},"pointer":{},"list":[{"kind":"b"},{}],"tags":["x","y","x"],"map":{"k\"":"v"},"raw": [1, {"a":2}] ,
		"object":{},"bytes":"hi","optional":null,"sub":{"n":1},"sent":null,"state":"FAILED","unknown":[{}],"self":{"name":"deep"},"name":"last"} `), &r)
	if err != nil {
		t.Fatal(err, err.(*prefect.Error).Fields)
	}
	switch {
	case r.Name != "last", r.When.String() != "2026-01-02T03:04:05Z", !*r.Yes, r.Ratio != 1.5, r.Inner != inner{Kind: "a", N: 3},
		*r.Pointer != inner{Kind: "a"}, len(r.List) != 2, r.List[0].Kind != "b", r.List[1].Kind != "a", len(r.Tags) != 2, r.Map[`k"`] != "v",
		string(r.Raw) != `[1, {"a":2}]`, string(r.Bytes) != "hi", !r.Optional.Set, r.Optional.Value != nil, !r.Sub.Set, r.Sub.Value.Kind != "a",
		!r.Sent.Set, r.Sent.Value != nil, r.State != prefect.Failed, r.Self.Name != "deep", r.Self.Inner.Kind != "a", r.ignored != 0:
		t.Errorf("decoded %+v", r)
	}
}

func TestAbsentKeepsDefault(t *testing.T) {
	r := record{Name: "kept", Tags: []string{"kept"}}
	if err := New().Decode([]byte(`{"ratio":1}`), &r); err != nil {
		t.Fatal(err)
	}
	if r.Name != "kept" || r.Tags[0] != "kept" || r.Inner.Kind != "a" || r.Optional.Set || r.Pointer != nil {
		t.Errorf("decoded %+v", r)
	}
}

// refused returns the fields of an Invalid error as "loc type".
func refused(t *testing.T, err error) []string {
	t.Helper()
	var e *prefect.Error
	if !errors.As(err, &e) || e.Code != prefect.Invalid {
		t.Fatalf("error %v, want an Invalid one", err)
	}
	var out []string
	for _, f := range e.Fields {
		out = append(out, strings.Trim(fmt.Sprint(f.Loc), "[]")+" "+f.Type)
	}
	return out
}

func TestRefusals(t *testing.T) {
	binder := New()
	for text, want := range map[string][]string{
		`{"id":1,"name":"a/b","short":"abcd","yes":"x","ratio":[],"raw":1}`: {"body id uuid_type", "body name string_pattern_mismatch", "body short string_too_long", "body yes bool_parsing", "body ratio float_type"},
		`{"inner":{"n":6,"x":1,"kind":"c"}}`:                                {"body inner n less_than_equal", "body inner x extra_forbidden", "body inner kind literal_error"},
		`{"list":[{},{"n":-1},3]}`:                                          {"body list 1 n greater_than_equal", "body list 2 model_attributes_type"},
		`{"list":null,"tags":null}`:                                         {"body list list_type"},
		`{"tags":{}}`:                                                       {"body tags set_type"},
		`{"map":{"a":1},"object":[],"bytes":1}`:                             {"body map a string_type", "body object dict_type", "body bytes bytes_type"},
		`{"when":"x","state":"failed"}`:                                     {"body when value_error", "body state enum"},
		`{"name":"\ud800"}`:                                                 {"body name string_unicode"},
		`{"name":"\udc00\ud800\u0041"}`:                                     {"body name string_unicode"},
		`{"self":{"self":{"ratio":null}}}`:                                  {"body self self ratio float_type"},
		`[]`:                                                                {"body model_attributes_type"},
		`null`:                                                              {"body missing"},
		` `:                                                                 {"body missing"},
		`{"inner":{"n":99999999999999999999}}`:                              {"body inner n int_parsing_size"},
		`{"ratio":1e999}`:                                                   {"body ratio finite_number"},
		`{"ratio":2.5}`:                                                     {"body ratio less_than_equal"},
		`{"ratio":-1.5}`:                                                    {"body ratio greater_than_equal"},
		`{"ratio":"nan"}`:                                                   {"body ratio finite_number"},
	} {
		if got := refused(t, binder.Decode([]byte(text), new(record))); !reflect.DeepEqual(got, want) {
			t.Errorf("%s\n got %v\nwant %v", text, got, want)
		}
	}
}

func TestEmbed(t *testing.T) {
	binder := New()
	for text, want := range map[string][]string{
		``: {"body state missing"}, `null`: {"body state missing"}, `{}`: {"body state missing"}, `{"state":null,"limit":null}`: {"body state missing"},
		`[]`: {"body state missing", "body limit missing"}, `{"state":{"x":1}}`: {"body state x extra_forbidden"},
	} {
		if got := refused(t, binder.Decode([]byte(text), new(body))); !reflect.DeepEqual(got, want) {
			t.Errorf("%s\n got %v\nwant %v", text, got, want)
		}
	}
	b := body{Limit: 7}
	if err := binder.Decode([]byte(`{"state":{},"limit":null,"other":1}`), &b); err != nil || b.Limit != 7 {
		t.Errorf("decoded %+v, %v", b, err)
	}
}

func TestCaps(t *testing.T) {
	binder := New()
	deep := strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth)
	if err := binder.Decode([]byte(`{"raw":"`+strings.ReplaceAll(deep, "[", "{")+`"}`), new(record)); err != nil {
		t.Errorf("brackets in a string count: %v", err)
	}
	if got := refused(t, binder.Decode([]byte(`{"raw":`+deep+`}`), new(record))); !strings.HasSuffix(got[0], "json_invalid") {
		t.Errorf("too deep: %v", got)
	}
	many := `{"list":[` + strings.Repeat("1,", 500) + `1]}`
	if got := refused(t, binder.Decode([]byte(many), new(record))); len(got) != prefect.MaxFields {
		t.Errorf("%d refused fields, want %d", len(got), prefect.MaxFields)
	}
	var built []inner
	if got := refused(t, binder.Decode([]byte(`[`+strings.Repeat("{},", 10)+strings.Repeat(`{"x":1},`, 10_000)+`{}]`), &built)); len(got) != prefect.MaxFields || len(built) > 2*prefect.MaxFields {
		t.Errorf("%d elements were built for %d refused fields", len(built), len(got))
	}
	var few []listed
	if err := binder.Decode([]byte(`[`+strings.Repeat("{},", 10_000)+`{}]`), &few); err != nil || len(few) != 4 {
		t.Errorf("%d elements were built where 3 are allowed, %v", len(few), err)
	}
	for _, text := range []string{`{`, `{"a":1,}`, `{'a':1}`, `{"a":NaN}`, `{} {}`, "{\"a\":\"\x01\"}"} {
		if got := refused(t, binder.Decode([]byte(text), new(record))); !strings.HasSuffix(got[0], "json_invalid") {
			t.Errorf("%s: %v", text, got)
		}
	}
	if err := binder.Decode([]byte("{\"name\":\"\xff\"}"), new(record)); prefect.CodeOf(err) != prefect.BadRequest {
		t.Errorf("not UTF-8: %v", err)
	}
}

func TestRefusalsHoldNoBody(t *testing.T) {
	text := []byte(`{"name":"a/b","raw":{"k":1}}`)
	r := new(record)
	err := New().Decode(text, r)
	for i := range text {
		text[i] = 'x'
	}
	var e *prefect.Error
	if !errors.As(err, &e) || string(e.Fields[0].Input.(json.RawMessage)) != `"a/b"` || string(r.Raw) != `{"k":1}` {
		t.Errorf("the body is shared: %v, %s", e.Fields, r.Raw)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{``, `null`, `[]`, `{"id":"x","list":[{"n":"1"}],"self":{"self":{}}}`, `{"name":"\ud83d\ude80\ud800"}`, `{"map":{"\u0041":"\\"}}`,
		`{"when":1e20,"yes":1.0,"ratio":"1_0","tags":["a"]}`, `{"sub":{},"sent":{},"optional":"x","raw":[[[]]],"object":{}}`, `{"inner":{"n":true}}`} {
		f.Add([]byte(s))
	}
	binder := New()
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, dst := range []any{new(record), new(body), new([]inner)} {
			err := binder.Decode(text, dst)
			if err == nil {
				if trimmed := strings.TrimSpace(string(text)); trimmed != "" && !json.Valid(text) {
					t.Fatalf("%q was decoded though it is not JSON", text)
				}
				continue
			}
			var e *prefect.Error
			if !errors.As(err, &e) || (e.Code == prefect.Invalid) == (len(e.Fields) == 0) || len(e.Fields) > prefect.MaxFields {
				t.Fatalf("%q: %v", text, err)
			}
			for _, field := range e.Fields {
				raw, ok := field.Input.(json.RawMessage)
				if field.Loc[0] != "body" || field.Type == "" || !ok || !json.Valid(raw) {
					t.Fatalf("%q: refused field %+v", text, field)
				}
			}
		}
	})
}

// FuzzUnquote compares with encoding/json, which writes U+FFFD where unquote
// reports a lone surrogate.
func FuzzUnquote(f *testing.F) {
	for _, s := range []string{`a\n`, `\ud83d\ude80`, `\ud800\ud83d\ude80`, `\udc00`, `\/\b\f\r\t\"\\`, `é\u00e9`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		raw := []byte(`"` + s + `"`)
		var want string
		if !utf8.ValidString(s) || json.Unmarshal(raw, &want) != nil {
			return
		}
		if got, whole := unquote(raw); got != want || (!whole && !strings.ContainsRune(got, utf8.RuneError)) {
			t.Fatalf("%s: %q, want %q", raw, got, want)
		}
	})
}

type listed struct {
	N int `json:"n"`
}

func (*listed) MostListed() int { return 3 }

func BenchmarkDecode(b *testing.B) {
	text := []byte(`{"id":"12345678-1234-1234-1234-123456789012","name":"RUNNING","when":"2026-01-02T03:04:05Z","inner":{"n":3},"raw":{"type":"x"},"state":"RUNNING"}`)
	binder := New()
	for b.Loop() {
		if err := binder.Decode(text, new(record)); err != nil {
			b.Fatal(err)
		}
	}
}
