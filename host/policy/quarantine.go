package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/host/sandbox"
)

// quarantineAfter is how many errors in a row keep a module from being asked,
// unless [Config] says other.
const quarantineAfter = 5

// health counts a module's errors in a row. It outlives the module: taking a
// module out of a policy and putting it back in does not heal it.
type health struct {
	after       int32 // errors in a row that are too many
	streak      atomic.Int32
	badVerdicts atomic.Uint64
	tooLarge    atomic.Uint64 // contexts
	share       share
}

func (h *health) quarantined() bool { return h.streak.Load() >= h.after }

// fault notes an error and reports whether it is the one that quarantines.
func (h *health) fault() bool { return h.streak.Add(1) == h.after }

// success begins the count anew. A call that was under way when the module was
// quarantined does not end that.
func (h *health) success() {
	for {
		n := h.streak.Load()
		if n == 0 || n >= h.after || h.streak.CompareAndSwap(n, 0) {
			return
		}
	}
}

// announcePatience is how long the announcement of a quarantine may take.
const announcePatience = 30 * time.Second

// The names of the events that tell of a module's standing.
const (
	eventQuarantined = "interlock.policy-module.quarantined"
	eventReadmitted  = "interlock.policy-module.readmitted"
)

// fault counts an error against a module. The one that quarantines it is
// announced, once.
func (r *Registry) fault(m *module, e *entry, cause error) {
	var failed *sandbox.CallError
	if !errors.As(cause, &failed) {
		m.health.badVerdicts.Add(1)
	}
	r.log.Warn("a policy failed", "entry", e.Name, "module", m.Digest(), "error", cause)
	if !m.health.fault() || m.builtin {
		return
	}
	r.log.Error("a policy module is in quarantine: it is not asked until it is readmitted", "module", m.Digest())
	reason := prefect.Cut(fmt.Sprintf("%d errors in a row, the last of entry %s: %v", m.health.after, e.Name, cause), maxAuditReason)
	digest, name := m.Digest(), m.manifest.Name
	// Beside the evaluation, which may be holding up every other writer.
	r.announcing.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), announcePatience)
		defer cancel()
		a := r.attempt(ctx, prefect.AuditQuarantine, digest)
		a.Reason = reason
		if err := r.config.Store.AddPolicyAudit(ctx, a); err != nil {
			r.log.Error("a quarantine is not in the audit", "module", digest, "error", err)
		}
		r.announce(ctx, eventQuarantined, digest, name, reason)
	})
}

// announce publishes an event about a module.
func (r *Registry) announce(ctx context.Context, event, digest, name, reason string) {
	if r.config.Publish == nil {
		return
	}
	payload, err := json.Marshal(map[string]string{"module": digest, "reason": reason})
	if err == nil {
		now := r.config.Now()
		err = r.config.Publish(ctx, &prefect.Event{
			ID: prefect.NewID(), Occurred: now, Received: now, Event: event,
			Resource: prefect.NewResource("interlock.policy-module."+digest, prefect.LabelName, name),
			Related:  []prefect.Resource{}, Payload: payload,
		})
	}
	if err != nil {
		r.log.Error("an event could not be published", "event", event, "module", digest, "error", err)
	}
}

// Readmit ends the quarantine of a module in this process. Errors: NotFound.
func (r *Registry) Readmit(ctx context.Context, digest string) error {
	audit := r.attempt(ctx, prefect.AuditReadmit, prefect.Cut(digest, 128))
	stored, err := r.config.Store.ReadModule(ctx, digest)
	if err != nil {
		return r.refused(ctx, audit, err)
	}
	was := r.library.readmit(digest)
	r.log.Info("policy module readmitted", "module", digest)
	if err := r.config.Store.AddPolicyAudit(ctx, audit); err != nil {
		return err
	}
	if was {
		r.announce(ctx, eventReadmitted, digest, nameOf(stored), "readmitted by hand")
	}
	return nil
}

// nameOf returns the name in a stored module's manifest.
func nameOf(m *prefect.PolicyModule) string {
	var manifest struct{ Name string }
	if json.Unmarshal(m.Manifest, &manifest) != nil {
		return ""
	}
	return manifest.Name
}

// Quarantined reports whether a module is in quarantine in this process.
func (r *Registry) Quarantined(digest string) bool { return r.library.quarantined(digest) }

// Standings tells of the modules that were loaded in this process, in the order of
// their digests.
func (r *Registry) Standings() []Standing { return r.library.standings() }
