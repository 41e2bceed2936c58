package host

import (
	"context"
	"encoding/json"

	"github.com/interlock-run/interlock/host/api"
	"github.com/interlock-run/interlock/host/event"
)

// events gives the hub the shape that the API asks for.
type events struct{ *event.Hub }

// FilterEvents returns the first page of what a filter includes.
func (e events) FilterEvents(ctx context.Context, filter json.RawMessage, limit int) (api.EventPage, error) {
	return eventPage(e.Filter(ctx, filter, limit))
}

// NextEvents returns the page after one.
func (e events) NextEvents(ctx context.Context, token string) (api.EventPage, error) {
	return eventPage(e.Next(ctx, token))
}

func eventPage(p *event.Page, err error) (api.EventPage, error) {
	if err != nil {
		return api.EventPage{}, err
	}
	return api.EventPage(*p), nil
}
