package event

import (
	"sync"
	"testing"
)

func drain(s *Subscription[int]) []int {
	var got []int
	for v := range s.C() {
		got = append(got, v)
	}
	return got
}

func TestBusHandsOutWhatIsIncluded(t *testing.T) {
	var bus Bus[int]
	bus.Publish(0) // to nobody
	all := bus.Subscribe(nil)
	even := bus.Subscribe(func(v int) bool { return v%2 == 0 })
	gone := bus.Subscribe(nil)
	gone.Close()
	gone.Close()
	bus.Publish(1, 2, 3)
	bus.Publish(4)
	bus.Close()
	bus.Publish(5)
	late := bus.Subscribe(nil)
	for name, c := range map[string]struct {
		sub  *Subscription[int]
		want []int
	}{
		"all":   {all, []int{1, 2, 3, 4}},
		"even":  {even, []int{2, 4}},
		"gone":  {gone, nil},
		"later": {late, nil},
	} {
		got := drain(c.sub)
		if len(got) != len(c.want) {
			t.Errorf("%s got %v, want %v", name, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s got %v, want %v", name, got, c.want)
			}
		}
		if c.sub.Lagged() {
			t.Errorf("%s lagged", name)
		}
	}
	late.Close()
	even.Close()
}

func TestBusCutsOffWhoDoesNotKeepUp(t *testing.T) {
	var bus Bus[int]
	slow, quick := bus.Subscribe(nil), bus.Subscribe(nil)
	for i := range backlog + 1 {
		bus.Publish(i) // must not block
		if got := <-quick.C(); got != i {
			t.Fatalf("got %d, want %d", got, i)
		}
	}
	if got := drain(slow); len(got) != backlog || !slow.Lagged() {
		t.Errorf("the slow one got %d and lagged: %v", len(got), slow.Lagged())
	}
	bus.Publish(-1)
	if got := <-quick.C(); got != -1 {
		t.Errorf("the quick one got %d", got)
	}
	quick.Close()
	if bus.Subscribed() {
		t.Error("somebody is left")
	}
}

// A filter that takes for ever is its subscriber's matter.
func TestASlowFilterDelaysNobody(t *testing.T) {
	var bus Bus[int]
	stuck := make(chan struct{})
	slow := bus.Subscribe(func(int) bool { <-stuck; return true })
	quick := bus.Subscribe(func(int) bool { return true })
	for i := range backlog + included + 2 {
		bus.Publish(i)
		if got := <-quick.C(); got != i {
			t.Fatalf("got %d, want %d", got, i)
		}
	}
	close(stuck)
	if got := drain(slow); len(got) < backlog || !slow.Lagged() {
		t.Errorf("the slow one got %d and lagged: %v", len(got), slow.Lagged())
	}
	quick.Close()
	if bus.Subscribed() {
		t.Error("somebody is left")
	}
	for range quick.C() { // ends
	}
}

func TestBusUnderConcurrency(t *testing.T) {
	var bus Bus[int]
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 500 {
				bus.Publish(i)
			}
		})
		all.Go(func() {
			for range 100 {
				s := bus.Subscribe(func(v int) bool { return v%2 == 0 })
				select {
				case <-s.C():
				default:
				}
				s.Close()
			}
		})
	}
	all.Wait()
	if bus.Subscribed() {
		t.Error("somebody is left")
	}
}
