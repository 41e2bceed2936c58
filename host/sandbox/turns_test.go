package sandbox

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	. "github.com/interlock-run/interlock/host/sandbox/wasmtest"
)

// TestLoadsTakeTurns has others read modules already: a module is not read, nor run,
// before its turn.
func TestLoadsTakeTurns(t *testing.T) {
	r := newRuntime(t, Limits{})
	for range cap(r.loads) {
		r.loads <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.meter(ctx, []byte("nonsense")); !errors.Is(err, context.Canceled) {
		t.Errorf("read out of turn: %v", err)
	}
	loaded := make(chan error)
	go func() {
		m, err := r.Load(t.Context(), Policy(&Builder{}).Evaluate(nil, Echo()))
		if err == nil {
			err = m.Close(t.Context())
		}
		loaded <- err
	}()
	select {
	case err := <-loaded:
		t.Errorf("loaded out of turn: %v", err)
	default:
	}
	for range cap(r.loads) {
		<-r.loads
	}
	if err := <-loaded; err != nil {
		t.Error(err)
	}
	if len(r.loads) != 0 {
		t.Errorf("%d turns are taken", len(r.loads))
	}
}

// TestLoadingTakesItsTime counts what a guest that is being loaded does between its
// rests: a quarter. Calls, and loads that are in a hurry, do not rest.
func TestLoadingTakesItsTime(t *testing.T) {
	const slice = 20 * time.Microsecond
	clock := time.Unix(0, 0)
	p := pace{since: clock}
	var worked, rested time.Duration
	for range 100_000 {
		clock, worked = clock.Add(slice), worked+slice
		if rest := p.rest(clock); rest > 0 {
			clock, rested = clock.Add(rest), rested+rest
			p.since = clock
		}
	}
	if part := float64(worked) / float64(worked+rested); part < 0.24 || part > 0.26 {
		t.Errorf("worked %v, rested %v", worked, rested)
	}
	for _, ctx := range []context.Context{t.Context(), Hurry(t.Context())} {
		m, err := newRuntime(t, Limits{}).Load(ctx, Policy(&Builder{}).Evaluate(nil, Echo()))
		if err != nil {
			t.Fatal(err)
		}
		inst, err := newInstance(ctx, m)
		if err != nil {
			t.Fatal(err)
		}
		if inst.linear.pace != nil {
			t.Error("a call is paced")
		}
		inst.close()
		if err := m.Close(ctx); err != nil {
			t.Error(err)
		}
	}
	m := &Module{runtime: newRuntime(t, Limits{}), limits: Limits{}.WithDefaults(), leisurely: true}
	var err error
	m.bytes = Policy(&Builder{}).Evaluate(nil, Echo())
	if m.metered, m.code, err = m.runtime.prepare(t.Context(), "", m.bytes); err != nil {
		t.Fatal(err)
	}
	inst, err := newInstance(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	if inst.linear.pace == nil {
		t.Error("loading is not paced")
	}
	inst.close()
	if err := m.free(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestWhoIsInAHurryCompilesOnSeveralProcessors: an upload takes one of them.
func TestWhoIsInAHurryCompilesOnSeveralProcessors(t *testing.T) {
	if n := processors(t.Context()); n != 1 {
		t.Errorf("an upload is compiled on %d processors", n)
	}
	want := min(runtime.GOMAXPROCS(0), childProcessors)
	if n := processors(Hurry(t.Context())); n != want {
		t.Errorf("in a hurry there are %d processors, want %d", n, want)
	}
}
