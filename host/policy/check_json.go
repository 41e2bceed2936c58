package policy

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/interlock-run/interlock/host/prefect"
)

// CompileJSON makes a check of values of schema, a JSON Schema from outside, under
// the limits that hold for the schemas of modules. The errors are for a client: its
// own is BadRequest, for a schema that is refused, and the check's is Invalid, for a
// value that does not fit.
func CompileJSON(schema []byte) (check func(value []byte) error, err error) {
	compiled, err := compileSchema(schema)
	if err != nil {
		return nil, prefect.Errorf(prefect.BadRequest, "the schema is refused: %v", err)
	}
	return func(value []byte) error { return checkValue(compiled, value) }, nil
}

func checkValue(compiled *jsonschema.Schema, value []byte) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
	if err != nil {
		return prefect.Errorf(prefect.Invalid, "it is not JSON")
	}
	err = compiled.Validate(doc)
	var invalid *jsonschema.ValidationError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &invalid):
		return prefect.Errorf(prefect.Invalid, "%s", firstLine(err))
	}
	var all []string
	for _, f := range schemaErrors(invalid, nil) {
		place := make([]string, len(f.Loc))
		for i, part := range f.Loc {
			place[i] = fmt.Sprint(part)
		}
		all = append(all, strings.TrimPrefix(strings.Join(place, ".")+": "+f.Msg, ": "))
	}
	return prefect.Errorf(prefect.Invalid, "%s", strings.Join(all, "; "))
}
