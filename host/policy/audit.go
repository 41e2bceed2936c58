package policy

import (
	"context"
	"errors"
	"slices"

	"github.com/interlock-run/interlock/host/prefect"
)

// Audit returns the attempts at changing policies, newest first.
func (r *Registry) Audit(ctx context.Context, f prefect.PolicyAuditFilter) ([]*prefect.PolicyAudit, error) {
	return r.config.Store.FilterPolicyAudit(ctx, f)
}

// attempt begins the audit row of what ctx's actor asks for, as one that comes
// about.
func (r *Registry) attempt(ctx context.Context, action string, modules ...string) *prefect.PolicyAudit {
	if modules == nil {
		modules = []string{}
	}
	return &prefect.PolicyAudit{
		ID: prefect.NewID(), Created: r.config.Now(), Action: action, Outcome: prefect.AuditDone,
		Actor: prefect.ActorOf(ctx), Modules: modules,
	}
}

// refused stores that an attempt failed, and returns why. It is stored although
// the caller may be gone; what keeps it from that is logged.
func (r *Registry) refused(ctx context.Context, a *prefect.PolicyAudit, why error) error {
	a.Outcome, a.Version, a.Reason = prefect.AuditRefused, 0, prefect.Cut(whole(why), maxAuditReason)
	if err := r.config.Store.AddPolicyAudit(context.WithoutCancel(ctx), a); err != nil {
		r.log.Error("a refused change of policies is not in the audit", "action", a.Action, "policy", a.Policy, "refused", why, "error", err)
	}
	return why
}

// maxAuditReason is the longest reason in bytes.
const maxAuditReason = 2048

// whole is an error with what is wrong in each of its fields.
func whole(err error) string {
	text := err.Error()
	var e *prefect.Error
	if errors.As(err, &e) {
		for _, f := range e.Fields {
			text += "; " + f.Msg
		}
	}
	return text
}

// foreign returns the digests that entries name, each once, at most maxEntries:
// what is asked for has not been checked yet.
func foreign(entries []prefect.PolicyEntry) []string {
	digests := []string{}
	for _, e := range entries {
		digest := prefect.Cut(e.Module, 128)
		ours := e.Module == prefect.BuiltinModule || e.Module == prefect.HostModule
		if !ours && len(digests) < maxEntries && !slices.Contains(digests, digest) {
			digests = append(digests, digest)
		}
	}
	return digests
}
