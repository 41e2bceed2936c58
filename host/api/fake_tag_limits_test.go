package api

import (
	"context"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// The limits by tag of the fake: one, whose slots are gone for "full".

func (f *fake) tagLimit(tag string) (*prefect.TagLimit, error) {
	if tag == "none" {
		return nil, missing("limit")
	}
	return &prefect.TagLimit{Tag: tag, Limit: 1, Holders: []uuid.UUID{}}, nil
}

func (f *fake) PutTagLimit(_ context.Context, tag string, _ int) (*prefect.TagLimit, bool, error) {
	l, err := f.tagLimit(tag)
	return l, true, err
}

func (f *fake) ReadTagLimit(_ context.Context, tag string) (*prefect.TagLimit, error) {
	return f.tagLimit(tag)
}

func (f *fake) ReadTagLimitByID(context.Context, uuid.UUID) (*prefect.TagLimit, error) {
	return f.tagLimit("t")
}

func (f *fake) FilterTagLimits(context.Context, prefect.Page) ([]*prefect.TagLimit, error) {
	l, err := f.tagLimit("t")
	return []*prefect.TagLimit{l}, err
}

func (f *fake) ResetTagLimit(_ context.Context, tag string, _ []uuid.UUID, _ prefect.Time) error {
	_, err := f.tagLimit(tag)
	return err
}

func (f *fake) AcquireTagSlots(_ context.Context, tags []string, _ uuid.UUID, _ prefect.Time) ([]*prefect.ConcurrencyLimit, string, error) {
	if tags[0] == "full" {
		return nil, "full", nil
	}
	return []*prefect.ConcurrencyLimit{{Name: "tag:" + tags[0]}}, "", nil
}

func (f *fake) ReleaseTagSlots(_ context.Context, tags []string, _ uuid.UUID) ([]*prefect.ConcurrencyLimit, error) {
	return []*prefect.ConcurrencyLimit{{Name: "tag:" + tags[0]}}, nil
}
