package api

import (
	"encoding/json"
	"net/http"

	"github.com/interlock-run/interlock/host/prefect"
)

func (s *server) listPolicies(w http.ResponseWriter, r *http.Request) error {
	registry, err := s.registry()
	if err != nil {
		return err
	}
	policies, err := registry.Policies(r.Context())
	if err != nil {
		return err
	}
	return s.marshal(w, http.StatusOK, prefect.OrEmpty(policies))
}

func (s *server) readPolicy(w http.ResponseWriter, r *http.Request) error {
	registry, err := s.registry()
	if err != nil {
		return err
	}
	policy, err := registry.Policy(r.Context(), pathText(r, "name"))
	return s.policy(w, policy, err)
}

func (s *server) policy(w http.ResponseWriter, policy *prefect.PolicyVersion, err error) error {
	if err != nil {
		return err
	}
	return s.marshal(w, http.StatusOK, policy)
}

// putPolicy is the body of PUT /interlock/policies/{name}.
type putPolicy struct {
	_       struct{}      `bind:"forbid"`
	Entries []policyEntry `json:"entries" bind:"required"`
	Version int           `json:"version" bind:"required,ge=0"` // the one that is active
}

// policyEntry is prefect.PolicyEntry with what its schema allows.
type policyEntry struct {
	_       struct{}        `bind:"forbid"`
	Name    string          `json:"name" bind:"required"`
	Module  string          `json:"module"`
	Rule    string          `json:"rule"`
	Config  json.RawMessage `json:"config" bind:"object,null"`
	OnError string          `json:"on_error" bind:"enum=fallback|closed|open"`

	Fuel       *int64 `json:"fuel" bind:"ge=1000,le=1000000000"`
	StackBytes *int64 `json:"stack_bytes" bind:"ge=1024,le=4194304"`
}

// entry fills in what was left out: the built-in module, and the rule of the
// entry's own name.
func (e policyEntry) entry() prefect.PolicyEntry {
	if e.Module == "" {
		e.Module = prefect.BuiltinModule
	}
	if e.Rule == "" {
		e.Rule = e.Name
	}
	if e.Config == nil {
		e.Config = json.RawMessage("{}")
	}
	if e.OnError == "" {
		e.OnError = string(prefect.Fallback)
	}
	entry := prefect.PolicyEntry{Name: e.Name, Module: e.Module, Rule: e.Rule, Config: e.Config, OnError: prefect.OnError(e.OnError)}
	if e.Fuel != nil {
		entry.Fuel = uint64(*e.Fuel)
	}
	if e.StackBytes != nil {
		entry.StackBytes = uint32(*e.StackBytes)
	}
	return entry
}

func (s *server) putPolicy(w http.ResponseWriter, r *http.Request) error {
	registry, err := s.registry()
	if err != nil {
		return err
	}
	var body putPolicy
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	entries := make([]prefect.PolicyEntry, len(body.Entries))
	for i, e := range body.Entries {
		entries[i] = e.entry()
	}
	policy, err := registry.PutPolicy(r.Context(), pathText(r, "name"), entries, body.Version)
	return s.policy(w, policy, err)
}

func (s *server) listPolicyVersions(w http.ResponseWriter, r *http.Request) error {
	registry, err := s.registry()
	if err != nil {
		return err
	}
	versions, err := registry.Versions(r.Context(), pathText(r, "name"))
	if err != nil {
		return err
	}
	return s.marshal(w, http.StatusOK, prefect.OrEmpty(versions))
}

// rollback is the body of POST /interlock/policies/{name}/rollback.
type rollback struct {
	_       struct{} `bind:"forbid"`
	Version int      `json:"version" bind:"required,ge=1"`
}

func (s *server) rollbackPolicy(w http.ResponseWriter, r *http.Request) error {
	registry, err := s.registry()
	if err != nil {
		return err
	}
	var body rollback
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	policy, err := registry.Rollback(r.Context(), pathText(r, "name"), body.Version)
	return s.policy(w, policy, err)
}
