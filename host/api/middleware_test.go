package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

func TestRoot(t *testing.T) {
	r := newRig(t)
	for path, want := range map[string]string{
		"/health": `true`, "/version": `"0.8.4"`, "/admin/version": `"3.8.8"`, "/hello": `"👋"`,
		"/ready": `{"message":"OK"}`, "/admin/settings": `{}`, "/admin/storage": `{"default_result_storage_block_id":null}`,
	} {
		if w := r.do("GET", path, ""); w.Code != 200 || w.Body.String() != want || w.Header().Get("Content-Type") != jsonType {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	r.config[storageKey] = json.RawMessage(`{"default_result_storage_block_id":"` + unknown + `"}`)
	if got := r.want(200, "GET", "/admin/storage", ""); at(t, got, "default_result_storage_block_id") != unknown {
		t.Errorf("storage %v", got)
	}
	r.want(204, "DELETE", "/admin/storage", "")
	if got := r.want(200, "GET", "/admin/storage", ""); at(t, got, "default_result_storage_block_id") != nil {
		t.Errorf("storage %v", got)
	}
	r.fail = errors.New("down")
	r.want(503, "GET", "/ready", "")
}

func TestEachRequestIsCounted(t *testing.T) {
	var seen []string
	r := newRig(t, func(c *Config) {
		c.AuthString = "a:b"
		c.Observe = func(method, route string, status int, took time.Duration) {
			seen = append(seen, fmt.Sprint(method, " ", route, " ", status))
		}
		c.Metrics = func(context.Context) ([]byte, error) { return []byte("up 1\n"), nil }
	})
	auth := []string{"Authorization", "Basic YTpi"}
	r.do("GET", "/health", "")
	r.do("GET", "/flows/"+unknown, "", auth...)
	r.do("GET", "/nothing", "", auth...)
	r.do("PUT", "/flows", "", auth...)
	r.do("GET", "/flows/"+unknown, "")
	if w := r.do("GET", "/metrics", "", auth...); w.Code != 200 || w.Body.String() != "up 1\n" || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Errorf("metrics: %d %s", w.Code, w.Body)
	}
	want := "GET /health 200, GET /flows/{id} 404, GET  404, PUT  405, GET  401, GET /metrics 200"
	if got := strings.Join(seen, ", "); got != want {
		t.Errorf("counted %s, want %s", got, want)
	}
	newRig(t).want(404, "GET", "/metrics", "")
	seen, r.flowRuns = nil, append(r.flowRuns, nil)
	if r.do("GET", "/flow_runs/"+unknown, "", auth...); !slices.Equal(seen, []string{"GET /flow_runs/{id} 500"}) {
		t.Errorf("a request that panics: counted %v", seen)
	}
}

// TestPathsThatAreNoText: they lead nowhere, and to no database.
func TestPathsThatAreNoText(t *testing.T) {
	r := newRig(t)
	for _, part := range []string{"%00", "a%00b", "%ff", "a%c3", "%ed%a0%80"} {
		for _, path := range []string{"/flows/name/", "/work_pools/", "/v2/concurrency_limits/", "/concurrency_limits/tag/"} {
			r.want(404, "GET", path+part, "")
		}
	}
}

func TestRouting(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{"/nope", "/flows/x/y", "", "/flow_runs/" + unknown + "/nope"} {
		if reply := r.want(404, "GET", path, ""); at(t, reply, "detail") != "Not Found" {
			t.Errorf("%s: %v", path, reply)
		}
	}
	for _, path := range []string{"/", "/apiary", "/health", "/api2/health"} {
		w := httptest.NewRecorder()
		r.http.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != 404 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	w := r.do("DELETE", "/flows/", "")
	if w.Code != 405 || w.Header().Get("Allow") != "POST" || w.Body.String() != `{"detail":"Method Not Allowed"}` {
		t.Errorf("405: %d %v %s", w.Code, w.Header(), w.Body)
	}
	if w := r.do("HEAD", "/health", ""); w.Code != 405 {
		t.Errorf("HEAD: %d", w.Code)
	}
}

func TestAPIVersion(t *testing.T) {
	r := newRig(t)
	for version, want := range map[string]int{"": 200, "0.8.4": 200, "0.8.0": 200, "1.0.0": 200, "0.7.9": 400, "x": 400, "0.8": 400, "0.8.x": 400} {
		if w := r.do("GET", "/hello", "", "X-PREFECT-API-VERSION", version); w.Code != want {
			t.Errorf("version %q: %d, want %d", version, w.Code, want)
		}
		r.want(200, "GET", "/health", "", "X-PREFECT-API-VERSION", version)
	}
}

func TestAuthentication(t *testing.T) {
	r := newRig(t, func(c *Config) { c.AuthString = "admin:pa:ss" })
	const right = "Basic YWRtaW46cGE6c3M="
	for header, want := range map[string]int{"": 401, right: 200, "Basic YWRtaW46cGE=": 401, "Bearer x": 401, "Basic ???": 401, "Basic": 401, "YWRtaW46cGE6c3M=": 401} {
		w := r.do("GET", "/hello", "", "Authorization", header)
		if w.Code != want {
			t.Errorf("%q: %d, want %d", header, w.Code, want)
		}
		if want == 401 && w.Body.String() != `{"exception_message":"Unauthorized"}` {
			t.Errorf("%q: %s", header, w.Body)
		}
	}
	r.want(200, "GET", "/health", "")
	r.want(200, "GET", "/ready", "")
	r.want(401, "POST", "/health", "")
	r.want(401, "GET", "/flows/name/health", "")
	r.want(401, "GET", "/interlock/policies", "")
	r.want(401, "GET", "/nope", "")
}

func TestCSRF(t *testing.T) {
	r := newRig(t, func(c *Config) { c.CSRF = true })
	reply := r.want(200, "GET", "/csrf-token?client=me", "")
	token := at(t, reply, "token").(string)
	if len(token) != 64 || at(t, reply, "client") != "me" || at(t, reply, "expiration") != testNow.Add(time.Hour).String() {
		t.Errorf("reply %v", reply)
	}
	r.tokens["expired"] = token
	for _, c := range []struct {
		token, client string
		want          int
	}{{token, "me", 201}, {"", "me", 403}, {token, "", 403}, {"x", "me", 403}, {token, "you", 403}, {token, "expired", 403}} {
		r.want(c.want, "POST", "/logs/", "[]", "Prefect-Csrf-Token", c.token, "Prefect-Csrf-Client", c.client)
	}
	r.want(403, "PUT", "/interlock/policies/p", "{}")
	r.want(403, "PATCH", "/flows/"+unknown, "{}")
	r.want(403, "DELETE", "/flows/"+unknown, "")
	r.want(404, "GET", "/flows/"+unknown, "")
	r.want(422, "GET", "/csrf-token", "")
	off := newRig(t)
	if reply := off.want(422, "GET", "/csrf-token?client=me", ""); at(t, reply, "detail") != "CSRF protection is disabled." {
		t.Errorf("reply %v", reply)
	}
}

func TestCORS(t *testing.T) {
	some := newRig(t, func(c *Config) {
		c.CORS = CORS{Origins: []string{"https://ui"}, Methods: []string{"GET"}, Headers: []string{"X-A"}}
	})
	all := newRig(t, func(c *Config) { c.CORS = CORS{Origins: []string{"*"}, Methods: []string{"*"}, Headers: []string{"*"}} })
	if w := newRig(t).do("GET", "/health", "", "Origin", "https://ui"); w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Error("an origin is allowed though none is configured")
	}
	if w := some.do("GET", "/health", "", "Origin", "https://ui"); w.Header().Get("Access-Control-Allow-Origin") != "https://ui" {
		t.Errorf("headers %v", w.Header())
	}
	if w := some.do("GET", "/health", "", "Origin", "https://evil"); w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("headers %v", w.Header())
	}
	if w := some.do("OPTIONS", "/flows/", "", "Origin", "https://ui", "Access-Control-Request-Method", "POST"); w.Code != 400 {
		t.Errorf("preflight of a method that is not allowed: %d", w.Code)
	}
	w := all.do("OPTIONS", "/flows/", "", "Origin", "https://x", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "x-b")
	if w.Code != 200 || w.Header().Get("Access-Control-Allow-Headers") != "x-b" || !strings.Contains(w.Header().Get("Access-Control-Allow-Methods"), "POST") {
		t.Errorf("preflight %d %v", w.Code, w.Header())
	}
}

func TestSameOrigin(t *testing.T) {
	none := newRig(t)
	some := newRig(t, func(c *Config) { c.CORS = CORS{Origins: []string{"https://ui", "not an origin"}} })
	all := newRig(t, func(c *Config) { c.CORS = CORS{Origins: []string{"*"}} })
	for _, c := range []struct {
		rig          *rig
		site, origin string
		want         int
	}{
		{none, "", "", 201}, {none, "same-origin", "http://example.com", 201}, {none, "none", "", 201},
		{none, "cross-site", "https://evil", 403}, {none, "", "https://evil", 403}, {none, "same-site", "https://x.example.com", 403},
		{some, "cross-site", "https://ui", 201}, {some, "cross-site", "https://evil", 403}, {all, "cross-site", "https://evil", 201},
	} {
		if w := c.rig.do("POST", "/logs/", "[]", "Sec-Fetch-Site", c.site, "Origin", c.origin); w.Code != c.want {
			t.Errorf("site %q, origin %q: %d, want %d", c.site, c.origin, w.Code, c.want)
		}
	}
	none.want(200, "GET", "/health", "", "Sec-Fetch-Site", "cross-site", "Origin", "https://evil")
}

func TestBodies(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxBody = 100 })
	r.want(413, "POST", "/flows/", `{"name":"`+strings.Repeat("x", 100)+`"}`)
	streamed := httptest.NewRequest("POST", "/api/flows/", io.MultiReader(strings.NewReader(`{"name":"`), strings.NewReader(strings.Repeat("x", 100)+`"}`)))
	w := httptest.NewRecorder()
	r.http.ServeHTTP(w, streamed)
	if w.Code != 413 {
		t.Errorf("streamed: %d", w.Code)
	}
	for contentType, want := range map[string]int{"application/json; charset=utf-8": 200, "application/vnd.x+json": 200, "": 200, "text/plain": 422, "multipart/form-data": 422, ";": 422} {
		r.flows = []*prefect.Flow{{Name: "n"}}
		if w := r.do("POST", "/flows/", `{"name":"n"}`, "Content-Type", contentType); w.Code != want {
			t.Errorf("type %q: %d, want %d", contentType, w.Code, want)
		}
	}
	reply := r.want(422, "POST", "/flows/", `{"name":1,"x":[2]}`)
	if at(t, reply, "exception_message") != "Invalid request received." || at(t, reply, "request_body", "x", 0) != 2.0 || at(t, reply, "exception_detail", 0, "loc", 0) != "body" {
		t.Errorf("reply %v", reply)
	}
	reply = r.want(422, "POST", "/flows/", `{"name`)
	if at(t, reply, "exception_detail", 0, "type") != "json_invalid" || at(t, reply, "request_body") != `{"name` {
		t.Errorf("reply %v", reply)
	}
	r.want(400, "POST", "/flows/", "{\"name\":\"\xff\"}")
	r.want(422, "POST", "/flow_runs/", `{"flow_id":"`+unknown+`","parameters":{"a":"`+"x"+`"},"zz":1}`)
	limited := newRig(t, func(c *Config) { c.MaxParams = 10 })
	limited.want(422, "POST", "/flow_runs/", `{"flow_id":"`+limited.withFlow().String()+`","parameters":{"a":"12345"}}`)
	limited.want(201, "POST", "/flow_runs/", `{"flow_id":"`+limited.withFlow().String()+`","parameters":{"a":"12"}}`)
}

func TestErrors(t *testing.T) {
	r := newRig(t)
	run := r.withFlowRun(prefect.Running)
	path := "/flow_runs/" + run.ID.String()
	for _, c := range []struct {
		err  error
		want int
		body string
	}{
		{prefect.Errorf(prefect.Conflict, "taken"), 409, `{"detail":"taken"}`},
		{prefect.Errorf(prefect.Gone, "expired"), 410, `{"detail":"expired"}`},
		{prefect.Errorf(prefect.Unavailable, "dial 10.0.0.1"), 503, `{"exception_message":"Service Unavailable"}`},
		{context.DeadlineExceeded, 503, `{"exception_message":"Service Unavailable"}`},
		{errors.New("SELECT secret"), 500, `{"exception_message":"Internal Server Error"}`},
		{prefect.Errorf(prefect.UnknownRevision, "x"), 500, `{"exception_message":"Internal Server Error"}`},
		{prefect.Errorf(prefect.NotFound, "x"), 404, `{"detail":"Flow run not found"}`},
	} {
		r.fail = c.err
		if w := r.do("GET", path, ""); w.Code != c.want || w.Body.String() != c.body {
			t.Errorf("%v: %d %s", c.err, w.Code, w.Body)
		}
	}
}

func TestPanicBecomes500(t *testing.T) {
	var logged bytes.Buffer
	r := newRig(t, func(c *Config) { c.Logger = slog.New(slog.NewJSONHandler(&logged, nil)); c.AuthString = "a:secret" })
	r.flowRuns = append(r.flowRuns, nil)
	w := r.do("GET", "/flow_runs/"+unknown+"?token=hidden", "", "Authorization", "Basic YTpzZWNyZXQ=")
	if w.Code != 500 || w.Body.String() != `{"exception_message":"Internal Server Error"}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if text := logged.String(); !strings.Contains(text, "panicked") || strings.Contains(text, "hidden") || strings.Contains(text, "YTpz") {
		t.Errorf("logged %s", text)
	}
}

func TestRequestLog(t *testing.T) {
	var logged bytes.Buffer
	r := newRig(t, func(c *Config) {
		c.Logger = slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	first, second := r.do("GET", "/health?x=hidden", "").Header().Get("X-Request-ID"), r.do("GET", "/nope", "").Header().Get("X-Request-ID")
	if first == "" || first == second {
		t.Errorf("request ids %q, %q", first, second)
	}
	if text := logged.String(); !strings.Contains(text, first) || !strings.Contains(text, `"status":404`) || strings.Contains(text, "hidden") {
		t.Errorf("logged %s", text)
	}
}

func TestWebsocketsAreMounted(t *testing.T) {
	socket := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, limited := r.Context().Deadline(); limited {
				t.Errorf("%s has a deadline", name)
			}
			_, _ = io.WriteString(w, name)
		})
	}
	r := newRig(t, func(c *Config) {
		c.AuthString = "a:b"
		c.EventsIn, c.EventsOut, c.LogsOut = socket("in"), socket("out"), socket("logs")
	})
	for path, want := range map[string]string{"/events/in": "in", "/events/out": "out", "/logs/out": "logs"} {
		if w := r.do("GET", path, ""); w.Body.String() != want {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	newRig(t).want(404, "GET", "/events/in", "")
}

func TestTimeout(t *testing.T) {
	r := newRig(t)
	r.http = New(Config{Store: &stuckStore{fake: r.fake}, Orchestrator: r.fake, Timeout: time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	r.want(503, "GET", "/flows/"+unknown, "")
}

// stuckStore answers when the request is given up.
type stuckStore struct{ *fake }

func (s *stuckStore) ReadFlow(ctx context.Context, _ uuid.UUID) (*prefect.Flow, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestSlowBody has a client that stops in the middle of its body: it gets an
// answer, and the connection is given up.
func TestSlowBody(t *testing.T) {
	f := newRig(t).fake
	server := httptest.NewServer(New(Config{Store: f, Orchestrator: f, Timeout: 20 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}))
	defer server.Close()
	body, writer := io.Pipe()
	defer writer.Close()
	request, err := http.NewRequest("POST", server.URL+"/api/flows/", body)
	if err != nil {
		t.Fatal(err)
	}
	request.ContentLength = 100
	go func() { _, _ = io.WriteString(writer, `{"name":`) }()
	reply, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	if reply.StatusCode != 503 {
		t.Errorf("status %d, want 503", reply.StatusCode)
	}
}

// TestConnectionIsKept has many requests over one connection, bodies refused and
// bodies taken.
func TestConnectionIsKept(t *testing.T) {
	f := newRig(t).fake
	connections := atomic.Int32{}
	server := httptest.NewUnstartedServer(New(Config{Store: f, Orchestrator: f, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	for i, body := range []string{`{"name":"a"}`, `{`, `{"name":"a"}`, ``, `{"name":1}`, `{"name":"a"}`} {
		reply, err := server.Client().Post(server.URL+"/api/flows/", jsonType, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, reply.Body); err != nil {
			t.Fatal(err)
		}
		reply.Body.Close()
		if reply.ContentLength < 0 {
			t.Errorf("request %d: no Content-Length", i)
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}
