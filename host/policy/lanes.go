package policy

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/interlock-run/interlock/host/sandbox"
)

// lanes are what uploaded modules run on: one fewer than there are processors,
// so that however many transitions ask however hostile modules, something is left
// for those that do not. A call is pure computation: more of them at a time would
// not be done sooner, and each would hold an instance's memory.
type lanes struct {
	taken    chan struct{}
	patience time.Duration // lanePatience, but in tests
}

// lanePatience is how long a call waits for a lane before the module counts as
// busy.
const lanePatience = time.Second

func newLanes() *lanes {
	return &lanes{taken: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)-1)), patience: lanePatience}
}

// enter waits for a lane, first come first served, and must be followed by leave.
// The error is a *sandbox.CallError of kind Busy or Cancelled.
func (l *lanes) enter(ctx context.Context) error {
	select {
	case l.taken <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(l.patience)
	defer timer.Stop()
	select {
	case l.taken <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &sandbox.CallError{Kind: sandbox.KindCancelled, Reason: ctx.Err().Error()}
	case <-timer.C:
		return &sandbox.CallError{Kind: sandbox.KindBusy, Reason: fmt.Sprintf("other policy modules were running for %s", l.patience)}
	}
}

func (l *lanes) leave() { <-l.taken }
