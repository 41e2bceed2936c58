// Package contract reads what a module answers, strictly: what is not in the
// contract is an error that names the place, because a policy that was
// misunderstood must not decide. Hosts and the conformance kit use it; a guest
// has no need to.
package contract
