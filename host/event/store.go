package event

import (
	"context"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
)

// Writer stores what comes in.
type Writer interface {
	// WriteEvents stores the events with their resources, all or none. One whose
	// id is stored already is left out.
	WriteEvents(ctx context.Context, events []*prefect.Event) error
	// RecordTaskRuns stores the records, all or none, as TaskRunRecord tells.
	RecordTaskRuns(ctx context.Context, records []*prefect.TaskRunRecord) error
}

// Outbox is the table of promises that transitions made.
type Outbox interface {
	// ReadOutbox returns the oldest rows of those kinds, at most limit.
	ReadOutbox(ctx context.Context, limit int, kinds ...string) ([]orchestrate.OutboxRow, error)
	// DeleteOutbox deletes rows; ones that are gone are no error.
	DeleteOutbox(ctx context.Context, seqs []int64) error
	// RelayEvents stores the events as WriteEvents does and deletes the outbox rows
	// that promised them, seqs[i] that of events[i]. An error says that not all of it
	// was done; doing it again does the rest.
	RelayEvents(ctx context.Context, events []*prefect.Event, seqs []int64) error
	// ReadRelatedRows returns the rows that keys name, without those that are
	// gone, and the work pools of the work queues among them.
	ReadRelatedRows(ctx context.Context, keys prefect.RelatedKeys) ([]prefect.RelatedRow, error)
}

// Reader answers queries for stored events.
type Reader interface {
	// FilterEvents returns the events that the filter includes, in its order, at
	// most limit of them from offset on.
	FilterEvents(ctx context.Context, f *prefect.EventFilter, limit, offset int) ([]*prefect.Event, error)
	// CountEvents returns how many events the filter includes.
	CountEvents(ctx context.Context, f *prefect.EventFilter) (int, error)
}

// Store is all that the package needs of the database.
type Store interface {
	Writer
	Outbox
	Reader
	TaskQueues
}
