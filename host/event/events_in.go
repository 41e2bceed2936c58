package event

import (
	"bytes"
	"context"
	"io"
	"net/http"

	"github.com/coder/websocket"

	"github.com/interlock-run/interlock/host/prefect"
)

// badEventsLogged is how many refused events of one connection are logged one
// by one; the others are counted.
const badEventsLogged = 10

// EventsIn serves GET /api/events/in: a text message is an event. A message that
// is no event is logged and left out. A ping is answered when all events sent
// before it are stored: that is what the client waits for before it forgets
// them.
func (s *Sockets) EventsIn(w http.ResponseWriter, r *http.Request) {
	stored := func(ctx context.Context) bool { return s.intake.Flush(ctx) == nil }
	s.serve(w, r, true, stored, s.receive)
}

func (s *Sockets) receive(ctx context.Context, c *socket) {
	c.SetReadLimit(messageBytes)
	bad := 0
	defer func() {
		if bad > badEventsLogged {
			s.logger.Warn("a client sent events that were refused", "count", bad)
		}
	}()
	var buf bytes.Buffer
	for {
		b, err := s.readEvent(ctx, c, &buf)
		if err != nil && prefect.CodeOf(err) == prefect.Internal {
			return // the connection has ended, or must
		}
		var e *prefect.Event
		if err == nil {
			e, err = s.limits.Decode(b, s.now())
		}
		if err != nil {
			if bad++; bad <= badEventsLogged {
				s.logger.Warn("an event was refused", "error", err)
			}
			continue
		}
		if err := s.intake.Submit(ctx, e); err != nil {
			c.Close(websocket.StatusServiceRestart, "the server is stopping")
			return
		}
	}
}

// readEvent reads the next message; the bytes are good until the next call. Of
// one that is too large the rest is read and forgotten. Errors: TooLarge, else
// the connection's.
func (s *Sockets) readEvent(ctx context.Context, c *socket, buf *bytes.Buffer) ([]byte, error) {
	kind, r, err := c.Reader(ctx)
	if err != nil {
		return nil, err
	}
	if kind != websocket.MessageText {
		c.Close(websocket.StatusUnsupportedData, "events are text messages")
		return nil, errNotText
	}
	const keep = 1 << 16 // one large event must not hold its memory for good
	if buf.Reset(); buf.Cap() > keep {
		*buf = bytes.Buffer{}
	}
	n, err := buf.ReadFrom(io.LimitReader(r, int64(s.limits.Bytes)+1))
	if err != nil {
		return nil, err
	}
	if n > int64(s.limits.Bytes) {
		rest, err := io.Copy(io.Discard, r)
		if err != nil {
			return nil, err
		}
		return nil, prefect.Errorf(prefect.TooLarge, "an event of %d bytes is over the limit of %d", n+rest, s.limits.Bytes)
	}
	return buf.Bytes(), nil
}
