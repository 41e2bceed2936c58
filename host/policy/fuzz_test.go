package policy

import (
	"slices"
	"testing"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
)

func isNoRenewal(e orchestrate.Effect) bool { return e.Type != orchestrate.RenewLease }

// FuzzVerdict has a module answer anything, in the place of two rules of which
// the first fails closed. Whatever it is: the answer is one of the four, a run
// can end unless a rule says otherwise, and nothing is asked for on behalf of a
// state that is not written.
func FuzzVerdict(f *testing.F) {
	for _, d := range []string{`"decision":"ACCEPT"`, retry, stay, wait, abort, resuming, `"decision":"SKIPPED"`} {
		f.Add([]byte(`{"decisions":[{"rule":"A",` + d + `},{"rule":"B","decision":"ACCEPT"}]}`))
	}
	f.Add([]byte(`{"decisions":[{"rule":"A",` + resuming[:len(resuming)-1] + `},"effects":[` + renewal + `,` + releasing + `]},{"rule":"B",` + retry + `}]}`))
	f.Add([]byte(`{"decisions":[],"error":"no"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		g := newGuest("g").rule("A", "*>*", accept).rule("B", "*>*", accept)
		output(string(text))(g)
		h := newHouse(t, newGuests(g), "A=g!closed", "B=g!open")
		tr := transition(prefect.Running, prefect.Failed)
		o := h.decide(tr)
		if !slices.Contains([]prefect.Status{prefect.Accept, prefect.Reject, prefect.Wait, prefect.Abort}, o.Status) || len(o.Rules) != 2 {
			t.Fatalf("%+v", o)
		}
		failed := o.Rules[0].Error != "" && o.Rules[1].Error != ""
		switch {
		case failed && (o.Status != prefect.Accept || o.State == nil || o.State.ID != tr.Proposed.ID):
			t.Errorf("a failing module kept the run from ending: %s", decisions(o))
		case o.State == nil && len(o.Patches) > 0:
			t.Errorf("patches without a state: %+v", o.Patches)
		case o.State != nil && (!o.State.Type.Valid() || o.State.Name == "" || o.State.Timestamp.IsZero()):
			t.Errorf("half a state: %+v", o.State)
		case o.State == nil && slices.ContainsFunc(o.Effects, isNoRenewal):
			t.Errorf("effects without a state: %+v", o.Effects)
		case o.Status == prefect.Wait && o.DelaySeconds < 1, o.Status != prefect.Accept && o.Reason == "":
			t.Errorf("half an answer: %+v", o)
		}
	})
}
