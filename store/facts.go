package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
)

const (
	// maxAttempts bounds the fact attempts, as the contract says.
	maxAttempts = 100
	// maxFactMessage bounds the message of a state in a fact, in bytes.
	maxFactMessage = 4096
)

// Facts reads the facts that keys name; a fact whose key is nil is null. The
// shapes are those of sdk/abi. Errors: a fact that this version does not have.
func (db *DB) Facts(ctx context.Context, keys orchestrate.FactKeys) (facts orchestrate.Facts, err error) {
	if len(keys.Names) == 0 {
		return orchestrate.Facts{}, nil
	}
	err = db.read(ctx, func(q querier) error {
		facts, err = readFacts(ctx, q, db.d, keys)
		return err
	})
	return facts, err
}

func readFacts(ctx context.Context, q querier, d *dialect, keys orchestrate.FactKeys) (orchestrate.Facts, error) {
	facts := make(orchestrate.Facts, len(keys.Names))
	r := factReader{q: q, d: d, keys: keys, facts: facts}
	for _, name := range keys.Names {
		if _, done := facts[name]; done {
			continue
		}
		v, err := r.read(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("fact %s: %w", name, err)
		}
		if facts[name], err = marshal(v); err != nil {
			return nil, err
		}
	}
	return facts, nil
}

type factReader struct {
	q     querier
	d     *dialect
	keys  orchestrate.FactKeys
	facts orchestrate.Facts
}

// read returns one fact as what marshals to it.
func (r *factReader) read(ctx context.Context, name string) (any, error) {
	base, suffix, _ := strings.Cut(name, ":")
	switch base {
	case "attempts":
		return keyed(r.keys.Attempts, func(k orchestrate.AttemptsKey) (any, error) { return r.attempts(ctx, k) })
	case "flow_run":
		return keyed(r.keys.FlowRun, func(id uuid.UUID) (any, error) { return r.flowRun(ctx, id) })
	case "parent_task_run":
		return keyed(r.keys.ParentTaskRun, func(id uuid.UUID) (any, error) { return r.parentTaskRun(ctx, id) })
	case "deployment":
		return keyed(r.keys.DeploymentID, func(id uuid.UUID) (any, error) { return r.deployment(ctx, id) })
	case "work_queue":
		return keyed(r.keys.WorkQueueID, func(id uuid.UUID) (any, error) { return r.workQueue(ctx, id) })
	case "run_slots":
		return r.runSlots(ctx)
	case "tag_limits":
		return r.tagLimits(ctx)
	case "cached_state":
		return keyed(r.keys.CacheKey, func(key string) (any, error) { return r.cachedState(ctx, key) })
	case "recent_outcomes":
		seconds, err := strconv.Atoi(suffix)
		if err != nil {
			return nil, fmt.Errorf("%q is not a number of seconds", suffix)
		}
		return r.recentOutcomes(ctx, seconds)
	}
	return nil, errors.New("is not known to this version")
}

// keyed reads by a key that may be nil.
func keyed[K any](key *K, read func(K) (any, error)) (any, error) {
	if key == nil {
		return nil, nil
	}
	v, err := read(*key)
	if errors.Is(err, sql.ErrNoRows) {
		return map[string]any{"id": *key, "found": false}, nil
	}
	return v, err
}

func cut(s *string, limit int) *string {
	if s == nil || len(*s) <= limit {
		return s
	}
	short := strings.ToValidUTF8((*s)[:limit], "")
	return &short
}

type attempt struct {
	Number  int                `json:"number"`
	Started prefect.Time       `json:"started"`
	Ended   *prefect.Time      `json:"ended"`
	Type    *prefect.StateType `json:"type"`
	Name    *string            `json:"name"`
	Message *string            `json:"message"`
}

// attempts are the stays in RUNNING. Two RUNNING states in a row are one stay.
func (r *factReader) attempts(ctx context.Context, key orchestrate.AttemptsKey) (any, error) {
	t := tablesOf(key.RunType)
	type row struct {
		stateType prefect.StateType
		name      string
		at        prefect.Time
		message   *string
	}
	states, err := all(ctx, r.q, func(s scanner) (v row, err error) {
		err = s.Scan(&v.stateType, &v.name, into(&v.at), &v.message)
		return v, err
	}, "SELECT type, name, timestamp, message FROM "+t.state+" WHERE "+t.runID+" = ? ORDER BY timestamp", r.d.arg(key.RunID))
	if err != nil {
		return nil, err
	}
	list := []attempt{}
	running := false
	for _, s := range states {
		switch {
		case s.stateType == prefect.Running && !running:
			list = append(list, attempt{Number: len(list) + 1, Started: s.at})
		case s.stateType != prefect.Running && running:
			a := &list[len(list)-1]
			a.Ended, a.Type, a.Name, a.Message = s.at.Ptr(), &s.stateType, &s.name, cut(s.message, maxFactMessage)
		}
		running = s.stateType == prefect.Running
	}
	return list[max(0, len(list)-maxAttempts):], nil
}

func (r *factReader) flowRun(ctx context.Context, id uuid.UUID) (any, error) {
	var runCount int
	var stateType, name *string
	var raw json.RawMessage
	err := r.q.QueryRowContext(ctx, `SELECT r.run_count, s.type, s.name, s.state_details FROM flow_run r
		LEFT JOIN flow_run_state s ON s.id = r.state_id WHERE r.id = ?`, r.d.arg(id)).Scan(&runCount, &stateType, &name, into(&raw))
	if err != nil {
		return nil, err
	}
	fact := map[string]any{"id": id, "found": true, "run_count": runCount, "state": nil}
	if stateType != nil {
		var details struct {
			PauseTimeout    *prefect.Time `json:"pause_timeout"`
			PauseReschedule bool          `json:"pause_reschedule"`
		}
		if len(raw) > 0 {
			if err := json.Unmarshal(raw, &details); err != nil {
				return nil, err
			}
		}
		fact["state"] = map[string]any{"type": *stateType, "name": *name, "state_details": details}
	}
	return fact, nil
}

func (r *factReader) parentTaskRun(ctx context.Context, id uuid.UUID) (any, error) {
	var name string
	var flowRunID *uuid.UUID
	var runCount int
	var tags []string
	var stateType, stateName *string
	err := r.q.QueryRowContext(ctx, "SELECT name, flow_run_id, run_count, tags, state_type, state_name FROM task_run WHERE id = ?", r.d.arg(id)).
		Scan(&name, into(&flowRunID), &runCount, into(&tags), &stateType, &stateName)
	if err != nil {
		return nil, err
	}
	fact := map[string]any{"id": id, "found": true, "name": name, "flow_run_id": flowRunID, "run_count": runCount, "tags": tags, "state": nil}
	if stateType != nil {
		fact["state"] = map[string]any{"type": *stateType, "name": stateName}
	}
	return fact, nil
}

func (r *factReader) workQueue(ctx context.Context, id uuid.UUID) (any, error) {
	f := struct {
		ID       uuid.UUID `json:"id"`
		Found    bool      `json:"found"`
		Name     string    `json:"name"`
		Pool     *string   `json:"work_pool_name"`
		Status   string    `json:"status"`
		IsPaused bool      `json:"is_paused"`
		Limit    *int      `json:"concurrency_limit"`
		Priority int       `json:"priority"`
	}{ID: id, Found: true}
	err := r.q.QueryRowContext(ctx, `SELECT q.name, p.name, q.status, q.is_paused, q.concurrency_limit, q.priority FROM work_queue q
		LEFT JOIN work_pool p ON p.id = q.work_pool_id WHERE q.id = ?`, r.d.arg(id)).
		Scan(&f.Name, &f.Pool, &f.Status, &f.IsPaused, &f.Limit, &f.Priority)
	return f, err
}

// cachedState is the state that the newest row of the cache names for the key; a
// row that has expired counts for nothing, one whose state is gone for no hit.
// The state as a whole goes beside the fact, for the host.
func (r *factReader) cachedState(ctx context.Context, key string) (any, error) {
	s, err := one(scanState, r.q.QueryRowContext(ctx, "SELECT "+stateColumns+` FROM
		(SELECT task_run_state_id FROM task_run_state_cache WHERE cache_key = ? AND (cache_expiration IS NULL OR cache_expiration > ?)
			ORDER BY created DESC LIMIT 1) c
		JOIN task_run_state s ON s.id = c.task_run_state_id`+stateArtifact, r.d.args(key, r.keys.Now)...))
	if errors.Is(err, errNoRow) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if r.facts[orchestrate.CachedStateFull], err = marshal(s); err != nil {
		return nil, err
	}
	return map[string]any{"id": s.ID, "type": s.Type, "name": s.Name, "message": cut(s.Message, maxFactMessage),
		"state_details": s.Details, "result": resultOf(s.Data)}, nil
}

// resultOf says what kind of data a state has, as the contract does.
func resultOf(data json.RawMessage) string {
	switch {
	case len(data) == 0 || string(data) == "null":
		return "none"
	case !truthy(data):
		return "empty"
	case data[0] != '{':
		return "other"
	}
	var o struct{ Type any }
	if err := json.Unmarshal(data, &o); err == nil && o.Type == "unpersisted" {
		return "unpersisted"
	}
	return "object"
}

// recentOutcomes counts the runs that ended within the window.
func (r *factReader) recentOutcomes(ctx context.Context, window int) (any, error) {
	fact := map[string]any{"window_seconds": window, "flow": nil, "deployment": nil, "task": nil}
	since := r.keys.Now.Add(-time.Duration(window) * time.Second)
	for _, of := range []struct {
		name, where string
		key         any
		asked       bool
	}{
		{"flow", "flow_run WHERE flow_id = ?", r.keys.FlowID, r.keys.FlowID != nil},
		{"deployment", "flow_run WHERE deployment_id = ?", r.keys.DeploymentID, r.keys.DeploymentID != nil},
		{"task", "task_run WHERE flow_run_id IS NOT NULL AND task_key = ?", r.keys.TaskKey, r.keys.FlowRun != nil},
	} {
		if !of.asked {
			continue
		}
		counts := map[string]int{"COMPLETED": 0, "FAILED": 0, "CANCELLED": 0, "CRASHED": 0}
		_, err := all(ctx, r.q, func(row scanner) (name string, err error) {
			var n int
			err = row.Scan(&name, &n)
			counts[name] = n
			return name, err
		}, "SELECT state_type, count(*) FROM "+of.where+` AND end_time >= ? AND state_type IN ('COMPLETED', 'FAILED', 'CANCELLED', 'CRASHED')
			GROUP BY state_type`, r.d.args(of.key, since)...)
		if err != nil {
			return nil, err
		}
		fact[of.name] = counts
	}
	return fact, nil
}
