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
type lanes chan struct{}

// lanePatience is how long a call waits for a lane before the module counts as
// busy.
const lanePatience = time.Second

func newLanes() lanes { return make(lanes, max(1, runtime.GOMAXPROCS(0)-1)) }

// enter waits for a lane, first come first served, and must be followed by leave.
// The error is a *sandbox.CallError of kind Busy or Cancelled.
func (l lanes) enter(ctx context.Context) error {
	select {
	case l <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(lanePatience)
	defer timer.Stop()
	select {
	case l <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &sandbox.CallError{Kind: sandbox.KindCancelled, Reason: ctx.Err().Error()}
	case <-timer.C:
		return &sandbox.CallError{Kind: sandbox.KindBusy, Reason: fmt.Sprintf("other policy modules were running for %s", lanePatience)}
	}
}

func (l lanes) leave() { <-l }
