package twin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/interlock-run/interlock/test/rest"
)

// object is a JSON object.
type object = map[string]any

// proposal is one set_state request.
type proposal struct {
	state   object
	force   bool
	version string // API version; "" sends no header
}

func (p proposal) String() string {
	raw, _ := json.Marshal(p.state)
	return fmt.Sprintf("%s force=%t api=%s", raw, p.force, p.version)
}

// script is one case: a run in its initial state, and what is proposed.
type script struct {
	name     string
	initial  object // nil: a run without a state, which is one whose row was made so
	policy   object // empirical_policy
	runCount int    // -1 leaves what the creation made of it
	pid      string // infrastructure_pid
	proposal proposal
}

// initialType and proposedType are "" for none.
func (s *script) initialType() string  { return str(s.initial["type"]) }
func (s *script) proposedType() string { return str(s.proposal.state["type"]) }

// detail returns a field of a state's details, nil if it has none.
func (s *script) detail(state object, name string) any {
	d, _ := state["state_details"].(object)
	return d[name]
}

// pauseIsOver reports whether the initial state's pause timed out.
func (s *script) pauseIsOver() bool {
	t, err := parseTime(str(s.detail(s.initial, "pause_timeout")))
	return err == nil && t.Before(time.Now())
}

// created says when the initial state was written, in the words of [normal].
func (s *script) created() string {
	if _, later := s.initial["data"]; later {
		return "time of initial"
	}
	return "time of create"
}

func str(v any) string {
	s, _ := v.(string)
	return s
}

// run is a script under way on one side.
type run struct {
	id     string
	normal *normal
	seen   map[string]string // the flattened observations
}

// given collects every text in what the script sends.
func given(parts ...any) map[string]bool {
	all := map[string]bool{}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case object:
			for _, item := range v {
				walk(item)
			}
		case []any:
			for _, item := range v {
				walk(item)
			}
		case []string:
			for _, item := range v {
				all[item] = true
			}
		case string:
			all[v] = true
		}
	}
	for _, p := range parts {
		walk(p)
	}
	return all
}

// create makes the script's run by way of the API.
func (s *side) create(ctx context.Context, name string, initial, policy object, known map[string]bool) (*run, error) {
	body := object{"flow_id": s.flow, "name": name, "empirical_policy": policy, "parameters": object{"x": 1}, "tags": []string{"twin"}}
	// The reference cannot create a run whose state has data: 500.
	_, later := initial["data"]
	if initial != nil && !later {
		body["state"] = initial
	}
	known[name] = true
	r := &run{normal: newNormal(known), seen: map[string]string{}}
	r.normal.ids[s.flow] = "the flow"
	reply, err := s.client.Do(ctx, rest.Request{Method: http.MethodPost, Path: "/flow_runs/", Body: body})
	if err != nil {
		return nil, err
	}
	v, err := r.observe("create", reply)
	if err != nil {
		return nil, err
	}
	if reply.Status >= 300 {
		return nil, fmt.Errorf("%s: create %s: %d %.300s", s.server.Kind, name, reply.Status, reply.Raw)
	}
	m, _ := v.(object)
	r.id = str(m["id"])
	r.normal.ids[r.id] = "the run"
	if later {
		_, err = s.propose(ctx, r, "initial", proposal{state: initial, force: true})
	}
	return r, err
}

// observe keeps what a reply says, with the window of its request.
func (r *run) observe(name string, reply *rest.Reply) (any, error) {
	r.normal.windows = append(r.normal.windows, window{name, reply.Sent, reply.Received})
	r.seen[name+" status"] = fmt.Sprint(reply.Status)
	if reply.Status >= 400 {
		return nil, nil // the texts of errors are ours
	}
	v, err := reply.Value()
	if err != nil {
		return nil, err
	}
	r.normal.flatten(r.seen, name, v)
	return v, nil
}

// propose sends a proposal and returns the reply's body.
func (s *side) propose(ctx context.Context, r *run, name string, p proposal) (any, error) {
	q := rest.Request{Method: http.MethodPost, Path: "/flow_runs/" + r.id + "/set_state", Body: object{"state": p.state, "force": p.force}}
	if p.version != "" {
		q.Header = map[string]string{rest.VersionHeader: p.version}
	}
	reply, err := s.client.Do(ctx, q)
	if err != nil {
		return nil, err
	}
	return r.observe(name, reply)
}

// readBack adds the rows of runs, as the API and the database show them.
func (s *side) readBack(ctx context.Context, runs []*run) error {
	const page = 100
	for from := 0; from < len(runs); from += page {
		part := runs[from:min(from+page, len(runs))]
		if err := s.readStates(ctx, part); err != nil {
			return err
		}
		if err := s.readRuns(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

func (s *side) readRuns(ctx context.Context, runs []*run) error {
	byID := map[string]*run{}
	var ids []string
	for _, r := range runs {
		byID[r.id] = r
		ids = append(ids, r.id)
	}
	reply, err := s.client.Do(ctx, rest.Request{Method: http.MethodPost, Path: "/flow_runs/filter", Body: object{"flow_runs": object{"id": object{"any_": ids}}}})
	if err != nil {
		return err
	}
	v, err := reply.Value()
	if err != nil {
		return err
	}
	rows, ok := v.([]any)
	if !ok || len(rows) != len(runs) {
		return fmt.Errorf("%s: %d of %d runs read back: %d %.200s", s.server.Kind, len(rows), len(runs), reply.Status, reply.Raw)
	}
	for _, row := range rows {
		m, _ := row.(object)
		r := byID[str(m["id"])]
		if r == nil {
			return fmt.Errorf("%s: the filter returned a run that was not asked for: %v", s.server.Kind, m["id"])
		}
		r.normal.windows = append(r.normal.windows, window{"read", reply.Sent, reply.Received})
		r.normal.flatten(r.seen, "run", row)
	}
	return nil
}

// readStates adds the states of runs, oldest first, from the database itself.
func (s *side) readStates(ctx context.Context, runs []*run) error {
	byID := map[string]*run{}
	var marks []string
	var args []any
	for i, r := range runs {
		byID[r.id] = r
		marks = append(marks, fmt.Sprintf("$%d", i+1))
		args = append(args, r.id)
	}
	rows, err := s.db.QueryContext(ctx, `SELECT CAST(flow_run_id AS TEXT), CAST(type AS TEXT), name, message, CAST(timestamp AS TEXT), result_artifact_id IS NOT NULL
		FROM flow_run_state WHERE CAST(flow_run_id AS TEXT) IN (`+strings.Join(marks, ",")+`) ORDER BY timestamp`, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	type stateRow struct {
		kind string
		at   time.Time
	}
	states := map[string][]stateRow{}
	for rows.Next() {
		var id, kind, name, at string
		var message *string
		var artifact bool
		if err := rows.Scan(&id, &kind, &name, &message, &at, &artifact); err != nil {
			return err
		}
		t, err := parseRowTime(at)
		if err != nil {
			return err
		}
		r := byID[id]
		n := len(states[id])
		text := "none"
		if message != nil {
			if text = *message; !r.normal.given[text] {
				text = "a text"
			}
		}
		r.seen[fmt.Sprintf("states[%d]", n)] = fmt.Sprintf("%s %s, message %s, %s, result stored %t", kind, name, text, r.normal.instant(t), artifact)
		states[id] = append(states[id], stateRow{kind, t})
	}
	for id, list := range states {
		r := byID[id]
		for i := 1; i < len(list); i++ {
			if list[i-1].kind == "RUNNING" {
				r.normal.history += list[i].at.Sub(list[i-1].at).Seconds()
			}
		}
	}
	return rows.Err()
}

func parseRowTime(s string) (time.Time, error) {
	for _, layout := range []string{"2006-01-02 15:04:05.999999Z07", "2006-01-02 15:04:05.999999", time.RFC3339Nano} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("no time: %q", s)
}
