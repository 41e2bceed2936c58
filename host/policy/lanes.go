package policy

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/interlock-run/interlock/host/sandbox"
)

// lanes are what uploaded modules run on: one fewer than there are processors,
// so that however many transitions ask however hostile modules, something is left
// for those that do not. A call is pure computation: more of them at a time would
// not be done sooner, and each would hold an instance's memory.
//
// A call waits for a turn of its module first, of which there are as many as lanes,
// and only then for a lane: so the line for a lane holds few calls of each module,
// and one that everybody asks does not keep the others waiting.
type lanes struct {
	taken    chan struct{}
	patience time.Duration // lanePatience, but in tests
}

// lanePatience is how long a call waits for a turn and a lane before the module
// counts as busy.
const lanePatience = time.Second

func newLanes() *lanes {
	return &lanes{taken: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)-1)), patience: lanePatience}
}

// enter waits for a turn and a lane, both first come first served, and must be
// followed by leave. The error is a *sandbox.CallError of kind Busy or Cancelled.
func (l *lanes) enter(ctx context.Context, s *share) error {
	timer := time.NewTimer(l.patience)
	defer timer.Stop()
	turns := s.of(l)
	if err := take(ctx, turns, timer.C, l.patience, "earlier calls of the module, or what its failures cost, took its turns"); err != nil {
		return err
	}
	if err := take(ctx, l.taken, timer.C, l.patience, "other policy modules were running"); err != nil {
		<-turns
		return err
	}
	return nil
}

// take takes a place of a channel.
func take(ctx context.Context, places chan struct{}, expired <-chan time.Time, patience time.Duration, busy string) error {
	select {
	case places <- struct{}{}:
		return nil
	default:
	}
	select {
	case places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &sandbox.CallError{Kind: sandbox.KindCancelled, Reason: ctx.Err().Error()}
	case <-expired:
		return &sandbox.CallError{Kind: sandbox.KindBusy, Reason: fmt.Sprintf("for %s %s", patience, busy)}
	}
}

// leave gives the lane back at once, and the turn when the module has rested.
func (l *lanes) leave(s *share, rest time.Duration) {
	<-l.taken
	turns := s.of(l)
	if rest <= 0 {
		<-turns
		return
	}
	time.AfterFunc(rest, func() { <-turns })
}

// share is what a module takes of the lanes. Calls that fail may take a fortieth of
// one processor in the long run, and some more at first: enough for the failures
// that make a quarantine. A module that fails just not often enough for one has to
// rest between its calls.
type share struct {
	mu    sync.Mutex
	turns chan struct{}
	debt  time.Duration // time of failed calls that has not been paid for
	paid  time.Time     // until when
}

const (
	// failureShare is the part of a processor, as one in so many, that failed calls
	// of a module may take. What they cost others is more than their own time: one
	// that moves all of its memory leaves nothing of theirs in the caches. With a tenth
	// of a processor for such calls others' 99th percentile was longer by more than that.
	failureShare = 40
	// failureCredit is how much time they may take before it matters.
	failureCredit = 40 * time.Millisecond
)

func (s *share) of(l *lanes) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.turns == nil {
		s.turns = make(chan struct{}, cap(l.taken))
	}
	return s.turns
}

// failed notes that a call took so long in vain until now, and returns how long its
// turn must not be used.
func (s *share) failed(now time.Time, took time.Duration) (rest time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.debt = max(0, s.debt-now.Sub(s.paid)/failureShare) + took
	s.paid = now
	// Each of the turns rests like this one.
	return max(0, s.debt-failureCredit) * failureShare
}
