package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/interlock-run/interlock/host/prefect"
)

// looseness says how strictly values are checked against a schema that a client's
// library made.
type looseness struct {
	required bool // required fields must be there
	amended  bool // the forms of old libraries stand for what they mean
	nulls    bool // fields with a default may be null too
}

// fits checks values, a JSON object, against a JSON Schema; no schema takes all.
// Errors: Invalid for values that do not fit, BadRequest for a schema that cannot be
// used.
func (s *server) fits(values, schema json.RawMessage, how looseness) error {
	if len(schema) == 0 {
		return nil
	}
	check, err := s.checker(schema, how)
	if err != nil {
		return err
	}
	return check(values)
}

// compile is Compile, with a check that takes all where there is none.
func (s *server) compile(schema []byte) (check func(value []byte) error, err error) {
	if s.Compile == nil {
		return func([]byte) error { return nil }, nil
	}
	return s.Compile(schema)
}

// checker makes the check of a schema that is as loose as how says. Errors:
// BadRequest for a schema that cannot be used.
func (s *server) checker(schema json.RawMessage, how looseness) (check func(value []byte) error, err error) {
	doc, err := decodeNumbers(schema)
	if err != nil {
		return nil, prefect.Errorf(prefect.BadRequest, "the schema is refused: it is not JSON")
	}
	if how.amended {
		amend(doc, how.nulls)
	}
	if !how.required {
		doc = withoutRequired(doc)
	}
	loosened, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	return s.compile(loosened)
}

// decodeNumbers decodes JSON and keeps numbers as they are written.
func decodeNumbers(raw json.RawMessage) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	return v, err
}

// withoutRequired takes every "required" out of a schema.
func withoutRequired(v any) any {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "required")
		for _, item := range v {
			withoutRequired(item)
		}
	case []any:
		for _, item := range v {
			withoutRequired(item)
		}
	}
	return v
}

// amend makes optional fields nullable and lists of items a tuple: schemas that
// Pydantic 1 made mean that.
func amend(schema any, nulls bool) {
	root, _ := schema.(map[string]any)
	amendFields(root, nulls)
	definitions, _ := root["definitions"].(map[string]any)
	for _, definition := range definitions {
		object, _ := definition.(map[string]any)
		amendFields(object, nulls)
	}
}

func amendFields(object map[string]any, nulls bool) {
	fields, _ := object["properties"].(map[string]any)
	required, _ := object["required"].([]any)
	for name, field := range fields {
		schema, ok := field.(map[string]any)
		if !ok {
			continue
		}
		kind, typed := schema["type"]
		_, defaults := schema["default"]
		if typed && kind != "null" && !slices.Contains(required, any(name)) && (nulls || !defaults) {
			delete(schema, "type")
			schema["anyOf"] = []any{map[string]any{"type": kind}, map[string]any{"type": "null"}}
		}
		if items, ok := schema["items"].([]any); ok && len(items) > 0 && schema["prefixItems"] == nil {
			delete(schema, "items")
			schema["prefixItems"] = items
		}
		amendFields(schema, nulls)
	}
}

// refusedSchema answers a schema that values cannot be checked against.
const refusedSchema = "The schema cannot be used: it is too large, refers to itself, or is none."

// about says what failed because of values that do not fit.
func about(err error, what string) error {
	switch prefect.CodeOf(err) {
	case prefect.Invalid:
		return prefect.Errorf(prefect.Invalid, "%s: Validation failed: %w", what, err)
	case prefect.BadRequest:
		return prefect.Errorf(prefect.Invalid, refusedSchema)
	}
	return err
}

// conflicting is about with the Conflict that parameters are refused by.
func conflicting(err error, what string) error {
	if prefect.CodeOf(err) == prefect.Invalid {
		return prefect.Errorf(prefect.Conflict, "%s: Validation failed: %w", what, err)
	}
	return about(err, what)
}

// inBody makes an error of values or their schema one of the whole body.
func inBody(err error) error {
	switch prefect.CodeOf(err) {
	case prefect.Invalid, prefect.BadRequest:
		e := prefect.Errorf(prefect.Invalid, "%w", err)
		e.Fields = []prefect.FieldError{{Loc: []any{"body"}, Type: "value_error", Msg: "Value error, Validation failed: " + err.Error()}}
		return e
	}
	return err
}

// hydrateParameters is hydrate for the parameters of a run; those without a
// placeholder stay as they are. Errors: BadRequest.
func hydrateParameters(parameters json.RawMessage) (json.RawMessage, error) {
	if !bytes.Contains(parameters, []byte("__prefect_kind")) {
		return parameters, nil
	}
	hydrated, reason, err := hydrate(parameters)
	if reason != "" {
		return nil, prefect.Errorf(prefect.BadRequest, "%s", reason)
	}
	return hydrated, err
}

// checkJobVariables checks job variables, later ones over earlier ones and all over
// the pool's defaults, against what the job template of a pool asks for. Errors:
// NotFound, Invalid.
func (s *server) checkJobVariables(ctx context.Context, pool string, required bool, variables ...json.RawMessage) error {
	p, err := s.Store.ReadWorkPool(ctx, pool)
	if err != nil {
		return poolNotFound(err, pool)
	}
	schema := member(p.BaseJobTemplate, "variables")
	given := false
	for _, v := range variables {
		given = given || len(v) > 0 && string(v) != "{}"
	}
	if schema == nil || !given && !required {
		return nil
	}
	defaults, sound, err := s.poolDefaults(ctx, schema)
	if err != nil {
		return err
	}
	merged, err := mergeLabels(append([]json.RawMessage{defaults}, variables...)...)
	if err != nil {
		return err
	}
	return s.fits(merged, schema, looseness{required: required && sound, amended: true, nulls: true})
}

// member returns the value of an object's key, nil if it is not there or empty.
func member(object json.RawMessage, key string) json.RawMessage {
	var members map[string]json.RawMessage
	if json.Unmarshal(object, &members) != nil {
		return nil
	}
	switch v := members[key]; string(v) {
	case "", "null", "{}":
		return nil
	default:
		return v
	}
}

// poolDefaults returns the defaults of a schema's fields that fit it; sound is
// false if some do not. Errors: NotFound for one that refers to a block, BadRequest
// for a schema that cannot be used.
func (s *server) poolDefaults(ctx context.Context, schema json.RawMessage) (defaults json.RawMessage, sound bool, err error) {
	var fields map[string]struct {
		Default json.RawMessage `json:"default"`
	}
	if raw := member(schema, "properties"); raw != nil && json.Unmarshal(raw, &fields) != nil {
		return nil, true, nil
	}
	kept := map[string]json.RawMessage{}
	for name, field := range fields {
		if reference := member(field.Default, "$ref"); reference != nil {
			if member(reference, "block_document_id") != nil {
				return nil, false, prefect.Errorf(prefect.NotFound, "Block not found.") // blocks are not served
			}
			continue
		}
		if len(field.Default) > 0 {
			kept[name] = field.Default
		}
	}
	check, err := s.checker(schema, looseness{})
	if err != nil {
		return nil, false, err
	}
	defaults, err = json.Marshal(kept)
	if err != nil || check(defaults) == nil {
		return defaults, true, err
	}
	sound = true
	for name, value := range kept {
		one, err := json.Marshal(map[string]json.RawMessage{name: value})
		if err = errors.Join(err, ctx.Err()); err != nil {
			return nil, false, err
		}
		if check(one) != nil {
			delete(kept, name)
			sound = false
		}
	}
	defaults, err = json.Marshal(kept)
	return defaults, sound, err
}
