package twin

import (
	"context"
	"fmt"
	"maps"
	"slices"
)

// around is what a script's world is read back by: which rows are looked at,
// and whose they are.
type around struct {
	side *side
	keys map[string]*run   // by a row's key
	as   map[string]string // the row's name in what is seen
}

func (s *side) around() *around {
	return &around{side: s, keys: map[string]*run{}, as: map[string]string{}}
}

func (a *around) look(r *run, key, as string) { a.keys[key], a.as[key] = r, as }

// read runs sql for the keys, a hundred at a time, and keeps the rows. Rows of
// one key are numbered.
func (a *around) read(ctx context.Context, sql string) error {
	seen := map[string]int{}
	for part := range slices.Chunk(slices.Sorted(maps.Keys(a.keys)), 100) {
		rows, err := a.side.query(ctx, sql, part)
		if err != nil {
			return err
		}
		for _, row := range rows {
			of := str(row["of"])
			delete(row, "of")
			r := a.keys[of]
			r.normal.flatten(r.seen, fmt.Sprintf("%s[%d]", a.as[of], seen[of]), row)
			seen[of]++
		}
	}
	return nil
}

// readWorld adds what stands around the runs: limits and who holds them, what
// is cached, and the task runs that follow a flow run.
func (s *side) readWorld(ctx context.Context, cases []*script, runs []*run) error {
	limits, caches, others := s.around(), s.around(), s.around()
	for i, c := range cases {
		r := runs[i]
		if d := c.world.deployment; d != nil && d.limit >= 0 {
			limits.look(r, c.id("limit 0"), "limit 0")
		}
		for n, t := range c.world.tags {
			if t.limit >= 0 {
				role := fmt.Sprintf("limit %d", n)
				limits.look(r, c.id(role), role)
			}
		}
		if c.world.cache != nil {
			caches.look(r, c.cacheKey(), "cache")
		}
		if key := str(detail(c.proposal.state, "cache_key")); key != "" {
			caches.look(r, key, "cache")
		}
		if c.world.subflow {
			others.look(r, c.id("parent task"), "parent task")
		}
		if c.world.failedTask {
			others.look(r, c.id("failed task"), "failed task")
		}
	}
	// denied_slots is left out: by its decay the reference counts one up when its
	// clock and the database's differ.
	const taskColumns = "state_type, state_name, run_count, flow_run_run_count, start_time, end_time, expected_start_time, next_scheduled_start_time, state_timestamp, CAST(state_id AS TEXT) AS state_id"
	return firstError(
		func() error {
			return limits.read(ctx, `SELECT CAST(id AS TEXT) AS of, active_slots, active FROM concurrency_limit_v2 WHERE CAST(id AS TEXT) IN (?)`)
		},
		func() error { return s.readLeases(ctx, limits) },
		func() error {
			return caches.read(ctx, `SELECT cache_key AS of, cache_expiration, CAST(task_run_state_id AS TEXT) AS state_id FROM task_run_state_cache WHERE cache_key IN (?) ORDER BY created`)
		},
		func() error {
			return others.read(ctx, `SELECT CAST(id AS TEXT) AS of, `+taskColumns+` FROM task_run WHERE CAST(id AS TEXT) IN (?)`)
		},
		func() error { return others.readOtherStates(ctx) },
	)
}

// readOtherStates adds the states of the task runs that are looked at.
func (a *around) readOtherStates(ctx context.Context) error {
	for id := range a.as {
		a.as[id] += " states"
	}
	return a.read(ctx, `SELECT CAST(s.task_run_id AS TEXT) AS of, s.type, s.name, s.message, s.timestamp, CAST(s.state_details AS TEXT) AS details_json, CAST(a.data AS TEXT) AS result_json
		FROM task_run_state s LEFT JOIN artifact a ON a.id = s.result_artifact_id WHERE CAST(s.task_run_id AS TEXT) IN (?) ORDER BY s.timestamp`)
}

func firstError(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
