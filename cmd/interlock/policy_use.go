package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/contract"
)

// useTries bounds how often use starts again when somebody else changed the
// policy in between.
const useTries = 5

// policyUse puts a module into an entry. It pushes the module first when it is
// given a file, and reads the policy anew when its version turned stale.
func policyUse(ctx context.Context, e env, c *client, f policyFlags, args []string) error {
	name, source := args[0], args[1]
	change := prefect.PolicyEntry{Name: name, Module: source, Rule: f.rule, OnError: prefect.OnError(f.onError)}
	if f.stack > prefect.MaxEntryStackBytes {
		return usagef("--stack is at most %d", prefect.MaxEntryStackBytes)
	}
	change.Fuel, change.StackBytes = f.fuel, uint32(f.stack)
	if f.config != "" {
		if !json.Valid([]byte(f.config)) {
			return usagef("--config is not JSON")
		}
		change.Config = json.RawMessage(f.config)
	}
	switch {
	case source == prefect.BuiltinModule:
		if change.Rule == "" {
			change.Rule = name
		}
	default:
		m, err := findModule(ctx, c, source)
		if err != nil {
			return err
		}
		change.Module = m.Digest
		if change.Rule == "" {
			if change.Rule, err = soleRule(m.Manifest, name); err != nil {
				return err
			}
		}
	}
	if err := replaceEntry(ctx, e, c, f, change); err != nil {
		return err
	}
	if change.Module != prefect.BuiltinModule {
		say(e.stdout, "%s decides by rule %s of %s\n", name, change.Rule, shortDigest(change.Module))
	}
	return nil
}

// findModule pushes a file, or looks up a digest.
func findModule(ctx context.Context, c *client, source string) (*prefect.PolicyModule, error) {
	if _, err := os.Stat(source); err == nil || !strings.HasPrefix(source, "sha256:") {
		m, _, err := push(ctx, c, source)
		return m, err
	}
	var m prefect.PolicyModule
	_, err := onModule(ctx, c, http.MethodGet, source, "", &m)
	return &m, err
}

// onModule calls what is below a stored module's path, which a cut digest may name,
// and returns the whole digest.
func onModule(ctx context.Context, c *client, method, given, below string, reply any) (digest string, err error) {
	if digest, err = wholeDigest(ctx, c, given); err != nil {
		return "", err
	}
	_, err = c.call(ctx, method, "/modules/"+url.PathEscape(digest)+below, nil, reply)
	return digest, err
}

// wholeDigest returns the digest of the stored module that is meant by one that may
// be cut, as list shows it. One that no module has is returned as it is, and so is one
// of which nothing is left, which would mean whichever module is alone.
func wholeDigest(ctx context.Context, c *client, given string) (string, error) {
	if digits, ok := strings.CutPrefix(given, "sha256:"); !ok || digits == "" || len(digits) >= 64 {
		return given, nil
	}
	var modules []prefect.PolicyModule
	if _, err := c.call(ctx, http.MethodGet, "/modules", nil, &modules); err != nil {
		return "", err
	}
	found := given
	for _, m := range modules {
		if !strings.HasPrefix(m.Digest, given) {
			continue
		}
		if found != given {
			return "", usagef("several modules begin with %s", given)
		}
		found = m.Digest
	}
	return found, nil
}

// soleRule picks the rule that can only be meant: the module's one rule, or the
// one called as the entry is.
func soleRule(raw json.RawMessage, entry string) (string, error) {
	var m abi.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return "", fmt.Errorf("the module's manifest does not parse: %w", err)
	}
	var names []string
	for _, r := range m.Rules {
		if r.Name == entry {
			return r.Name, nil
		}
		names = append(names, r.Name)
	}
	if len(names) == 1 {
		return names[0], nil
	}
	return "", usagef("the module has several rules (%s): choose one with --rule", strings.Join(names, ", "))
}

func replaceEntry(ctx context.Context, e env, c *client, f policyFlags, change prefect.PolicyEntry) error {
	for try := 1; ; try++ {
		p, at, err := findEntry(ctx, c, f.policy, change.Name)
		if err != nil {
			return err
		}
		p.Entries[at] = merged(p.Entries[at], change, f.given)
		err = putEntries(ctx, e, c, p.Name, p.Entries, p.Version)
		if !isStatus(err, http.StatusConflict) || try == useTries {
			return err
		}
	}
}

// merged is an entry as change has it, and as it was where no flag says otherwise.
// The built-in rule takes over none of a module's config and limits: giving an entry
// back to it must always work.
func merged(was, change prefect.PolicyEntry, given map[string]bool) prefect.PolicyEntry {
	if change.OnError == "" {
		change.OnError = was.OnError
	}
	if change.Module == prefect.BuiltinModule && was.Module != prefect.BuiltinModule {
		return change
	}
	if !given["config"] {
		change.Config = was.Config
	}
	if !given["fuel"] {
		change.Fuel = was.Fuel
	}
	if !given["stack"] {
		change.StackBytes = was.StackBytes
	}
	return change
}

// findEntry finds the one policy that has an entry of this name.
func findEntry(ctx context.Context, c *client, policyName, name string) (*prefect.PolicyVersion, int, error) {
	var policies []prefect.PolicyVersion
	if _, err := c.call(ctx, http.MethodGet, "/policies", nil, &policies); err != nil {
		return nil, 0, err
	}
	var found *prefect.PolicyVersion
	var at int
	for i := range policies {
		if policyName != "" && policies[i].Name != policyName {
			continue
		}
		for j, entry := range policies[i].Entries {
			if entry.Name != name {
				continue
			}
			if found != nil {
				return nil, 0, usagef("%s stands in %s and in %s: choose one with --policy", name, found.Name, policies[i].Name)
			}
			found, at = &policies[i], j
		}
	}
	if found == nil {
		return nil, 0, fmt.Errorf("no policy has an entry %s; see 'interlock policy list'", name)
	}
	return found, at, nil
}

func manifestName(raw json.RawMessage) string {
	var m abi.Manifest
	if json.Unmarshal(raw, &m) != nil {
		return "?"
	}
	return m.Name + " " + m.Version
}

// printManifest tells of a module what an operator wants to know before
// installing it: when its rules are asked, what they get to see, what they may do.
func printManifest(w io.Writer, raw json.RawMessage) {
	m, err := contract.ParseManifest(raw)
	if err != nil {
		return
	}
	say(w, "%s %s: %s\n", m.Name, m.Version, m.Description)
	for _, r := range m.Rules {
		say(w, "  %s  %s %s, %s phase, %s to %s\n", r.Name, r.RunType, r.Kind, r.Phase, typesText(r.From), typesText(r.To))
		for _, list := range []struct {
			name  string
			names []string
		}{{"asked only with", r.Needs}, {"sees", r.Facts}, {"may", r.Effects}} {
			if len(list.names) > 0 {
				say(w, "    %s: %s\n", list.name, strings.Join(list.names, ", "))
			}
		}
	}
}

func typesText(list []*string) string {
	names := make([]string, len(list))
	for i, t := range list {
		names[i] = "(none)"
		if t != nil {
			names[i] = *t
		}
	}
	return strings.Join(names, "|")
}
