package policy

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestSchemasThatAreRefused(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString(`{"$ref":"#/$defs/a0","$defs":{`)
	for i := range 40 {
		fmt.Fprintf(&bomb, `"a%d":{"allOf":[{"$ref":"#/$defs/a%d"},{"$ref":"#/$defs/a%d"}]},`, i, i+1, i+1)
	}
	bomb.WriteString(`"a40":{}}}`)
	for name, c := range map[string]struct{ schema, want string }{
		"remote":          {`{"$ref":"http://127.0.0.1:1/x.json"}`, "none of its $defs"},
		"a file":          {`{"$ref":"file:///etc/passwd"}`, "none of its $defs"},
		"a remote schema": {`{"$schema":"http://127.0.0.1:1/x.json"}`, "outside"},
		"to itself":       {`{"$defs":{"a":{"properties":{"x":{"$ref":"#/$defs/a"}}}},"$ref":"#/$defs/a"}`, "refers to itself"},
		"to the root":     {`{"properties":{"x":{"$ref":"#"}}}`, "none of its $defs"},
		"dynamic":         {`{"$dynamicRef":"#x"}`, "$dynamicRef"},
		"missing":         {`{"$ref":"#/$defs/a"}`, "none of its $defs"},
		"expanding":       {bomb.String(), "parts"},
		"no such type":    {`{"type":"thing"}`, "no JSON Schema"},
		"a bad pattern":   {`{"pattern":"("}`, "no JSON Schema"},
		"too large":       {`{"description":"` + strings.Repeat("x", maxSchema) + `"}`, "larger"},
	} {
		if _, err := compileSchema([]byte(c.schema)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConfigsAgainstASchema(t *testing.T) {
	schema, err := compileSchema([]byte(`{"type":"object","properties":{"base":{"$ref":"#/$defs/n"},"names":{"type":"array","items":{"type":"string"}}},
		"$defs":{"n":{"type":"number","minimum":1}},"additionalProperties":false}`))
	if err != nil {
		t.Fatal(err)
	}
	loc := []any{"config"}
	for config, want := range map[string]string{
		`{}`: "", `{"base":2,"names":["a"]}`: "", `{"base":1e400}`: "", // beyond a float, yet a number above 1
		`{"base":0}`: "[config base]", `{"names":["a",1]}`: "[config names 1]", `{"other":1}`: "[config]",
		`[]`: "[config]", `null`: "[config]", `{`: "[config]", `{"names":["` + strings.Repeat("x", maxConfig) + `"]}`: "[config]",
	} {
		found := checkConfig(schema, json.RawMessage(config), loc)
		got := ""
		if len(found) > 0 {
			got = fmt.Sprint(found[0].Loc)
		}
		if got != want {
			t.Errorf("%.40s: %q, want %q (%+v)", config, got, want, found)
		}
	}
	if found := checkConfig(nil, json.RawMessage(`{}`), loc); len(found) != 0 {
		t.Errorf("no schema: %v", found)
	}
}
