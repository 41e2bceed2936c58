package api

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// testNow is the time of every test.
var testNow = func() prefect.Time {
	t, err := prefect.ParseTime("2026-11-23T18:00:00.123456Z")
	if err != nil {
		panic(err)
	}
	return t
}()

// rig is an API on a fake.
type rig struct {
	*fake
	t    *testing.T
	http http.Handler
}

func newRig(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	f := &fake{states: map[uuid.UUID][]*prefect.State{}, tokens: map[string]string{}, config: map[string]json.RawMessage{}}
	c := Config{Store: f, Orchestrator: f, Registry: f, Events: f, Now: func() prefect.Time { return testNow },
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Version: "test"}
	for _, fn := range change {
		fn(&c)
	}
	return &rig{fake: f, t: t, http: New(c)}
}

// do sends a request; headers are name, value, ...
func (r *rig) do(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r.t.Helper()
	req := httptest.NewRequest(method, "/api"+path, strings.NewReader(body))
	if body != "" {
		req.Header.Set("Content-Type", jsonType)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	r.http.ServeHTTP(w, req)
	return w
}

// want sends a request and checks the status; it returns the decoded reply.
func (r *rig) want(status int, method, path, body string, headers ...string) any {
	r.t.Helper()
	w := r.do(method, path, body, headers...)
	if w.Code != status {
		r.t.Fatalf("%s %s %s: %d %s, want %d", method, path, body, w.Code, w.Body, status)
	}
	if w.Body.Len() == 0 {
		return nil
	}
	var v any
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		r.t.Fatalf("%s %s: the reply is not JSON: %v: %s", method, path, err, w.Body)
	}
	return v
}

// at returns what lies at path (keys and indexes) of a decoded reply.
func at(t *testing.T, v any, path ...any) any {
	t.Helper()
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, ok := v.(map[string]any)
			if !ok {
				t.Fatalf("no object at %v of %v", p, path)
			}
			v = m[p]
		case int:
			l, ok := v.([]any)
			if !ok || p >= len(l) {
				t.Fatalf("no element %d of %v", p, path)
			}
			v = l[p]
		}
	}
	return v
}
