package event

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// server is a hub behind real sockets.
type server struct {
	t     *testing.T
	hub   *Hub
	store *fakeStore
	url   string
}

func newServer(t *testing.T, store *fakeStore, auth string) *server {
	t.Helper()
	noLeak(t)
	hub := New(Config{Store: store, Logger: quiet(), Auth: auth})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/events/in", hub.EventsIn)
	mux.HandleFunc("GET /api/events/out", hub.EventsOut)
	mux.HandleFunc("GET /api/logs/out", hub.LogsOut)
	mux.HandleFunc("GET "+tasksPath, hub.TaskRuns)
	h := httptest.NewServer(mux)
	hub.Start(context.Background())
	t.Cleanup(func() {
		hub.Stop(context.Background())
		h.Close()
	})
	return &server{t: t, hub: hub, store: store, url: "ws" + strings.TrimPrefix(h.URL, "http")}
}

// client is one connection to a server.
type client struct {
	*websocket.Conn
	t *testing.T
}

func (s *server) dial(path string, subprotocols ...string) *client {
	s.t.Helper()
	c, _, err := websocket.Dial(context.Background(), s.url+path, &websocket.DialOptions{Subprotocols: subprotocols})
	if err != nil {
		s.t.Fatal(err)
	}
	c.SetReadLimit(1 << 24)
	s.t.Cleanup(func() { c.CloseNow() })
	return &client{c, s.t}
}

// open dials and shakes hands.
func (s *server) open(path, token string) *client {
	s.t.Helper()
	c := s.dial(path, "prefect")
	c.send(fmt.Sprintf(`{"type":"auth","token":%q}`, token))
	if got := c.receive(); got != `{"type":"auth_success"}` {
		s.t.Fatalf("the handshake was answered by %s", got)
	}
	return c
}

func (c *client) send(message string) {
	c.t.Helper()
	if err := c.Write(context.Background(), websocket.MessageText, []byte(message)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) receive() string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, b, err := c.Read(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(b)
}

// closed reads until the server closes and returns its code.
func (c *client) closed() websocket.StatusCode {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		if _, _, err := c.Read(ctx); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

// confirm pings, as the client does to learn that its events arrived.
func (c *client) confirm() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c.CloseRead(ctx)
	return c.Ping(ctx)
}

func wire(e *prefect.Event) string { return string(e.AppendJSON(nil)) }

func (c *client) event() string {
	c.t.Helper()
	var m struct {
		Type  string
		Event struct{ Event string }
	}
	b := c.receive()
	if err := json.Unmarshal([]byte(b), &m); err != nil || m.Type != "event" {
		c.t.Fatalf("received %s", b)
	}
	return m.Event.Event
}

func TestHandshake(t *testing.T) {
	for name, c := range map[string]struct {
		auth, first string
		want        websocket.StatusCode // 0 for success
	}{
		"no credentials needed":         {"", `{"type":"auth","token":null}`, 0},
		"needless credentials":          {"", `{"type":"auth","token":"a:b"}`, 0},
		"right credentials":             {"a:b", `{"type":"auth","token":"a:b"}`, 0},
		"wrong credentials":             {"a:b", `{"type":"auth","token":"a:c"}`, websocket.StatusPolicyViolation},
		"longer credentials":            {"a:b", `{"type":"auth","token":"a:bb"}`, websocket.StatusPolicyViolation},
		"null credentials":              {"a:b", `{"type":"auth","token":null}`, websocket.StatusPolicyViolation},
		"no credentials":                {"a:b", `{"type":"auth"}`, websocket.StatusPolicyViolation},
		"credentials that are a number": {"a:b", `{"type":"auth","token":1}`, websocket.StatusPolicyViolation},
		"another message":               {"", `{"type":"filter","filter":{}}`, websocket.StatusPolicyViolation},
		"a list":                        {"", `[]`, websocket.StatusPolicyViolation},
		"no JSON":                       {"", `hello`, websocket.StatusPolicyViolation},
	} {
		for _, path := range []string{"/api/events/in", "/api/events/out", "/api/logs/out"} {
			t.Run(name+path, func(t *testing.T) {
				conn := newServer(t, new(fakeStore), c.auth).dial(path, "prefect")
				conn.send(c.first)
				if c.want != 0 {
					if got := conn.closed(); got != c.want {
						t.Errorf("closed with %d, want %d", got, c.want)
					}
				} else if got := conn.receive(); got != `{"type":"auth_success"}` {
					t.Errorf("answered %s", got)
				}
			})
		}
	}
}

func TestClientsWithoutTheSubprotocol(t *testing.T) {
	store := new(fakeStore)
	old := newServer(t, store, "").dial("/api/events/in")
	old.send(wire(newEvent(0)))
	if err := old.confirm(); err != nil {
		t.Fatal(err)
	}
	wantInOrder(t, store.stored(), 1)
}

func TestClientsWithoutTheSubprotocolCannotSendCredentials(t *testing.T) {
	closed := newServer(t, new(fakeStore), "a:b")
	_, response, err := websocket.Dial(context.Background(), closed.url+"/api/events/in", nil)
	if err == nil || response == nil || response.StatusCode != http.StatusForbidden {
		t.Errorf("with credentials configured: %v, %v", response, err)
	}
}

func TestForeignPagesMayNotConnect(t *testing.T) {
	s := newServer(t, new(fakeStore), "")
	_, response, err := websocket.Dial(context.Background(), s.url+"/api/events/in", &websocket.DialOptions{
		Subprotocols: []string{"prefect"}, HTTPHeader: http.Header{"Origin": {"https://evil.example"}}})
	if err == nil || response == nil || response.StatusCode != http.StatusForbidden {
		t.Errorf("a page of another host: %v, %v", response, err)
	}
}

func TestEventsInConfirmsWhatIsStored(t *testing.T) {
	store := new(fakeStore)
	c := newServer(t, store, "").open("/api/events/in", "")
	const n = 10_000
	for i := range n {
		c.send(wire(newEvent(i)))
	}
	if err := c.confirm(); err != nil {
		t.Fatal(err)
	}
	wantInOrder(t, store.stored(), n)
}

func TestEventsInConfirmsNothingBeforeItIsStored(t *testing.T) {
	store := &fakeStore{block: make(chan struct{})}
	c := newServer(t, store, "").open("/api/events/in", "")
	c.send(wire(newEvent(0)))
	confirmed := make(chan error)
	go func() { confirmed <- c.confirm() }()
	select {
	case err := <-confirmed:
		t.Errorf("confirmed while the store was blocked: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(store.block)
	if err := <-confirmed; err != nil {
		t.Fatal(err)
	}
	wantInOrder(t, store.stored(), 1)
}

func TestEventsInLeavesOutWhatIsNoEvent(t *testing.T) {
	store := new(fakeStore)
	c := newServer(t, store, "").open("/api/events/in", "")
	large := newEvent(0)
	large.Payload = json.RawMessage(`{"x":"` + strings.Repeat("x", prefect.DefaultEventLimits().Bytes) + `"}`)
	for _, bad := range []string{"", "{", "[]", `"x"`, "null", "{}", wire(large), `{"event":"\xff"}`, strings.Repeat("[", 100_000)} {
		c.send(bad)
	}
	for i := range 50 {
		c.send(`{"id":1}`)
		c.send(wire(newEvent(i)))
	}
	if err := c.confirm(); err != nil {
		t.Fatal(err)
	}
	wantInOrder(t, store.stored(), 50)
}

func TestEventsInRefusesBinaryMessages(t *testing.T) {
	c := newServer(t, new(fakeStore), "").open("/api/events/in", "")
	if err := c.Write(context.Background(), websocket.MessageBinary, []byte(wire(newEvent(0)))); err != nil {
		t.Fatal(err)
	}
	if got := c.closed(); got != websocket.StatusUnsupportedData {
		t.Errorf("closed with %d", got)
	}
}

func TestEventsInKeepsWhatCameBeforeADisconnect(t *testing.T) {
	store := new(fakeStore)
	s := newServer(t, store, "")
	const n = 300
	c := s.open("/api/events/in", "")
	for i := range n {
		c.send(wire(newEvent(i)))
	}
	c.Close(websocket.StatusNormalClosure, "")
	eventually(t, "the events are stored", func() bool { return len(store.stored()) == n })
	wantInOrder(t, store.stored(), n)

	c = s.open("/api/events/in", "")
	c.send(wire(newEvent(n)))
	c.CloseNow() // no goodbye
	eventually(t, "the server lets go", func() bool { s.hub.mu.Lock(); defer s.hub.mu.Unlock(); return len(s.hub.open) == 0 })
}

func TestStopWhileEventsComeIn(t *testing.T) {
	store := new(fakeStore)
	s := newServer(t, store, "")
	c := s.open("/api/events/in", "")
	var confirmed, sent int
	done := make(chan struct{})
	go func() {
		defer close(done)
		ctx := context.Background()
		c.CloseRead(ctx)
		for ; ; sent++ {
			if c.Write(ctx, websocket.MessageText, []byte(wire(newEvent(sent)))) != nil {
				return
			}
			if sent%100 == 99 {
				if c.Ping(ctx) != nil {
					return
				}
				confirmed = sent + 1
			}
		}
	}()
	eventually(t, "events come in", func() bool { return len(store.stored()) > 500 })
	s.hub.Stop(context.Background())
	s.hub.Stop(context.Background())
	<-done
	stored := store.stored()
	if len(stored) < confirmed || confirmed == 0 {
		t.Errorf("%d events were confirmed, %d are stored", confirmed, len(stored))
	}
	wantInOrder(t, stored, len(stored))
	if _, _, err := websocket.Dial(context.Background(), s.url+"/api/events/in", nil); err == nil {
		t.Error("a stopped server takes connections")
	}
}

func TestStopReadsWhatWasSent(t *testing.T) {
	store := new(fakeStore)
	s := newServer(t, store, "")
	c := s.open("/api/events/in", "")
	const n = 2000
	for i := range n {
		c.send(wire(newEvent(i)))
	}
	c.CloseRead(context.Background())
	s.hub.drainTime = patience
	s.hub.Stop(context.Background())
	wantInOrder(t, store.stored(), n)
}

const wholeFilter = `{"type":"filter","filter":{"occurred":{"since":"2020-01-01T00:00:00Z","until":"2099-01-01T00:00:00Z"}}}`

func TestEventsOutSendsThePastAndThenTheStream(t *testing.T) {
	store := new(fakeStore)
	const past = backfillPage*2 + 10
	for i := range past {
		store.events = append(store.events, newEvent(i))
	}
	old := newEvent(0)
	old.Event, old.Occurred = "old", start.Add(-backfillSpan-time.Hour)
	store.events = append(store.events, old)
	s := newServer(t, store, "a:b")
	out := s.open("/api/events/out", "a:b")
	out.send(wholeFilter)
	in := s.open("/api/events/in", "a:b")
	for i := range past {
		if got, want := out.event(), fmt.Sprintf("test.event.%d", i); got != want {
			t.Fatalf("received %s, want %s", got, want)
		}
	}
	for i := past; i < past+20; i++ {
		in.send(wire(newEvent(i)))
		if got, want := out.event(), fmt.Sprintf("test.event.%d", i); got != want {
			t.Fatalf("received %s, want %s", got, want)
		}
	}
}

func TestEventsOutSendsOnceWhatComesDuringThePast(t *testing.T) {
	store := new(fakeStore)
	s := newServer(t, store, "")
	e := newEvent(0)
	store.events = append(store.events, e)
	out := s.open("/api/events/out", "")
	out.send(wholeFilter)
	if got := out.event(); got != e.Event {
		t.Fatal(got)
	}
	eventually(t, "a subscription", s.hub.events.Subscribed)
	s.hub.events.Publish(e)
	s.hub.events.Publish(newEvent(1))
	if got := out.event(); got != "test.event.1" {
		t.Errorf("received %s again", got)
	}
}

func TestEventsOutFilters(t *testing.T) {
	store := new(fakeStore)
	store.events = append(store.events, newEvent(0))
	s := newServer(t, store, "")
	out := s.open("/api/events/out", "")
	out.send(`{"type":"filter","backfill":false,"filter":{"event":{"name":["test.event.3"]}}}`)
	eventually(t, "a subscription", s.hub.events.Subscribed)
	for i := range 5 {
		if err := s.hub.Publish(context.Background(), newEvent(i)); err != nil {
			t.Fatal(err)
		}
	}
	if got := out.event(); got != "test.event.3" {
		t.Errorf("received %s", got)
	}
}

func TestStreamsOutRefuse(t *testing.T) {
	s := newServer(t, new(fakeStore), "")
	for _, path := range []string{"/api/events/out", "/api/logs/out"} {
		for _, message := range []string{`{"type":"auth"}`, `{"type":"filter"}`, `{"type":"filter","filter":{"nonsense":1}}`, `{"type":"filter","filter":[]}`, `[]`, `x`} {
			c := s.open(path, "")
			c.send(message)
			if got := c.closed(); got != websocket.StatusProtocolError {
				t.Errorf("%s: %s closed with %d", path, message, got)
			}
		}
	}
	if s.hub.events.Subscribed() || s.hub.logs.Subscribed() {
		t.Error("somebody is subscribed")
	}
}

// A filter that would take long is refused with a reason, with a backfill or not.
func TestStreamsOutRefuseLargeFilters(t *testing.T) {
	s := newServer(t, new(fakeStore), "")
	for _, backfill := range []string{"true", "false"} {
		c := s.open("/api/events/out", "")
		c.send(`{"type":"filter","backfill":` + backfill + `,"filter":{"resource":{"labels":{"a":"` + strings.Repeat("*a", 1<<18) + `"}}}}`)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		_, _, err := c.Read(ctx)
		cancel()
		var closed websocket.CloseError
		if !errors.As(err, &closed) || closed.Code != websocket.StatusProtocolError || !strings.Contains(closed.Reason, "at most 1000 characters") {
			t.Errorf("closed with %v", err)
		}
	}
}

func TestASubscriberThatDoesNotReadIsCutOff(t *testing.T) {
	s := newServer(t, new(fakeStore), "")
	out := s.open("/api/events/out", "")
	out.send(wholeFilter)
	eventually(t, "a subscription", s.hub.events.Subscribed)
	e := newEvent(0)
	e.Payload = json.RawMessage(`{"x":"` + strings.Repeat("x", 1<<20) + `"}`)
	for range backlog + included + 200 { // more than the backlog and the network hold together
		s.hub.events.Publish(e)
	}
	if s.hub.events.Subscribed() {
		t.Error("still subscribed")
	}
	if got := out.closed(); got != websocket.StatusTryAgainLater {
		t.Errorf("closed with %d", got)
	}
}

func TestSubscribersThatLeaveAreForgotten(t *testing.T) {
	s := newServer(t, new(fakeStore), "")
	for range 5 {
		out := s.open("/api/events/out", "")
		out.send(wholeFilter)
		eventually(t, "a subscription", s.hub.events.Subscribed)
		out.CloseNow()
		eventually(t, "the end of the subscription", func() bool { return !s.hub.events.Subscribed() })
	}
}

func TestStopEndsSubscribers(t *testing.T) {
	s := newServer(t, new(fakeStore), "")
	out := s.open("/api/events/out", "")
	out.send(wholeFilter)
	eventually(t, "a subscription", s.hub.events.Subscribed)
	code := make(chan websocket.StatusCode)
	go func() { code <- out.closed() }()
	s.hub.Stop(context.Background())
	if got := <-code; got != websocket.StatusServiceRestart {
		t.Errorf("closed with %d", got)
	}
}

func TestLogsOut(t *testing.T) {
	s := newServer(t, new(fakeStore), "")
	run, other := uuid.New(), uuid.New()
	logs := []*prefect.Log{
		{ID: uuid.New(), Level: 20, Message: "mine", FlowRunID: &run, Timestamp: start},
		{ID: uuid.New(), Level: 20, Message: "another run's", FlowRunID: &other, Timestamp: start},
		{ID: uuid.New(), Level: 10, Message: "too low", FlowRunID: &run, Timestamp: start},
		{ID: uuid.New(), Level: 40, Message: "mine, too", FlowRunID: &run, TaskRunID: &other, Timestamp: start},
	}
	out := s.open("/api/logs/out", "")
	out.send(fmt.Sprintf(`{"type":"filter","filter":{"level":{"ge_":20},"flow_run_id":{"any_":[%q]}}}`, run))
	eventually(t, "a subscription", s.hub.logs.Subscribed)
	s.hub.PublishLogs(logs)
	for _, want := range []*prefect.Log{logs[0], logs[3]} {
		b, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if got := out.receive(); got != `{"type":"log","log":`+string(b)+`}` {
			t.Errorf("received %s", got)
		}
	}
}
