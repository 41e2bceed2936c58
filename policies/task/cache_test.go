package task

import (
	"strings"
	"testing"

	"github.com/interlock-run/interlock/policies/policytest"
)

func TestCacheRetrieval(t *testing.T) {
	const (
		cached = `{"cached_state":{"id":"` + policytest.RunID + `","type":"COMPLETED","name":"Completed","message":"done","result":"object",
			"state_details":{"flow_run_id":"` + policytest.RunID + `","transition_id":"` + policytest.RunID + `","cache_key":"k","cache_expiration":null,"untrackable_result":false}}}`
		keyed = `{"type":"RUNNING","state_details":{"cache_key":"k"}}`
		hit   = `{"decision":"REJECT","reason":"The task's result is in the cache","state":{"type":"COMPLETED","name":"Cached",
			"message_from":"cached_state","data_from":"cached_state","state_details":{"cache_key":"k","untrackable_result":false}}}`
	)
	run(t, "CacheRetrieval", []policytest.Case{
		{Name: "hit", Initial: "PENDING", Proposed: keyed, Facts: cached, Want: hit},
		{Name: "hit at creation", Proposed: keyed, Facts: cached, Want: hit},
		{Name: "refreshed", Initial: "PENDING", Proposed: `{"type":"RUNNING","state_details":{"cache_key":"k","refresh_cache":true}}`, Facts: cached, Want: accepted},
		{Name: "no key", Initial: "PENDING", Proposed: "RUNNING", Facts: cached, Want: "-"},
		{Name: "miss", Initial: "PENDING", Proposed: keyed, Facts: `{"cached_state":null}`, Want: accepted},
		{Name: "to completed", Initial: "RUNNING", Proposed: "COMPLETED", Want: "-"},
	})
}

func TestCacheInsertion(t *testing.T) {
	keyed := func(key, expiration string) string {
		return `{"type":"COMPLETED","state_details":{"cache_key":"` + key + `","cache_expiration":` + expiration + `}}`
	}
	written := func(key, expiration string) string {
		return `{"decision":"ACCEPT","effects":[{"type":"write_cache","cache_key":"` + key + `","cache_expiration":` + expiration + `}]}`
	}
	long, longer := strings.Repeat("é", 2000), strings.Repeat("é", 2001)
	run(t, "CacheInsertion", []policytest.Case{
		{Name: "for ever", Initial: "RUNNING", Proposed: keyed("k", "null"), Want: written("k", "null")},
		{Name: "for a while", Initial: "RUNNING", Proposed: keyed("k", `"`+policytest.Later+`"`), Want: written("k", `"`+policytest.Later+`"`)},
		{Name: "no key", Initial: "RUNNING", Proposed: "COMPLETED", Want: "-"},
		{Name: "an empty key", Initial: "RUNNING", Proposed: keyed("", "null"), Want: accepted},
		{Name: "as long as may be", Initial: "RUNNING", Proposed: keyed(long, "null"), Want: written(long, "null")},
		{Name: "too long", Initial: "RUNNING", Proposed: keyed(longer, "null"), Want: accepted},
		{Name: "too long by config", Initial: "RUNNING", Proposed: keyed("abcd", "null"), Config: `{"max_cache_key_length":3}`, Want: accepted},
		{Name: "failed", Initial: "RUNNING", Proposed: "FAILED", Want: "-"},
	})
}
