package twin

import (
	"fmt"
	"time"
)

// ofSlots are the differences about slots and leases.
var ofSlots = []intended{
	{
		name: "a slot is held by its run",
		why: "the reference counts: it gives a slot back for runs that hold none, at a pause that goes on in the process, twice when a lease had ended," +
			" and never when the run is cancelled before its retry",
		in:   []string{flowSlotPlay},
		ours: heldByRun,
	},
	{
		name: "a run holds one slot",
		why:  "the reference has a run that kept its slot for a retry take another, or wait for itself",
		in:   []string{flowSlotPlay},
		ours: oneSlot,
	},
	{
		name: "a lease stays with its run",
		why:  "the reference loses a run's lease in every forced state, so that nobody gives it back, and hides it in the reply of a refusal",
		in:   []string{flowSlotPlay},
		ours: keptLease,
	},
	{
		name: "an inactive limit limits nothing",
		why:  "the reference has the runs of such a deployment wait for ever, and every other use of an inactive limit pass",
		in:   []string{flowSlotPlay},
		ours: inactive,
	},
	{
		name: "a task run holds one slot of a tag",
		why:  "the reference has a task run that is RUNNING and says so again take another slot, or wait for its own; likewise one that is CANCELLING",
		in:   []string{taskSlotPlay},
		ours: oneTagSlot,
	},
	{
		name: "a limit of 0 ends it",
		why:  "the reference goes on after the refusal, takes the slots of the other tags and never gives them back, or waits for ever",
		in:   []string{taskSlotPlay},
		ours: neverRuns,
	},
}

// limited returns the limit of a script's flow run, nil if it has none.
func (s *script) limited() *deployment {
	if d := s.world.deployment; s.kind == flowRuns && d != nil && d.limit >= 0 && !d.gone {
		return d
	}
	return nil
}

// wantsSlot reports whether the proposal asks for a slot.
func (s *script) wantsSlot(at object) bool {
	switch at["type"] {
	case "PENDING", "RUNNING", "CANCELLING":
		return false
	}
	return s.proposedType() == "PENDING" && !s.proposal.force && s.proposal.agent != workerClient
}

// keepsLeases reports whether the proposing client renews its lease.
func (s *script) keepsLeases() bool {
	return s.proposal.agent == newClient || s.proposal.agent == exactClient
}

// ttl is how long a slot of the deployment is held at first.
func (d *deployment) ttl() time.Duration {
	if d.grace > 0 && d.strategy != "" {
		return time.Duration(d.grace) * time.Second
	}
	return leaseTime * time.Second
}

// heldByRun tells what a limit counts and which lease there is by what the run
// did, step by step.
func heldByRun(s *script, c *seen) map[string]string {
	d := s.limited()
	if d == nil || c.ours["limit 0[0].active_slots"] == "" {
		return nil
	}
	at := s.current(c)
	held, until := s.holds, s.leaseFrom()
	written, final := c.ours["set_state status"] == "201", c.ours["run.state_type"]
	starts := at["type"] == "PENDING" && s.proposedType() == "RUNNING" && !s.proposal.force
	switch {
	case written && final == "PENDING" && s.wantsSlot(at) && !d.inactive,
		written && final == "RUNNING" && starts && s.drop && s.keepsLeases():
		held, until = true, "set_state"
	case held && starts && s.keepsLeases():
		until = "set_state" // renewed, also when the run has to wait
	case held && written && !s.keepsLeases() && at["type"] == "PENDING" && (final == "RUNNING" || final == "CANCELLING") && !s.proposal.force:
		until = "" // an old client does not renew: held until the run ends
	}
	if written && held {
		held = s.keepsSlot(c, final)
	}
	used := d.used
	want := map[string]string{"limit 0 lease[0]": missing}
	if held {
		used++
		if until != "" {
			want["limit 0 lease[0]"] = fmt.Sprintf("1 slots until time of %s + %s", until, d.ttl())
		}
	}
	want["limit 0[0].active_slots"] = fmt.Sprint(used)
	return want
}

// leaseFrom names the request of the prelude that the lease counts from, "" if
// it has no end.
func (s *script) leaseFrom() string {
	switch {
	case s.runs() == 0:
		return "prelude"
	case s.prelude[1].agent == oldClient:
		return ""
	}
	return preludeName(1)
}

func terminal(state object) bool {
	switch state["type"] {
	case "COMPLETED", "FAILED", "CANCELLED", "CRASHED":
		return true
	}
	return false
}

// keepsSlot reports whether a run that held a slot holds it in the state written.
func (s *script) keepsSlot(c *seen, final string) bool {
	switch final {
	case "PENDING", "RUNNING", "CANCELLING":
		return true
	case "PAUSED":
		return c.ours["run.state.state_details.pause_reschedule"] != "true"
	case "SCHEDULED":
		return c.ours["set_state.status"] == "REJECT" && c.ours["run.state_name"] == "AwaitingRetry"
	}
	return false
}

func oneSlot(s *script, c *seen) map[string]string {
	if at := s.current(c); s.limited() == nil || !s.holds || !s.wantsSlot(at) || at["type"] != "SCHEDULED" {
		return nil
	}
	return c.but(map[string]string{"set_state status": "201", "set_state.status": "ACCEPT", "run.state_type": "PENDING"})
}

func keptLease(s *script, c *seen) map[string]string {
	const field = "state_details.deployment_concurrency_lease_id"
	if s.limited() == nil || len(s.prelude) == 0 || c.ref["set_state status"] == "500" {
		return nil
	}
	id := c.ours[s.last()+".state."+field]
	switch {
	case c.ours["set_state status"] == "200":
		return map[string]string{"set_state.state." + field: id}
	case s.proposal.force && c.ours["set_state.status"] == "ACCEPT" && (terminal(s.current(c)) || s.keepsSlot(c, c.ours["run.state_type"])):
		return map[string]string{"set_state.state." + field: id, "run.state." + field: id,
			fmt.Sprintf("states[%d].details.deployment_concurrency_lease_id", len(s.prelude)+1): id}
	}
	return nil
}

func inactive(s *script, c *seen) map[string]string {
	if d := s.limited(); d == nil || !d.inactive || !s.wantsSlot(s.initial) {
		return nil
	}
	return c.but(map[string]string{"set_state status": "201", "set_state.status": "ACCEPT", "run.state_type": "PENDING"})
}

// used is what the ith tag's limit counts, with so many slots of the run's own.
func (s *script) used(mine int) map[string]string {
	want := map[string]string{}
	for i, t := range s.world.tags {
		if t.limit >= 0 && !t.inactive && (i > 0 || s.change == "") {
			want[fmt.Sprintf("limit %d[0].active_slots", i)] = fmt.Sprint(t.used + mine)
		}
	}
	return want
}

func oneTagSlot(s *script, c *seen) map[string]string {
	at := s.current(c)["type"]
	if s.kind != taskRuns || !s.holds || s.proposedType() != "RUNNING" || s.proposal.force || at != "RUNNING" && at != "CANCELLING" {
		return nil
	}
	want := s.used(1)
	want["set_state status"], want["set_state.status"], want["run.state_type"] = "201", "ACCEPT", "RUNNING"
	return c.but(want)
}

func neverRuns(s *script, c *seen) map[string]string {
	if s.kind != taskRuns || s.proposedType() != "RUNNING" || s.proposal.force || s.holds {
		return nil
	}
	for _, t := range s.world.tags {
		if t.limit == 0 && !t.inactive {
			want := s.used(0)
			want["set_state status"], want["set_state.status"] = "200", "ABORT"
			return c.but(want)
		}
	}
	return nil
}
