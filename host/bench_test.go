package host

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"testing"

	"github.com/google/uuid"
)

// BenchmarkTransitions is one request after another, over HTTP, as a lone client
// sends them: create, Running, Failed (retried), Running, Failed.
func BenchmarkTransitions(b *testing.B) {
	c := DefaultConfig()
	c.Home, c.Port = b.TempDir(), 0
	ctx, cancel := context.WithCancel(context.Background())
	s, err := New(ctx, c, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() { cancel(); <-done }()
	url := "http://" + s.Addr() + "/api"
	var flow, run struct{ ID string }
	benchPost(b, url+"/flows/", `{"name":"bench"}`, &flow)
	step := 0
	states := []string{"RUNNING", "FAILED", "RUNNING", "FAILED"}
	b.ResetTimer()
	for range b.N {
		if step == 0 {
			benchPost(b, url+"/flow_runs/", fmt.Sprintf(`{"flow_id":%q,"parameters":{"x":1,"name":"a parameter"},"tags":["bench"],"empirical_policy":{"retries":1},"state":{"type":"PENDING"}}`, flow.ID), &run)
		} else {
			benchPost(b, url+"/flow_runs/"+run.ID+"/set_state", fmt.Sprintf(`{"state":{"type":%q,"state_details":{"transition_id":%q}}}`, states[step-1], uuid.NewString()), nil)
		}
		step = (step + 1) % 5
	}
}

func benchPost(b *testing.B, url, body string, into any) {
	r, err := http.Post(url, "application/json", bytes.NewBufferString(body))
	if err != nil {
		b.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode > 201 {
		b.Fatal(r.Status, string(text), err)
	}
	if into != nil {
		if err := json.Unmarshal(text, into); err != nil {
			b.Fatal(err)
		}
	}
}
