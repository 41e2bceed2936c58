package store

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
)

// artifact is the row that holds a state's data.
type artifact struct {
	id                     uuid.UUID
	key, kind, description *string
	data                   json.RawMessage
	flowRunID, taskRunID   *uuid.UUID
}

// artifactOf returns the artifact for a state's data, nil for data that is not
// stored: null, and an object of type "unpersisted". Of an object it takes out
// what describes the artifact; the rest, in its order, is the data. Errors:
// Invalid for a description that is no text.
func artifactOf(data json.RawMessage) (*artifact, error) {
	if len(data) == 0 || string(data) == "null" {
		return nil, nil
	}
	a := &artifact{data: data}
	if data[0] != '{' || !bytes.Contains(data, []byte(`"artifact_`)) && !bytes.Contains(data, []byte(`"unpersisted"`)) {
		return a, nil
	}
	fields, err := objectFields(data)
	if err != nil {
		return nil, prefect.Errorf(prefect.Invalid, "a state's data is not valid JSON: %w", err)
	}
	kept := fields[:0:0]
	for _, f := range fields {
		var dst **string
		switch f.name {
		case "artifact_key":
			dst = &a.key
		case "artifact_type":
			dst = &a.kind
		case "artifact_description":
			dst = &a.description
		case "type":
			if string(f.value) == `"unpersisted"` {
				return nil, nil
			}
		}
		if dst == nil {
			kept = append(kept, f)
		} else if truthy(f.value) {
			if err := json.Unmarshal(f.value, dst); err != nil {
				return nil, prefect.Errorf(prefect.Invalid, "%s of a state's data is not a text", f.name)
			}
		}
	}
	if len(kept) < len(fields) {
		a.data = objectOf(kept)
	}
	return a, nil
}

// brought is the data of a commit's states as they came: a commit that is run again
// finds what describes an artifact in it, which the first run took out.
type brought map[*prefect.State]json.RawMessage

func dataOf(c *orchestrate.Commit) brought {
	b := brought{}
	var note func(c *orchestrate.Commit)
	note = func(c *orchestrate.Commit) {
		if c.State != nil && len(c.State.Data) > 0 {
			b[c.State] = c.State.Data
		}
		for _, n := range c.Nested {
			note(n)
		}
	}
	note(c)
	return b
}

func (b brought) restore() {
	for state, data := range b {
		state.Data = data
	}
}

// field is one member of a JSON object.
type field struct {
	name  string
	value json.RawMessage
}

// objectFields splits an object into its members, in order.
func objectFields(b json.RawMessage) ([]field, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	var fields []field
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		f := field{}
		f.name, _ = name.(string)
		if err := d.Decode(&f.value); err != nil {
			return nil, err
		}
		fields = append(fields, f)
	}
	return fields, nil
}

func objectOf(fields []field) json.RawMessage {
	b := []byte{'{'}
	for i, f := range fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, stringJSON(f.name)...)
		b = append(append(b, ':'), f.value...)
	}
	return append(b, '}')
}

func stringJSON(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil { // a string always marshals
		return []byte(`""`)
	}
	return b
}

// insertArtifact inserts a and, if it has a key, makes it the latest of its
// collection, which keeps what a does not say.
func insertArtifact(ctx context.Context, tx *tx, a *artifact) error {
	now := tx.now()
	insert := artifactInsert(tx.d, a, now)
	_, err := tx.ExecContext(ctx, insert.sql, insert.args...)
	if err != nil || a.key == nil {
		return err
	}
	_, err = tx.ExecContext(ctx, insertInto("artifact_collection",
		"id, created, updated, key, latest_id, type, data, description, flow_run_id, task_run_id")+` ON CONFLICT (key) DO UPDATE SET
		updated = excluded.updated, latest_id = excluded.latest_id, data = excluded.data,
		type = coalesce(excluded.type, artifact_collection.type),
		description = coalesce(excluded.description, artifact_collection.description),
		flow_run_id = coalesce(excluded.flow_run_id, artifact_collection.flow_run_id),
		task_run_id = coalesce(excluded.task_run_id, artifact_collection.task_run_id)`,
		tx.d.args(prefect.NewID(), now, now, a.key, a.id, a.kind, a.data, a.description, a.flowRunID, a.taskRunID)...)
	return err
}

func artifactInsert(d *dialect, a *artifact, now prefect.Time) statement {
	return statement{insertInto("artifact", "id, created, updated, key, type, data, description, flow_run_id, task_run_id"),
		d.args(a.id, now, now, a.key, a.kind, a.data, a.description, a.flowRunID, a.taskRunID)}
}
