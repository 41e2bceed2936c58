package policy

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/interlock-run/interlock/host/prefect"
)

// CheckJSON validates value, a JSON object, against schema, a JSON Schema from
// outside, under the limits that hold for schemas and configs of modules. The
// error is for a client: it says what does not fit, or why the schema is refused.
func CheckJSON(schema, value []byte) error {
	compiled, err := compileSchema(schema)
	if err != nil {
		return prefect.Errorf(prefect.Invalid, "the schema is refused: %v", err)
	}
	var all []string
	for _, f := range checkConfig(compiled, json.RawMessage(value), nil) {
		place := make([]string, len(f.Loc))
		for i, part := range f.Loc {
			place[i] = fmt.Sprint(part)
		}
		all = append(all, strings.TrimPrefix(strings.Join(place, ".")+": "+f.Msg, ": "))
	}
	if len(all) == 0 {
		return nil
	}
	return prefect.Errorf(prefect.Invalid, "%s", strings.Join(all, "; "))
}
