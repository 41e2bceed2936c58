package api

import (
	"context"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// The work pools and workers of the fake.

func (f *fake) CreateWorkPool(_ context.Context, p *prefect.WorkPool) error {
	if _, i := find(f.pools, func(o *prefect.WorkPool) bool { return o.Name == p.Name }); i >= 0 {
		return prefect.Errorf(prefect.Conflict, "taken")
	}
	f.pools = append(f.pools, p)
	return nil
}

func (f *fake) UpdateWorkPool(ctx context.Context, name string, fn func(*prefect.WorkPool, bool) error) error {
	p, err := f.ReadWorkPool(ctx, name)
	if err != nil {
		return err
	}
	return fn(p, len(f.workers) > 0)
}

func (f *fake) DeleteWorkPool(ctx context.Context, name string) error {
	_, err := f.ReadWorkPool(ctx, name)
	return err
}

func (f *fake) FilterWorkPools(_ context.Context, asked *prefect.WorkPoolFilter, p prefect.Page) ([]*prefect.WorkPool, error) {
	f.asked, f.page = prefect.Filters{WorkPools: asked}, p
	return f.pools, f.fail
}

func (f *fake) CountWorkPools(_ context.Context, asked *prefect.WorkPoolFilter) (int, error) {
	f.asked = prefect.Filters{WorkPools: asked}
	return len(f.pools), f.fail
}

func (f *fake) WorkPoolRuns(_ context.Context, _ *prefect.WorkPool, q prefect.WorkQuery) ([]*prefect.FlowRun, error) {
	f.work = q
	return f.flowRuns, f.fail
}

func (f *fake) WorkQueueRuns(_ context.Context, _ uuid.UUID, q prefect.WorkQuery) ([]*prefect.FlowRun, error) {
	f.work = q
	return f.flowRuns, f.fail
}

func (f *fake) CreateWorkQueue(_ context.Context, q *prefect.WorkQueue) error {
	q.ID = uuid.New()
	f.queues = append(f.queues, q)
	return nil
}

func (f *fake) ReadWorkQueueByID(_ context.Context, id uuid.UUID) (*prefect.WorkQueue, error) {
	q, i := find(f.queues, func(q *prefect.WorkQueue) bool { return q.ID == id })
	if i < 0 {
		return nil, missing("work queue")
	}
	return q, nil
}

func (f *fake) UpdateWorkQueue(ctx context.Context, id uuid.UUID, fn func(*prefect.WorkQueue) error) error {
	q, err := f.ReadWorkQueueByID(ctx, id)
	if err != nil {
		return err
	}
	return fn(q)
}

func (f *fake) DeleteWorkQueue(ctx context.Context, id uuid.UUID) error {
	_, err := f.ReadWorkQueueByID(ctx, id)
	return err
}

func (f *fake) FilterWorkQueues(_ context.Context, _ *uuid.UUID, asked *prefect.WorkQueueFilter, p prefect.Page) ([]*prefect.WorkQueue, error) {
	f.asked, f.page = prefect.Filters{WorkPoolQueues: asked}, p
	return f.queues, f.fail
}

func (f *fake) WorkerHeartbeat(ctx context.Context, pool, _ string, _ *int) error {
	_, err := f.ReadWorkPool(ctx, pool)
	return err
}

func (f *fake) FilterWorkers(context.Context, uuid.UUID, *prefect.WorkerFilter, prefect.Page) ([]*prefect.Worker, error) {
	return f.workers, f.fail
}

func (f *fake) DeleteWorker(_ context.Context, _ uuid.UUID, name string) error {
	if _, i := find(f.workers, func(w *prefect.Worker) bool { return w.Name == name }); i < 0 {
		return missing("worker")
	}
	return nil
}
