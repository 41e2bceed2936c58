package twin

import (
	"encoding/json"
	"fmt"
	"time"
)

// world is what stands around a run: what its rules read and change.
type world struct {
	deployment *deployment // of a flow run
	subflow    bool        // a flow run that stands for a task run of another
	flow       object      // state of a task run's flow run; nil is a flow run without a state
	alone      bool        // a task run without a flow run
	flowCount  int         // run count of a task run's flow run
	seenCount  int         // flow_run_run_count of the task run
	tags       []tag       // of a task run
	cache      *cached     // what is cached
	failedTask bool        // a failed task run in the flow run
}

// deployment is a flow run's, with what its limit is like.
type deployment struct {
	limit    int // -1: none
	used     int
	inactive bool
	strategy string // "" is none given
	grace    int    // 0 is none given
	gone     bool   // the row is missing
}

// tag is a tag of a task run, with what its limit is like.
type tag struct {
	name     string
	limit    int // -1: none
	used     int
	inactive bool
}

// cached is a row of the cache and the state that it names.
type cached struct {
	key     string
	state   object // nil: the state is gone
	expires string // "" is never
}

// rowsOf lists the rows of a script.
func rowsOf(s *script, flow string, base time.Time) []row {
	at := base.Add(-3 * time.Hour).UTC().Truncate(time.Second)
	a := arranger{script: s, flow: flow, at: at}
	if s.kind == flowRuns {
		a.flowRun()
	} else {
		a.taskRun()
	}
	return a.rows
}

type arranger struct {
	script *script
	flow   string
	at     time.Time
	rows   []row
}

// add adds a row with an id of its own.
func (a *arranger) add(table, id string, columns object) {
	columns["id"], columns["created"], columns["updated"] = id, a.at, a.at
	a.rows = append(a.rows, row{table, columns})
}

// times are the columns of a run that follow from the one state it was ever in.
func (a *arranger) times(state object, stateID string, runCount int, into object) {
	into["run_count"] = runCount
	if state == nil {
		return
	}
	into["state_id"], into["state_type"], into["state_name"], into["state_timestamp"] = stateID, state["type"], nameOf(state), a.at
	into["expected_start_time"] = a.at
	switch str(state["type"]) {
	case "SCHEDULED":
		into["next_scheduled_start_time"] = a.at
		if t, err := parseTime(str(detail(state, "scheduled_time"))); err == nil {
			into["next_scheduled_start_time"], into["expected_start_time"] = t, t
		}
	case "RUNNING", "PAUSED", "CANCELLING":
		into["start_time"] = a.at
	case "COMPLETED", "FAILED", "CANCELLED", "CRASHED":
		into["start_time"], into["end_time"] = a.at, a.at
	}
}

// state adds a state of a run, of table's run, with its result.
func (a *arranger) state(table, runID, id string, state object, more object) {
	d := object{}
	for k, v := range more {
		d[k] = v
	}
	if given, ok := state["state_details"].(object); ok {
		for k, v := range given {
			d[k] = v
		}
	}
	if state["type"] == "SCHEDULED" && d["scheduled_time"] == nil {
		d["scheduled_time"] = stamp(a.at)
	}
	columns := object{"type": state["type"], "name": nameOf(state), "message": state["message"], "timestamp": a.at, "state_details": text(d), table + "_id": runID}
	if data, ok := state["data"]; ok && !unpersisted(data) {
		artifact := a.script.id("artifact of " + id)
		a.add("artifact", artifact, object{"data": text(data), table + "_id": runID})
		columns["result_artifact_id"] = artifact
	}
	a.add(table+"_state", id, columns)
}

func unpersisted(data any) bool {
	m, ok := data.(object)
	return ok && m["type"] == "unpersisted"
}

func text(v any) string {
	raw, _ := json.Marshal(v) // maps of plain values
	return string(raw)
}

func (a *arranger) flowRun() {
	s, w := a.script, a.script.world
	id := s.id("run")
	columns := object{"name": s.name, "flow_id": a.flow, "empirical_policy": text(s.policy), "parameters": `{"x": 1}`, "tags": `["twin"]`}
	more := object{"flow_run_id": id}
	if s.pid != "" {
		columns["infrastructure_pid"] = s.pid
	}
	if d := w.deployment; d != nil {
		columns["deployment_id"] = s.id("deployment")
		a.deployment(d)
	}
	if w.subflow {
		parent, stands := s.id("parent run"), s.id("parent task")
		a.plainFlowRun(parent, state("RUNNING"), 1)
		a.plainTaskRun(stands, parent, "sub", state("PENDING"), 0)
		columns["parent_task_run_id"], more["task_run_id"] = stands, stands
	}
	a.times(s.initial, s.id("initial"), s.runCount, columns)
	a.add("flow_run", id, columns)
	if s.initial != nil {
		a.state("flow_run", id, s.id("initial"), s.initial, more)
	}
	if w.failedTask {
		a.plainTaskRun(s.id("failed task"), id, "failed", state("FAILED"), 1)
	}
}

// plainFlowRun is a flow run that others belong to.
func (a *arranger) plainFlowRun(id string, state object, runCount int) {
	columns := object{"name": a.script.name + ", its flow", "flow_id": a.flow, "empirical_policy": "{}", "parameters": "{}", "tags": "[]"}
	stateID := a.script.id("state of " + id)
	a.times(state, stateID, runCount, columns)
	a.add("flow_run", id, columns)
	if state != nil {
		a.state("flow_run", id, stateID, state, object{"flow_run_id": id})
	}
}

// plainTaskRun is a task run beside the script's run.
func (a *arranger) plainTaskRun(id, flowRun, key string, state object, runCount int) {
	columns := object{"name": key, "task_key": key, "dynamic_key": id, "flow_run_id": flowRun, "empirical_policy": "{}", "task_inputs": "{}", "tags": "[]"}
	stateID := a.script.id("state of " + id)
	a.times(state, stateID, runCount, columns)
	a.add("task_run", id, columns)
	a.state("task_run", id, stateID, state, object{"flow_run_id": flowRun, "task_run_id": id})
}

func (a *arranger) deployment(d *deployment) {
	if d.gone {
		return
	}
	s := a.script
	columns := object{"name": s.name, "flow_id": a.flow}
	if d.limit >= 0 {
		limit := s.id("limit 0")
		columns["concurrency_limit_id"] = limit
		a.limit(limit, "deployment:"+s.id("deployment"), d.limit, d.used, !d.inactive)
	}
	options := object{}
	if d.strategy != "" {
		options["collision_strategy"] = d.strategy
	}
	if d.grace > 0 {
		options["grace_period_seconds"] = d.grace
	}
	if d.strategy != "" {
		columns["concurrency_options"] = text(options)
	}
	a.add("deployment", s.id("deployment"), columns)
}

func (a *arranger) limit(id, name string, limit, used int, active bool) {
	a.add("concurrency_limit_v2", id, object{"name": name, "limit": limit, "active_slots": used, "denied_slots": 0, "active": active,
		"slot_decay_per_second": 0.0, "avg_slot_occupancy_seconds": 20.0})
}

func (a *arranger) taskRun() {
	s, w := a.script, a.script.world
	id := s.id("run")
	tags := []string{}
	for i, t := range w.tags {
		tags = append(tags, s.tag(t))
		if t.limit >= 0 {
			a.limit(s.id(fmt.Sprintf("limit %d", i)), "tag:"+s.tag(t), t.limit, t.used, !t.inactive)
		}
	}
	columns := object{"name": s.name, "task_key": "t of " + id, "dynamic_key": "0", "empirical_policy": text(s.policy), "task_inputs": "{}", "tags": text(tags), "flow_run_run_count": w.seenCount}
	more := object{"task_run_id": id}
	if !w.alone {
		parent := s.id("flow run")
		a.plainFlowRun(parent, w.flow, w.flowCount)
		columns["flow_run_id"], more["flow_run_id"] = parent, parent
	}
	a.times(s.initial, s.id("initial"), s.runCount, columns)
	a.add("task_run", id, columns)
	if s.initial != nil {
		a.state("task_run", id, s.id("initial"), s.initial, more)
	}
	if c := w.cache; c != nil {
		a.cached(c)
	}
}

// cached adds a state that another run left, and the row that names it.
func (a *arranger) cached(c *cached) {
	s := a.script
	other := s.id("cached run")
	a.add("task_run", other, object{"name": "cached", "task_key": "t", "dynamic_key": other, "empirical_policy": "{}", "task_inputs": "{}", "tags": "[]"})
	if c.state != nil {
		a.state("task_run", other, s.id("cached state"), c.state, object{"task_run_id": other, "cache_key": s.cacheKey()})
	}
	columns := object{"cache_key": s.cacheKey(), "task_run_state_id": s.id("cached state")}
	if t, err := parseTime(c.expires); err == nil {
		columns["cache_expiration"] = t
	}
	a.add("task_run_state_cache", s.id("cache"), columns)
}

// cacheKey is the key that the script proposes, or the one that the world has.
func (s *script) cacheKey() string {
	if key := str(detail(s.proposal.state, "cache_key")); key != "" {
		return key
	}
	return s.world.cache.key
}
