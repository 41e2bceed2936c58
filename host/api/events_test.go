package api

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

func TestEvents(t *testing.T) {
	r := newRig(t)
	r.events = []*prefect.Event{{ID: uuid.New(), Event: "e", Occurred: testNow, Received: testNow, Resource: prefect.NewResource("r"), Payload: json.RawMessage("{}")}}
	r.want(204, "POST", "/events", `[{"event":"e"}]`)
	if r.received != `[{"event":"e"}]` {
		t.Errorf("received %s", r.received)
	}
	for _, body := range []string{"", "{}", "[", "null"} {
		r.want(422, "POST", "/events", body)
	}
	page := r.want(200, "POST", "/events/filter", `{"filter":{"event":{"name":["e"]}},"limit":3}`)
	if r.received != `{"event":{"name":["e"]}}` || r.page.Limit != 3 || at(t, page, "total") != 7.0 || at(t, page, "events", 0, "event") != "e" {
		t.Errorf("asked for %s, %d: %v", r.received, r.page.Limit, page)
	}
	next := at(t, page, "next_page").(string)
	if !strings.HasPrefix(next, "http://example.com/api/events/filter/next?page-token=") {
		t.Fatalf("next page %q", next)
	}
	last := r.want(200, "GET", strings.TrimPrefix(next, "http://example.com/api"), "")
	if at(t, last, "next_page") != nil || len(at(t, last, "events").([]any)) != 0 {
		t.Errorf("last page %v", last)
	}
	if r.want(200, "POST", "/events/filter", ""); r.received != "" || r.page.Limit != eventsPage {
		t.Errorf("asked for %q, %d", r.received, r.page.Limit)
	}
	r.want(403, "GET", "/events/filter/next?page-token=x", "")
	r.want(422, "GET", "/events/filter/next", "")
	for _, body := range []string{`{"filter":[]}`, `{"filter":{"bad":1}}`, `{"limit":51}`, `{"limit":-1}`} {
		if reply := r.want(422, "POST", "/events/filter", body); at(t, reply, "exception_detail", 0, "loc", 0) != "body" {
			t.Errorf("%s: %v", body, reply)
		}
	}
	none := newRig(t, func(c *Config) { c.Events = nil })
	none.want(404, "POST", "/events", "[]")
	none.want(404, "POST", "/events/filter", "{}")
	none.want(404, "GET", "/events/filter/next", "")
}
