package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"

	"github.com/interlock-run/interlock/host/prefect"
)

// middleware returns the handler of everything: the websockets, and the router
// behind what every request passes.
func (s *server) middleware() http.Handler {
	rest := s.inTime(s.logged(s.cors(s.sameOrigin(s.csrf(s.authenticated(s.limited(s.routable())))))))
	sockets := map[string]http.Handler{
		"/api/events/in": s.EventsIn, "/api/events/out": s.EventsOut, "/api/logs/out": s.LogsOut,
		"/api/task_runs/subscriptions/scheduled": s.TaskRuns,
	}
	return s.recovered(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if socket := sockets[strings.TrimSuffix(r.URL.Path, "/")]; socket != nil {
			socket.ServeHTTP(w, r)
			return
		}
		rest.ServeHTTP(w, r)
	}))
}

// routable sends a request to the router by its decoded path without /api and
// without a slash at the end; the reference redirects instead.
func (s *server) routable() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, ok := strings.CutPrefix(r.URL.Path, "/api")
		if !ok || (path != "" && path[0] != '/') {
			s.writeError(w, r, errNoRoute())
			return
		}
		if !utf8.ValidString(path) || strings.Contains(path, "\x00") { // no name is such a text, and not every database takes it
			s.writeError(w, r, errNoRoute())
			return
		}
		if path = strings.TrimSuffix(path, "/"); path == "" {
			path = "/"
		}
		route := chi.NewRouteContext()
		route.Routes, route.RoutePath = s.router, path
		s.router.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), chi.RouteCtxKey, route)))
	})
}

// recovered turns a panic into a 500 reply; the process lives on.
func (s *server) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			reason := recover()
			if reason == nil {
				return
			}
			if reason == http.ErrAbortHandler {
				panic(reason)
			}
			s.Logger.ErrorContext(r.Context(), "request panicked", append(s.about(r, fmt.Errorf("%v", reason)), slog.String("stack", string(debug.Stack())))...)
			s.exception(w, prefect.Internal, "Internal Server Error")
		}()
		next.ServeHTTP(w, r)
	})
}

// about is what the log says of a request: never its query, headers or body, as
// they may hold secrets.
func (s *server) about(r *http.Request, err error) []any {
	return []any{"request", requestID(r.Context()), "method", r.Method, "path", r.URL.Path, "error", err}
}

type requestKey struct{}

// request is what is known of a request beside the request itself.
type request struct {
	id    string
	route string // its pattern, once the router has found one
}

func requestID(ctx context.Context) string {
	if known, ok := ctx.Value(requestKey{}).(*request); ok {
		return known.id
	}
	return ""
}

// requestIDs numbers requests; the prefix tells processes apart.
type requestIDs struct {
	prefix string
	last   atomic.Uint64
}

func newRequestIDs() *requestIDs {
	return &requestIDs{prefix: prefect.NewID().String()[24:] + "-"}
}

func (n *requestIDs) next() string {
	return n.prefix + strconv.FormatUint(n.last.Add(1), 36)
}

// statusWriter remembers the status for the log.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// logged gives each request an id, in X-Request-ID of the reply, tells Observe of
// it, and logs it at debug level.
func (s *server) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		known := &request{id: s.ids.next()}
		w.Header()["X-Request-Id"] = []string{known.id}
		r = r.WithContext(context.WithValue(r.Context(), requestKey{}, known))
		debug := s.Logger.Enabled(r.Context(), slog.LevelDebug)
		if !debug && s.Observe == nil {
			next.ServeHTTP(w, r)
			return
		}
		start, sw := time.Now(), &statusWriter{ResponseWriter: w, status: http.StatusOK}
		ended := false
		defer func() {
			if !ended && sw.status == http.StatusOK {
				sw.status = http.StatusInternalServerError // it panics: see recovered
			}
			took := time.Since(start)
			if s.Observe != nil {
				s.Observe(r.Method, known.route, sw.status, took)
			}
			if debug {
				s.Logger.DebugContext(r.Context(), "request", "request", known.id, "method", r.Method, "path", r.URL.Path,
					"status", sw.status, "took", took)
			}
		}()
		next.ServeHTTP(sw, r)
		ended = true
	})
}

// inTime gives a client Timeout to send its body, also one that nobody reads:
// the server takes it off the connection after the reply. See read for the end
// of the deadline.
func (s *server) inTime(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.Timeout)) // tests' recorders have none
		}
		next.ServeHTTP(w, r)
	})
}

// limited puts the deadline on a request.
func (s *server) limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), s.Timeout)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// checkVersion refuses clients of an API version that cannot be read or is too
// old; without the header a client counts as new.
func checkVersion(next handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if values := r.Header["X-Prefect-Api-Version"]; len(values) > 0 && values[0] != "" && values[0] != APIVersion {
			version, ok := parseVersion(values[0])
			if !ok {
				return prefect.Errorf(prefect.BadRequest, "The header X-PREFECT-API-VERSION is three numbers like 0.8.4, not %q.", values[0])
			}
			if minimum, _ := parseVersion(MinimumAPIVersion); older(version, minimum) {
				return prefect.Errorf(prefect.BadRequest, "The request is of API version %s; this server takes %s and newer ones.", values[0], MinimumAPIVersion)
			}
		}
		return next(w, r)
	}
}

func parseVersion(s string) (v [3]int, ok bool) {
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return v, false
	}
	for i, part := range parts {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil {
			return v, false
		}
		v[i] = n
	}
	return v, true
}

func older(a, b [3]int) bool {
	for i := range a {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}
