package store

import (
	"context"
	"encoding/json"
	"errors"
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
// condition that does not hold is no race that could be lost. Nor is it when the
// commit is the last try: the built-in rules cannot ask for what is not there
// then, but other modules can, and a run has to be able to end whatever they ask
// for, so a terminal state is written without the effect.
func applyEffects(ctx context.Context, tx *tx, c *orchestrate.Commit, last bool) error {
	for i := range c.Effects {
		e := &c.Effects[i]
		var err error
		if last && c.State != nil && c.State.Type.Terminal() {
			err = applyIfPossible(ctx, tx, c, e)
		} else {
			err = applyOne(ctx, tx, c, e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func applyOne(ctx context.Context, tx *tx, c *orchestrate.Commit, e *orchestrate.Effect) error {
	apply := effectOf(e.Type)
	if apply == nil {
		return fmt.Errorf("the effect %q is not supported by this version", e.Type)
	}
	ok, err := apply(ctx, tx, c, e)
	if err != nil {
		return wrapf(err, "effect %s", e.Type)
	}
	if !ok && c.State != nil {
		return fmt.Errorf("%w: the condition of the effect %s does not hold", orchestrate.ErrLostRace, e.Type)
	}
	return nil
}

// applyIfPossible leaves nothing behind of an effect whose condition does not hold.
func applyIfPossible(ctx context.Context, tx *tx, c *orchestrate.Commit, e *orchestrate.Effect) error {
	if _, err := tx.ExecContext(ctx, "SAVEPOINT effect"); err != nil {
		return err
	}
	err := applyOne(ctx, tx, c, e)
	if err != nil && !errors.Is(err, orchestrate.ErrLostRace) {
		return err
	}
	if err != nil {
		if _, err := tx.ExecContext(ctx, "ROLLBACK TO SAVEPOINT effect"); err != nil {
			return err
		}
	}
	_, err = tx.ExecContext(ctx, "RELEASE SAVEPOINT effect")
	return err
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
