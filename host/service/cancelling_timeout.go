package service

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
)

// Orchestrator changes the states of flow runs.
type Orchestrator interface {
	// SetFlowRunState answers ABORT and writes nothing if the run is not in the
	// state that the proposal expects. Errors: NotFound.
	SetFlowRunState(ctx context.Context, id uuid.UUID, p orchestrate.Proposal) (*prefect.OrchestrationResult, error)
}

// Timers are the outbox rows that wait for their time.
type Timers interface {
	// ReadOutbox returns the oldest rows of those kinds, at most limit.
	ReadOutbox(ctx context.Context, limit int, kinds ...string) ([]orchestrate.OutboxRow, error)
	// DeleteOutbox deletes rows; ones that are gone are no error.
	DeleteOutbox(ctx context.Context, seqs []int64) error
}

// The pace of the cancelling timeout. All timeouts are equally long, so the rows
// are due in their order.
const (
	timeoutBatch    = 200
	timeoutEvery    = 10 * time.Second
	timeoutAttempts = 20 // of one row, before it is given up
)

// CancellingTimeout cancels flow runs that were asked to cancel and whose
// infrastructure did not say that they did: in time, the row which the
// transition to CANCELLING left in the outbox becomes a proposal of CANCELLED,
// under CoreFlowPolicy. The proposal names the CANCELLING state, so a run that
// has moved on stays as it is, and the id of the new state, so a repeated
// proposal writes it once.
type CancellingTimeout struct {
	timers Timers
	runs   Orchestrator
	now    func() prefect.Time
	logger *slog.Logger
	loop   *Loop
	failed map[int64]int // attempts by row; only the loop uses it
}

// NewCancellingTimeout returns the service, not started.
func NewCancellingTimeout(timers Timers, runs Orchestrator, now func() prefect.Time, logger *slog.Logger) *CancellingTimeout {
	s := &CancellingTimeout{timers: timers, runs: runs, now: now, logger: logger, failed: make(map[int64]int)}
	s.loop = &Loop{Name: "cancelling timeout", Every: timeoutEvery, Logger: logger, Work: s.pass}
	return s
}

// Start begins the passes; they end with ctx or Stop.
func (s *CancellingTimeout) Start(ctx context.Context) { s.loop.Start(ctx) }

// Stop ends the service after the proposal in progress.
func (s *CancellingTimeout) Stop() { s.loop.Stop() }

// pass acts on the rows that are due and returns when the next one is.
func (s *CancellingTimeout) pass(ctx context.Context) (time.Duration, error) {
	for {
		rows, err := s.timers.ReadOutbox(ctx, timeoutBatch, prefect.OutboxCancellingTimeout)
		if err != nil {
			return 0, err
		}
		var done []int64
		next, stuck := time.Duration(0), 0
		for _, row := range rows {
			wait, err := s.fire(ctx, row)
			switch {
			case ctx.Err() != nil:
				return 0, ctx.Err()
			case err != nil:
				stuck++
			case wait > 0:
				if next == 0 || wait < next {
					next = wait
				}
			default:
				done = append(done, row.Seq)
			}
		}
		if len(done) > 0 {
			if err := s.timers.DeleteOutbox(ctx, done); err != nil {
				return 0, err
			}
		}
		if len(done) == 0 || len(rows) < timeoutBatch {
			if stuck > 0 {
				next = time.Second
			}
			return next, nil
		}
	}
}

// fire acts on one row. It returns how long the row must wait, zero when it is
// done with, and an error when it must be tried again.
func (s *CancellingTimeout) fire(ctx context.Context, row orchestrate.OutboxRow) (wait time.Duration, err error) {
	var t prefect.CancellingTimeout
	if err := json.Unmarshal(row.Payload, &t); err != nil {
		s.logger.Error("dropped an outbox row that cannot be read", "seq", row.Seq, "key", row.Key, "error", err)
		return 0, nil
	}
	if wait := t.Due.Sub(s.now().Time); wait > 0 {
		return wait, nil
	}
	message := "The run did not confirm its cancellation in time."
	result, err := s.runs.SetFlowRunState(ctx, t.FlowRunID, orchestrate.Proposal{
		State:   &prefect.State{Type: prefect.Cancelled, Message: &message, Details: prefect.NewStateDetails()},
		StateID: &t.CancelledID, ExpectStateID: &t.StateID,
	})
	switch {
	case prefect.CodeOf(err) == prefect.NotFound:
		return 0, nil
	case err != nil:
		return 0, s.again(row, t.FlowRunID, err)
	case result.Status == prefect.Accept && result.Written:
		s.logger.Info("cancelled a run that did not confirm its cancellation", "flow_run_id", t.FlowRunID)
	}
	delete(s.failed, row.Seq)
	return 0, nil
}

// again counts a failed attempt and returns its error, or nil when the row is
// given up.
func (s *CancellingTimeout) again(row orchestrate.OutboxRow, run uuid.UUID, err error) error {
	if prefect.CodeOf(err) != prefect.Unavailable {
		s.failed[row.Seq]++
	}
	if s.failed[row.Seq] >= timeoutAttempts {
		s.logger.Error("gave up on cancelling a run", "flow_run_id", run, "attempts", timeoutAttempts, "error", err)
		delete(s.failed, row.Seq)
		return nil
	}
	s.logger.Warn("cancelling a run failed", "flow_run_id", run, "error", err)
	return err
}
