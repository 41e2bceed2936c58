package api

import (
	"context"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// The deployments and queues of the fake. Schedules get ids and nothing else.

func (f *fake) PutDeployment(ctx context.Context, flowID uuid.UUID, name string, fn func(*prefect.Deployment) error) (*prefect.Deployment, bool, error) {
	d, i := find(f.deployments, func(d *prefect.Deployment) bool { return d.FlowID == flowID && d.Name == name })
	if i < 0 {
		d = prefect.NewDeployment(flowID, name)
		d.ID = uuid.New()
		f.deployments = append(f.deployments, d)
	}
	return d, i < 0, f.change(ctx, d, fn)
}

func (f *fake) change(ctx context.Context, d *prefect.Deployment, fn func(*prefect.Deployment) error) error {
	if err := fn(d); err != nil {
		return err
	}
	for _, s := range d.Schedules {
		if s.ID == uuid.Nil {
			s.ID, s.DeploymentID = uuid.New(), d.ID
		}
	}
	asked := d.AskedQueue
	if d.AskedQueue = nil; asked == nil || *asked == (prefect.QueueName{}) {
		return nil
	}
	if asked.Name == "" {
		p, err := f.ReadWorkPool(ctx, asked.Pool)
		if err == nil {
			d.WorkQueueID = p.DefaultQueueID
		}
		return err
	}
	q, err := f.EnsureWorkQueue(ctx, asked.Pool, asked.Name)
	if err == nil {
		d.WorkQueueID = &q.ID
	}
	return err
}

func (f *fake) ReadDeployment(_ context.Context, id uuid.UUID) (*prefect.Deployment, error) {
	d, i := find(f.deployments, func(d *prefect.Deployment) bool { return d.ID == id })
	if f.fail != nil || i < 0 {
		return nil, orMissing(f.fail, "deployment")
	}
	return d, nil
}

func (f *fake) ReadDeploymentByName(_ context.Context, flow, name string) (*prefect.Deployment, error) {
	d, i := find(f.deployments, func(d *prefect.Deployment) bool { return d.Name == name })
	if i < 0 || flow == "none" {
		return nil, missing("deployment")
	}
	return d, nil
}

func (f *fake) UpdateDeployment(ctx context.Context, id uuid.UUID, stale prefect.StaleRuns, fn func(*prefect.Deployment) error) error {
	d, err := f.ReadDeployment(ctx, id)
	if err != nil {
		return err
	}
	f.stale = stale
	return f.change(ctx, d, fn)
}

func (f *fake) DeleteDeployment(ctx context.Context, id uuid.UUID) error {
	_, i := find(f.deployments, func(d *prefect.Deployment) bool { return d.ID == id })
	if i < 0 {
		return missing("deployment")
	}
	f.deployments = append(f.deployments[:i:i], f.deployments[i+1:]...)
	return nil
}

func (f *fake) FilterDeployments(_ context.Context, asked prefect.Filters, p prefect.Page) ([]*prefect.Deployment, error) {
	f.asked, f.page = asked, p
	return f.deployments, f.fail
}

func (f *fake) CountDeployments(_ context.Context, asked prefect.Filters) (int, error) {
	f.asked = asked
	return len(f.deployments), f.fail
}

func (f *fake) Polled(_ context.Context, ids, queues []uuid.UUID) error {
	f.polled = append(ids, queues...)
	return nil
}

func (f *fake) ReadWorkPool(_ context.Context, name string) (*prefect.WorkPool, error) {
	p, i := find(f.pools, func(p *prefect.WorkPool) bool { return p.Name == name })
	if i < 0 {
		return nil, missing("work pool")
	}
	return p, nil
}

func (f *fake) EnsureWorkQueue(ctx context.Context, pool, name string) (*prefect.WorkQueue, error) {
	q, err := f.ReadWorkQueue(ctx, pool, name)
	if err == nil {
		return q, nil
	}
	if _, err := f.ReadWorkPool(ctx, pool); pool != "" && err != nil {
		return nil, err
	}
	q = &prefect.WorkQueue{ID: uuid.New(), Name: name, WorkPoolName: pool, Priority: 1, Status: prefect.NotReady}
	f.queues = append(f.queues, q)
	return q, nil
}

func (f *fake) ReadWorkQueue(_ context.Context, pool, name string) (*prefect.WorkQueue, error) {
	q, i := find(f.queues, func(q *prefect.WorkQueue) bool { return q.Name == name && (pool == "" || q.WorkPoolName == pool) })
	if i < 0 {
		return nil, missing("work queue")
	}
	return q, nil
}
