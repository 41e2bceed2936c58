package service

import (
	"context"
	"log/slog"
	"time"
)

// Leases are the leases under which slots are held.
type Leases interface {
	// ExpireLeases gives back what expired leases hold, and what runs hold without an
	// expiry that have ended, at most limit of each, and returns how many there were.
	ExpireLeases(ctx context.Context, limit int) (int, error)
}

const (
	leasesEvery = 15 * time.Second
	leasesBatch = 100
)

// LeaseReaper gives back the slots of holders that went away without doing so.
type LeaseReaper struct{ loop *Loop }

// NewLeaseReaper returns the service, not started.
func NewLeaseReaper(leases Leases, logger *slog.Logger) *LeaseReaper {
	work := func(ctx context.Context) (time.Duration, error) {
		for {
			n, err := leases.ExpireLeases(ctx, leasesBatch)
			if err != nil || n < leasesBatch {
				return 0, err
			}
		}
	}
	return &LeaseReaper{&Loop{Name: "lease reaper", Every: leasesEvery, Logger: logger, Work: work}}
}

// Start begins the passes; they end with ctx or Stop.
func (s *LeaseReaper) Start(ctx context.Context) { s.loop.Start(ctx) }

// Stop ends the service after the pass in progress.
func (s *LeaseReaper) Stop() { s.loop.Stop() }
