package abi

import "slices"

// What a rule may need to have anything to say. The host judges needs when it
// chooses the entries, beside From and To: once, by the run as it was read, its
// current state and the proposal as the client made it, before any rule was
// asked. An entry that lacks one is not asked, its facts are not read, and it
// costs the transition nothing.
const (
	// NeedDeployment: the flow run has a deployment_id.
	NeedDeployment = "deployment"
	// NeedTags: the run has tags.
	NeedTags = "tags"
	// NeedLease: the initial state names a deployment_concurrency_lease_id.
	NeedLease = "lease"
	// NeedScheduledTime: the initial state has a scheduled_time.
	NeedScheduledTime = "scheduled_time"
	// NeedCacheKey: the client's proposal has a cache_key.
	NeedCacheKey = "cache_key"
	// NeedRepeat: the initial state and the client's proposal carry the same
	// transition_id.
	NeedRepeat = "repeat"
)

// Needs lists the names of the needs.
func Needs() []string {
	return []string{NeedDeployment, NeedTags, NeedLease, NeedScheduledTime, NeedCacheKey, NeedRepeat}
}

// KnownNeed reports whether name is one of [Needs].
func KnownNeed(name string) bool { return slices.Contains(Needs(), name) }
