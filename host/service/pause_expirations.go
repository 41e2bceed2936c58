package service

import (
	"context"
	"log/slog"
	"time"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
)

// FlowRuns finds flow runs.
type FlowRuns interface {
	FilterFlowRuns(ctx context.Context, f prefect.Filters, p prefect.Page) ([]*prefect.FlowRun, error)
}

// The pace of the pause expirations.
const (
	pausesEvery = 5 * time.Second
	pausesPage  = 200
)

// PauseExpirations fails flow runs that were paused and not resumed in time.
// The proposal is forced, and names the PAUSED state that it was made for: a run
// that is resumed in the same moment stays resumed.
type PauseExpirations struct {
	store  FlowRuns
	runs   Orchestrator
	now    func() prefect.Time
	logger *slog.Logger
	loop   *Loop
}

// NewPauseExpirations returns the service, not started. every is the time
// between passes, 0 for five seconds.
func NewPauseExpirations(store FlowRuns, runs Orchestrator, every time.Duration, now func() prefect.Time, logger *slog.Logger) *PauseExpirations {
	if every <= 0 {
		every = pausesEvery
	}
	s := &PauseExpirations{store: store, runs: runs, now: now, logger: logger}
	s.loop = &Loop{Name: "pause expirations", Every: every, Logger: logger, Work: s.pass}
	return s
}

// Start begins the passes; they end with ctx or Stop.
func (s *PauseExpirations) Start(ctx context.Context) { s.loop.Start(ctx) }

// Stop ends the service after the proposal in progress.
func (s *PauseExpirations) Stop() { s.loop.Stop() }

// pass reads all paused runs first and acts then, since acting would shift the
// pages. A run that fails to fail is logged and does not hold up the others.
func (s *PauseExpirations) pass(ctx context.Context) (time.Duration, error) {
	expired, err := s.expired(ctx)
	if err != nil {
		return 0, err
	}
	message := "The run was paused and not resumed in time."
	for _, run := range expired {
		result, err := s.runs.SetFlowRunState(ctx, run.ID, orchestrate.Proposal{
			State: &prefect.State{Type: prefect.Failed, Message: &message, Details: prefect.NewStateDetails()},
			Force: true, ExpectStateID: &run.State.ID,
		})
		switch {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case prefect.CodeOf(err) == prefect.NotFound:
		case err != nil:
			s.logger.Error("failing a run whose pause expired did not work", "flow_run_id", run.ID, "error", err)
		case result.Written:
			s.logger.Info("failed a run whose pause expired", "flow_run_id", run.ID)
		}
	}
	return 0, nil
}

func (s *PauseExpirations) expired(ctx context.Context) ([]*prefect.FlowRun, error) {
	paused := prefect.Filters{FlowRuns: &prefect.FlowRunFilter{State: &prefect.FlowRunStateFilter{
		Type: &prefect.AnyNotAny[prefect.StateType]{Any: []prefect.StateType{prefect.Paused}},
	}}}
	now := s.now()
	var expired []*prefect.FlowRun
	for offset := 0; ; offset += pausesPage {
		runs, err := s.store.FilterFlowRuns(ctx, paused, prefect.Page{Sort: "ID_DESC", Limit: pausesPage, Offset: offset})
		if err != nil {
			return nil, err
		}
		for _, run := range runs {
			if pauseExpired(run.State, now) {
				expired = append(expired, run)
			}
		}
		if len(runs) < pausesPage {
			return expired, nil
		}
	}
}

func pauseExpired(s *prefect.State, now prefect.Time) bool {
	return s != nil && s.Type == prefect.Paused && s.Details.PauseTimeout != nil && s.Details.PauseTimeout.Before(now.Time)
}
