package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/sdk/abi"
)

// maxEntries bounds a policy.
const maxEntries = 64

// problems collects what is wrong with a policy, each at its place.
type problems []prefect.FieldError

func (p *problems) add(kind, msg string, loc ...any) {
	*p = append(*p, prefect.FieldError{Loc: append([]any{"body", "entries"}, loc...), Msg: msg, Type: kind})
}

// validate checks a policy as a whole and fills in what entries leave out. Errors:
// Invalid with all problems, or the database's.
func (r *Registry) validate(ctx context.Context, run prefect.RunType, entries []prefect.PolicyEntry) ([]prefect.PolicyEntry, error) {
	var found problems
	if len(entries) > maxEntries {
		found.add("too_long", fmt.Sprintf("A policy has at most %d entries", maxEntries))
		return nil, invalid("The policy is not valid.", found)
	}
	checked := make([]prefect.PolicyEntry, len(entries))
	seen := map[string]bool{}
	for i, e := range entries {
		if len(e.Config) == 0 || string(e.Config) == "null" {
			e.Config = json.RawMessage("{}")
		}
		switch {
		case e.Name == "" || len(e.Name) > abi.MaxName:
			found.add("value_error", fmt.Sprintf("A name has 1 to %d bytes", abi.MaxName), i, "name")
		case seen[e.Name]:
			found.add("value_error", fmt.Sprintf("%q is the name of an earlier entry", e.Name), i, "name")
		}
		seen[e.Name] = true
		stand := r.standIn(run, e.Name)
		checkOnError(&found, i, &e, stand)
		checkLimits(&found, i, &e)
		if err := r.checkRule(ctx, &found, i, run, &e, stand); err != nil {
			return nil, err
		}
		checked[i] = e
	}
	if len(found) > 0 {
		return nil, invalid("The policy is not valid.", found)
	}
	return checked, nil
}

// checkOnError checks the failure mode; an entry that names none falls back
// where it can and lets nothing pass elsewhere.
func checkOnError(found *problems, i int, e *prefect.PolicyEntry, stand *entry) {
	switch e.OnError {
	case "":
		e.OnError = prefect.Closed
		if stand != nil {
			e.OnError = prefect.Fallback
		}
	case prefect.Fallback:
		if stand == nil {
			found.add("value_error", fmt.Sprintf("There is no built-in rule %q to fall back to", prefect.Cut(e.Name, 128)), i, "on_error")
		}
	case prefect.Closed, prefect.Open:
	default:
		found.add("enum", "A failure mode is fallback, closed or open", i, "on_error")
	}
}

// checkLimits checks the limits of an entry's calls. The built-in module has the
// server's: nothing could stand in for it when it fails.
func checkLimits(found *problems, i int, e *prefect.PolicyEntry) {
	check := func(name string, value, least, most uint64) {
		switch {
		case value == 0:
		case e.Module == prefect.BuiltinModule || e.Module == prefect.HostModule:
			found.add("value_error", "Limits are for uploaded modules", i, name)
		case value < least || value > most:
			found.add("value_error", fmt.Sprintf("A limit is from %d to %d", least, most), i, name)
		}
	}
	check("fuel", e.Fuel, prefect.MinEntryFuel, prefect.MaxEntryFuel)
	check("stack_bytes", uint64(e.StackBytes), prefect.MinEntryStackBytes, prefect.MaxEntryStackBytes)
}

// checkRule checks that the entry's rule exists, fits its place and takes the
// config. The error is the database's.
func (r *Registry) checkRule(ctx context.Context, found *problems, i int, run prefect.RunType, e *prefect.PolicyEntry, stand *entry) error {
	m := r.builtin
	if e.Module == prefect.HostModule {
		if !slices.Contains(prefect.HostRules(), e.Rule) || e.Name != e.Rule {
			found.add("value_error", fmt.Sprintf("The host does nothing by the name %q", prefect.Cut(e.Rule, 128)), i, "rule")
		}
		*found = append(*found, checkConfig(nil, e.Config, []any{"body", "entries", i, "config"})...)
		return nil
	}
	if e.Module != prefect.BuiltinModule {
		var err error
		m, err = r.library.get(ctx, e.Module, func() ([]byte, error) { return r.bytes(ctx, e.Module) })
		var outage *outage
		switch {
		case errors.As(err, &outage):
			return outage.err
		case err != nil:
			found.add("value_error", fmt.Sprintf("Module %q cannot be used: %v", prefect.Cut(e.Module, 128), err), i, "module")
			return nil
		}
		defer r.library.put(m)
	}
	rule := m.manifest.Rule(e.Rule)
	switch {
	case rule == nil:
		found.add("value_error", fmt.Sprintf("The module has no rule %q", prefect.Cut(e.Rule, 128)), i, "rule")
		return nil
	case rule.RunType != abi.AnyType && rule.RunType != string(run):
		found.add("value_error", fmt.Sprintf("The rule is for a %s, the policy for a %s", rule.RunType, run), i, "rule")
	case stand != nil && (rule.Kind != stand.rule.Kind || rule.Phase != stand.rule.Phase):
		found.add("value_error", fmt.Sprintf("The rule is a %s of phase %s, in the place of a %s of phase %s",
			rule.Kind, rule.Phase, stand.rule.Kind, stand.rule.Phase), i, "rule")
	}
	*found = append(*found, checkConfig(m.schemas[e.Rule], e.Config, []any{"body", "entries", i, "config"})...)
	return nil
}
