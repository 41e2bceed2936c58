package api

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// workQueueCreate is the schema WorkQueueCreate.
type workQueueCreate struct {
	_                struct{}     `bind:"forbid"`
	Name             string       `json:"name" bind:"required,pattern=name"`
	Description      *string      `json:"description"`
	IsPaused         bool         `json:"is_paused"`
	ConcurrencyLimit *int32       `json:"concurrency_limit" bind:"ge=0"`
	Priority         *int32       `json:"priority" bind:"gt=0"`
	Filter           *queueFilter `json:"filter"`
}

// queueFilter is the schema QueueFilter.
type queueFilter struct {
	Tags          []string    `json:"tags" bind:"null"`
	DeploymentIDs []uuid.UUID `json:"deployment_ids" bind:"null"`
}

// stored returns the filter as it is kept, nil for none.
func (f *queueFilter) stored() (json.RawMessage, error) {
	if f == nil {
		return nil, nil
	}
	return json.Marshal(struct {
		Tags          []string    `json:"tags"`
		DeploymentIDs []uuid.UUID `json:"deployment_ids"`
	}(*f))
}

func (c *workQueueCreate) queue(pool uuid.UUID) (*prefect.WorkQueue, error) {
	filter, err := c.Filter.stored()
	q := &prefect.WorkQueue{Name: c.Name, Description: textOf(c.Description), IsPaused: c.IsPaused, ConcurrencyLimit: intOf(c.ConcurrencyLimit),
		Filter: filter, Status: prefect.NotReady, WorkPoolID: pool}
	if c.Priority != nil {
		q.Priority = int(*c.Priority)
	}
	return q, err
}

const (
	queueTaken    = "The name is that of another work queue."
	queueNotFound = "work queue not found"
)

// createWorkQueue makes a queue of the default agent pool.
func (s *server) createWorkQueue(w http.ResponseWriter, r *http.Request) error {
	return s.newQueue(w, r, uuid.Nil)
}

func (s *server) createPoolQueue(w http.ResponseWriter, r *http.Request) error {
	p, err := s.pool(r, "work_pool_name")
	if err != nil {
		return err
	}
	return s.newQueue(w, r, p.ID)
}

func (s *server) newQueue(w http.ResponseWriter, r *http.Request, pool uuid.UUID) error {
	var body workQueueCreate
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	q, err := body.queue(pool)
	if err != nil {
		return err
	}
	if err := s.Store.CreateWorkQueue(r.Context(), q); err != nil {
		return taken(err, queueTaken)
	}
	s.encode(w, http.StatusCreated, func(b []byte) []byte { return appendWorkQueue(b, q) })
	return nil
}

func (s *server) readWorkQueue(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	q, err := s.Store.ReadWorkQueueByID(r.Context(), id)
	return s.queue(w, q, notFound(err, queueNotFound))
}

func (s *server) readWorkQueueByName(w http.ResponseWriter, r *http.Request) error {
	q, err := s.Store.ReadWorkQueue(r.Context(), "", pathText(r, "name"))
	return s.queue(w, q, notFound(err, queueNotFound))
}

func (s *server) readPoolQueue(w http.ResponseWriter, r *http.Request) error {
	q, err := s.poolQueue(r)
	return s.queue(w, q, err)
}

func (s *server) queue(w http.ResponseWriter, q *prefect.WorkQueue, err error) error {
	if err != nil {
		return err
	}
	s.encode(w, http.StatusOK, func(b []byte) []byte { return appendWorkQueue(b, q) })
	return nil
}

// poolQueue reads the queue that the path names with its pool. Errors: NotFound.
func (s *server) poolQueue(r *http.Request) (*prefect.WorkQueue, error) {
	return s.existingQueue(r.Context(), pathText(r, "work_pool_name"), pathText(r, "name"))
}

type filterWorkQueues struct {
	_          struct{}                 `bind:"embed"`
	WorkQueues *prefect.WorkQueueFilter `json:"work_queues" bind:"closed"`
	window
}

func (s *server) filterWorkQueues(w http.ResponseWriter, r *http.Request) error {
	return s.queues(w, r, nil)
}

func (s *server) filterPoolQueues(w http.ResponseWriter, r *http.Request) error {
	p, err := s.pool(r, "work_pool_name")
	if err != nil {
		return err
	}
	return s.queues(w, r, &p.ID)
}

func (s *server) queues(w http.ResponseWriter, r *http.Request, pool *uuid.UUID) error {
	var body filterWorkQueues
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	page, err := s.page("", body.window)
	if err != nil {
		return err
	}
	found, err := s.Store.FilterWorkQueues(r.Context(), pool, body.WorkQueues, page)
	if err != nil {
		return err
	}
	return list(s, w, found, appendWorkQueue)
}

// workQueueUpdate is the schema WorkQueueUpdate.
type workQueueUpdate struct {
	_                struct{}                        `bind:"forbid"`
	Name             prefect.Optional[*string]       `json:"name"`
	Description      prefect.Optional[*string]       `json:"description"`
	IsPaused         prefect.Optional[bool]          `json:"is_paused"`
	ConcurrencyLimit prefect.Optional[*int32]        `json:"concurrency_limit" bind:"ge=0"`
	Priority         prefect.Optional[*int32]        `json:"priority" bind:"gt=0"`
	LastPolled       prefect.Optional[*prefect.Time] `json:"last_polled"`
	Filter           prefect.Optional[*queueFilter]  `json:"filter"`
}

func (s *server) updateWorkQueue(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	return s.changeQueue(w, r, id)
}

func (s *server) updatePoolQueue(w http.ResponseWriter, r *http.Request) error {
	q, err := s.poolQueue(r)
	if err != nil {
		return err
	}
	return s.changeQueue(w, r, q.ID)
}

func (s *server) changeQueue(w http.ResponseWriter, r *http.Request, id uuid.UUID) error {
	var body workQueueUpdate
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	now := s.Now()
	err := s.Store.UpdateWorkQueue(r.Context(), id, func(q *prefect.WorkQueue) error { return body.apply(q, now) })
	if err != nil {
		return notFound(err, "Work Queue "+id.String()+" not found")
	}
	return noContent(w)
}

// recentPoll is how long a queue counts as ready after somebody asked for its work.
const recentPoll = time.Minute

// apply changes what was sent; null leaves what cannot be null alone.
func (u *workQueueUpdate) apply(q *prefect.WorkQueue, now prefect.Time) error {
	if u.Name.Value != nil {
		q.Name = *u.Name.Value
	}
	if u.Description.Value != nil {
		q.Description = *u.Description.Value
	}
	if u.ConcurrencyLimit.Set {
		q.ConcurrencyLimit = intOf(u.ConcurrencyLimit.Value)
	}
	if u.Priority.Value != nil {
		q.Priority = int(*u.Priority.Value)
	}
	if u.Filter.Set {
		filter, err := u.Filter.Value.stored()
		if err != nil {
			return err
		}
		q.Filter = filter
	}
	u.LastPolled.Apply(&q.LastPolled)
	u.IsPaused.Apply(&q.IsPaused)
	switch {
	case !u.IsPaused.Set:
	case q.IsPaused:
		q.Status = prefect.PausedStatus
	case q.Status == prefect.PausedStatus:
		q.Status = prefect.NotReady
		if q.LastPolled != nil && now.Sub(q.LastPolled.Time) <= recentPoll {
			q.Status = prefect.Ready
		}
	}
	return nil
}

func (s *server) deleteWorkQueue(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	return s.removeQueue(w, r, id)
}

func (s *server) deletePoolQueue(w http.ResponseWriter, r *http.Request) error {
	q, err := s.poolQueue(r)
	if err != nil {
		return err
	}
	return s.removeQueue(w, r, q.ID)
}

func (s *server) removeQueue(w http.ResponseWriter, r *http.Request, id uuid.UUID) error {
	if err := s.Store.DeleteWorkQueue(r.Context(), id); err != nil {
		return notFound(err, queueNotFound)
	}
	return noContent(w)
}

// appendWorkQueue appends the schema WorkQueueResponse.
func appendWorkQueue(b []byte, q *prefect.WorkQueue) []byte {
	b = appendQueueFields(append(b, '{'), q)
	b = appendString(append(b, `,"work_pool_name":`...), q.WorkPoolName)
	b = appendString(append(b, `,"status":`...), string(q.Status))
	b = appendIntPtr(append(b, `,"active_slots":`...), q.ActiveSlots)
	return append(b, '}')
}

// appendQueueFields appends the fields of the schema WorkQueue.
func appendQueueFields(b []byte, q *prefect.WorkQueue) []byte {
	b = appendUUID(append(b, `"id":`...), q.ID)
	b = appendTime(append(b, `,"created":`...), q.Created)
	b = appendTime(append(b, `,"updated":`...), q.Updated)
	b = appendString(append(b, `,"name":`...), q.Name)
	b = appendString(append(b, `,"description":`...), q.Description)
	b = appendBool(append(b, `,"is_paused":`...), q.IsPaused)
	b = appendIntPtr(append(b, `,"concurrency_limit":`...), q.ConcurrencyLimit)
	b = appendInt(append(b, `,"priority":`...), q.Priority)
	b = appendUUID(append(b, `,"work_pool_id":`...), q.WorkPoolID)
	b = appendRaw(append(b, `,"filter":`...), q.Filter, "null")
	return appendTimePtr(append(b, `,"last_polled":`...), q.LastPolled)
}
