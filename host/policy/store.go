package policy

import (
	"context"

	"github.com/interlock-run/interlock/host/prefect"
)

// ModuleStore keeps module bytes by their digest.
type ModuleStore interface {
	// SaveModule stores m; created is false if its digest was there already. The
	// audit row is stored in the same transaction, here and below.
	SaveModule(ctx context.Context, m *prefect.PolicyModule, audit *prefect.PolicyAudit) (created bool, err error)
	// ReadModule returns a module with its bytes. Errors: NotFound.
	ReadModule(ctx context.Context, digest string) (*prefect.PolicyModule, error)
	// ListModules returns all modules without their bytes, newest first.
	ListModules(ctx context.Context) ([]*prefect.PolicyModule, error)
	// DeleteModule removes one. Errors: NotFound, Conflict while the active version
	// of a policy names it.
	DeleteModule(ctx context.Context, digest string, audit *prefect.PolicyAudit) error
}

// VersionStore keeps the versions of policies.
type VersionStore interface {
	// ActivePolicies returns the highest version of each policy.
	ActivePolicies(ctx context.Context) ([]*prefect.PolicyVersion, error)
	// ReadPolicyVersions returns all versions of one, newest first.
	ReadPolicyVersions(ctx context.Context, name string) ([]*prefect.PolicyVersion, error)
	// SavePolicyVersion stores v as version expect+1 and sets that. Errors:
	// Conflict when the active version is not expect.
	SavePolicyVersion(ctx context.Context, v *prefect.PolicyVersion, expect int, audit *prefect.PolicyAudit) error
	// PolicyRevision changes with every change of policies or modules, by whatever
	// process. It is cheap.
	PolicyRevision(ctx context.Context) (int64, error)
	// ListenPolicies calls fn after changes by other processes until ctx ends. It
	// may know of none and return nil at once.
	ListenPolicies(ctx context.Context, fn func()) error
}

// DecisionStore reads decision records.
type DecisionStore interface {
	// FilterDecisions returns records, oldest first.
	FilterDecisions(ctx context.Context, f prefect.DecisionFilter) ([]*prefect.Decision, error)
}

// AuditStore keeps the attempts at changing policies.
type AuditStore interface {
	// AddPolicyAudit stores an attempt that changed nothing in the store.
	AddPolicyAudit(ctx context.Context, a *prefect.PolicyAudit) error
	// FilterPolicyAudit returns attempts, newest first.
	FilterPolicyAudit(ctx context.Context, f prefect.PolicyAuditFilter) ([]*prefect.PolicyAudit, error)
}

// Store is all that the policies need of the database.
type Store interface {
	ModuleStore
	VersionStore
	DecisionStore
	AuditStore
}
