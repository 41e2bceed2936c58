package api

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/api/bind"
	"github.com/interlock-run/interlock/host/prefect"
)

type workerHeartbeat struct {
	_                        struct{} `bind:"embed"`
	Name                     string   `json:"name" bind:"required"`
	HeartbeatIntervalSeconds *int32   `json:"heartbeat_interval_seconds"`
}

func (s *server) workerHeartbeat(w http.ResponseWriter, r *http.Request) error {
	var body workerHeartbeat
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	pool := pathText(r, "work_pool_name")
	if err := s.Store.WorkerHeartbeat(r.Context(), pool, body.Name, intOf(body.HeartbeatIntervalSeconds)); err != nil {
		return poolNotFound(err, pool)
	}
	return noContent(w)
}

type filterWorkers struct {
	_       struct{}              `bind:"embed"`
	Workers *prefect.WorkerFilter `json:"workers" bind:"closed"`
	window
}

func (s *server) filterWorkers(w http.ResponseWriter, r *http.Request) error {
	var body filterWorkers
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	page, err := s.page("", body.window)
	if err != nil {
		return err
	}
	p, err := s.pool(r, "work_pool_name")
	if err != nil {
		return err
	}
	workers, err := s.Store.FilterWorkers(r.Context(), p.ID, body.Workers, page)
	if err != nil {
		return err
	}
	return s.marshal(w, http.StatusOK, workers)
}

func (s *server) deleteWorker(w http.ResponseWriter, r *http.Request) error {
	p, err := s.pool(r, "work_pool_name")
	if err != nil {
		return err
	}
	if err := s.Store.DeleteWorker(r.Context(), p.ID, pathText(r, "name")); err != nil {
		return notFound(err, "Worker not found.")
	}
	return noContent(w)
}

type scheduledPoolRuns struct {
	_               struct{}                       `bind:"embed"`
	WorkQueueNames  []string                       `json:"work_queue_names"`
	ScheduledBefore prefect.Optional[prefect.Time] `json:"scheduled_before"`
	ScheduledAfter  prefect.Optional[prefect.Time] `json:"scheduled_after"`
	Limit           *int                           `json:"limit"`
}

// CheckBind is called by bind.
func (b *scheduledPoolRuns) CheckBind(r bind.Reporter) {
	checkLength(len(b.WorkQueueNames), "work_queue_names", r)
}

// scheduledPoolRuns answers a worker that asks for work, which makes the queues and
// their deployments ready.
func (s *server) scheduledPoolRuns(w http.ResponseWriter, r *http.Request) error {
	var body scheduledPoolRuns
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	limit, err := s.limit(body.Limit)
	if err != nil {
		return err
	}
	p, err := s.pool(r, "name")
	if err != nil {
		return err
	}
	polled, err := s.polledQueues(r, p, body.WorkQueueNames)
	if err != nil {
		return err
	}
	query := workQuery(limit, body.ScheduledBefore, body.ScheduledAfter)
	if len(body.WorkQueueNames) > 0 {
		query.Queues = polled
	}
	runs, err := s.Store.WorkPoolRuns(r.Context(), p, query)
	if err != nil {
		return err
	}
	if err := s.Store.Polled(r.Context(), nil, polled); err != nil {
		return err
	}
	now := s.Now()
	return list(s, w, runs, func(b []byte, run *prefect.FlowRun) []byte {
		b = appendUUID(append(b, `{"work_pool_id":`...), p.ID)
		b = appendUUIDPtr(append(b, `,"work_queue_id":`...), run.WorkQueueID)
		return append(appendPlainRun(append(b, `,"flow_run":`...), run, now), '}')
	})
}

func workQuery(limit int, before, after prefect.Optional[prefect.Time]) prefect.WorkQuery {
	q := prefect.WorkQuery{Limit: limit}
	if before.Set {
		q.Before = &before.Value
	}
	if after.Set {
		q.After = &after.Value
	}
	return q
}

// polledQueues returns the ids of the queues that a worker asks, by their names or
// all of the pool, but no more than mostListed. Errors: NotFound.
func (s *server) polledQueues(r *http.Request, p *prefect.WorkPool, names []string) ([]uuid.UUID, error) {
	var filter *prefect.WorkQueueFilter
	if len(names) > 0 {
		names = slices.Clone(names)
		for i, name := range names {
			if name == "" {
				names[i] = prefect.DefaultQueue
			}
		}
		slices.Sort(names)
		names = slices.Compact(names)
		filter = &prefect.WorkQueueFilter{Name: &prefect.StartsWithCriteria{Any: names}}
	}
	queues, err := s.Store.FilterWorkQueues(r.Context(), &p.ID, filter, prefect.Page{Limit: mostListed})
	if err != nil {
		return nil, err
	}
	ids, found := make([]uuid.UUID, len(queues)), make(map[string]bool, len(queues))
	for i, q := range queues {
		ids[i], found[q.Name] = q.ID, true
	}
	for _, name := range names {
		if !found[name] {
			return nil, noSuchQueue(p.Name, name)
		}
	}
	return ids, nil
}

// appendPlainRun appends the schema FlowRun: a run without its state and its pool.
func appendPlainRun(b []byte, run *prefect.FlowRun, now prefect.Time) []byte {
	plain := *run
	plain.State, plain.QueueName = nil, nil
	return appendFlowRunAs(b, &plain, now, false)
}

type queueRuns struct {
	_               struct{}                       `bind:"embed"`
	ScheduledBefore prefect.Optional[prefect.Time] `json:"scheduled_before"`
	Limit           *int                           `json:"limit"`
}

// queueRuns answers an agent that asks for work, or the user interface, which is no
// sign of anybody at work.
func (s *server) queueRuns(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	var body queueRuns
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	limit, err := s.limit(body.Limit)
	if err != nil {
		return err
	}
	q, err := s.Store.ReadWorkQueueByID(r.Context(), id)
	if err != nil {
		return raised(notFound(err, "Work queue with id "+id.String()+" not found."))
	}
	runs, err := s.queueWork(r, q, workQuery(limit, body.ScheduledBefore, prefect.Optional[prefect.Time]{}))
	if err != nil {
		return err
	}
	if ui := r.Header.Get("X-Prefect-UI"); ui != "true" && ui != "True" && ui != "1" {
		if err := s.Store.Polled(r.Context(), nil, []uuid.UUID{id}); err != nil {
			return err
		}
	}
	now := s.Now()
	return list(s, w, runs, func(b []byte, run *prefect.FlowRun) []byte {
		plain := *run // as the reference has it, without its pool
		plain.WorkPoolID, plain.WorkPoolName, plain.QueueName = nil, nil, nil
		return appendFlowRun(b, &plain, now)
	})
}

// queueWork returns the runs of a queue. One with a filter, as old agents have them,
// is asked by its filter.
func (s *server) queueWork(r *http.Request, q *prefect.WorkQueue, query prefect.WorkQuery) ([]*prefect.FlowRun, error) {
	if len(q.Filter) == 0 {
		return s.Store.WorkQueueRuns(r.Context(), q.ID, query)
	}
	if q.IsPaused {
		return nil, nil
	}
	var filter struct {
		Tags          []string    `json:"tags"`
		DeploymentIDs []uuid.UUID `json:"deployment_ids"`
	}
	if err := json.Unmarshal(q.Filter, &filter); err != nil {
		return nil, err
	}
	no := false
	among := func(types ...prefect.StateType) prefect.Filters {
		return prefect.Filters{FlowRuns: &prefect.FlowRunFilter{
			Tags:         &prefect.TagsCriteria{All: filter.Tags},
			DeploymentID: &prefect.AnyIsNull[uuid.UUID]{Any: filter.DeploymentIDs, IsNull: &no},
			State:        &prefect.FlowRunStateFilter{Type: &prefect.AnyNotAny[prefect.StateType]{Any: types}},
		}}
	}
	if q.ConcurrencyLimit != nil {
		active, err := s.Store.CountFlowRuns(r.Context(), among(prefect.Pending, prefect.Running))
		if err != nil {
			return nil, err
		}
		query.Limit = min(query.Limit, max(0, *q.ConcurrencyLimit-active))
	}
	due := among(prefect.Scheduled)
	if query.Before != nil {
		due.FlowRuns.NextScheduledStartTime = &prefect.TimeCriteria{Before: query.Before}
	}
	return s.Store.FilterFlowRuns(r.Context(), due, prefect.Page{Sort: "NEXT_SCHEDULED_START_TIME_ASC", Limit: query.Limit})
}

// The health of a queue: nobody is late, and somebody asked within a minute.
const (
	mostLateRuns    = 0
	mostUnpolledFor = 60 // seconds
)

func (s *server) queueStatus(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	q, err := s.Store.ReadWorkQueueByID(r.Context(), id)
	if err != nil {
		return raised(notFound(err, "Work queue with id "+id.String()+" not found"))
	}
	late, err := s.Store.CountFlowRuns(r.Context(), prefect.Filters{
		FlowRuns:       &prefect.FlowRunFilter{State: &prefect.FlowRunStateFilter{Name: &prefect.AnyNotAny[string]{Any: []string{"Late"}}}},
		WorkPoolQueues: &prefect.WorkQueueFilter{ID: &prefect.Any[uuid.UUID]{Any: []uuid.UUID{id}}},
	})
	if err != nil {
		return err
	}
	healthy := late <= mostLateRuns && q.LastPolled != nil && s.Now().Sub(q.LastPolled.Time).Seconds() <= mostUnpolledFor
	return s.marshal(w, http.StatusOK, map[string]any{
		"healthy": healthy, "late_runs_count": late, "last_polled": q.LastPolled,
		"health_check_policy": map[string]any{"maximum_late_runs": mostLateRuns, "maximum_seconds_since_last_polled": mostUnpolledFor},
	})
}
