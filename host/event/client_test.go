package event

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/interlock-run/interlock/host/prefect"
)

// python returns a command in the virtual environment that make venv makes.
func python(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := filepath.Abs("../../.build/venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "PREFECT_HOME="+t.TempDir(), "PREFECT_SERVER_ANALYTICS_ENABLED=false")
	cmd.Stderr = os.Stderr
	return cmd
}

// TestPythonClient runs the client's own classes against a hub: it streams
// events in and out, is there when the server restarts, and reports a task run.
func TestPythonClient(t *testing.T) {
	const auth = "ann:secret"
	store := new(fakeStore)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	stop := serveHub(t, store, auth, listener)

	cmd := python(t, "testdata/client.py", "http://"+address+"/api", "3000")
	cmd.Env = append(cmd.Env, "PREFECT_API_AUTH_STRING="+auth, "PREFECT_API_URL=http://"+address+"/api")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var steps []string
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		steps = append(steps, strings.Fields(lines.Text())[0])
		if lines.Text() == "RESTART" {
			stop()
			if listener, err = net.Listen("tcp", address); err != nil {
				t.Fatal(err)
			}
			stop = serveHub(t, store, auth, listener)
			if _, err := stdin.Write([]byte("\n")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	stop()
	if want := []string{"CONFIRMED", "STREAMED", "RESTART", "RECONNECTED", "RECORDED"}; !slices.Equal(steps, want) {
		t.Errorf("the client got to %v, want %v", steps, want)
	}
	checkClientsEvents(t, store)
}

// checkClientsEvents looks at what the client's script left in the store.
func checkClientsEvents(t *testing.T, store *fakeStore) {
	t.Helper()
	var around []string
	for _, e := range store.stored()[3000:] {
		if strings.HasPrefix(e.Event, "before.") || strings.HasPrefix(e.Event, "after.") {
			around = append(around, e.Event)
		}
	}
	if want := "before.0 before.1 before.2 before.3 before.4 after.0 after.1 after.2 after.3 after.4"; strings.Join(around, " ") != want {
		t.Errorf("around the restart came %v", around)
	}
	var states []prefect.StateType
	for _, r := range store.recorded() {
		states = append(states, r.State.Type)
		if r.Run.Name != "hello-0" || !slices.Equal(r.Run.Tags, []string{"b", "a"}) || r.Run.TotalRunTime != 2.5 ||
			string(r.Run.Policy.RetryDelay) != "[1,2]" || r.Run.RunCount != 1 || r.Run.StartTime == nil {
			t.Errorf("recorded %+v", r.Run)
		}
	}
	if want := []prefect.StateType{prefect.Pending, prefect.Running, prefect.Completed}; !slices.Equal(states, want) {
		t.Errorf("recorded %v, want %v", states, want)
	}
}

func serveHub(t *testing.T, store *fakeStore, auth string, l net.Listener) (stop func()) {
	hub := New(Config{Store: store, Logger: quiet(), Auth: auth})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/events/in", hub.EventsIn)
	mux.HandleFunc("GET /api/events/out", hub.EventsOut)
	mux.HandleFunc("GET /api/admin/version", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`"3.8.8"`)) })
	server := &http.Server{Handler: mux}
	hub.Start(context.Background())
	go server.Serve(l)
	return func() {
		server.Shutdown(context.Background())
		hub.Stop(context.Background())
	}
}
