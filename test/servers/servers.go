// Package servers runs the two servers that the tests compare: the reference
// (the Python server in .build/venv) and interlock (bin/interlock).
package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/interlock-run/interlock/store/storetest/pgtest"
)

// Kind says which server to run.
type Kind string

// The kinds.
const (
	Reference Kind = "reference"
	Interlock Kind = "interlock"
)

// BinaryEnv names the interlock binary; bin/interlock of this module if unset.
const BinaryEnv = "INTERLOCK_BIN"

// Options of a server.
type Options struct {
	Kind        Kind
	DatabaseURL string   // SQLAlchemy form; "" is SQLite in Home
	Home        string   // directory of the server's files; "" makes one, which Stop removes
	Port        int      // 0 picks a free one
	Env         []string // further settings, NAME=value
	Quiet       bool     // without the periodic services that change runs on their own
}

// Server is a running server.
type Server struct {
	Kind        Kind
	URL         string        // http://127.0.0.1:N, without /api
	DatabaseURL string        // SQLAlchemy form
	Home        string        // directory of its files
	PID         int           // process that serves
	Startup     time.Duration // from exec to the first good /api/health

	cmd      *exec.Cmd
	exited   chan error
	log      *os.File
	tempHome bool
}

// How long a server may take to start and to end. That is generous: the reference
// takes 10 s to start on a quiet machine, and only a test that fails waits so long.
const (
	startDeadline = 10 * time.Minute
	endDeadline   = 5 * time.Minute
)

// Start runs a server and returns when it answers. The error holds the end of
// its log.
func Start(ctx context.Context, o Options) (*Server, error) {
	s := &Server{Kind: o.Kind, Home: o.Home, DatabaseURL: o.DatabaseURL}
	if s.Home == "" {
		home, err := os.MkdirTemp("", "interlock-"+string(o.Kind)+"-")
		if err != nil {
			return nil, err
		}
		s.Home, s.tempHome = home, true
	}
	if s.DatabaseURL == "" {
		s.DatabaseURL = "sqlite+aiosqlite:///" + filepath.Join(s.Home, "test.db")
	}
	if err := s.launch(ctx, o); err != nil {
		s.clean()
		return nil, err
	}
	return s, nil
}

func (s *Server) launch(ctx context.Context, o Options) error {
	port := o.Port
	if port == 0 {
		var err error
		if port, err = pgtest.FreePort(); err != nil {
			return err
		}
	}
	s.URL = "http://127.0.0.1:" + strconv.Itoa(port)
	cmd, err := command(o.Kind, port)
	if err != nil {
		return err
	}
	cmd.Env = append(environment(s, o.Quiet), o.Env...)
	cmd.Dir = s.Home
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if s.log, err = os.Create(filepath.Join(s.Home, "server.log")); err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = s.log, s.log
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", o.Kind, err)
	}
	s.cmd, s.PID, s.exited = cmd, cmd.Process.Pid, make(chan error, 1)
	go func() { s.exited <- cmd.Wait() }()
	if err := s.waitReady(ctx); err != nil {
		s.Kill()
		return fmt.Errorf("%s: %w\n%s", o.Kind, err, s.LogTail(4000))
	}
	s.Startup = time.Since(began)
	return nil
}

func command(kind Kind, port int) (*exec.Cmd, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	if kind == Reference {
		prefect := filepath.Join(root, ".build/venv/bin/prefect")
		if _, err := os.Stat(prefect); err != nil {
			return nil, errors.New("the reference is not installed in .build/venv: run 'make venv'")
		}
		return exec.Command(prefect, "server", "start", "--host", "127.0.0.1", "--port", strconv.Itoa(port)), nil
	}
	bin, err := Binary()
	if err != nil {
		return nil, err
	}
	return exec.Command(bin, "serve", "--host", "127.0.0.1", "--port", strconv.Itoa(port)), nil
}

// Binary returns the path of the interlock binary.
func Binary() (string, error) {
	bin := os.Getenv(BinaryEnv)
	if bin == "" {
		root, err := Root()
		if err != nil {
			return "", err
		}
		bin = filepath.Join(root, "bin/interlock")
	}
	if _, err := os.Stat(bin); err != nil {
		return "", fmt.Errorf("no interlock binary at %s: run 'make build' or set %s", bin, BinaryEnv)
	}
	return bin, nil
}

// Root returns the module's directory: the one with go.mod above the working
// directory.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod above the working directory")
		}
		dir = filepath.Dir(dir)
	}
}

// environment is the caller's without Prefect's and our own settings, plus what
// this server needs.
func environment(s *Server, quiet bool) []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "PREFECT_") && !strings.HasPrefix(e, "INTERLOCK_") {
			env = append(env, e)
		}
	}
	env = append(env,
		"PREFECT_HOME="+s.Home,
		"INTERLOCK_HOME="+s.Home,
		"PREFECT_SERVER_ANALYTICS_ENABLED=false",
		"PREFECT_SERVER_DATABASE_CONNECTION_URL="+s.DatabaseURL,
		"PREFECT_SERVER_LOGGING_LEVEL=WARNING",
	)
	if quiet {
		for _, service := range []string{"CANCELLATION_CLEANUP", "FOREMAN", "LATE_RUNS", "SCHEDULER", "PAUSE_EXPIRATIONS", "REPOSSESSOR", "CLEANUP_RECONCILER", "TRIGGERS"} {
			env = append(env, "PREFECT_SERVER_SERVICES_"+service+"_ENABLED=false")
		}
		env = append(env, "INTERLOCK_SERVICES=false")
	}
	return env
}

func (s *Server) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startDeadline)
	defer cancel()
	client := &http.Client{Timeout: 10 * time.Second}
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/api/health", nil)
		if err != nil {
			return err
		}
		if resp, err := client.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case err := <-s.exited:
			s.exited <- err
			return fmt.Errorf("ended before it answered: %w", orEnded(err))
		case <-ctx.Done():
			return fmt.Errorf("did not answer within %s", startDeadline)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func orEnded(err error) error {
	if err == nil {
		return errors.New("exit code 0")
	}
	return err
}

// Stop ends the server with SIGTERM and removes its directory if Start made it.
// The error tells that it did not end by itself, or its exit code.
func (s *Server) Stop() error {
	defer s.clean()
	return s.Terminate()
}

// Terminate ends the server with SIGTERM, and leaves its files.
func (s *Server) Terminate() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case err := <-s.exited:
		s.exited <- err
		return err
	case <-time.After(endDeadline):
		s.Kill()
		return fmt.Errorf("%s did not end within %s of SIGTERM", s.Kind, endDeadline)
	}
}

// Kill ends the server with SIGKILL, with all that it started, and leaves its
// files.
func (s *Server) Kill() {
	_ = syscall.Kill(-s.PID, syscall.SIGKILL) // gone already is as good
	err := <-s.exited
	s.exited <- err
}

// Pause has the server and all that it started stand still until Resume. It is none of
// what a server has to cope with: it leaves the machine to what is measured beside it.
func (s *Server) Pause() error { return syscall.Kill(-s.PID, syscall.SIGSTOP) }

// Resume ends a Pause. A server that runs runs on.
func (s *Server) Resume() error { return syscall.Kill(-s.PID, syscall.SIGCONT) }

func (s *Server) clean() {
	if s.log != nil {
		s.log.Close()
	}
	if s.tempHome {
		os.RemoveAll(s.Home)
	}
}

// LogTail returns the last n bytes of the server's log.
func (s *Server) LogTail(n int) string {
	raw, err := os.ReadFile(filepath.Join(s.Home, "server.log"))
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(raw[max(0, len(raw)-n):]))
}
