package host

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// TestPagesOfAllowedOrigins has browsers come with requests and websockets for
// pages of origins that a setting allows, and of others.
func TestPagesOfAllowedOrigins(t *testing.T) {
	const ui, loopback, evil = "http://ui.example:8080", "http://[::1]:3000", "http://evil.example"
	for allowed, want := range map[string]map[string]bool{
		"":                  {ui: false, loopback: false, evil: false},
		ui:                  {ui: true, loopback: false, evil: false},
		ui + "," + loopback: {ui: true, loopback: true, evil: false},
		"*":                 {ui: true, loopback: true, evil: true},
	} {
		url := serve(t, func(c *Config) { c.Policies, c.CORSOrigins, c.AuthString = false, allowed, "a:b" })
		for origin, ok := range want {
			if got := pageMayPost(t, url, origin); got != ok {
				t.Errorf("%q allowed, a request of %s: %v", allowed, origin, got)
			}
			if got := pageMayConnect(url, origin); got != ok {
				t.Errorf("%q allowed, a websocket of %s: %v", allowed, origin, got)
			}
		}
	}
}

// pageMayPost reports whether a browser would have a page post, and show it the
// reply: it asks first, without credentials.
func pageMayPost(t *testing.T, url, origin string) bool {
	t.Helper()
	call := func(method string, header ...string) *http.Response {
		req, err := http.NewRequest(method, url+"/flows/filter", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Origin", origin)
		req.Header.Set("Sec-Fetch-Site", "cross-site")
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	shown := func(resp *http.Response) bool {
		to := resp.Header.Get("Access-Control-Allow-Origin")
		return resp.StatusCode == http.StatusOK && (to == origin || to == "*")
	}
	asked := call(http.MethodOptions, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type")
	posted := call(http.MethodPost, "Content-Type", "application/json", "Authorization", "Basic YTpi")
	if shown(asked) != shown(posted) {
		t.Errorf("%s: asked %d %v, posted %d %v", origin, asked.StatusCode, asked.Header, posted.StatusCode, posted.Header)
	}
	return shown(asked) && shown(posted)
}

// pageMayConnect reports whether a page's websocket is accepted.
func pageMayConnect(url, origin string) bool {
	c, _, err := websocket.Dial(context.Background(), "ws"+strings.TrimPrefix(url, "http")+"/events/out",
		&websocket.DialOptions{Subprotocols: []string{"prefect"}, HTTPHeader: http.Header{"Origin": {origin}}})
	if err != nil {
		return false
	}
	c.CloseNow()
	return true
}
