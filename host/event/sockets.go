package event

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/interlock-run/interlock/host/prefect"
)

// The bounds of a websocket.
const (
	handshakeTime  = 30 * time.Second // for the messages before the stream begins
	handshakeBytes = 1 << 20
	messageBytes   = 64 << 20         // a message over this ends the connection
	writeTime      = 30 * time.Second // for a subscriber to take a message
	drainTime      = 2 * time.Second  // for what a client sent before a stop
)

// Sockets serves the websockets of the API: events in, events out, logs out and
// task runs.
// Its methods are plain HTTP handlers. They must not be behind HTTP
// authentication: a websocket client sends its credentials as its first message.
type Sockets struct {
	auth    string   // "user:password" that clients must send, "" for none
	origins []string // patterns of origins whose pages may connect, besides the server's own
	limits  prefect.EventLimits
	intake  *Intake
	events  *Bus[*prefect.Event]
	logs    *Bus[*prefect.Log]
	reader  Reader
	tasks   *taskQueue
	encode  TaskRunEncoder
	now     func() prefect.Time
	logger  *slog.Logger

	receiptTime time.Duration // receiptTime, but in tests
	drainTime   time.Duration // drainTime, but in tests

	mu      sync.Mutex
	open    map[*socket]struct{}
	stopped bool
	serving sync.WaitGroup
}

// socket is one connection.
type socket struct {
	*websocket.Conn
	in       bool // the client sends events
	stopping atomic.Bool
}

// Stop closes all connections and refuses new ones. What clients had sent before
// is read first, as far as it arrives within moments. It is safe to call twice.
func (s *Sockets) Stop() {
	s.mu.Lock()
	s.stopped = true
	open := make([]*socket, 0, len(s.open))
	for c := range s.open {
		open = append(open, c)
	}
	s.mu.Unlock()
	var closing sync.WaitGroup
	for _, c := range open {
		closing.Go(func() { c.stop(s.drainTime) })
	}
	closing.Wait()
	s.serving.Wait()
}

// stop closes the connection. A client takes each answered ping as a receipt of
// what it sent before, so none is answered from here on, and what it did not get
// a receipt for it sends again to the next server. Our own ping comes back
// behind all that the client had sent until then, if it comes within the time.
// "Service restart" is the code that makes clients connect again; "going away"
// counts as a clean end.
func (c *socket) stop(within time.Duration) {
	c.stopping.Store(true)
	if c.in {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		if err := c.Ping(ctx); err != nil {
			c.CloseNow()
			return
		}
	}
	c.Close(websocket.StatusServiceRestart, "the server is stopping")
}

// serve accepts a connection, does the handshake, and runs stream on it. onPing
// may be nil; it is asked before a ping is answered.
func (s *Sockets) serve(w http.ResponseWriter, r *http.Request, in bool, onPing func(context.Context) bool, stream func(context.Context, *socket)) {
	modern := offersPrefect(r)
	if !modern && s.auth != "" {
		http.Error(w, "this server needs the websocket subprotocol prefect", http.StatusForbidden)
		return
	}
	c := &socket{in: in}
	if !s.admit() {
		http.Error(w, errStopped.Message, http.StatusServiceUnavailable)
		return
	}
	defer s.serving.Done()
	options := &websocket.AcceptOptions{
		OriginPatterns: s.origins,
		OnPingReceived: func(ctx context.Context, _ []byte) bool {
			return !c.stopping.Load() && (onPing == nil || onPing(ctx)) && !c.stopping.Load()
		},
	}
	if modern {
		options.Subprotocols = []string{"prefect"}
	}
	conn, err := websocket.Accept(w, r, options)
	if err != nil { // Accept has answered
		s.logger.Debug("a websocket was not accepted", "error", err)
		return
	}
	defer conn.CloseNow()
	c.Conn = conn
	if !s.register(c) {
		c.Close(websocket.StatusServiceRestart, "the server is stopping")
		return
	}
	defer s.unregister(c)
	c.SetReadLimit(handshakeBytes)
	if modern && !s.handshake(r.Context(), c) {
		return
	}
	stream(r.Context(), c)
}

// patternsOf returns the patterns that match these origins, which hold no wildcards:
// the brackets of an IPv6 address are none.
func patternsOf(origins []string) []string {
	patterns := make([]string, len(origins))
	for i, origin := range origins {
		if patterns[i] = origin; origin != "*" {
			patterns[i] = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(origin)
		}
	}
	return patterns
}

// offersPrefect reports whether the client speaks the subprotocol with a
// handshake; clients from before it do not.
func offersPrefect(r *http.Request) bool {
	for _, header := range r.Header.Values("Sec-WebSocket-Protocol") {
		if slices.ContainsFunc(strings.Split(header, ","), func(p string) bool { return strings.TrimSpace(p) == "prefect" }) {
			return true
		}
	}
	return false
}

func (s *Sockets) admit() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false
	}
	s.serving.Add(1)
	return true
}

func (s *Sockets) register(c *socket) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false
	}
	if s.open == nil {
		s.open = make(map[*socket]struct{})
	}
	s.open[c] = struct{}{}
	return true
}

func (s *Sockets) unregister(c *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// handshake reads the client's first message, which must be its credentials,
// and answers it.
func (s *Sockets) handshake(ctx context.Context, c *socket) bool {
	var message struct {
		Type  string  `json:"type"`
		Token *string `json:"token"`
	}
	if err := readMessage(ctx, c, &message); err != nil || message.Type != "auth" {
		c.Close(websocket.StatusPolicyViolation, "expected an auth message")
		return false
	}
	if s.auth != "" && (message.Token == nil || !equalSecret(*message.Token, s.auth)) {
		s.logger.Warn("a websocket client sent wrong credentials")
		c.Close(websocket.StatusPolicyViolation, "wrong credentials")
		return false
	}
	return write(ctx, c, []byte(`{"type":"auth_success"}`)) == nil
}

// equalSecret compares in a time that tells nothing of either, their lengths
// included.
func equalSecret(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

var errNotText = errors.New("not a text message")

// readMessage reads one message of the handshake.
func readMessage(ctx context.Context, c *socket, v any) error {
	ctx, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	kind, b, err := c.Read(ctx)
	if err != nil {
		return err
	}
	if kind != websocket.MessageText {
		return errNotText
	}
	return json.Unmarshal(b, v)
}

func write(ctx context.Context, c *socket, b []byte) error {
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	return c.Write(ctx, websocket.MessageText, b)
}
