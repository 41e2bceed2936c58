package twin

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/interlock-run/interlock/test/rest"
)

// run is a script under way on one side.
type run struct {
	kind   *kind
	id     string
	normal *normal
	seen   map[string]string // the flattened observations
}

// newRun returns the run of a script whose rows are there.
func (s *side) newRun(c *script, base time.Time) *run {
	r := &run{kind: c.kind, id: c.id("run"), normal: newNormal(c.given(base)), seen: map[string]string{}}
	r.normal.know("t of " + r.id)
	r.normal.ids[s.flow] = "the flow"
	for _, role := range []string{"run", "initial", "deployment", "limit 0", "limit 1", "limit 2", "parent run", "parent task", "flow run", "cached run", "cached state", "cache", "failed task"} {
		r.normal.ids[c.id(role)] = "the " + role
	}
	return r
}

// create makes a run by way of the API.
func (s *side) create(ctx context.Context, k *kind, body object, known map[string]bool) (*run, error) {
	r := &run{kind: k, normal: newNormal(maps.Clone(known)), seen: map[string]string{}}
	r.normal.know(str(body["name"]))
	r.normal.ids[s.flow] = "the flow"
	if k == flowRuns {
		body = maps.Clone(body)
		body["flow_id"] = s.flow
	}
	reply, err := s.client.Do(ctx, rest.Request{Method: http.MethodPost, Path: k.path, Body: body})
	if err != nil {
		return nil, err
	}
	v, err := r.observe("create", reply)
	if err != nil {
		return nil, err
	}
	if reply.Status >= 300 {
		return nil, fmt.Errorf("%s: create %v: %d %.300s", s.server.Kind, body["name"], reply.Status, reply.Raw)
	}
	r.id = field(v, "id")
	r.normal.ids[r.id] = "the run"
	return r, nil
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
	q := rest.Request{Method: http.MethodPost, Path: r.kind.path + r.id + "/set_state", Body: object{"state": p.state, "force": p.force}, Header: map[string]string{}}
	if p.version != "" {
		q.Header[rest.VersionHeader] = p.version
	}
	if p.agent != "" {
		q.Header["User-Agent"] = p.agent
	}
	reply, err := s.client.Do(ctx, q)
	if err != nil {
		return nil, err
	}
	return r.observe(name, reply)
}

// readBack adds the rows of runs, as the API and the database show them.
func (s *side) readBack(ctx context.Context, k *kind, runs []*run) error {
	const page = 100
	for from := 0; from < len(runs); from += page {
		part := runs[from:min(from+page, len(runs))]
		if err := s.readStates(ctx, k, part); err != nil {
			return err
		}
		if err := s.readRuns(ctx, k, part); err != nil {
			return err
		}
	}
	return nil
}

func byID(runs []*run) (all map[string]*run, ids []string) {
	all = map[string]*run{}
	for _, r := range runs {
		all[r.id] = r
		ids = append(ids, r.id)
	}
	return all, ids
}

func (s *side) readRuns(ctx context.Context, k *kind, runs []*run) error {
	all, ids := byID(runs)
	criteria := object{strings.Trim(k.path, "/"): object{"id": object{"any_": ids}}}
	reply, err := s.client.Do(ctx, rest.Request{Method: http.MethodPost, Path: k.path + "filter", Body: criteria})
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
		r := all[field(row, "id")]
		if r == nil {
			return fmt.Errorf("%s: the filter returned a run that was not asked for: %v", s.server.Kind, field(row, "id"))
		}
		// None of the windows: no rule takes the time of a read, and on a slow machine
		// it comes when a delay of before is over.
		r.normal.read = &window{"read", reply.Sent, reply.Received}
		r.normal.flatten(r.seen, "run", row)
	}
	return nil
}

// readStates adds the states of runs, oldest first, from the database itself.
func (s *side) readStates(ctx context.Context, k *kind, runs []*run) error {
	all, ids := byID(runs)
	rows, err := s.query(ctx, `SELECT CAST(s.`+k.table+`_id AS TEXT) AS of, CAST(s.type AS TEXT) AS type, s.name, s.message, CAST(s.timestamp AS TEXT) AS timestamp,
		CAST(s.state_details AS TEXT) AS details_json, CAST(a.data AS TEXT) AS result_json
		FROM `+k.table+`_state s LEFT JOIN artifact a ON a.id = s.result_artifact_id WHERE CAST(s.`+k.table+`_id AS TEXT) IN (?) ORDER BY s.timestamp`, ids)
	if err != nil {
		return err
	}
	states := map[string][]object{}
	for _, row := range rows {
		of := str(row["of"])
		delete(row, "of")
		states[of] = append(states[of], row)
	}
	for id, list := range states {
		r := all[id]
		for i, one := range list {
			if i > 0 && list[i-1]["type"] == "RUNNING" {
				r.normal.history += since(list[i-1], one)
			}
			r.normal.flatten(r.seen, fmt.Sprintf("states[%d]", i), one)
		}
	}
	return nil
}

// since is how long the state a was before b.
func since(a, b object) float64 {
	from, err := parseTime(str(a["timestamp"]))
	to, err2 := parseTime(str(b["timestamp"]))
	if err != nil || err2 != nil {
		return unknownHistory
	}
	return to.Sub(from).Seconds()
}

// query runs a statement whose (?) stands for keys, and returns its rows. Columns named
// _json are decoded, and what is null or false in them is left out, as the two
// servers may or may not write it.
func (s *side) query(ctx context.Context, sql string, keys []string) ([]object, error) {
	marks, args := make([]string, len(keys)), make([]any, len(keys))
	for i, key := range keys {
		marks[i], args[i] = fmt.Sprintf("$%d", i+1), key
	}
	rows, err := s.db.QueryContext(ctx, strings.Replace(sql, "(?)", "("+strings.Join(marks, ",")+")", 1), args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", s.server.Kind, sql, err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var all []object
	for rows.Next() {
		into := make([]any, len(names))
		for i := range into {
			into[i] = new(any)
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		row := object{}
		for i, name := range names {
			v := *into[i].(*any)
			if name, ok := strings.CutSuffix(name, "_json"); ok {
				row[name] = decoded(v)
				continue
			}
			if t, ok := v.(time.Time); ok {
				v = t.UTC().Format(time.RFC3339Nano)
			}
			row[name] = v
		}
		all = append(all, row)
	}
	return all, rows.Err()
}

func decoded(v any) any {
	raw, ok := v.(string)
	if !ok {
		return nil
	}
	dec := json.NewDecoder(strings.NewReader(raw))
	dec.UseNumber()
	var out any
	if err := dec.Decode(&out); err != nil {
		return raw
	}
	if m, ok := out.(object); ok {
		for k, item := range m {
			if item == nil || item == false {
				delete(m, k)
			}
		}
	}
	return out
}
