// Package rest sends requests of the Prefect API and keeps what the tests want
// to know of each: the status, the body, and when it was under way.
package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// VersionHeader carries the API version that a client speaks.
const VersionHeader = "X-PREFECT-API-VERSION"

// Client sends to one server. It may be used by several goroutines.
type Client struct {
	base    string // http://host:port/api
	http    *http.Client
	retries int // of a 503
}

// New returns a client of the server at url. It repeats a request that was
// answered 503 up to retries times, as Prefect's own client does.
func New(url string, retries int) *Client {
	// The reference closes connections that idle for 5 s; a request must not meet that.
	transport := &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: 2 * time.Second}
	return &Client{base: url + "/api", http: &http.Client{Timeout: 10 * time.Minute, Transport: transport}, retries: retries}
}

// OneEach has the client open a connection for each request. The reference
// closes the connection after some errors, which may meet the next request on it.
func (c *Client) OneEach() *Client {
	c.http.Transport.(*http.Transport).DisableKeepAlives = true
	return c
}

// Request is one call. Body is sent as JSON, or as it is if it is []byte; nil
// sends none.
type Request struct {
	Method string
	Path   string // below /api
	Body   any
	Header map[string]string
}

// Reply is the answer to a Request.
type Reply struct {
	Status   int
	Raw      []byte
	Sent     time.Time // before the request left
	Received time.Time // after the body was read
}

// Do sends r. The error means that there was no answer.
func (c *Client) Do(ctx context.Context, r Request) (*Reply, error) {
	body, err := encode(r.Body)
	if err != nil {
		return nil, err
	}
	for try := 0; ; try++ {
		reply, err := c.once(ctx, r, body)
		if err != nil || reply.Status != http.StatusServiceUnavailable || try >= c.retries {
			return reply, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Duration(20*(try+1)) * time.Millisecond):
		}
	}
}

func encode(body any) ([]byte, error) {
	switch b := body.(type) {
	case nil:
		return nil, nil
	case []byte:
		return b, nil
	default:
		return json.Marshal(b)
	}
}

func (c *Client) once(ctx context.Context, r Request, body []byte) (*Reply, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, c.base+r.Path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, value := range r.Header {
		req.Header.Set(name, value)
	}
	reply := &Reply{Sent: time.Now()}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if reply.Raw, err = io.ReadAll(resp.Body); err != nil {
		return nil, err
	}
	reply.Status, reply.Received = resp.StatusCode, time.Now()
	return reply, nil
}

// JSON decodes the body into out.
func (r *Reply) JSON(out any) error {
	if err := json.Unmarshal(r.Raw, out); err != nil {
		return fmt.Errorf("status %d, body %.200q: %w", r.Status, r.Raw, err)
	}
	return nil
}

// Value decodes the body to maps, slices, strings, bools and json.Number; nil
// for an empty body.
func (r *Reply) Value() (any, error) {
	if len(r.Raw) == 0 {
		return nil, nil
	}
	dec := json.NewDecoder(bytes.NewReader(r.Raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("status %d, body %.200q: %w", r.Status, r.Raw, err)
	}
	return v, nil
}

// Get sends a GET and decodes a good reply into out.
func (c *Client) Get(ctx context.Context, path string, out any) error {
	return c.call(ctx, Request{Method: http.MethodGet, Path: path}, out)
}

// Post sends body and decodes a good reply into out, unless out is nil.
func (c *Client) Post(ctx context.Context, path string, body, out any) error {
	return c.call(ctx, Request{Method: http.MethodPost, Path: path, Body: body}, out)
}

func (c *Client) call(ctx context.Context, r Request, out any) error {
	reply, err := c.Do(ctx, r)
	if err != nil {
		return err
	}
	if reply.Status >= 300 {
		return fmt.Errorf("%s %s: %d %.300s", r.Method, r.Path, reply.Status, reply.Raw)
	}
	if out == nil {
		return nil
	}
	return reply.JSON(out)
}
