package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/interlock-run/interlock/host/prefect"
)

func TestALimitIsChangedByWhatWasSentAlone(t *testing.T) {
	u := limitUpdate{}
	limit := int32(7)
	u.Limit = &limit
	l := prefect.ConcurrencyLimit{Name: "n", Limit: 1, Active: true, ActiveSlots: 1}
	if err := u.apply(&l); err != nil {
		t.Fatal(err)
	}
	if want := (prefect.ConcurrencyLimit{Name: "n", Limit: 7, Active: true, ActiveSlots: 1}); l != want {
		t.Errorf("got %+v, want %+v", l, want)
	}
}

func TestSuggestedWaits(t *testing.T) {
	full := func(name string, decay, occupancy float64, denied int) *prefect.ConcurrencyLimit {
		return &prefect.ConcurrencyLimit{Name: name, Active: true, Limit: 2, SlotDecayPerSecond: decay, AvgSlotOccupancySeconds: occupancy, DeniedSlots: denied}
	}
	idle := full("idle", 0, 1000, 100)
	idle.Active = false
	for name, c := range map[string]struct {
		limits []*prefect.ConcurrencyLimit
		want   float64 // in the middle of the spread
	}{
		"nothing":             {nil, 0},
		"inactive":            {[]*prefect.ConcurrencyLimit{idle}, 0},
		"short occupancy":     {[]*prefect.ConcurrencyLimit{full("a", 0, 2, 1)}, 1},
		"long occupancy":      {[]*prefect.ConcurrencyLimit{full("a", 0, 1000, 1)}, longestLimitWait},
		"long one of a tag":   {[]*prefect.ConcurrencyLimit{full("tag:a", 0, 1000, 1)}, longestTagWait},
		"decay":               {[]*prefect.ConcurrencyLimit{full("a", 0.5, 1000, 3)}, 6},
		"the most asked wins": {[]*prefect.ConcurrencyLimit{full("a", 0, 2, 1), full("b", 1, 2, 9)}, 9},
	} {
		got := retryAfter(c.limits, 1)
		if got < c.want*(1-waitSpread) || got > c.want*(1+waitSpread) {
			t.Errorf("%s: %v seconds, want about %v", name, got, c.want)
		}
	}
}

func TestSlotsThatAreNotFreeAreLocked(t *testing.T) {
	a := newRig(t)
	ok := a.do(http.MethodPost, "/v2/concurrency_limits/increment-with-lease", `{"slots":1,"names":["n"],"holder":{"type":"task_run","id":"01a20b2f-afaf-76b2-947a-d4a2d1bc7568"}}`)
	if ok.Code != http.StatusOK || !strings.Contains(ok.Body.String(), `"lease_id"`) {
		t.Errorf("%d %s", ok.Code, ok.Body)
	}
	locked := a.do(http.MethodPost, "/v2/concurrency_limits/increment", `{"slots":2,"names":["n"]}`)
	if locked.Code != http.StatusLocked || locked.Header().Get("Retry-After") == "" {
		t.Errorf("%d, Retry-After %q", locked.Code, locked.Header().Get("Retry-After"))
	}
	for path, body := range map[string]string{
		"increment":            `{"slots":0,"names":["n"]}`,
		"increment-with-lease": `{"slots":1,"names":["n"],"lease_duration":59}`,
		"decrement":            `{"slots":1,"names":[]}`,
	} {
		if refused := a.do(http.MethodPost, "/v2/concurrency_limits/"+path, body); refused.Code != http.StatusUnprocessableEntity {
			t.Errorf("%s %s: %d", path, body, refused.Code)
		}
	}
}
