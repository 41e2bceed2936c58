package policy

import (
	"context"
	"fmt"

	"github.com/interlock-run/interlock/host/prefect"
)

// Policies returns the active version of each policy.
func (r *Registry) Policies(ctx context.Context) ([]*prefect.PolicyVersion, error) {
	return r.config.Store.ActivePolicies(ctx)
}

// Policy returns the active version of one. Errors: NotFound.
func (r *Registry) Policy(ctx context.Context, name string) (*prefect.PolicyVersion, error) {
	active, err := r.config.Store.ActivePolicies(ctx)
	if err != nil {
		return nil, err
	}
	for _, v := range active {
		if v.Name == name {
			return v, nil
		}
	}
	return nil, noPolicy(name)
}

// Versions returns all versions of a policy, newest first. Errors: NotFound.
func (r *Registry) Versions(ctx context.Context, name string) ([]*prefect.PolicyVersion, error) {
	versions, err := r.config.Store.ReadPolicyVersions(ctx, name)
	if err == nil && len(versions) == 0 {
		return nil, noPolicy(name)
	}
	return versions, err
}

// PutPolicy makes entries the policy's next version, in force from the next
// transition on. Nothing is changed unless all of it is valid. version is the
// active one as the caller saw it. Errors: NotFound, Invalid with a field for
// each problem, Conflict for a stale version.
func (r *Registry) PutPolicy(ctx context.Context, name string, entries []prefect.PolicyEntry, version int) (*prefect.PolicyVersion, error) {
	return r.put(ctx, name, entries, version, prefect.AuditPut, "put")
}

// Rollback makes the entries of an earlier version the policy's next one.
// Errors: NotFound, Invalid when those entries are not valid any more, Conflict
// when the policy changes meanwhile.
func (r *Registry) Rollback(ctx context.Context, name string, version int) (*prefect.PolicyVersion, error) {
	refused := func(err error) error {
		audit := r.attempt(ctx, prefect.AuditRollback)
		audit.Policy = prefect.Cut(name, 128)
		return r.refused(ctx, audit, err)
	}
	versions, err := r.Versions(ctx, name)
	if err != nil {
		return nil, refused(err)
	}
	for _, v := range versions {
		if v.Version == version {
			return r.put(ctx, name, v.Entries, versions[0].Version, prefect.AuditRollback, fmt.Sprintf("rollback to %d", version))
		}
	}
	return nil, refused(prefect.Errorf(prefect.NotFound, "Policy %s has no version %d", name, version))
}

// Decisions returns decision records, oldest first.
func (r *Registry) Decisions(ctx context.Context, f prefect.DecisionFilter) ([]*prefect.Decision, error) {
	return r.config.Store.FilterDecisions(ctx, f)
}

// put makes the next version, and an audit row of it or of why there is none.
func (r *Registry) put(ctx context.Context, name string, entries []prefect.PolicyEntry, version int, action, reason string) (*prefect.PolicyVersion, error) {
	audit := r.attempt(ctx, action, foreign(entries)...)
	audit.Policy, audit.Reason = prefect.Cut(name, 128), reason
	r.change.Lock()
	defer r.change.Unlock()
	defer r.holdAll(ctx, audit.Modules)()
	v, err := r.save(ctx, name, entries, version, audit)
	if err != nil {
		return nil, r.refused(ctx, audit, err)
	}
	r.log.Info("policy changed", "policy", name, "version", v.Version, "reason", reason)
	if err := r.reload(ctx); err != nil {
		// It is stored, so it is in force: here too as soon as it can be read.
		r.log.Error("a changed policy is not in use here yet", "policy", name, "error", err)
	}
	return v, nil
}

// holdAll keeps the modules loaded, those that can be, from when a policy is checked
// to when it is in force: loading takes a while. The rest is for the check to find.
func (r *Registry) holdAll(ctx context.Context, digests []string) (letGo func()) {
	var held []*module
	for _, digest := range digests {
		if m, err := r.library.get(ctx, digest, func() ([]byte, error) { return r.bytes(ctx, digest) }); err == nil {
			held = append(held, m)
		}
	}
	return func() {
		for _, m := range held {
			r.library.put(m)
		}
	}
}

// save checks and stores a version; change is held.
func (r *Registry) save(ctx context.Context, name string, entries []prefect.PolicyEntry, version int, audit *prefect.PolicyAudit) (*prefect.PolicyVersion, error) {
	run, known := runTypeOf(name)
	if !known {
		return nil, noPolicy(name)
	}
	entries, err := r.validate(ctx, run, entries)
	if err != nil {
		return nil, err
	}
	v := &prefect.PolicyVersion{Name: name, Created: r.config.Now(), Reason: audit.Reason, Entries: entries}
	return v, r.config.Store.SavePolicyVersion(ctx, v, version, audit)
}

func noPolicy(name string) error {
	return prefect.Errorf(prefect.NotFound, "There is no policy %q", prefect.Cut(name, 128))
}
