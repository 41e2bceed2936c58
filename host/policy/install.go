package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"

	"github.com/interlock-run/interlock/host/prefect"
)

// installed is the reason of the versions that a binary brings.
const installed = "installed"

// install stores this binary's policies where there are none, and in place of
// those that an earlier binary brought and nobody changed.
func (r *Registry) install(ctx context.Context) error {
	active, err := r.config.Store.ActivePolicies(ctx)
	if err != nil {
		return err
	}
	for _, d := range r.config.Defaults {
		i := slices.IndexFunc(active, func(v *prefect.PolicyVersion) bool { return v.Name == d.Name })
		expect := 0
		if i >= 0 {
			expect = active[i].Version
			if sameEntries(active[i].Entries, d.Entries) {
				continue
			}
			if active[i].Reason != installed {
				r.log.Info("a policy was changed by hand and stays so; this server's own has other entries",
					"policy", d.Name, "version", expect, "without", missing(active[i].Entries, d.Entries))
				continue
			}
		}
		v := &prefect.PolicyVersion{Name: d.Name, Created: r.config.Now(), Reason: installed, Entries: d.Entries}
		audit := r.attempt(ctx, prefect.AuditInstall)
		audit.Policy = v.Name
		err := r.config.Store.SavePolicyVersion(ctx, v, expect, audit)
		if prefect.CodeOf(err) == prefect.Conflict {
			continue // another process was faster
		}
		if err != nil {
			return err
		}
		r.log.Info("policy installed", "policy", v.Name, "version", v.Version)
	}
	return nil
}

func sameEntries(a, b []prefect.PolicyEntry) bool {
	return slices.EqualFunc(a, b, func(a, b prefect.PolicyEntry) bool {
		return a.Name == b.Name && a.Module == b.Module && a.Rule == b.Rule && a.OnError == b.OnError &&
			a.Fuel == b.Fuel && a.StackBytes == b.StackBytes &&
			bytes.Equal(canonical(a.Config), canonical(b.Config))
	})
}

// canonical makes configs comparable: databases write JSON in their own way.
func canonical(config json.RawMessage) []byte {
	var v map[string]any
	if err := json.Unmarshal(config, &v); err != nil || len(v) == 0 {
		return nil
	}
	text, err := json.Marshal(v)
	if err != nil {
		return config
	}
	return text
}

// missing names the entries of want that have lacks.
func missing(have, want []prefect.PolicyEntry) []string {
	var names []string
	for _, w := range want {
		if !slices.ContainsFunc(have, func(h prefect.PolicyEntry) bool { return h.Name == w.Name }) {
			names = append(names, w.Name)
		}
	}
	return names
}
