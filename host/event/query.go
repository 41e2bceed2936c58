package event

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"

	"github.com/interlock-run/interlock/host/prefect"
)

// PageEvents is the largest page of a query, and the one a client gets that
// names none.
const PageEvents = 50

// Page is one page of a query's answer.
type Page struct {
	Events []*prefect.Event
	Total  int    // that the filter includes, on all pages
	Next   string // for [Hub.Next]; "" on the last page
}

// pageToken is what a page's Next stands for.
type pageToken struct {
	Filter *prefect.EventFilter `json:"filter"`
	Count  int                  `json:"count"`
	Limit  int                  `json:"page_size"`
	Offset int                  `json:"offset"`
}

// Filter answers POST /api/events/filter: filter is the raw filter of the body,
// nil for none, limit 0 to PageEvents. The reply's next_page is the URL
// <base>/api/events/filter/next?page-token=<Next>, null without Next. Errors:
// Invalid.
func (h *Hub) Filter(ctx context.Context, filter json.RawMessage, limit int) (*Page, error) {
	f, err := prefect.DecodeEventFilter(filter, h.now())
	if err != nil {
		return nil, err
	}
	count, err := h.reader.CountEvents(ctx, f)
	if err != nil {
		return nil, err
	}
	return h.page(ctx, pageToken{Filter: f, Count: count, Limit: limit})
}

// Next answers GET /api/events/filter/next. Errors: Forbidden for a token that
// is none of ours.
func (h *Hub) Next(ctx context.Context, token string) (*Page, error) {
	var raw struct {
		pageToken
		Filter json.RawMessage `json:"filter"`
	}
	b, err := base64.URLEncoding.DecodeString(token)
	if err == nil {
		err = json.Unmarshal(b, &raw)
	}
	if err != nil || raw.Limit < 1 || raw.Limit > PageEvents || raw.Offset < 0 {
		return nil, prefect.Errorf(prefect.Forbidden, "not a page token")
	}
	t := raw.pageToken
	if t.Filter, err = prefect.DecodeEventFilter(raw.Filter, h.now()); err != nil {
		return nil, prefect.Errorf(prefect.Forbidden, "not a page token")
	}
	return h.page(ctx, t)
}

func (h *Hub) page(ctx context.Context, t pageToken) (*Page, error) {
	events := []*prefect.Event{}
	if t.Limit > 0 {
		found, err := h.reader.FilterEvents(ctx, t.Filter, t.Limit, t.Offset)
		if err != nil {
			return nil, err
		}
		events = append(events, found...)
	}
	p := &Page{Events: events, Total: t.Count}
	t.Offset += t.Limit
	if t.Limit == 0 || t.Offset >= t.Count {
		return p, nil
	}
	b, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	p.Next = base64.URLEncoding.EncodeToString(b)
	return p, nil
}

// Receive decodes events that came as the elements of a JSON list, and stores
// them: all, or none if one is refused. It returns when they are stored. Errors:
// Invalid with the places of refused fields under "body", TooLarge, Unavailable.
func (h *Hub) Receive(ctx context.Context, list []byte) error {
	events, err := h.decodeList(list)
	if err != nil {
		return err
	}
	for _, e := range events {
		if err := h.intake.Submit(ctx, e); err != nil {
			return err
		}
	}
	return h.intake.Flush(ctx)
}

// decodeList decodes one event after the other, and none any more once enough is
// refused: there can be millions.
func (h *Hub) decodeList(list []byte) ([]*prefect.Event, error) {
	noList := prefect.Errorf(prefect.Invalid, "events are a list")
	noList.Fields = []prefect.FieldError{{Loc: []any{"body"}, Msg: "not a list of events", Type: "list_type"}}
	d := json.NewDecoder(bytes.NewReader(list))
	if first, err := d.Token(); err != nil || first != json.Delim('[') {
		return nil, noList
	}
	events, refused, now := []*prefect.Event{}, []prefect.FieldError{}, h.now()
	var item json.RawMessage
	for i := 0; d.More() && len(refused) < prefect.MaxFields; i++ {
		if err := d.Decode(&item); err != nil {
			return nil, noList
		}
		e, err := h.limits.Decode(item, now)
		var refusal *prefect.Error
		switch {
		case err == nil:
			events = append(events, e)
		case errors.As(err, &refusal) && refusal.Code == prefect.Invalid:
			for _, f := range refusal.Fields {
				f.Loc = append([]any{"body", i}, f.Loc...)
				refused = append(refused, f)
			}
		default:
			return nil, err
		}
	}
	if len(refused) > 0 {
		err := prefect.Errorf(prefect.Invalid, "fields of the events were refused")
		err.Fields = refused[:min(len(refused), prefect.MaxFields)]
		return nil, err
	}
	if _, err := d.Token(); err != nil {
		return nil, noList
	}
	return events, nil
}
