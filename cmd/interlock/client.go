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

	"github.com/google/uuid"
)

const defaultURL = "http://127.0.0.1:4200/api"

// client speaks to a server's own surface, /api/interlock/...
type client struct {
	api  string // ends in /api
	auth string // "user:password" or ""
	csrf csrfToken
	http *http.Client
}

// csrfToken is what a server that guards against forged requests wants to see
// again. It is asked for when such a server first refuses a request.
type csrfToken struct {
	Token  string `json:"token"`
	Client string `json:"client"`
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
		api:  strings.TrimRight(url, "/"),
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

// call sends body (JSON, or bytes of a module) to the server's own surface and
// decodes the reply into out unless it is nil. It returns the status of a reply
// below 300, else an error.
func (c *client) call(ctx context.Context, method, path string, body, out any) (int, error) {
	raw, contentType := []byte(nil), "application/json"
	switch b := body.(type) {
	case nil:
	case []byte:
		raw, contentType = b, "application/wasm"
	default:
		var err error
		if raw, err = json.Marshal(b); err != nil {
			return 0, err
		}
	}
	status, err := c.send(ctx, method, "/interlock"+path, contentType, raw, out)
	if isStatus(err, http.StatusForbidden) && method != http.MethodGet && c.csrf.Token == "" {
		if c.askForToken(ctx) {
			status, err = c.send(ctx, method, "/interlock"+path, contentType, raw, out)
		}
	}
	return status, err
}

// askForToken gets a CSRF token and reports whether there was one.
func (c *client) askForToken(ctx context.Context) bool {
	_, err := c.send(ctx, http.MethodGet, "/csrf-token?client="+uuid.NewString(), "application/json", nil, &c.csrf)
	return err == nil && c.csrf.Token != ""
}

func (c *client) send(ctx context.Context, method, path, contentType string, body []byte, out any) (int, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.api+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("User-Agent", "interlock/"+buildVersion())
	if c.csrf.Token != "" {
		req.Header.Set("Prefect-Csrf-Token", c.csrf.Token)
		req.Header.Set("Prefect-Csrf-Client", c.csrf.Client)
	}
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
