package api

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/api/bind"
	"github.com/interlock-run/interlock/host/prefect"
)

// The versions that this server answers as.
const (
	PrefectVersion    = "3.8.8" // of the reference
	APIVersion        = "0.8.4"
	MinimumAPIVersion = "0.8.0" // clients below are refused
)

// Config is what the API needs. Store and Orchestrator are required; the zero
// value of everything else is its default.
type Config struct {
	Store        Store
	Orchestrator Orchestrator
	Registry     Registry // nil: /api/interlock answers 404
	Events       Events   // nil: /api/events answers 404

	Logger *slog.Logger        // default: slog.Default()
	Now    func() prefect.Time // default: the machine's clock
	NewID  func() uuid.UUID    // default: random time-ordered UUIDs
	// Compile makes the check of values against a JSON Schema: BadRequest for a schema
	// that cannot be used, Invalid for a value that does not fit. Nil: none is checked.
	Compile func(schema []byte) (check func(value []byte) error, err error)
	// PublishLogs is told of logs after they were stored, for /api/logs/out.
	PublishLogs func([]*prefect.Log)

	// AuthString is "user:password"; every request but the health checks must
	// carry it. Empty: all are welcome.
	AuthString string
	// CSRF asks for a token on every POST, PUT, PATCH and DELETE.
	CSRF           bool
	CSRFExpiration time.Duration // default: 1 hour
	CORS           CORS

	DefaultLimit int           // rows of a read that names no limit, and the most it may name; default 200
	MaxBody      int64         // bytes of a body, default 16 MiB
	MaxModule    int64         // bytes of an uploaded module, default 16 MiB
	MaxParams    int           // bytes of a run's parameters; 0 is no limit
	Timeout      time.Duration // of a request, body included; default 1 minute

	// Observe is told of each request after its reply. route is its pattern, "" for
	// a path that has none. Nil: nobody counts.
	Observe func(method, route string, status int, took time.Duration)
	// Metrics appends what GET /api/metrics answers; nil: 404.
	Metrics func(ctx context.Context) ([]byte, error)

	// Settings is what GET /api/admin/settings answers; secrets must be masked.
	Settings any
	// Version is this binary's own.
	Version string

	// The websockets: /api/events/in, /api/events/out, /api/logs/out and
	// /api/task_runs/subscriptions/scheduled. They authenticate by message. Nil:
	// 404.
	EventsIn, EventsOut, LogsOut, TaskRuns http.Handler
	// TaskWorkers returns the workers that serve one of the task keys, all without
	// any; nil: there are none.
	TaskWorkers func(keys []string) []prefect.TaskWorker
}

// CORS says which web pages of other origins may use the API. Without Origins
// none can.
type CORS struct {
	Origins []string // "*" is all
	Methods []string // "*" is all
	Headers []string // "*" is all
}

func (c *Config) setDefaults() {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = func() prefect.Time { return prefect.NewTime(time.Now()) }
	}
	if c.NewID == nil {
		c.NewID = prefect.NewID
	}
	if c.CSRFExpiration == 0 {
		c.CSRFExpiration = time.Hour
	}
	if c.DefaultLimit == 0 {
		c.DefaultLimit = 200
	}
	if c.MaxBody == 0 {
		c.MaxBody = 16 << 20
	}
	if c.MaxModule == 0 {
		c.MaxModule = 16 << 20
	}
	if c.Timeout == 0 {
		c.Timeout = time.Minute
	}
}

// server serves the operations; its methods are the handlers.
type server struct {
	Config
	binder  *bind.Binder
	buffers sync.Pool // of *[]byte
	router  *chi.Mux
	ids     *requestIDs
	labels  flowLabels
	uploads chan struct{} // one token for each module that is being received or looked at
}

// uploadsAtOnce is how many modules are received at the same time. Each may take
// MaxModule bytes and more to look at; the rest wait.
const uploadsAtOnce = 2

// New returns the handler of the whole API. It serves paths under /api.
func New(c Config) http.Handler {
	c.setDefaults()
	s := &server{Config: c, binder: bind.New(), ids: newRequestIDs(), uploads: make(chan struct{}, uploadsAtOnce)}
	s.buffers.New = func() any { b := make([]byte, 0, 8<<10); return &b }
	s.router = s.newRouter()
	return s.middleware()
}
