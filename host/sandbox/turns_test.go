package sandbox

import (
	"context"
	"errors"
	"testing"

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
