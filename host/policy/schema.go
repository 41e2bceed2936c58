package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/interlock-run/interlock/host/prefect"
)

const (
	maxSchema = 64 << 10 // bytes
	maxConfig = 64 << 10 // bytes
	// maxExpansion bounds a schema with all its references written out, in
	// subschemas: a small one can stand for a huge one.
	maxExpansion = 10_000
)

// compileSchema makes a schema of a third party fit to be used: it may refer to
// its own definitions and to nothing else, and not to itself.
func compileSchema(text []byte) (*jsonschema.Schema, error) {
	if len(text) > maxSchema {
		return nil, fmt.Errorf("it is larger than %d bytes", maxSchema)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("it is not JSON: %w", err)
	}
	if _, err := (&expansion{root: doc, sizes: map[string]int{}}).of(doc); err != nil {
		return nil, err
	}
	const here = "config.json"
	c := jsonschema.NewCompiler()
	c.UseLoader(refuseLoading{})
	if err := c.AddResource(here, doc); err != nil {
		return nil, fmt.Errorf("it is no JSON Schema: %w", err)
	}
	schema, err := c.Compile(here)
	if err != nil {
		return nil, fmt.Errorf("it is no JSON Schema: %s", firstLine(err))
	}
	return schema, nil
}

// refuseLoading keeps a schema from having anything fetched.
type refuseLoading struct{}

func (refuseLoading) Load(url string) (any, error) {
	return nil, fmt.Errorf("it refers to %q, which is outside of it", url)
}

// expansion measures what a schema is with its references written out.
type expansion struct {
	root  any
	sizes map[string]int // by reference; -1 while it is being measured
}

func (e *expansion) of(node any) (int, error) {
	size := 1
	add := func(more int, err error) error {
		if err != nil {
			return err
		}
		if size += more; size > maxExpansion {
			return fmt.Errorf("with its references written out it has more than %d parts", maxExpansion)
		}
		return nil
	}
	switch node := node.(type) {
	case []any:
		for _, part := range node {
			if err := add(e.of(part)); err != nil {
				return 0, err
			}
		}
	case map[string]any:
		for key, part := range node {
			switch key {
			case "$dynamicRef", "$recursiveRef":
				return 0, fmt.Errorf("it uses %s", key)
			case "$ref":
				if ref, ok := part.(string); ok {
					if err := add(e.reference(ref)); err != nil {
						return 0, err
					}
					continue
				}
			}
			if err := add(e.of(part)); err != nil {
				return 0, err
			}
		}
	}
	return size, nil
}

// reference measures what a reference stands for: "#/$defs/Name" or
// "#/definitions/Name".
func (e *expansion) reference(ref string) (int, error) {
	size, known := e.sizes[ref]
	switch {
	case known && size < 0:
		return 0, fmt.Errorf("%q refers to itself", ref)
	case known:
		return size, nil
	}
	home, name, _ := strings.Cut(strings.TrimPrefix(ref, "#/"), "/")
	root, _ := e.root.(map[string]any)
	definitions, _ := root[home].(map[string]any)
	definition, ok := definitions[name]
	if !ok || home != "$defs" && home != "definitions" {
		return 0, fmt.Errorf("it refers to %q, which is none of its $defs", ref)
	}
	e.sizes[ref] = -1
	size, err := e.of(definition)
	e.sizes[ref] = size
	return size, err
}

// checkConfig validates an entry's config; schema nil takes {} only. loc is
// where the config stands.
func checkConfig(schema *jsonschema.Schema, config json.RawMessage, loc []any) []prefect.FieldError {
	refuse := func(msg, kind string) []prefect.FieldError {
		return []prefect.FieldError{{Loc: loc, Msg: msg, Type: kind}}
	}
	if len(config) > maxConfig {
		return refuse(fmt.Sprintf("The config is larger than %d bytes", maxConfig), "value_error")
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(config))
	object, ok := doc.(map[string]any)
	switch {
	case err != nil || !ok:
		return refuse("The config is not an object", "dict_type")
	case schema == nil && len(object) > 0:
		return refuse("The rule takes no config", "extra_forbidden")
	case schema == nil:
		return nil
	}
	var invalid *jsonschema.ValidationError
	switch err := schema.Validate(doc); {
	case err == nil:
		return nil
	case errors.As(err, &invalid):
		return schemaErrors(invalid, loc)
	default:
		return refuse(err.Error(), "value_error")
	}
}

// schemaErrors lists the innermost findings, each at its place.
func schemaErrors(e *jsonschema.ValidationError, loc []any) []prefect.FieldError {
	if len(e.Causes) == 0 {
		place := append([]any(nil), loc...)
		for _, part := range e.InstanceLocation {
			place = append(place, part)
		}
		msg := e.ErrorKind.LocalizedString(message.NewPrinter(language.English))
		return []prefect.FieldError{{Loc: place, Msg: msg, Type: "value_error"}}
	}
	var all []prefect.FieldError
	for _, cause := range e.Causes {
		all = append(all, schemaErrors(cause, loc)...)
	}
	return all
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
