package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/interlock-run/interlock/host/api"
	"github.com/interlock-run/interlock/host/event"
	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/policy"
	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/host/sandbox"
	"github.com/interlock-run/interlock/host/service"
	"github.com/interlock-run/interlock/policies/builtin"
	"github.com/interlock-run/interlock/store"
)

// PrefectVersion is the release of Prefect whose API is served.
const PrefectVersion = api.PrefectVersion

// stopPatience is how long requests that are under way may take to finish when
// the server stops.
const stopPatience = 30 * time.Second

// Server is a server that listens; Run serves until its context ends.
type Server struct {
	config   Config
	logger   *slog.Logger
	listener net.Listener
	http     *http.Server
	hub      *event.Hub
	watch    func(ctx context.Context)
	services []runner
	closers  []func(ctx context.Context) error // in reverse order
}

// runner is a periodic service.
type runner interface {
	Start(ctx context.Context)
	Stop()
}

// Serve runs a server until ctx ends, and then lets it finish. Its error is one
// line fit for an operator.
func Serve(ctx context.Context, c Config, logger *slog.Logger) error {
	s, err := New(ctx, c, logger)
	if err != nil {
		return err
	}
	logger.Info("interlock serves the Prefect API", "url", "http://"+s.Addr()+"/api", "version", c.Version)
	return s.Run(ctx)
}

// New makes a server from c: it listens, opens the database and loads the
// policies. On an error nothing stays open.
func New(ctx context.Context, c Config, logger *slog.Logger) (_ *Server, err error) {
	s := &Server{config: c, logger: logger}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close(context.WithoutCancel(ctx)))
		}
	}()
	listener, err := net.Listen("tcp", c.Address())
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", c.Address(), err)
	}
	s.listener = &impatient{listener, writeTime}
	s.onClose(func(context.Context) error { s.listener.Close(); return nil })
	if err = os.MkdirAll(c.Home, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the home directory: %w", err)
	}
	db, err := store.Open(ctx, c.URL(), store.Options{Logger: logger, Now: now, Unsynced: !c.SQLiteSync})
	if err != nil {
		return nil, err
	}
	s.onClose(func(context.Context) error { return db.Close() })
	return s, s.wire(ctx, db)
}

// wire puts the rooms together.
func (s *Server) wire(ctx context.Context, db *store.DB) error {
	s.hub = event.New(event.Config{Store: db, Logger: s.logger, Now: now, Auth: s.config.AuthString, NoRelay: !s.config.Services,
		Origins: listed(s.config.CORSOrigins), TaskRun: api.AppendTaskRun})
	conductor := &orchestrate.Orchestrator{Store: db, Policies: orchestrate.NoPolicies{}, Now: now, NewID: prefect.NewID, Notify: s.hub.Notify}
	var registry api.Registry
	counts := newMeters(db, s.config.Version)
	if s.config.Metrics {
		counts.watch(conductor)
	}
	if s.config.Policies {
		policies, err := s.openPolicies(ctx, db, counts)
		if err != nil {
			return err
		}
		conductor.Policies, registry = policies, policies
	}
	if s.config.Services {
		s.services = []runner{
			service.NewCancellingTimeout(db, conductor, now, s.logger),
			service.NewPauseExpirations(db, conductor, 0, now, s.logger),
			service.NewLeaseReaper(db, s.logger),
		}
	}
	s.http = &http.Server{
		Handler:           s.handler(db, conductor, registry, counts),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(s.logger.Handler(), slog.LevelDebug),
	}
	return nil
}

func (s *Server) openPolicies(ctx context.Context, db *store.DB, counts *meters) (*policy.Registry, error) {
	runtime, err := sandbox.New(ctx, sandbox.Config{CacheDir: s.config.CacheDir(), Limits: s.config.Sandbox, Logger: s.logger})
	if err != nil {
		return nil, fmt.Errorf("cannot make the sandbox: %w", err)
	}
	s.onClose(runtime.Close)
	wasm, err := builtin.Module()
	if err != nil {
		return nil, err
	}
	registry, err := policy.Open(ctx, policy.Config{
		Store: db, Modules: policy.Sandbox(runtime), Limits: s.config.Sandbox, Builtin: wasm,
		Defaults: DefaultPolicies(), Settings: RuleSettings(&s.config),
		QuarantineAfter: s.config.QuarantineAfter, Now: now, Logger: s.logger, Publish: s.hub.Publish,
	})
	if err != nil {
		return nil, err
	}
	counts.registry, counts.runtime = registry, runtime
	s.watch = registry.Watch
	s.onClose(func(context.Context) error { registry.Close(); return nil })
	return registry, nil
}

// DefaultPolicies are the built-in module's policies as versions to install.
func DefaultPolicies() []prefect.PolicyVersion {
	var all []prefect.PolicyVersion
	for _, p := range builtin.Policies() {
		v := prefect.PolicyVersion{Name: p.Name, Entries: []prefect.PolicyEntry{}}
		for _, e := range p.Entries {
			entry := prefect.PolicyEntry{Name: e.Name, Module: prefect.BuiltinModule, Rule: e.Name, OnError: prefect.Fallback}
			if e.Host {
				entry.Module, entry.OnError = prefect.HostModule, prefect.Open
			}
			v.Entries = append(v.Entries, entry)
		}
		all = append(all, v)
	}
	return all
}

// maxCacheKeyLength is the reference's default, in characters.
const maxCacheKeyLength = 2000

// RuleSettings are the configs that the built-in rules take from the server's
// settings.
func RuleSettings(c *Config) map[string]json.RawMessage {
	values := map[string]float64{
		builtin.SettingMaxCacheKeyLength:              maxCacheKeyLength,
		builtin.SettingTagConcurrencySlotWaitSeconds:  c.TagSlotWait.Seconds(),
		builtin.SettingConcurrencySlotWaitSeconds:     c.DeploymentSlotWait.Seconds(),
		builtin.SettingInitialDeploymentLeaseDuration: c.DeploymentLease.Seconds(),
	}
	configs := map[string]json.RawMessage{}
	for _, p := range builtin.Policies() {
		for _, e := range p.Entries {
			var members []string
			for _, name := range e.Settings {
				members = append(members, fmt.Sprintf("%q:%v", name, values[name]))
			}
			if len(members) > 0 {
				configs[e.Name] = json.RawMessage("{" + strings.Join(members, ",") + "}")
			}
		}
	}
	return configs
}

func (s *Server) handler(db *store.DB, conductor *orchestrate.Orchestrator, registry api.Registry, counts *meters) http.Handler {
	c := api.Config{
		Store: db, Orchestrator: conductor, Registry: registry, Events: events{s.hub},
		Logger: s.logger, Now: now, NewID: prefect.NewID, PublishLogs: s.hub.PublishLogs, Compile: policy.CompileJSON,
		AuthString: s.config.AuthString, CSRF: s.config.CSRFProtection, CSRFExpiration: s.config.CSRFExpiration, CORS: s.config.cors(),
		DefaultLimit: s.config.DefaultLimit, MaxParams: s.config.MaxParameters, Version: s.config.Version,
		Settings:  s.config.shown(),
		EventsIn:  http.HandlerFunc(s.hub.EventsIn),
		EventsOut: http.HandlerFunc(s.hub.EventsOut),
		LogsOut:   http.HandlerFunc(s.hub.LogsOut),
		TaskRuns:  http.HandlerFunc(s.hub.TaskRuns), TaskWorkers: s.hub.TaskWorkers,
		MaxModule: int64(s.config.Sandbox.WithDefaults().ModuleBytes),
	}
	if s.config.Metrics {
		c.Observe, c.Metrics = counts.request, counts.text
	}
	return api.New(c)
}

func (c *Config) cors() api.CORS {
	return api.CORS{Origins: listed(c.CORSOrigins), Methods: listed(c.CORSMethods), Headers: listed(c.CORSHeaders)}
}

// Addr is the address that the server listens on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Run serves until ctx ends. Then it takes no new requests, lets those under way
// finish, stores what is queued and closes everything.
func (s *Server) Run(ctx context.Context) error {
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s.start(background)
	failed := make(chan error, 1)
	go func() { failed <- s.http.Serve(s.listener) }()
	var err error
	select {
	case <-ctx.Done():
		s.logger.Info("interlock stops")
	case err = <-failed:
	}
	patience, done := context.WithTimeout(background, stopPatience)
	defer done()
	return errors.Join(err, s.stop(patience, cancel))
}

// start begins what runs beside the requests.
func (s *Server) start(ctx context.Context) {
	s.hub.Start(ctx)
	for _, r := range s.services {
		r.Start(ctx)
	}
	if s.watch == nil {
		return
	}
	ended := make(chan struct{})
	go func() { defer close(ended); s.watch(ctx) }()
	s.onClose(func(context.Context) error { <-ended; return nil })
}

// stop ends what start began, the requests first.
func (s *Server) stop(ctx context.Context, cancel context.CancelFunc) error {
	err := s.http.Shutdown(ctx)
	for _, r := range s.services {
		r.Stop()
	}
	s.hub.Stop(ctx)
	cancel()
	return errors.Join(err, s.close(context.WithoutCancel(ctx)))
}

func (s *Server) onClose(fn func(context.Context) error) { s.closers = append(s.closers, fn) }

// close closes what was opened, the last first.
func (s *Server) close(ctx context.Context) error {
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i](ctx))
	}
	s.closers = nil
	return errors.Join(errs...)
}

func now() prefect.Time { return prefect.NewTime(time.Now()) }
