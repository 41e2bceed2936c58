package host

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	. "github.com/interlock-run/interlock/host/sandbox/wasmtest"
)

// send sends body and decodes the reply into v.
func send(t *testing.T, method, url, contentType string, body []byte, v any) {
	t.Helper()
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode/100 != 2 {
		t.Fatalf("%s %s: %d %s", method, url, resp.StatusCode, text)
	}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatalf("%s %s: %v: %s", method, url, err, text)
	}
}

// TestAnEventThatAPolicyAsksForAppears takes an event all the way: from a module
// that was uploaded to the events that the API shows.
func TestAnEventThatAPolicyAsksForAppears(t *testing.T) {
	const manifest = `{"abi":1,"name":"acme","version":"1","rules":[{"name":"Tell","run_type":"flow_run","from":["*"],"to":["RUNNING"],"effects":["emit_event"]}]}`
	const verdict = `{"decisions":[{"rule":"Tell","decision":"ACCEPT","effects":[{"type":"emit_event","event":"acme.began","payload":{"n":1}}]}]}`
	m := PolicyOf(&Builder{}, manifest, 2)
	m.Data(FreeAt, []byte(verdict))
	wasm := m.Evaluate(nil, Pack(FreeAt, uint32(len(verdict))))

	url := serve(t, func(*Config) {})
	var module struct{ Digest string }
	send(t, "POST", url+"/interlock/modules", "application/wasm", wasm, &module)
	var policy struct {
		Version int               `json:"version"`
		Entries []json.RawMessage `json:"entries"`
	}
	_, text := get(t, url+"/interlock/policies/CoreFlowPolicy")
	if err := json.Unmarshal([]byte(text), &policy); err != nil {
		t.Fatal(err)
	}
	policy.Entries = append(policy.Entries, json.RawMessage(`{"name":"Tell","module":"`+module.Digest+`","on_error":"open"}`))
	body, err := json.Marshal(policy)
	if err != nil {
		t.Fatal(err)
	}
	var ignored any
	send(t, "PUT", url+"/interlock/policies/CoreFlowPolicy", "application/json", body, &ignored)

	var flow, run struct{ ID string }
	send(t, "POST", url+"/flows", "application/json", []byte(`{"name":"f"}`), &flow)
	send(t, "POST", url+"/flow_runs", "application/json", []byte(`{"flow_id":"`+flow.ID+`","tags":["blue"]}`), &run)
	send(t, "POST", url+"/flow_runs/"+run.ID+"/set_state", "application/json", []byte(`{"state":{"type":"RUNNING"}}`), &ignored)
	var page struct {
		Events []struct {
			Event    string
			Resource map[string]string
			Related  []map[string]string
			Payload  map[string]any
		}
	}
	deadline := time.Now().Add(5 * time.Minute)
	for len(page.Events) == 0 {
		if time.Now().After(deadline) {
			t.Fatal("the event did not appear")
		}
		send(t, "POST", url+"/events/filter", "application/json", []byte(`{"filter":{"event":{"name":["acme.began"]}}}`), &page)
	}
	e := page.Events[0]
	if e.Resource["prefect.resource.id"] != "prefect.flow-run."+run.ID || e.Payload["n"] != 1.0 {
		t.Errorf("the event is %+v", e)
	}
	related := map[string]bool{}
	for _, r := range e.Related {
		related[r["prefect.resource.id"]] = true
	}
	if !related["prefect.flow."+flow.ID] || !related["prefect.tag.blue"] {
		t.Errorf("related: %v", e.Related)
	}
}
