package prefect

import (
	"context"

	"github.com/google/uuid"
)

// The actions that [PolicyAudit] tells of.
const (
	AuditPush       = "push"       // a module was uploaded
	AuditRemove     = "remove"     // a module was deleted
	AuditPut        = "put"        // a policy got other entries
	AuditRollback   = "rollback"   // a policy got the entries of an earlier version
	AuditInstall    = "install"    // a server brought the policies of its binary
	AuditQuarantine = "quarantine" // a module failed too often in a row
	AuditReadmit    = "readmit"    // a quarantine was ended by hand
)

// What became of an action.
const (
	AuditDone    = "done"
	AuditRefused = "refused"
)

// PolicyAudit is one attempt at changing the policies, or their modules'
// standing, whether it came about or not.
type PolicyAudit struct {
	ID      uuid.UUID `json:"id"`
	Created Time      `json:"created"`
	Action  string    `json:"action"`
	Outcome string    `json:"outcome"`
	Actor   Actor     `json:"actor"`
	Policy  string    `json:"policy,omitempty"`
	Version int       `json:"version,omitempty"` // the one that was made
	// Modules are the digests that it is about: of a policy, those of the entries
	// that were asked for, without the built-in one.
	Modules []string `json:"modules"`
	Reason  string   `json:"reason,omitempty"` // why it was refused, or what was done
}

// PolicyAuditFilter chooses audit rows; zero fields choose all.
type PolicyAuditFilter struct {
	Policy  string
	Outcome string
	Limit   int // 0: none
	Offset  int
}

// Actor is who asked for something, as far as the server knows. A server has one
// password, so the address and the program tell more than the user.
type Actor struct {
	User    string `json:"user,omitempty"`    // that it authenticated as
	Address string `json:"address,omitempty"` // IP address of the connection
	Agent   string `json:"agent,omitempty"`   // User-Agent, cut; "interlock" for the server itself
}

type actorKey struct{}

// WithActor returns a context for what an actor asks for.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorOf returns who asked for what ctx is for; the server itself if nobody did.
func ActorOf(ctx context.Context) Actor {
	if a, ok := ctx.Value(actorKey{}).(Actor); ok {
		return a
	}
	return Actor{Agent: "interlock"}
}
