package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
)

// applyEffect applies one effect of a commit. ok is false when the effect's
// condition no longer holds, which is a lost race.
type applyEffect func(ctx context.Context, tx *tx, c *orchestrate.Commit, e *orchestrate.Effect) (ok bool, err error)

// effectOf returns what applies effects of the type, nil for one that is not
// applied here.
func effectOf(t orchestrate.EffectType) applyEffect {
	switch t {
	case orchestrate.AcquireSlots:
		return acquireSlots
	case orchestrate.ReleaseSlots:
		return releaseSlots
	case orchestrate.RenewLease:
		return renewLease
	case orchestrate.DetachLease:
		return detachLease
	case orchestrate.WriteCache:
		return writeCache
	case orchestrate.EnqueueTaskRun:
		return enqueueTaskRun
	}
	return nil
}

// applyEffects applies the effects of c in order. With nothing written, a
// condition that no longer holds is no race that could be lost.
func applyEffects(ctx context.Context, tx *tx, c *orchestrate.Commit) error {
	for i := range c.Effects {
		e := &c.Effects[i]
		apply := effectOf(e.Type)
		if apply == nil {
			return fmt.Errorf("the effect %q is not supported by this version", e.Type)
		}
		ok, err := apply(ctx, tx, c, e)
		if err != nil {
			return wrapf(err, "effect %s", e.Type)
		}
		if !ok && c.State != nil {
			return orchestrate.ErrLostRace
		}
	}
	return nil
}

// writeCache makes the written state the answer for a cache key.
func writeCache(ctx context.Context, tx *tx, c *orchestrate.Commit, e *orchestrate.Effect) (bool, error) {
	var p struct {
		CacheKey        string        `json:"cache_key"`
		CacheExpiration *prefect.Time `json:"cache_expiration"`
	}
	if err := json.Unmarshal(e.Payload, &p); err != nil {
		return false, err
	}
	if c.State == nil {
		return true, nil
	}
	now := tx.now()
	_, err := tx.ExecContext(ctx, insertInto("task_run_state_cache", "id, created, updated, cache_key, cache_expiration, task_run_state_id"),
		tx.d.args(prefect.NewID(), now, now, p.CacheKey, p.CacheExpiration, c.State.ID)...)
	return true, err
}
