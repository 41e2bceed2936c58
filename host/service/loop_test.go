package service

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// receive returns the next value of c, or fails the test.
func receive[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(5 * time.Minute):
		t.Fatal("nothing came")
	}
	return v
}

func TestLoopPassesAtTheStartAndWhenWoken(t *testing.T) {
	passes := make(chan int, 10)
	n := 0
	l := &Loop{Name: "test", Every: time.Hour, Logger: quiet(), Work: func(context.Context) (time.Duration, error) {
		n++
		passes <- n
		return 0, nil
	}}
	l.Start(context.Background())
	l.Start(context.Background())
	for want := 1; want <= 3; want++ {
		if got := receive(t, passes); got != want {
			t.Errorf("pass %d, want %d", got, want)
		}
		if want < 3 {
			l.Wake()
		}
	}
	l.Stop()
	l.Stop()
	l.Wake()
	select {
	case got := <-passes:
		t.Errorf("pass %d after the stop", got)
	default:
	}
	l.Start(context.Background()) // again
	receive(t, passes)
	l.Stop()
}

func TestLoopGathersCallsWhileItSettles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // time stands still while anybody works
		passes := 0
		l := &Loop{Name: "test", Every: time.Hour, Settle: 50 * time.Millisecond, Logger: quiet(), Work: func(context.Context) (time.Duration, error) {
			passes++
			return 0, nil
		}}
		want := func(n int) {
			t.Helper()
			if synctest.Wait(); passes != n {
				t.Errorf("%d passes, want %d", passes, n)
			}
		}
		l.Start(context.Background())
		want(1)
		for range 100 {
			l.Wake()
		}
		want(1)
		time.Sleep(l.Settle)
		want(2)
		l.Wake()
		want(2)
		l.Stop() // does not wait for what settles
		want(2)
	})
}

func TestLoopComesBackWhenAsked(t *testing.T) {
	passes := make(chan struct{})
	l := &Loop{Name: "test", Every: time.Hour, Logger: quiet(), Work: func(ctx context.Context) (time.Duration, error) {
		select {
		case passes <- struct{}{}:
		case <-ctx.Done():
		}
		return time.Millisecond, nil
	}}
	l.Start(context.Background())
	defer l.Stop()
	for range 5 {
		receive(t, passes)
	}
}

func TestLoopGoesOnAfterErrorsAndPanics(t *testing.T) {
	passes := make(chan int)
	n := 0
	l := &Loop{Name: "test", Every: time.Hour, Logger: quiet(), Work: func(ctx context.Context) (time.Duration, error) {
		n++
		select {
		case passes <- n:
		case <-ctx.Done():
			return 0, nil
		}
		if n == 1 {
			panic("no")
		}
		return 0, errors.New("no")
	}}
	l.Start(context.Background())
	defer l.Stop()
	for want := 1; want <= 3; want++ {
		if got := receive(t, passes); got != want {
			t.Fatalf("pass %d, want %d", got, want)
		}
	}
}

func TestLoopStopWaitsForThePass(t *testing.T) {
	began, ended := make(chan struct{}), false
	l := &Loop{Name: "test", Every: time.Hour, Logger: quiet(), Work: func(ctx context.Context) (time.Duration, error) {
		close(began)
		<-ctx.Done()
		ended = true
		return 0, ctx.Err()
	}}
	l.Start(context.Background())
	receive(t, began)
	var stops sync.WaitGroup
	for range 3 {
		stops.Go(l.Stop)
	}
	stops.Wait()
	if !ended {
		t.Error("stopped before the pass was over")
	}
}

func TestLoopEndsWithItsContext(t *testing.T) {
	began := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	l := &Loop{Name: "test", Every: time.Hour, Logger: quiet(), Work: func(context.Context) (time.Duration, error) {
		close(began)
		return 0, nil
	}}
	l.Start(ctx)
	receive(t, began)
	cancel()
	receive(t, l.done)
	l.Stop()
}
