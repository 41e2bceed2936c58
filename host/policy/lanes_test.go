package policy

import (
	"errors"
	"testing"
	"time"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/host/sandbox"
)

// TestAModuleIsNotKeptWaitingByTheLineForAnother has a module that many ask hold
// the lanes and its line be long: another module is next when one comes free.
func TestAModuleIsNotKeptWaitingByTheLineForAnother(t *testing.T) {
	l := &lanes{taken: make(chan struct{}, 1), patience: time.Minute} // the machine's speed is not the question
	var popular, rare share
	if err := l.enter(t.Context(), &popular); err != nil {
		t.Fatal(err)
	}
	entered := make(chan string)
	ask := func(name string, s *share) {
		if err := l.enter(t.Context(), s); err != nil {
			entered <- err.Error()
			return
		}
		entered <- name
	}
	const many = 16
	for range many {
		go ask("popular", &popular)
	}
	// The line of a channel cannot be seen; whatever part of those has come so far,
	// none of them is in the line for the lane, since the one turn is taken.
	rareIn := make(chan error)
	go func() { rareIn <- l.enter(t.Context(), &rare) }()
	l.leave(&popular, time.Hour) // and the turn stays taken
	if err := <-rareIn; err != nil {
		t.Fatal(err)
	}
	l.leave(&rare, 0)
	<-popular.of(l)
	for range many {
		if name := <-entered; name != "popular" {
			t.Fatal(name)
		}
		l.leave(&popular, 0)
	}
	if len(l.taken) != 0 || len(popular.of(l)) != 0 {
		t.Errorf("%d lanes and %d turns are taken", len(l.taken), len(popular.of(l)))
	}
}

// TestFailedCallsRest follows a module that fails all the time, on one turn and on
// several: in the long run it takes its share of one processor.
func TestFailedCallsRest(t *testing.T) {
	const took = 8 * time.Millisecond
	now := time.Unix(1_000_000, 0)
	for _, turns := range []int{1, 3} {
		var s share
		if rest := s.failed(now, took); rest != 0 {
			t.Errorf("the first failure rests for %v", rest)
		}
		free := make([]time.Duration, turns) // when each turn may be used again
		var busy, clock time.Duration
		for clock < time.Minute {
			k := 0
			for i := range free {
				if free[i] < free[k] {
					k = i
				}
			}
			clock = max(clock, free[k]) // calls that overlap are noted one after another
			busy += took
			free[k] = clock + took + s.failed(now.Add(clock+took), took)
		}
		if part := float64(busy) / float64(clock); part > 1.1/failureShare || part < 0.5/failureShare {
			t.Errorf("%d turns: failed calls take %.3f of a processor", turns, part)
		}
		if rest := s.failed(now.Add(time.Hour), took); rest != 0 {
			t.Errorf("after an hour a failure rests for %v", rest)
		}
	}
}

// TestWaitingIsNotOwed has calls that failed after a long time, most of which others had:
// while they rested, or while they waited for a processor.
func TestWaitingIsNotOwed(t *testing.T) {
	for took, c := range map[time.Duration]struct {
		result *sandbox.Result
		err    error
		want   time.Duration
	}{
		time.Hour:              {err: &sandbox.CallError{Rested: time.Hour}},
		time.Minute:            {err: &sandbox.CallError{Fuel: 10_000_000, Rested: time.Second}, want: 401 * time.Millisecond},
		8 * time.Millisecond:   {err: &sandbox.CallError{Fuel: 10_000_000, Rested: time.Millisecond}, want: 7 * time.Millisecond},
		3 * time.Second:        {err: errors.New("no verdict"), result: &sandbox.Result{Fuel: 500_000}, want: 21 * time.Millisecond},
		100 * time.Microsecond: {err: errors.New("no verdict"), result: &sandbox.Result{Fuel: 500_000}, want: 100 * time.Microsecond},
		2 * time.Second:        {err: errors.New("no call"), want: time.Millisecond},
	} {
		if got := workOf(took, c.result, c.err); got != c.want {
			t.Errorf("%v, %v: %v instead of %v", took, c.err, got, c.want)
		}
	}
	h, _ := failing(t, "fallback", func(g *guest) {
		g.fail = func() (*sandbox.Result, error) {
			return nil, &sandbox.CallError{Kind: sandbox.KindFuel, Duration: time.Hour, Rested: time.Hour}
		}
	})
	h.decide(transition(prefect.Running, prefect.Paused))
	if s := &h.active.Load().modules[0].health.share; s.debt != 0 || len(s.of(h.lanes)) != 0 {
		t.Errorf("owes %v, %d turns rest", s.debt, len(s.of(h.lanes)))
	}
}

// TestAModuleThatOwesIsAskedLater has a module whose turns all rest: its runs are
// decided by the built-in rule, and other modules are asked.
func TestAModuleThatOwesIsAskedLater(t *testing.T) {
	h, bad := failing(t, "fallback", callError(sandbox.KindTrap))
	h.lanes.patience = time.Millisecond
	owes := &h.active.Load().modules[0].health.share
	for range cap(h.lanes.taken) {
		owes.of(h.lanes) <- struct{}{}
	}
	o := h.decide(transition(prefect.Running, prefect.Paused))
	if decisions(o) != "A:REJECT(fallback) B:skipped" || bad.calls.Load() != 0 || h.Quarantined(bad.digest()) {
		t.Errorf("%s after %d calls", decisions(o), bad.calls.Load())
	}
	if err := h.lanes.enter(t.Context(), new(share)); err != nil {
		t.Errorf("another module: %v", err)
	}
}
