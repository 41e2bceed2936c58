package event

import (
	"context"
	"log/slog"
	"time"

	"github.com/interlock-run/interlock/host/prefect"
)

// How often and how soon a write is tried again.
const (
	maxAttempts = 5 // for an item that the store refuses by itself
	firstPause  = 50 * time.Millisecond
	maxPause    = 2 * time.Second
)

// keeper writes what must not be lost: it tries until it is written or ctx ends.
type keeper[T any] struct {
	what   string // one item, for the log: "event"
	write  func(context.Context, []T) error
	id     func(T) any
	logger *slog.Logger
}

// keep writes items, all of them in order, and returns how many it had to leave
// when ctx ended. While the store is unavailable the same batch is tried again.
// If the store refuses a batch, its halves are tried by themselves, so that in
// the end the one item that it refuses is alone; that one is dropped after
// maxAttempts, or at once if trying again cannot help.
func (k *keeper[T]) keep(ctx context.Context, items []T) (left int) {
	pause := firstPause
	for attempt := 1; len(items) > 0; attempt++ {
		if ctx.Err() != nil {
			return len(items)
		}
		err := k.write(ctx, items)
		switch {
		case err == nil:
			return 0
		case ctx.Err() != nil:
			return len(items)
		case prefect.CodeOf(err) == prefect.Unavailable:
			attempt = 0
		case len(items) > 1:
			half := len(items) / 2
			return k.keep(ctx, items[:half]) + k.keep(ctx, items[half:])
		case attempt >= maxAttempts || refused(err):
			k.logger.Error("dropped what the store refuses", "what", k.what, "id", k.id(items[0]), "attempts", attempt, "error", err)
			return 0
		}
		k.logger.Warn("the store did not take a batch", "what", k.what, "items", len(items), "error", err, "again_in", pause)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, maxPause)
	}
	return 0
}

// refused reports whether trying again cannot help.
func refused(err error) bool {
	switch prefect.CodeOf(err) {
	case prefect.Invalid, prefect.BadRequest, prefect.Conflict, prefect.NotFound, prefect.TooLarge:
		return true
	}
	return false
}

func eventKeeper(write func(context.Context, []*prefect.Event) error, logger *slog.Logger) keeper[*prefect.Event] {
	return keeper[*prefect.Event]{what: "event", write: write, logger: logger,
		id: func(e *prefect.Event) any { return e.ID }}
}

func recordKeeper(write func(context.Context, []*prefect.TaskRunRecord) error, logger *slog.Logger) keeper[*prefect.TaskRunRecord] {
	return keeper[*prefect.TaskRunRecord]{what: "task run record", write: write, logger: logger,
		id: func(r *prefect.TaskRunRecord) any { return r.State.ID }}
}
