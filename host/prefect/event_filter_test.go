package prefect

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

var filterNow = NewTime(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC))

func filterEvent(t *testing.T) *Event {
	t.Helper()
	e, err := decodeEvent(`{"id":"6f7c0a51-8d2c-4c0a-9a64-0d9b3f3c1b01","occurred":"2026-11-24T11:00:00Z","event":"prefect.flow-run.Running",` +
		`"resource":{"prefect.resource.id":"prefect.flow-run.1","prefect.resource.name":"otter"},"payload":{"why":"Because"},` +
		`"related":[{"prefect.resource.id":"prefect.flow.2","prefect.resource.role":"flow","l":"v"},{"prefect.resource.id":"prefect.tag.t","prefect.resource.role":"tag"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEventFilter(t *testing.T) {
	for in, want := range map[string]bool{
		``:     true,
		`null`: true,
		`{}`:   true,
		`{"occurred":{"since":"2026-11-24T11:00:00Z"}}`:        true,
		`{"occurred":{"since":"2026-11-24T11:00:00.000001Z"}}`: false,
		`{"occurred":{"until":"2026-11-24T11:00:00Z"}}`:        true,
		`{"occurred":{"until":"2026-11-24T10:59:59Z"}}`:        false,

		`{"id":{"id":["6f7c0a51-8d2c-4c0a-9a64-0d9b3f3c1b01"]}}`: true,
		`{"id":{"id":["6f7c0a51-8d2c-4c0a-9a64-0d9b3f3c1b02"]}}`: false,
		`{"id":{"id":[]}}`: true,

		`{"event":{"prefix":["x","prefect.flow-run."]}}`:                             true,
		`{"event":{"prefix":["x"]}}`:                                                 false,
		`{"event":{"exclude_prefix":["prefect."]}}`:                                  false,
		`{"event":{"name":["prefect.flow-run.Running"]}}`:                            true,
		`{"event":{"name":["prefect.flow-run."]}}`:                                   false,
		`{"event":{"exclude_name":["prefect.flow-run.Running"]}}`:                    false,
		`{"event":{"prefix":["prefect."],"exclude_name":["prefect.flow-run.Late"]}}`: true,

		`{"resource":{"id":["prefect.flow-run.1"]}}`:                                                    true,
		`{"resource":{"id":["prefect.flow.2"]}}`:                                                        false,
		`{"resource":{"id_prefix":["prefect.flow-run."]}}`:                                              true,
		`{"resource":{"id_prefix":["prefect.flow."]}}`:                                                  false,
		`{"resource":{"labels":{"prefect.resource.name":"o*r"}}}`:                                       true,
		`{"resource":{"labels":{"prefect.resource.name":["x","otter"]}}}`:                               true,
		`{"resource":{"labels":{"prefect.resource.name":"!otter"}}}`:                                    false,
		`{"resource":{"labels":{"prefect.resource.name":"!x*"}}}`:                                       true,
		`{"resource":{"labels":{"no.such.label":"!x"}}}`:                                                false,
		`{"resource":{"labels":{"prefect.resource.name":[]}}}`:                                          false,
		`{"resource":{"labels":{}}}`:                                                                    true,
		`{"resource":{"labels":{"prefect.resource.name":"otter","prefect.resource.id":"prefect.*.2"}}}`: false,

		`{"related":{"id":["prefect.flow.2"]}}`:                                                          true,
		`{"related":{"id":["prefect.flow-run.1"]}}`:                                                      false,
		`{"related":{"id":["prefect.flow.2"],"role":["tag"]}}`:                                           false,
		`{"related":[{"role":["flow"]},{"role":["tag"]}]}`:                                               true,
		`{"related":[{"role":["flow"]},{"role":["deployment"]}]}`:                                        false,
		`{"related":{"resources_in_roles":[["prefect.flow.2","flow"]]}}`:                                 true,
		`{"related":{"resources_in_roles":[["prefect.flow.2","tag"]]}}`:                                  false,
		`{"related":{"labels":{"l":"v","prefect.resource.role":"flow"}}}`:                                true,
		`{"related":{"labels":{"l":"w"}}}`:                                                               false,
		`{"related":{}}`:                                                                                 true,
		`{"related":null}`:                                                                               true,
		`{"any_resource":{"id":["prefect.flow.2"]}}`:                                                     true,
		`{"any_resource":{"id_prefix":["prefect.flow-run."]}}`:                                           true,
		`{"any_resource":[{"id_prefix":["prefect.tag."]},{"labels":{"prefect.resource.name":"otter"}}]}`: true,
		`{"any_resource":[{"id_prefix":["prefect.tag."]},{"id":["x"]}]}`:                                 false,

		`{"text":{"query":"because"}}`:               true,
		`{"text":{"query":"OTTER -walrus"}}`:         true,
		`{"text":{"query":"walrus"}}`:                false,
		`{"text":{"query":"otter !Running"}}`:        false,
		`{"text":{"query":""}}`:                      true,
		`{"text":{"query":"prefect.resource.name"}}`: false, // names of labels are not searched
	} {
		f, err := DecodeEventFilter([]byte(in), filterNow)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if got := f.Includes(filterEvent(t)); got != want {
			t.Errorf("%s: %v, want %v", in, got, want)
		}
	}
}

func TestEventFilterDefaults(t *testing.T) {
	f, err := DecodeEventFilter([]byte(`{"order":"ASC"}`), filterNow)
	if err != nil {
		t.Fatal(err)
	}
	if want := filterNow.Add(-12*time.Hour - 180*24*time.Hour); f.Occurred.Since != want || f.Occurred.Until != filterNow || f.Order != "ASC" {
		t.Errorf("got %+v", f)
	}
	f.Clamp(filterNow, time.Hour)
	if want := filterNow.Add(-time.Hour); f.Occurred.Since != want {
		t.Errorf("clamped to %s, want %s", f.Occurred.Since, want)
	}
	f.Clamp(filterNow, 2*time.Hour)
	if want := filterNow.Add(-time.Hour); f.Occurred.Since != want {
		t.Errorf("clamped to %s, want %s", f.Occurred.Since, want)
	}
}

func TestDecodeEventFilterRefuses(t *testing.T) {
	for _, in := range []string{
		`[]`, `1`, `{} {}`, `{"nonsense":1}`, `{"event":{"nonsense":1}}`, `{"related":{"nonsense":1}}`, `{"related":[{"nonsense":1}]}`,
		`{"order":"SIDEWAYS"}`, `{"occurred":{"since":"noon"}}`, `{"id":{"id":["x"]}}`, `{"event":{"name":"x"}}`,
		`{"resource":{"labels":{"a":null}}}`, `{"resource":{"labels":{"a":1}}}`, `{"resource":{"labels":[]}}`,
		`{"text":{"query":"` + strings.Repeat("x", TextQueryLength+1) + `"}}`,
	} {
		if f, err := DecodeEventFilter([]byte(in), filterNow); CodeOf(err) != Invalid {
			t.Errorf("%s: %+v, %v", in, f, err)
		}
	}
}

func TestBoundsOfEventFilters(t *testing.T) {
	list := func(n int, one string) string { return "[" + strings.TrimSuffix(strings.Repeat(one+",", n), ",") + "]" }
	text := func(n int, s string) string { return `"` + strings.Repeat(s, n) + `"` }
	for in, want := range map[string]string{
		`{"event":{"prefix":` + list(MaxPatterns, `"a"`) + `}}`:                                                    "",
		`{"event":{"prefix":` + list(MaxPatterns+1, `"a"`) + `}}`:                                                  "patterns",
		`{"event":{"exclude_prefix":` + list(MaxPatterns+1, `"a"`) + `}}`:                                          "patterns",
		`{"event":{"name":` + list(5000, `"a"`) + `},"resource":{"id":` + list(5000, `"a"`) + `}}`:                 "",
		`{"resource":{"labels":{"a":` + list(MaxPatterns, `"a"`) + `}}}`:                                           "patterns",
		`{"resource":{"id_prefix":` + list(150, `"a"`) + `},"any_resource":{"id_prefix":` + list(50, `"a"`) + `}}`: "patterns",
		`{"related":` + list(MaxPatterns/relatedPatterns, `{}`) + `}`:                                              "",
		`{"related":` + list(MaxPatterns/relatedPatterns+1, `{}`) + `}`:                                            "patterns",
		`{"any_resource":` + list(MaxPatterns/relatedPatterns+1, `{}`) + `}`:                                       "patterns",
		`{"related":{"resources_in_roles":` + list(MaxPatterns, `["a","b"]`) + `}}`:                                "patterns",
		`{"resource":{"labels":{"a":` + text(MaxPatternLength, "é") + `}}}`:                                        "",
		`{"resource":{"labels":{"a":` + text(MaxPatternLength+1, "é") + `}}}`:                                      "characters",
		`{"any_resource":{"id_prefix":[` + text(MaxPatternLength+1, "a") + `]}}`:                                   "characters",
		`{"related":{"labels":{"a":` + list(5, text(900, "a")) + `}}}`:                                             "",
		`{"related":{"labels":{"a":` + list(4, text(500, "a*")) + `}}}`:                                            "",
		`{"related":{"labels":{"a":` + list(5, text(450, "a*")) + `}}}`:                                            "star",
	} {
		_, err := DecodeEventFilter([]byte(in), filterNow)
		if (err == nil) != (want == "") || err != nil && (CodeOf(err) != Invalid || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.60s: %v, want %q", in, err, want)
		}
	}
}

func TestMatchGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "anything", true}, {"a*", "abc", true}, {"a*", "ba", false},
		{"*c", "abc", true}, {"*b*", "abc", true}, {"a*b*c", "aXbYbZc", true}, {"a*b*c", "aXbYbZ", false},
		{"?", "ü", true}, {"?", "", false}, {"a?c", "abc", true}, {"**", "x", true},
		{"[abc]", "b", true}, {"[abc]", "d", false}, {"[!abc]", "d", true}, {"[!abc]", "a", false}, {"[a-c]x", "bx", true},
		{"[a-c]", "d", false}, {"[]]", "]", true}, {"[!]]", "]", false}, {"[!]]", "x", true}, {"[", "[", true}, {"[a", "[a", true},
		{"[]", "[]", true}, {"[a-]", "-", true}, {"x[!]", "x[!]", true}, {`\*`, `\x`, true}, {"a.b", "axb", false},
		{strings.Repeat("a*", 50) + "b", strings.Repeat("a", 5000), false},
		{"!a*", "abc", false}, {"!a*", "b", true}, {"!", "", false}, {"a[", "a[", true}, {"[][", "[][", true}, {"[[[", "[[[", true}, {"[[]x[", "[x[", true},
		{strings.Repeat("[", 100_000) + "*x", strings.Repeat("[", 100_001), false},
	} {
		if got := compileGlob(c.pattern).match([]rune(c.text)); got != c.want {
			t.Errorf("%q on %q: %v, want %v", c.pattern, c.text, got, c.want)
		}
	}
}

func TestParseTextQuery(t *testing.T) {
	for in, want := range map[string]TextQuery{
		"":                          {},
		"  \t ":                     {},
		"Error":                     {Include: []string{"error"}},
		"error -debug !trace +need": {Include: []string{"error"}, Exclude: []string{"debug", "trace"}, Required: []string{"need"}},
		`"connection timeout" x`:    {Include: []string{"connection timeout", "x"}},
		`-"a b" +"c d"`:             {Exclude: []string{"a b"}, Required: []string{"c d"}},
		`"say \"hi\" \\ \n"`:        {Include: []string{`say "hi" \ \n`}},
		`"open end`:                 {Include: []string{"open end"}},
		`- x + y !`:                 {Include: []string{"x", "y"}},
		`a"b c"d`:                   {Include: []string{"a", "b c", "d"}},
		`""`:                        {},
		`--x`:                       {Exclude: []string{"-x"}},
		`a-b`:                       {Include: []string{"a-b"}},
	} {
		if got := ParseTextQuery(in); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, want %+v", in, got, want)
		}
	}
}
