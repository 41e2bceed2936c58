package api

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

const openAPIScript = `
import json
from prefect.server.api.server import create_api_app
print(json.dumps(create_api_app().openapi()))
`

// schema is the part of an OpenAPI schema that the contract is about.
type schema struct {
	Ref        string             `json:"$ref"`
	Type       string             `json:"type"`
	Format     string             `json:"format"`
	Enum       []string           `json:"enum"`
	AnyOf      []*schema          `json:"anyOf"`
	Items      *schema            `json:"items"`
	Properties map[string]*schema `json:"properties"`
	Required   []string           `json:"required"`
	Additional json.RawMessage    `json:"additionalProperties"`
	Minimum    *float64           `json:"minimum"`
	Maximum    *float64           `json:"maximum"`
	Above      *float64           `json:"exclusiveMinimum"`
	MaxLength  *int               `json:"maxLength"`
	Pattern    string             `json:"pattern"`
}

type content struct {
	Content map[string]struct {
		Schema *schema `json:"schema"`
	} `json:"content"`
}

type document struct {
	Paths map[string]map[string]struct {
		RequestBody *content           `json:"requestBody"`
		Responses   map[string]content `json:"responses"`
	} `json:"paths"`
	Components struct {
		Schemas map[string]*schema `json:"schemas"`
	} `json:"components"`
}

// resolve follows a reference and takes null out of an anyOf.
func (d *document) resolve(s *schema) (resolved *schema, nullable bool) {
	if s.Ref != "" {
		return d.resolve(d.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")])
	}
	var rest []*schema
	for _, one := range s.AnyOf {
		if one.Type == "null" {
			nullable = true
		} else {
			rest = append(rest, one)
		}
	}
	if len(rest) == 1 {
		resolved, _ = d.resolve(rest[0])
		return resolved, nullable
	}
	return s, nullable
}

// operations returns "METHOD /path" of every operation, without slashes at the
// end.
func (d *document) operations() []string {
	var ops []string
	for path, methods := range d.Paths {
		for method := range methods {
			ops = append(ops, strings.ToUpper(method)+" "+trimPath(path))
		}
	}
	slices.Sort(ops)
	return ops
}

func trimPath(path string) string { return strings.TrimSuffix(path, "/") }

func readDocument(t *testing.T) *document {
	t.Helper()
	var d document
	reference(t, openAPIScript, "", &d)
	if len(d.Paths) < 100 {
		t.Fatalf("the reference has %d paths", len(d.Paths))
	}
	return &d
}
