package api

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// nobody is a ResponseWriter that throws everything away.
type nobody struct{ header http.Header }

func (n nobody) Header() http.Header         { return n.header }
func (n nobody) Write(b []byte) (int, error) { return len(b), nil }
func (n nobody) WriteHeader(int)             {}

// BenchmarkHandlers measures what the API itself costs, over stores that answer
// at once.
func BenchmarkHandlers(b *testing.B) {
	f := &fake{states: map[uuid.UUID][]*prefect.State{}}
	for range 200 {
		f.flowRuns = append(f.flowRuns, filled[prefect.FlowRun]())
	}
	h := New(Config{Store: f, Orchestrator: f, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	id := f.flowRuns[0].ID.String()
	logs := `[` + strings.Repeat(`{"name":"prefect.flow_runs","level":20,"message":"a message of usual length, with a number 12345","timestamp":"2026-11-23T18:00:00.123456+00:00","flow_run_id":"`+id+`"},`, 99) +
		`{"name":"n","level":20,"message":"last","timestamp":"2026-11-23T18:00:00Z"}]`
	for _, c := range []struct{ name, method, path, body string }{
		{"read", "GET", "/api/flow_runs/" + id, ""},
		{"set_state", "POST", "/api/flow_runs/" + id + "/set_state", `{"state":{"type":"RUNNING","name":"Running","message":null,"data":null,"state_details":{"transition_id":"` + id + `","deferred":false,"untrackable_result":false}},"force":false}`},
		{"filter200", "POST", "/api/flow_runs/filter", `{"limit":200,"flow_runs":{"state":{"type":{"any_":["RUNNING"]}}}}`},
		{"logs100", "POST", "/api/logs/", logs},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f.logs = f.logs[:0]
				r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
				r.Header.Set("User-Agent", "prefect/3.8.8 (API 0.8.4)")
				h.ServeHTTP(nobody{http.Header{}}, r)
			}
		})
	}
}
