package store

import (
	"context"
	"database/sql"
	"encoding/json"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// The two kinds of run have tables of states that differ in names only.
type runTables struct {
	run, state string // tables
	runID      string // the state's column for its run
}

func tablesOf(t prefect.RunType) runTables {
	if t == prefect.TaskRunType {
		return runTables{run: "task_run", state: "task_run_state", runID: "task_run_id"}
	}
	return runTables{run: "flow_run", state: "flow_run_state", runID: "flow_run_id"}
}

// stateColumns are read together with the artifact that holds the data of new
// states; old ones have it in a column of their own.
const stateColumns = "s.id, s.type, s.name, s.timestamp, s.message, s.state_details, s.data, a.data"

const stateArtifact = " LEFT JOIN artifact a ON a.id = s.result_artifact_id"

// currentState joins a run's current state, with its data, as s and a. Postgres
// has to look both up for each run of a page: left to itself it reads the whole
// table of states once it has no fresh statistics.
func (d *dialect) currentState(t runTables) string {
	if d.postgres {
		return " LEFT JOIN LATERAL (SELECT * FROM " + t.state + " WHERE id = " + t.run + ".state_id OFFSET 0) s ON true" +
			" LEFT JOIN LATERAL (SELECT data FROM artifact WHERE id = s.result_artifact_id OFFSET 0) a ON true"
	}
	return " LEFT JOIN " + t.state + " s ON s.id = " + t.run + ".state_id" + stateArtifact
}

// stateRow receives stateColumns, which are all null for a run without a state.
type stateRow struct {
	id               *uuid.UUID
	stateType, name  sql.NullString
	timestamp        prefect.Time
	message          *string
	details          json.RawMessage
	data, resultData json.RawMessage
}

func (r *stateRow) columns() []any {
	return []any{into(&r.id), &r.stateType, &r.name, into(&r.timestamp), &r.message, into(&r.details),
		into(&r.data), into(&r.resultData)}
}

// state returns nil if there is none.
func (r *stateRow) state() (*prefect.State, error) {
	if r.id == nil {
		return nil, nil
	}
	s := &prefect.State{
		ID: *r.id, Type: prefect.StateType(r.stateType.String), Name: r.name.String,
		Timestamp: r.timestamp, Message: r.message, Data: r.resultData, Details: prefect.NewStateDetails(),
	}
	if truthy(r.data) {
		s.Data = r.data
	}
	if len(r.details) > 0 {
		if err := stateDetails(r.details, &s.Details); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// truthy is Python's truth of a JSON value, by which the reference tells data in
// the old column from none.
func truthy(b json.RawMessage) bool {
	switch string(b) {
	case "", "null", "false", "0", "0.0", `""`, "[]", "{}":
		return false
	}
	return true
}

func scanState(row scanner) (*prefect.State, error) {
	var r stateRow
	if err := row.Scan(r.columns()...); err != nil {
		return nil, err
	}
	return r.state()
}

func (db *DB) readState(ctx context.Context, t runTables, id uuid.UUID) (*prefect.State, error) {
	var s *prefect.State
	err := db.read(ctx, func(q querier) (err error) {
		s, err = one(scanState, q.QueryRowContext(ctx,
			"SELECT "+stateColumns+" FROM "+t.state+" s"+stateArtifact+" WHERE s.id = ?", db.d.arg(id)))
		return err
	})
	return s, named(err, t.state, id)
}

func (db *DB) readStates(ctx context.Context, t runTables, run uuid.UUID) ([]*prefect.State, error) {
	var list []*prefect.State
	err := db.read(ctx, func(q querier) (err error) {
		list, err = all(ctx, q, scanState,
			"SELECT "+stateColumns+" FROM "+t.state+" s"+stateArtifact+" WHERE s."+t.runID+" = ? ORDER BY s.timestamp", db.d.arg(run))
		return err
	})
	return list, err
}
