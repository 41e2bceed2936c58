package policy

import (
	"strings"
	"testing"
)

func TestCheckJSON(t *testing.T) {
	const schema = `{"type":"object","required":["name"],"additionalProperties":false,"properties":{
		"name":{"type":"string"},"kind":{"$ref":"#/$defs/Kind"}},"$defs":{"Kind":{"enum":["a","b"]}}}`
	for _, c := range []struct{ schema, value, want string }{
		{schema, `{"name":"x","kind":"b"}`, ""},
		{schema, `{"kind":"b"}`, "name"},
		{schema, `{"name":5}`, "name: "},
		{schema, `{"name":"x","kind":"c"}`, "kind: "},
		{schema, `[]`, "want object"},
		{`{`, `{}`, "schema is refused"},
		{`{"$ref":"https://example.com/s.json"}`, `{}`, "schema is refused"},
		{`{"type":5}`, `{}`, "schema is refused"},
	} {
		check, err := CompileJSON([]byte(c.schema))
		if err == nil {
			err = check([]byte(c.value))
		}
		if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s against %.40s: %v, want %q", c.value, c.schema, err, c.want)
		}
	}
}
