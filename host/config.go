package host

import (
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/interlock-run/interlock/host/sandbox"
)

// Config is everything that a server can be told. [DefaultConfig] fills it, the
// environment overrides the defaults ([Config.FromEnvironment]) and the command
// line overrides both.
type Config struct {
	Host        string // address to listen on; 127.0.0.1 unless told otherwise
	Port        int    // 0 picks a free one
	DatabaseURL string // SQLAlchemy form, see store.Open; "" is SQLite in Home
	Home        string // directory of the default database and the compilation cache

	AuthString     string        // "user:password" that every request must carry; "" asks for none
	CSRFProtection bool          // state-changing requests need a token
	CSRFExpiration time.Duration // life of a token
	CORSOrigins    string        // origins whose web pages may use the API, with commas between them; "*" is all, "" none but its own
	CORSMethods    string        // the methods that they may use; likewise
	CORSHeaders    string        // the headers that they may send; likewise
	DefaultLimit   int           // rows of a filtered read that names no limit, and the most it may name
	MaxParameters  int           // bytes of a flow run's parameters as JSON; 0 is no limit

	// About slots. A deployment's slot is held for DeploymentLease, or the
	// deployment's own grace period, from when it is taken; after that the run's
	// process has to keep it. A run that finds no slot comes back after
	// DeploymentSlotWait, a task that finds none for its tags after about
	// TagSlotWait or as long as slots are usually held, whatever is less.
	DeploymentLease    time.Duration
	DeploymentSlotWait time.Duration
	TagSlotWait        time.Duration

	LogLevel slog.Level
	Services bool // run the periodic services in this process
	Metrics  bool // count what is served, for GET /api/metrics
	// SQLiteSync has a transition answered when it is on disk; without it a power cut
	// may undo the last ones, as with the reference.
	SQLiteSync bool
	Policies   bool // false decides every proposal by the bookkeeping alone: for measuring what policies cost

	Sandbox sandbox.Limits // zero fields take the sandbox's defaults

	QuarantineAfter int // errors in a row after which a policy module is not asked any more

	Version string // of this binary, as /api/interlock tells it
}

// DefaultConfig returns the settings of a server that was told nothing.
func DefaultConfig() Config {
	home, err := os.UserHomeDir()
	if err != nil {
		home = "."
	}
	return Config{
		Host:               "127.0.0.1",
		Port:               4200,
		Home:               filepath.Join(home, ".interlock"),
		CSRFExpiration:     time.Hour,
		CORSMethods:        "*",
		CORSHeaders:        "*",
		DefaultLimit:       200,
		MaxParameters:      512 << 10,
		DeploymentLease:    300 * time.Second,
		DeploymentSlotWait: 30 * time.Second,
		TagSlotWait:        10 * time.Second,
		LogLevel:           slog.LevelInfo,
		Services:           true,
		Metrics:            true,
		SQLiteSync:         true,
		Policies:           true,
		QuarantineAfter:    5,
	}
}

// Address returns host:port.
func (c *Config) Address() string { return net.JoinHostPort(c.Host, strconv.Itoa(c.Port)) }

// URL returns the database URL, with the default resolved.
func (c *Config) URL() string {
	if c.DatabaseURL != "" {
		return c.DatabaseURL
	}
	return "sqlite+aiosqlite:///" + filepath.Join(c.Home, "interlock.db")
}

// CacheDir is where compiled modules are kept.
func (c *Config) CacheDir() string { return filepath.Join(c.Home, "cache") }

// setting is one thing that the environment can say. The first of its names that
// is set and not empty wins; Prefect's names come first, so that an existing
// deployment can swap the binary.
type setting struct {
	names []string
	about string
	set   func(c *Config, value string) error
}

// maxSlotWait is the longest wait for a slot that can be asked for, in seconds: a
// day.
const maxSlotWait = 24 * 3600

func settings() []setting {
	return append([]setting{
		{[]string{"PREFECT_SERVER_API_HOST"}, "address to listen on", text(func(c *Config) *string { return &c.Host })},
		{[]string{"PREFECT_SERVER_API_PORT"}, "port to listen on", number(func(c *Config) *int { return &c.Port }, 0, 65535)},
		{[]string{"PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL"}, "database, in SQLAlchemy form", text(func(c *Config) *string { return &c.DatabaseURL })},
		{[]string{"PREFECT_SERVER_API_AUTH_STRING"}, "user:password that requests must carry", text(func(c *Config) *string { return &c.AuthString })},
		{[]string{"PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED", "PREFECT_SERVER_CSRF_PROTECTION_ENABLED"}, "ask state-changing requests for a token", boolean(func(c *Config) *bool { return &c.CSRFProtection })},
		{[]string{"PREFECT_SERVER_API_CSRF_TOKEN_EXPIRATION", "PREFECT_SERVER_CSRF_TOKEN_EXPIRATION"}, "life of such a token, in seconds or as 1h30m", duration(func(c *Config) *time.Duration { return &c.CSRFExpiration })},
		{[]string{"PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS", "PREFECT_SERVER_CORS_ALLOWED_ORIGINS"}, "origins whose web pages may use the API, such as http://ui:8080, with commas between them; * for all", origins},
		{[]string{"PREFECT_SERVER_API_CORS_ALLOWED_METHODS", "PREFECT_SERVER_CORS_ALLOWED_METHODS"}, "methods that such pages may use; * for all", text(func(c *Config) *string { return &c.CORSMethods })},
		{[]string{"PREFECT_SERVER_API_CORS_ALLOWED_HEADERS", "PREFECT_SERVER_CORS_ALLOWED_HEADERS"}, "headers that such pages may send; * for all", text(func(c *Config) *string { return &c.CORSHeaders })},
		{[]string{"PREFECT_SERVER_API_DEFAULT_LIMIT", "PREFECT_API_DEFAULT_LIMIT"}, "most rows of a filtered read", number(func(c *Config) *int { return &c.DefaultLimit }, 1, 1_000_000)},
		{[]string{"PREFECT_SERVER_API_MAX_PARAMETER_SIZE"}, "most bytes of a run's parameters, 0 for no limit", number(func(c *Config) *int { return &c.MaxParameters }, 0, 1<<30)},
		{[]string{"PREFECT_SERVER_CONCURRENCY_INITIAL_DEPLOYMENT_LEASE_DURATION"}, "seconds for which a deployment's slot is held at first, 30 to 3600", seconds(func(c *Config) *time.Duration { return &c.DeploymentLease }, 30, 3600)},
		{[]string{"PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS", "PREFECT_DEPLOYMENT_CONCURRENCY_SLOT_WAIT_SECONDS"}, "seconds after which a flow run without a slot of its deployment tries again", seconds(func(c *Config) *time.Duration { return &c.DeploymentSlotWait }, 0, maxSlotWait)},
		{[]string{"PREFECT_SERVER_TASKS_TAG_CONCURRENCY_SLOT_WAIT_SECONDS", "PREFECT_TASK_RUN_TAG_CONCURRENCY_SLOT_WAIT_SECONDS"}, "most seconds after which a task run without a slot for its tags tries again", seconds(func(c *Config) *time.Duration { return &c.TagSlotWait }, 0, maxSlotWait)},
		{[]string{"PREFECT_SERVER_LOGGING_LEVEL", "PREFECT_LOGGING_SERVER_LEVEL"}, "DEBUG, INFO, WARNING or ERROR", level},
		{[]string{"PREFECT_SERVER_METRICS_ENABLED", "PREFECT_API_ENABLE_METRICS"}, "serve /api/metrics", boolean(func(c *Config) *bool { return &c.Metrics })},
		{[]string{"INTERLOCK_HOME"}, "directory of the default database and the compilation cache", text(func(c *Config) *string { return &c.Home })},
		{[]string{"INTERLOCK_SERVICES"}, "run the periodic services in this process", boolean(func(c *Config) *bool { return &c.Services })},
		{[]string{"INTERLOCK_SQLITE_SYNC"}, "on SQLite, answer a transition when it is on disk", boolean(func(c *Config) *bool { return &c.SQLiteSync })},
		{[]string{"INTERLOCK_POLICIES"}, "off decides by the bookkeeping alone", boolean(func(c *Config) *bool { return &c.Policies })},
		{[]string{"INTERLOCK_QUARANTINE_AFTER"}, "errors in a row after which a policy module is not asked any more", number(func(c *Config) *int { return &c.QuarantineAfter }, 1, 1<<30)},
	}, sandboxSettings()...)
}

// shown is what the API tells of the settings, in the nesting of Prefect's. It
// leaves out what is secret or holds a secret: the auth string and the database.
func (c *Config) shown() any {
	return map[string]any{"server": map[string]any{
		"logging_level": c.LogLevel.String(),
		"api": map[string]any{
			"host": c.Host, "port": c.Port, "default_limit": c.DefaultLimit, "max_parameter_size": c.MaxParameters,
			"csrf_protection_enabled": c.CSRFProtection, "csrf_token_expiration": c.CSRFExpiration.Seconds(),
			"cors_allowed_origins": c.CORSOrigins, "cors_allowed_methods": c.CORSMethods, "cors_allowed_headers": c.CORSHeaders,
		},
	}}
}

// Settings lists the names that the environment can set, with what they mean:
// the text of `interlock help settings`.
func Settings() [][2]string {
	var rows [][2]string
	for _, s := range settings() {
		about := s.about
		if older := s.names[1:]; len(older) > 0 {
			about += "; also as " + strings.Join(older, ", ")
		}
		rows = append(rows, [2]string{s.names[0], about})
	}
	return rows
}

// FromEnvironment applies what lookup (os.LookupEnv) knows. The error names the
// variable and what it should hold, never its value: it may be a secret.
func (c *Config) FromEnvironment(lookup func(string) (string, bool)) error {
	for _, s := range settings() {
		for _, name := range s.names {
			value, ok := lookup(name)
			if !ok || value == "" {
				continue
			}
			if err := s.set(c, value); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			break
		}
	}
	return nil
}

func text(field func(*Config) *string) func(*Config, string) error {
	return func(c *Config, v string) error { *field(c) = v; return nil }
}

// origins reads origins and keeps them as browsers send them: in small letters, and
// without the port that goes with the scheme.
func origins(c *Config, v string) error {
	all := listed(strings.ToLower(v))
	for i, origin := range all {
		u, err := url.Parse(origin)
		if origin != "*" && (err != nil || u.Host == "" || u.Scheme+"://"+u.Host != origin) {
			return fmt.Errorf("wants origins such as http://ui:8080, without a path and with commas between them, or *")
		}
		switch {
		case strings.HasPrefix(origin, "http://"):
			all[i] = strings.TrimSuffix(origin, ":80")
		case strings.HasPrefix(origin, "https://"):
			all[i] = strings.TrimSuffix(origin, ":443")
		}
	}
	c.CORSOrigins = strings.Join(all, ",")
	return nil
}

// listed takes a list with commas apart.
func listed(v string) []string {
	var all []string
	for part := range strings.SplitSeq(v, ",") {
		if part = strings.TrimSpace(part); part != "" {
			all = append(all, part)
		}
	}
	return all
}

func number(field func(*Config) *int, low, high int) func(*Config, string) error {
	return func(c *Config, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < low || n > high {
			return fmt.Errorf("wants a whole number from %d to %d", low, high)
		}
		*field(c) = n
		return nil
	}
}

func boolean(field func(*Config) *bool) func(*Config, string) error {
	return func(c *Config, v string) error {
		switch strings.ToLower(v) {
		case "1", "true", "t", "yes", "y", "on":
			*field(c) = true
		case "0", "false", "f", "no", "n", "off":
			*field(c) = false
		default:
			return fmt.Errorf("wants true or false")
		}
		return nil
	}
}

func duration(field func(*Config) *time.Duration) func(*Config, string) error {
	return func(c *Config, v string) error {
		d, err := time.ParseDuration(v)
		if seconds, numErr := strconv.ParseFloat(v, 64); numErr == nil {
			d, err = time.Duration(seconds*float64(time.Second)), nil
		}
		if err != nil || d <= 0 {
			return fmt.Errorf("wants a number of seconds or a duration such as 1h30m")
		}
		*field(c) = d
		return nil
	}
}

// seconds reads a number of seconds, fractions included.
func seconds(field func(*Config) *time.Duration, low, high float64) func(*Config, string) error {
	return func(c *Config, v string) error {
		n, err := strconv.ParseFloat(v, 64)
		if err != nil || !(n >= low && n <= high) {
			return fmt.Errorf("wants a number of seconds from %v to %v", low, high)
		}
		*field(c) = time.Duration(n * float64(time.Second))
		return nil
	}
}

func level(c *Config, v string) error {
	l, err := ParseLevel(v)
	if err != nil {
		return err
	}
	c.LogLevel = l
	return nil
}

// ParseLevel reads a log level by the names that Prefect's settings use.
func ParseLevel(v string) (slog.Level, error) {
	switch strings.ToUpper(v) {
	case "DEBUG":
		return slog.LevelDebug, nil
	case "INFO":
		return slog.LevelInfo, nil
	case "WARN", "WARNING":
		return slog.LevelWarn, nil
	case "ERROR", "CRITICAL":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("wants DEBUG, INFO, WARNING or ERROR")
}
