package orchestrate

import (
	"encoding/json"
	"testing"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

func ptr[T any](v T) *T { return &v }

func effectOf(kind EffectType) Effect {
	return Effect{Type: kind, Payload: json.RawMessage(`{"type":"` + string(kind) + `"}`)}
}

// TestAStateNamesTheLeaseThatItsRunHolds also where a rule made the state and
// said nothing of a lease, and by force; once the slot is given back nobody is
// sent to it any more.
func TestAStateNamesTheLeaseThatItsRunHolds(t *testing.T) {
	lease, other := uuid.New(), uuid.New()
	for name, c := range map[string]struct {
		effects []Effect
		state   func(s *prefect.State)
		want    *uuid.UUID
	}{
		"held on":        {nil, nil, &lease},
		"renewed":        {[]Effect{effectOf(RenewLease)}, nil, &lease},
		"given back":     {[]Effect{effectOf(ReleaseSlots)}, nil, nil},
		"carried anyway": {[]Effect{effectOf(ReleaseSlots)}, func(s *prefect.State) { s.Details.DeploymentConcurrencyLeaseID = &lease }, &lease},
		"a lease of old": {nil, func(s *prefect.State) { s.Details.DeploymentConcurrencyLeaseID = &other }, &other},
		"taken, unnamed": {[]Effect{effectOf(AcquireSlots)}, nil, &lease},
	} {
		for _, force := range []bool{false, true} {
			b := newBench()
			run := b.flow(prefect.Running)
			run.State.Details.DeploymentConcurrencyLeaseID = &lease
			b.policies.after = func(_ *Transition, o *Outcome) {
				if o.Effects = append(o.Effects, c.effects...); c.state != nil {
					c.state(o.State)
				}
			}
			p := propose(prefect.Cancelling)
			p.Force = force
			p.State.Details.DeploymentConcurrencyLeaseID = ptr(uuid.New())
			got := mustSet(t, b, run, p).State.Details.DeploymentConcurrencyLeaseID
			if (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
				t.Errorf("%s, force %v: the state names %v, want %v", name, force, got, c.want)
			}
		}
	}
}

func TestALeaseThatIsMadeIsBoundAndRecorded(t *testing.T) {
	for _, phase := range []string{"before", "after"} {
		b := newBench()
		run := b.flow(prefect.Scheduled)
		taken := effectOf(AcquireSlots)
		taken.Bind = true
		take := func(o *Outcome) { o.Effects = append(o.Effects, taken, effectOf(DetachLease)) }
		if phase == "after" {
			b.policies.after = func(_ *Transition, o *Outcome) { take(o) }
		} else {
			b.policies.before = func(tr *Transition) *Outcome {
				o := &Outcome{Status: prefect.Accept, State: tr.Proposed.Copy()}
				take(o)
				return o
			}
		}
		r := mustSet(t, b, run, propose(prefect.Pending))
		named := r.State.Details.DeploymentConcurrencyLeaseID
		c := b.store.commits[0]
		if named == nil || len(c.Effects) != 2 || c.Effects[0].LeaseID == nil || *c.Effects[0].LeaseID != *named {
			t.Fatalf("%s: the state names %v, effects %+v", phase, named, c.Effects)
		}
		applied := c.Decision.Effects
		if len(applied) != 2 || *applied[0].LeaseID != *named || string(applied[1].Effect) != `{"type":"detach_lease"}` || applied[1].LeaseID != nil {
			t.Errorf("%s: recorded %+v", phase, applied)
		}
	}
}

func TestARenewalIsKeptWhenNothingIsWritten(t *testing.T) {
	b := newBench()
	run := b.flow(prefect.Pending)
	b.policies.before = func(*Transition) *Outcome {
		return &Outcome{Status: prefect.Wait, Reason: "Not yet", DelaySeconds: 3, Effects: []Effect{effectOf(RenewLease)}}
	}
	mustSet(t, b, run, propose(prefect.Running))
	if c := b.store.commits[0]; c.State != nil || len(c.Effects) != 1 || len(c.Decision.Effects) != 1 {
		t.Errorf("commit %+v", c)
	}
}
