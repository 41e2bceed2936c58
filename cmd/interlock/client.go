package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const defaultURL = "http://127.0.0.1:4200/api"

// client speaks to a server's own surface, /api/interlock/...
type client struct {
	base string // ends in /api/interlock
	auth string // "user:password" or ""
	http *http.Client
}

func newClient(e env, url string) *client {
	if url == "" {
		url, _ = e.lookup("PREFECT_API_URL")
	}
	if url == "" {
		url = defaultURL
	}
	auth, _ := e.lookup("PREFECT_API_AUTH_STRING")
	return &client{
		base: strings.TrimRight(url, "/") + "/interlock",
		auth: auth,
		http: &http.Client{Timeout: time.Minute},
	}
}

// statusError is a reply that says no.
type statusError struct {
	status int
	text   string
}

func (s statusError) Error() string { return s.text }

func isStatus(err error, status int) bool {
	var s statusError
	return errors.As(err, &s) && s.status == status
}

// call sends body (JSON, or bytes of a module) and decodes the reply into out
// unless it is nil. It returns the status of a reply below 300, else an error.
func (c *client) call(ctx context.Context, method, path string, body, out any) (int, error) {
	var reader io.Reader
	contentType := "application/json"
	switch b := body.(type) {
	case nil:
	case []byte:
		reader, contentType = bytes.NewReader(b), "application/wasm"
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			return 0, err
		}
		reader = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, reader)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", contentType)
	if c.auth != "" {
		req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(c.auth)))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, fmt.Errorf("no server answers: %w", err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return 0, err
	}
	if resp.StatusCode >= 300 {
		return 0, statusError{resp.StatusCode, explainStatus(resp.StatusCode, raw)}
	}
	if out != nil {
		if err := json.Unmarshal(raw, out); err != nil {
			return 0, fmt.Errorf("the reply is not what an interlock server sends: %w", err)
		}
	}
	return resp.StatusCode, nil
}

// explainStatus makes one line of an error reply.
func explainStatus(status int, raw []byte) string {
	var reply struct {
		Detail    any    `json:"detail"`
		Message   string `json:"exception_message"`
		Exception []struct {
			Loc []any  `json:"loc"`
			Msg string `json:"msg"`
		} `json:"exception_detail"`
	}
	if json.Unmarshal(raw, &reply) != nil {
		return fmt.Sprintf("the server answered %d", status)
	}
	var parts []string
	for _, f := range reply.Exception {
		var loc []string
		for _, l := range f.Loc {
			loc = append(loc, fmt.Sprint(l))
		}
		parts = append(parts, strings.Join(loc, ".")+": "+f.Msg)
	}
	switch {
	case len(parts) > 0:
		return strings.Join(parts, "; ")
	case reply.Detail != nil:
		return fmt.Sprint(reply.Detail)
	case reply.Message != "":
		return reply.Message
	}
	return fmt.Sprintf("the server answered %d", status)
}
