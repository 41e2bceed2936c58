package host

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// serve runs a server on a free port until the test ends, and returns the URL of
// its API.
func serve(t *testing.T, change func(*Config)) string {
	t.Helper()
	c := testConfig(t)
	change(&c)
	s, err := New(context.Background(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	return "http://" + s.Addr() + "/api"
}

func testConfig(t *testing.T) Config {
	c := DefaultConfig()
	c.Home, c.Port = t.TempDir(), 0
	return c
}

func get(t *testing.T, url string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestAServerServesTheBuiltInPolicies(t *testing.T) {
	url := serve(t, func(*Config) {})
	code, body := get(t, url+"/interlock/policies/CoreFlowPolicy")
	var p struct {
		Version int
		Entries []struct{ Name, Module string }
	}
	if err := json.Unmarshal([]byte(body), &p); err != nil || code != http.StatusOK {
		t.Fatalf("%d %s: %v", code, body, err)
	}
	found := false
	for _, e := range p.Entries {
		found = found || (e.Name == "RetryFailedFlows" && e.Module == "builtin")
	}
	if !found || p.Version != 1 {
		t.Errorf("CoreFlowPolicy is %s", body)
	}
}

func TestTheAuthStringGuardsTheAPIAndIsNowhereShown(t *testing.T) {
	url := serve(t, func(c *Config) { c.AuthString = "me:s3cret" })
	if code, _ := get(t, url+"/admin/version"); code != http.StatusUnauthorized {
		t.Errorf("without credentials: %d", code)
	}
	const credentials = "Basic bWU6czNjcmV0"
	code, settings := get(t, url+"/admin/settings", "Authorization", credentials)
	if code != http.StatusOK || strings.Contains(settings, "s3cret") || !strings.Contains(settings, "default_limit") {
		t.Errorf("%d %s", code, settings)
	}
}

func TestAServerThatCannotStartSaysWhyInOneLine(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, change := range map[string]func(*Config){
		"port in use":     func(c *Config) { c.Port = taken.Addr().(*net.TCPAddr).Port },
		"no directory":    func(c *Config) { c.DatabaseURL = "sqlite+aiosqlite:////no/such/directory/x.db" },
		"home is a file":  func(c *Config) { c.Home = filepath.Join("/dev/null", "home") },
		"postgres down":   func(c *Config) { c.DatabaseURL = "postgresql+asyncpg://u:s3cret@127.0.0.1:1/d" },
		"unreadable URL":  func(c *Config) { c.DatabaseURL = "nonsense:s3cret" },
		"unknown address": func(c *Config) { c.Host = "192.0.2.1" },
	} {
		c := testConfig(t)
		change(&c)
		s, err := New(context.Background(), c, slog.New(slog.DiscardHandler))
		if err == nil {
			t.Errorf("%s: it started", name)
			_ = s.close(context.Background())
			continue
		}
		if text := err.Error(); strings.Contains(text, "\n") || strings.Contains(text, "s3cret") || len(text) < 10 {
			t.Errorf("%s: %q", name, text)
		}
	}
}

func TestWhatAServerKeepsIsThereAfterARestart(t *testing.T) {
	c := testConfig(t)
	for start := range 2 {
		s, err := New(context.Background(), c, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatalf("start %d: %v", start+1, err)
		}
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		resp, err := http.Post("http://"+s.Addr()+"/api/flows/", "application/json", strings.NewReader(`{"name":"kept"}`))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if want := []int{http.StatusCreated, http.StatusOK}[start]; resp.StatusCode != want {
			t.Errorf("start %d: %d, want %d", start+1, resp.StatusCode, want)
		}
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
}

func TestADeletedFlowHasNoNewRuns(t *testing.T) {
	url := serve(t, func(*Config) {})
	send := func(want int, method, path, body string) (reply struct{ ID, Detail string }) {
		t.Helper()
		req, err := http.NewRequest(method, url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s %s: %d, want %d", method, path, resp.StatusCode, want)
		}
		_ = json.NewDecoder(resp.Body).Decode(&reply) // a 204 has none
		return reply
	}
	flow := send(http.StatusCreated, "POST", "/flows/", `{"name":"short"}`).ID
	run := `{"flow_id":"` + flow + `"}`
	send(http.StatusCreated, "POST", "/flow_runs/", run)
	send(http.StatusNoContent, "DELETE", "/flows/"+flow, "")
	if reply := send(http.StatusConflict, "POST", "/flow_runs/", run); !strings.HasPrefix(reply.Detail, "Data integrity conflict") {
		t.Errorf("the reply is %+v", reply)
	}
}

func TestACheckedModule(t *testing.T) {
	if _, err := CheckModule(context.Background(), DefaultConfig(), []byte("no wasm")); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("error is %v", err)
	}
}
