package flow

import (
	"github.com/interlock-run/interlock/sdk"
	"github.com/interlock-run/interlock/sdk/abi"
)

// The settings of the rules about a deployment's slots, by the reference's
// names, in seconds.
const (
	settingLeaseDuration = "initial_deployment_lease_duration"
	settingSlotWait      = "concurrency_slot_wait_seconds"
)

// Their defaults.
const (
	defaultLeaseDuration = 300
	defaultSlotWait      = 30
)

const leaseSchema = `"initial_deployment_lease_duration":{"type":"number","minimum":1,"maximum":86400}`

// limit is a deployment's concurrency limit as a run sees it.
type limit struct {
	fact  sdk.Value // of the deployment
	id    string
	slots int64 // in all
	mine  int64 // that the run holds
	taken int64 // by others
}

// deploymentLimit returns the limit of the run's deployment; ok is false when
// nothing limits it: the deployment is gone, has no limit, or an inactive one. An
// inactive limit blocks every run in the reference, although it lets everybody
// pass wherever else one is used.
func deploymentLimit(c *sdk.Context) (l limit, ok bool) {
	l.fact = c.Fact(abi.FactDeployment)
	row := l.fact.Get("limit")
	active, _ := row.Get("active").Bool()
	if l.id, ok = row.Get("id").Text(); !ok || !active {
		return l, false
	}
	l.slots, _ = row.Get("limit").Int()
	l.mine, _ = row.Get("mine").Int()
	used, _ := row.Get("used").Int()
	l.taken = max(0, used-l.mine)
	return l, true
}

// free reports whether the run can have a slot.
func (l *limit) free() bool { return l.taken < l.slots }

// acquire takes a slot under a lease whose id the written state gets.
func (l *limit) acquire(c *sdk.Context) sdk.Effect {
	return sdk.AcquireSlots([]string{l.id}, 1, l.leaseSeconds(c), abi.DetailDeploymentConcurrencyLeaseID)
}

// leaseSeconds is how long a slot is held for a run that does not say it lives.
func (l *limit) leaseSeconds(c *sdk.Context) float64 {
	if grace, ok := l.fact.Get("grace_period_seconds").Float(); ok && grace > 0 {
		return grace
	}
	return c.Config().Float(settingLeaseDuration, defaultLeaseDuration)
}

// cancelsNew reports whether a run that finds no slot is cancelled, and not put
// off.
func (l *limit) cancelsNew() bool { return l.fact.Get("collision_strategy").Is("CANCEL_NEW") }

// keepsLeases reports whether the client renews the lease of its slot: clients do
// since 3.4.11, and one that does not say what it is does not.
func keepsLeases(c *sdk.Context) bool { return c.ClientVersion().AtLeast(3, 4, 11) }
