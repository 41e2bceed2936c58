package event

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// The bounds of what a subscriber gets from the past.
const (
	backfillSpan = 15 * time.Minute
	backfillPage = 250
	overlap      = time.Minute // after the past, in which the stream may repeat some of it
)

// EventsOut serves GET /api/events/out: the client sends a filter, then gets the
// stored events of the last minutes that the filter includes, unless it asks for
// none, and then those that come in. One that does not keep up is cut off; when
// it connects again it gets what it missed.
func (s *Sockets) EventsOut(w http.ResponseWriter, r *http.Request) {
	s.serve(w, r, false, nil, s.sendEvents)
}

// LogsOut serves GET /api/logs/out: the client sends a filter, then gets the logs
// that come in and that the filter includes.
func (s *Sockets) LogsOut(w http.ResponseWriter, r *http.Request) {
	s.serve(w, r, false, nil, s.sendLogs)
}

// readFilter reads the message that begins a stream out.
func readFilter(ctx context.Context, c *socket) (filter json.RawMessage, backfill, ok bool) {
	var message struct {
		Type     string          `json:"type"`
		Filter   json.RawMessage `json:"filter"`
		Backfill *bool           `json:"backfill"`
	}
	if err := readMessage(ctx, c, &message); err != nil || message.Type != "filter" || message.Filter == nil {
		c.Close(websocket.StatusProtocolError, "expected a filter message")
		return nil, false, false
	}
	return message.Filter, message.Backfill == nil || *message.Backfill, true
}

// maxReason is what a close frame has room for, in bytes.
const maxReason = 123

// refuseFilter ends the connection as the reference does, with what is wrong.
func refuseFilter(c *socket, err error) {
	c.Close(websocket.StatusProtocolError, prefect.Cut(strings.ToValidUTF8(err.Error(), "?"), maxReason))
}

func (s *Sockets) sendEvents(ctx context.Context, c *socket) {
	raw, backfill, ok := readFilter(ctx, c)
	if !ok {
		return
	}
	now := s.now()
	filter, err := prefect.DecodeEventFilter(raw, now)
	if err != nil {
		refuseFilter(c, err)
		return
	}
	filter.Clamp(now, backfillSpan)
	if filter.Occurred.Until == now { // the default, which ends before the stream begins
		filter.Occurred.Until = now.Add(365 * 24 * time.Hour)
	}
	filter.Order = "ASC"
	// Subscribed first, so that nothing falls between the past and the stream.
	sub := s.events.Subscribe(filter.Matcher())
	defer sub.Close()
	ctx = c.CloseRead(ctx)
	var sent map[uuid.UUID]struct{}
	if backfill {
		if sent, err = s.sendPast(ctx, c, filter); err != nil {
			switch {
			case ctx.Err() != nil:
			case prefect.CodeOf(err) == prefect.Invalid: // what the store alone finds wrong
				refuseFilter(c, err)
			default:
				s.logger.Error("reading events for a subscriber failed", "error", err)
				c.Close(websocket.StatusInternalError, "the events could not be read")
			}
			return
		}
	}
	forget := s.now().Add(overlap)
	stream(ctx, c, sub, func(b []byte, e *prefect.Event) []byte {
		if sent != nil && s.now().After(forget.Time) {
			sent = nil
		}
		if _, again := sent[e.ID]; again {
			delete(sent, e.ID)
			return nil
		}
		return appendEventMessage(b, e)
	})
}

// sendPast sends the stored events and returns their ids.
func (s *Sockets) sendPast(ctx context.Context, c *socket, f *prefect.EventFilter) (map[uuid.UUID]struct{}, error) {
	sent := make(map[uuid.UUID]struct{})
	var buf []byte
	for offset := 0; ; offset += backfillPage {
		events, err := s.reader.FilterEvents(ctx, f, backfillPage, offset)
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			buf = appendEventMessage(buf[:0], e)
			if err := write(ctx, c, buf); err != nil {
				return nil, err
			}
			sent[e.ID] = struct{}{}
		}
		if len(events) < backfillPage {
			return sent, nil
		}
	}
}

func appendEventMessage(b []byte, e *prefect.Event) []byte {
	b = append(b, `{"type":"event","event":`...)
	b = e.AppendJSON(b)
	return append(b, '}')
}

func (s *Sockets) sendLogs(ctx context.Context, c *socket) {
	raw, _, ok := readFilter(ctx, c)
	if !ok {
		return
	}
	include, err := logFilter(raw)
	if err != nil {
		refuseFilter(c, err)
		return
	}
	sub := s.logs.Subscribe(include)
	defer sub.Close()
	stream(c.CloseRead(ctx), c, sub, func(b []byte, l *prefect.Log) []byte {
		log, err := json.Marshal(l)
		if err != nil {
			return nil
		}
		b = append(b, `{"type":"log","log":`...)
		b = append(b, log...)
		return append(b, '}')
	})
}

// stream sends what a subscription gets until either side ends. message appends
// the message to its buffer; nil sends none.
func stream[T any](ctx context.Context, c *socket, sub *Subscription[T], message func([]byte, T) []byte) {
	var buf []byte
	for {
		select {
		case <-ctx.Done():
			return
		case v, ok := <-sub.C():
			if !ok {
				status, reason := websocket.StatusServiceRestart, "the server is stopping"
				if sub.Lagged() {
					status, reason = websocket.StatusTryAgainLater, "the subscriber does not keep up"
				}
				c.Close(status, reason)
				return
			}
			b := message(buf[:0], v)
			if b == nil {
				continue
			}
			buf = b
			if err := write(ctx, c, b); err != nil {
				return
			}
		}
	}
}
