package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/test/rest"
)

// row is a line of the table: what one client does over and over.
type row struct {
	name    string
	decides bool // policies take part
	once    func(ctx context.Context, c *client) error
}

func rows() []row {
	return []row{
		{"create", true, func(ctx context.Context, c *client) error {
			_, err := c.create(ctx)
			return err
		}},
		{"create, Running, Completed", true, func(ctx context.Context, c *client) error {
			return c.through(ctx, "RUNNING", "COMPLETED")
		}},
		{"create, Running, Failed (retry), Running, Failed", true, func(ctx context.Context, c *client) error {
			return c.through(ctx, "RUNNING", "FAILED", "RUNNING", "FAILED")
		}},
		{"read", false, func(ctx context.Context, c *client) error {
			_, err := c.send(ctx, http.MethodGet, "/flow_runs/"+c.run, nil)
			return err
		}},
		{"filter 200", false, func(ctx context.Context, c *client) error {
			_, err := c.send(ctx, http.MethodPost, "/flow_runs/filter", c.filterBody)
			return err
		}},
		{"100 logs", false, func(ctx context.Context, c *client) error {
			_, err := c.send(ctx, http.MethodPost, "/logs/", c.logsBody)
			return err
		}},
	}
}

// result is what the clients of one measurement saw. Each client has its own;
// they are added up at the end.
type result struct {
	took   []time.Duration // of good requests
	errors int
	wall   time.Duration
}

// add takes in what another measurement or client saw.
func (r *result) add(other *result) {
	r.took = append(r.took, other.took...)
	r.errors += other.errors
	r.wall += other.wall
}

func (r *result) rate() float64 {
	if r.wall == 0 {
		return 0
	}
	return float64(len(r.took)) / r.wall.Seconds()
}

// percentile returns milliseconds, 0 without good requests. The first call sorts.
func (r *result) percentile(p int) float64 {
	if len(r.took) == 0 {
		return 0
	}
	slices.Sort(r.took)
	return float64(r.took[min(len(r.took)-1, len(r.took)*p/100)].Microseconds()) / 1000
}

// driver sends the load to one server.
type driver struct {
	host       string // and port of the server
	createBody []byte
	filterBody []byte
	logsBody   []byte
	run        string // a run that is there, for reads
}

// filtered is how many runs there are at least, for the filter.
const filtered = 200

func newDriver(ctx context.Context, server string) (*driver, error) {
	u, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	d := &driver{host: u.Host}
	patient := rest.New(server, 50)
	var flow, run struct{ ID string }
	if err := patient.Post(ctx, "/flows/", map[string]any{"name": "bench"}, &flow); err != nil {
		return nil, err
	}
	if d.createBody, err = json.Marshal(map[string]any{
		"flow_id": flow.ID, "parameters": map[string]any{"x": 1, "name": "a parameter"}, "tags": []string{"bench"},
		"empirical_policy": map[string]any{"retries": 1}, "state": map[string]any{"type": "PENDING"},
	}); err != nil {
		return nil, err
	}
	for range filtered {
		if err := patient.Post(ctx, "/flow_runs/", d.createBody, &run); err != nil {
			return nil, err
		}
	}
	d.run = run.ID
	if d.filterBody, err = json.Marshal(map[string]any{"limit": filtered, "sort": "ID_DESC", "flows": map[string]any{"id": map[string]any{"any_": []string{flow.ID}}}}); err != nil {
		return nil, err
	}
	logs := make([]map[string]any, 100)
	for i := range logs {
		logs[i] = map[string]any{"name": "bench", "level": 20, "message": fmt.Sprintf("line %d of the log of a task that does a little work", i), "timestamp": "2026-11-24T00:00:00Z", "flow_run_id": run.ID}
	}
	d.logsBody, err = json.Marshal(logs)
	return d, err
}

// measure lets clients repeat a row for a while.
func (d *driver) measure(ctx context.Context, r row, clients int, lasting time.Duration) (*result, error) {
	ctx, end := context.WithTimeoutCause(ctx, lasting+patience, errUnanswered)
	defer end()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	crew := make([]client, clients)
	for i := range crew {
		crew[i] = client{driver: d, wire: &wire{host: d.host}}
		defer crew[i].wire.close()
	}
	began := time.Now()
	var wg sync.WaitGroup
	for i := range crew {
		wg.Go(func() {
			for time.Since(began) < lasting && ctx.Err() == nil {
				if err := r.once(ctx, &crew[i]); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	all := &result{wall: time.Since(began)}
	for _, c := range crew {
		all.add(&c.result)
	}
	if cause := context.Cause(ctx); !errors.Is(cause, errUnanswered) {
		return all, cause
	}
	return all, nil
}

// patience is how long after the end of a measurement a reply may still come;
// the reference can hold a request for a minute when its database is locked.
const patience = time.Second

// errUnanswered ends requests that took too long. They count as errors.
var errUnanswered = errors.New("no answer by the end of the measurement")

// client is one of those that send at the same time.
type client struct {
	*driver
	wire   *wire
	result result
}

// send counts one request. It returns nil for a reply that is not good and for
// a connection that broke; an error ends the measurement.
func (c *client) send(ctx context.Context, method, path string, body []byte) (*reply, error) {
	r, err := c.wire.do(ctx, method, path, body)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, errUnanswered) {
		return nil, cause
	}
	if err != nil || r.status != http.StatusOK && r.status != http.StatusCreated {
		c.result.errors++
		return nil, nil
	}
	c.result.took = append(c.result.took, r.took)
	return r, nil
}

// create makes a run and returns its id, "" if the server refused.
func (c *client) create(ctx context.Context) (string, error) {
	r, err := c.send(ctx, http.MethodPost, "/flow_runs/", c.createBody)
	if err != nil || r == nil {
		return "", err
	}
	return idOf(r.body)
}

// idOf returns the id with which both servers begin a run. Reading the rest would be
// the client's work, in the time of the server's.
func idOf(run []byte) (string, error) {
	dec := json.NewDecoder(bytes.NewReader(run))
	for _, want := range []json.Token{json.Delim('{'), "id"} {
		if got, err := dec.Token(); err != nil || got != want {
			return "", fmt.Errorf("a run that does not begin with its id: %.200q", run)
		}
	}
	id, err := dec.Token()
	return fmt.Sprint(id), err
}

// through makes a run and proposes states, until one is not answered well.
func (c *client) through(ctx context.Context, types ...string) error {
	id, err := c.create(ctx)
	if err != nil || id == "" {
		return err
	}
	for _, kind := range types {
		body := fmt.Appendf(nil, `{"state":{"type":%q,"state_details":{"transition_id":%q}}}`, kind, uuid.NewString())
		r, err := c.send(ctx, http.MethodPost, "/flow_runs/"+id+"/set_state", body)
		if err != nil || r == nil {
			return err
		}
	}
	return nil
}
