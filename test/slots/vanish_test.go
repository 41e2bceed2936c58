package slots

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/policy"
	"github.com/interlock-run/interlock/host/prefect"
)

// How many of 500 clients vanish while they hold a slot of which kind.
const (
	ofDeployment = 200
	ofGlobal     = 150
	ofTag        = 100 // whose flow runs are ended by whoever watches them
	ofTagBounded = 50  // by an entry that bounds the leases of tags
)

// TestSlotsOfClientsThatVanishAreFreeAgain has clients take slots and never be
// heard of again.
func TestSlotsOfClientsThatVanishAreFreeAgain(t *testing.T) {
	eachTown(t, func(w *town) {
		d := w.deployment(ofDeployment)
		w.limit("global", ofGlobal)
		w.limit("tag:t", ofTag)
		w.limit("tag:bounded", ofTagBounded)
		for range ofDeployment {
			w.start(w.flowRun(&d))
		}
		for range ofGlobal {
			lease := &prefect.SlotLease{ID: prefect.NewID(), Expires: w.clock().Add(60 * time.Second).Ptr()}
			if _, ok, err := w.db.AcquireSlots(t.Context(), prefect.SlotRequest{Names: []string{"global"}, Slots: 1, Lease: lease}); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}
		var flows []uuid.UUID
		for i := range ofTag {
			if i%10 == 0 {
				flows = append(flows, w.flowRun(nil))
				w.set(flows[len(flows)-1], propose(prefect.Running), prefect.Accept, "Running")
			}
			w.setTask(w.taskRun(&flows[len(flows)-1], "t"), propose(prefect.Running), prefect.Accept, "Running")
		}
		w.boundTags(60)
		for range ofTagBounded {
			w.setTask(w.taskRun(nil, "bounded"), propose(prefect.Running), prefect.Accept, "Running")
		}
		limits := []string{limitOf(d), "global", "tag:t", "tag:bounded"}
		taken := func() (n [4]int) {
			for i, name := range limits {
				n[i] = w.used(name)
			}
			return n
		}
		if got := taken(); got != [4]int{ofDeployment, ofGlobal, ofTag, ofTagBounded} {
			t.Fatalf("taken are %v", got)
		}
		w.sweep()
		w.pass(61 * time.Second)
		w.sweep()
		if got := taken(); got != [4]int{ofDeployment, 0, ofTag, 0} {
			t.Errorf("after the leases of a minute: taken are %v", got)
		}
		for _, flow := range flows {
			w.set(flow, propose(prefect.Crashed), prefect.Accept, "Crashed")
		}
		w.pass(240 * time.Second)
		w.sweep()
		if got := taken(); got != [4]int{} {
			t.Errorf("after the leases of five minutes: taken are %v", got)
		}
		if n := w.sweep(); n != 0 {
			t.Errorf("%d leases are left", n)
		}
		fmt.Printf("slots: %d clients vanished, all their slots are free after lease time and a sweep\n", ofDeployment+ofGlobal+ofTag+ofTagBounded)
	})
}

// boundTags gives SecureTaskConcurrencySlots a bound on the leases of tags.
func (w *town) boundTags(seconds int) {
	w.t.Helper()
	registry := w.Policies.(*policy.Registry)
	p, err := registry.Policy(w.t.Context(), prefect.CoreTaskPolicy)
	w.must(err)
	for i := range p.Entries {
		if p.Entries[i].Name == "SecureTaskConcurrencySlots" {
			p.Entries[i].Config = json.RawMessage(fmt.Sprintf(`{"tag_lease_seconds":%d}`, seconds))
		}
	}
	_, err = registry.PutPolicy(w.t.Context(), p.Name, p.Entries, p.Version)
	w.must(err)
}
