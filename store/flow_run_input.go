package store

import (
	"context"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

const inputColumns = "id, created, updated, flow_run_id, key, value, sender"

func scanInput(row scanner) (*prefect.FlowRunInput, error) {
	i := &prefect.FlowRunInput{}
	err := row.Scan(into(&i.ID), into(&i.Created), into(&i.Updated), into(&i.FlowRunID), &i.Key, &i.Value, &i.Sender)
	return i, err
}

// CreateFlowRunInput inserts in, whose id is chosen if it is zero. Errors:
// Conflict for a key that the run has, or a run that does not exist.
func (db *DB) CreateFlowRunInput(ctx context.Context, in *prefect.FlowRunInput) error {
	if in.ID == uuid.Nil {
		in.ID = prefect.NewID()
	}
	return db.write(ctx, func(tx *tx) error {
		in.Created = tx.now()
		in.Updated = in.Created
		_, err := tx.ExecContext(ctx, insertInto("flow_run_input", inputColumns),
			tx.d.args(in.ID, in.Created, in.Updated, in.FlowRunID, in.Key, in.Value, in.Sender)...)
		return err
	})
}

// ReadFlowRunInput returns the input of a run by its key. Errors: NotFound.
func (db *DB) ReadFlowRunInput(ctx context.Context, flowRunID uuid.UUID, key string) (in *prefect.FlowRunInput, err error) {
	err = db.read(ctx, func(q querier) error {
		in, err = one(scanInput, q.QueryRowContext(ctx, "SELECT "+inputColumns+" FROM flow_run_input WHERE flow_run_id = ? AND key = ?",
			db.d.args(flowRunID, key)...))
		return err
	})
	return in, named(err, "flow_run_input", key)
}

// FilterFlowRunInput returns the inputs of a run whose key begins with prefix and
// is not excluded, oldest first, at most limit. As in the reference, % and _ in
// prefix stand for any text and any character.
func (db *DB) FilterFlowRunInput(ctx context.Context, flowRunID uuid.UUID, prefix string, limit int, exclude []string) (list []*prefect.FlowRunInput, err error) {
	args := db.d.args(flowRunID, prefix+"%")
	where := ""
	if len(exclude) > 0 {
		excluded, arg := db.d.anyKey("key", exclude)
		where, args = " AND NOT "+excluded, append(args, arg)
	}
	err = db.read(ctx, func(q querier) error {
		list, err = all(ctx, q, scanInput, "SELECT "+inputColumns+" FROM flow_run_input WHERE flow_run_id = ? AND key LIKE ?"+where+
			" ORDER BY created, id LIMIT ?", append(args, limit)...)
		return err
	})
	return list, err
}

// DeleteFlowRunInput deletes the input of a run by its key. Errors: NotFound.
func (db *DB) DeleteFlowRunInput(ctx context.Context, flowRunID uuid.UUID, key string) error {
	err := db.write(ctx, func(tx *tx) error {
		return deleteWhere(ctx, tx, "flow_run_input", "flow_run_id = ? AND key = ?", flowRunID, key)
	})
	return named(err, "flow_run_input", key)
}
