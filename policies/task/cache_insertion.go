package task

import (
	"unicode/utf8"

	"github.com/interlock-run/interlock/sdk"
	"github.com/interlock-run/interlock/sdk/abi"
)

// CacheInsertion makes a completed state findable by its cache key. A key that is
// too long is not cached; the reference answers such a proposal with a rejection
// to itself, and caches it all the same.
func CacheInsertion() sdk.Rule {
	return sdk.Rule{
		Name:         "CacheInsertion",
		Description:  "Caches the result of a completed task run",
		RunType:      sdk.TaskRun,
		From:         sdk.AnyState,
		To:           sdk.Completed,
		Needs:        []string{abi.NeedCacheKey},
		Effects:      []string{abi.EffectWriteCache},
		ConfigSchema: `{"type":"object","properties":{"max_cache_key_length":{"type":"integer","minimum":0}},"additionalProperties":false}`,
		Evaluate: func(c *sdk.Context) sdk.Decision {
			key, ok := c.Proposed().Detail(abi.DetailCacheKey).Text()
			if !ok || key == "" || utf8.RuneCountInString(key) > c.Config().Int("max_cache_key_length", 2000) {
				return sdk.Accept()
			}
			d := sdk.Accept()
			d.Effects = []sdk.Effect{sdk.WriteCache(key, c.Proposed().Detail(abi.DetailCacheExpiration))}
			return d
		},
	}
}
