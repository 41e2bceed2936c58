package sandbox

import (
	"context"
	"errors"
	"math"
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

// TestPaces counts what guests do between their rests: one that is being loaded a
// quarter of the time, a courteous one half of it.
func TestPaces(t *testing.T) {
	const slice = 20 * time.Microsecond
	for want, paced := range map[float64]func(time.Time) pace{0.25: leisure, 0.5: courtesy} {
		clock := time.Unix(0, 0)
		p := paced(clock)
		var worked, rested time.Duration
		for range 100_000 {
			clock, worked = clock.Add(slice), worked+slice
			if rest := p.rest(clock); rest > 0 {
				clock, rested = clock.Add(rest), rested+rest
				p.since = clock
			}
		}
		if part := float64(worked) / float64(worked+rested); math.Abs(part-want) > 0.01 {
			t.Errorf("worked %v, rested %v, want a part of %v", worked, rested, want)
		}
	}
}

// TestLoadingTakesItsTime: calls, and loads that are in a hurry, do not.
func TestLoadingTakesItsTime(t *testing.T) {
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

// TestACourteousCallRests after the slices that a usual call has; its end and its fuel
// are those of any other.
func TestACourteousCallRests(t *testing.T) {
	m, err := newRuntime(t, Limits{}).Load(t.Context(), Policy(&Builder{}).Evaluate(nil, Loop(Void, Br(0)), Op(Unreachable)))
	if err != nil {
		t.Fatal(err)
	}
	for _, courteous := range []bool{true, false} {
		var failed *CallError
		if _, err := m.Call(t.Context(), nil, CallOptions{Courteous: courteous}); !errors.As(err, &failed) || failed.Kind != KindFuel {
			t.Fatalf("%v", err)
		}
		if courteous != (failed.Rested > 0) || failed.Rested > failed.Duration || failed.Fuel != m.limits.Fuel {
			t.Errorf("courteous %v: rested %v of %v, %d units", courteous, failed.Rested, failed.Duration, failed.Fuel)
		}
	}
	if err := m.Close(t.Context()); err != nil {
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

// TestLongCallsTakeTurns has others of the module work for longer than usual already: a
// call that would too waits until one of them ends, or its time is up, or its caller
// gives up. A usual call does not wait.
func TestLongCallsTakeTurns(t *testing.T) {
	endless := Policy(&Builder{}).Evaluate(nil, LocalGet(1), Op(I32Eqz), If(Void, Loop(Void, Br(0))), Echo())
	m := load(t, newRuntime(t, Limits{Deadline: 50 * time.Millisecond, Fuel: 1 << 50}), endless)
	for range cap(m.turns) {
		m.turns <- struct{}{}
	}
	if kind, reason := callKind(t, m, "x"); kind != "" {
		t.Errorf("a usual call: %s %s", kind, reason)
	}
	var failed *CallError
	if _, err := m.Call(t.Context(), nil, CallOptions{}); !errors.As(err, &failed) || failed.Kind != KindBusy || failed.Fuel > (patientSlices+3)*slice {
		t.Errorf("a call whose turn never comes: %+v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	inst, err := newInstance(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	_, failed = inst.evaluate(ctx, nil, CallOptions{Fuel: 1 << 50, StackBytes: 1 << 10, Courteous: true}, time.Now().Add(time.Hour))
	if failed == nil || failed.Kind != KindCancelled || failed.Rested == 0 || failed.Rested > failed.Duration || failed.Fuel > (patientSlices+3)*slice {
		t.Errorf("a call that nobody waits for any more: %+v", failed)
	}
	inst.close()

	done := make(chan *CallError)
	if inst, err = newInstance(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	go func() {
		_, failed := inst.evaluate(t.Context(), nil, CallOptions{Fuel: 50 * slice, StackBytes: 1 << 10}, time.Now().Add(time.Hour))
		done <- failed
	}()
	<-m.turns
	if failed := <-done; failed == nil || failed.Kind != KindFuel {
		t.Errorf("a call whose turn came: %v", failed)
	}
	inst.close()
	if n := len(m.turns); n != cap(m.turns)-1 {
		t.Errorf("%d of %d turns are taken, by %d others", n, cap(m.turns), cap(m.turns)-1)
	}
}

// TestCallsIntoTheHostCostTheSame has a guest call a function of the host a hundred
// times, by its name, through a table that stays, and through one that becomes code.
func TestCallsIntoTheHostCostTheSame(t *testing.T) {
	const calls = 100
	used := func(entries uint32) uint64 {
		m := &Builder{}
		yield := m.ImportFunc("wasi_snapshot_preview1", "sched_yield", nil, Types{I32})
		Policy(m)
		call := Call(yield)
		if entries > 0 {
			m.Table(FuncRef, entries, -1)
			m.Elements(0, yield)
			call = Code(I32Const(0), CallIndirect(m.Type(nil, Types{I32}), 0))
		}
		var body []byte
		for range calls {
			body = append(append(body, call...), Op(Drop)...)
		}
		result, err := load(t, newRuntime(t, Limits{}), m.Evaluate(nil, body, Echo())).Call(t.Context(), nil, CallOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return result.Fuel
	}
	named := used(0)
	if named < calls*hostCall {
		t.Errorf("%d calls took %d units", calls, named)
	}
	for _, entries := range []uint32{1, smallTable + 1} {
		if n := used(entries); n < named || n > named+calls*20 {
			t.Errorf("through a table of %d entries %d units, by name %d", entries, n, named)
		}
	}
}
