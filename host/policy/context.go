package policy

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/value"
)

// call is what a module is asked about a transition.
type call struct {
	phase    string
	entries  []*entry
	t        *orchestrate.Transition // with the run as the call shall see it
	proposed *prefect.State          // nil once nothing is to be written
	intended prefect.StateType
	final    *prefect.State // phase after only
	status   prefect.Status // phase after only
	seed     string
	lean     bool // for the built-in rules, which decide alike without what users can make large
}

// appendContext appends the context of a call as abi.Context has it. Details of
// states are told if they are set: an absent one is null or false. A lean one has
// no tags, labels and keysets of inputs, of pause keys the proposed one, and texts
// cut.
func appendContext(b []byte, c *call) []byte {
	e := encoder{b, c.lean}
	e.open('{')
	e.int("abi", abi.Version)
	e.text("phase", c.phase)
	e.time("now", &c.t.Now)
	e.text("seed", c.seed)
	e.text("run_type", string(c.t.RunType))
	e.key("rules")
	e.open('[')
	for _, entry := range c.entries {
		e.open('{')
		e.text("name", entry.rule.Name)
		e.raw("config", entry.config, "{}")
		e.close('}')
	}
	e.close(']')
	e.key("transition")
	e.transition(c)
	e.key("run")
	if c.t.FlowRun != nil {
		e.flowRun(c.t.FlowRun, c.proposed)
	} else {
		e.taskRun(c.t.TaskRun)
	}
	e.key("facts")
	e.open('{')
	for i, entry := range c.entries {
		for _, fact := range entry.rule.Facts {
			if !declared(c.entries[:i], fact) {
				e.raw(fact, c.t.Facts[fact], "null")
			}
		}
	}
	e.close('}')
	if c.final != nil {
		e.key("final")
		e.open('{')
		e.text("status", string(c.status))
		e.key("state")
		e.state(c.final, false)
		e.close('}')
	}
	e.close('}')
	return e.b[:len(e.b)-1]
}

func declared(entries []*entry, fact string) bool {
	for _, entry := range entries {
		if slices.Contains(entry.rule.Facts, fact) {
			return true
		}
	}
	return false
}

func (e *encoder) transition(c *call) {
	e.open('{')
	e.id("id", c.t.Proposed.Details.TransitionID)
	e.key("initial_state")
	e.state(c.t.Initial, true)
	e.key("proposed_state")
	e.state(c.proposed, false)
	e.text("intended_type", string(c.intended))
	e.bool("force", c.t.Force)
	e.key("client")
	e.open('{')
	e.version("version", "release", c.t.Client)
	e.bool("prerelease", c.t.Client.Prerelease)
	e.version("api_version", "api_release", c.t.API)
	e.close('}')
	e.close('}')
}

func (e *encoder) version(text, release string, v orchestrate.Version) {
	if !v.Known() {
		e.raw(text, nil, "null")
		e.raw(release, nil, "null")
		return
	}
	e.text(text, v.Text)
	e.key(release)
	e.open('[')
	for _, n := range v.Release {
		e.b = strconv.AppendInt(e.b, int64(n), 10)
		e.b = append(e.b, ',')
	}
	e.close(']')
}

func (e *encoder) state(s *prefect.State, written bool) {
	if s == nil {
		e.b = append(e.b, "null,"...)
		return
	}
	e.open('{')
	if written {
		e.id("id", &s.ID)
	} else {
		e.id("id", nil)
	}
	e.text("type", string(s.Type))
	e.text("name", s.Name)
	e.time("timestamp", &s.Timestamp)
	if s.Message != nil {
		e.text("message", prefect.Cut(*s.Message, abi.MaxMessage))
	} else {
		e.raw("message", nil, "null")
	}
	e.text("result", resultOf(s.Data))
	e.key("state_details")
	e.details(&s.Details, !written)
	e.close('}')
}

// details tells the details that are set. Keys that rules carry on are whole.
func (e *encoder) details(d *prefect.StateDetails, carried bool) {
	most := leanText
	if carried {
		most = carriedText
	}
	e.open('{')
	e.setID(abi.DetailFlowRunID, d.FlowRunID)
	e.setID(abi.DetailTaskRunID, d.TaskRunID)
	e.setID(abi.DetailChildFlowRunID, d.ChildFlowRunID)
	e.setTime(abi.DetailScheduledTime, d.ScheduledTime)
	e.setText(abi.DetailCacheKey, d.CacheKey, most)
	e.setTime(abi.DetailCacheExpiration, d.CacheExpiration)
	e.setBool(abi.DetailDeferred, d.Deferred)
	e.setBool(abi.DetailUntrackableResult, &d.UntrackableResult)
	e.setTime(abi.DetailPauseTimeout, d.PauseTimeout)
	e.setBool(abi.DetailPauseReschedule, &d.PauseReschedule)
	e.setText(abi.DetailPauseKey, d.PauseKey, most)
	if len(d.RunInputKeyset) > 0 && !e.lean {
		e.key(abi.DetailRunInputKeyset)
		e.open('{')
		for _, key := range sortedKeys(d.RunInputKeyset) {
			e.b = value.AppendString(e.b, key)
			e.b = append(e.b, ':')
			e.b = value.AppendString(e.b, d.RunInputKeyset[key])
			e.b = append(e.b, ',')
		}
		e.close('}')
	}
	e.setBool(abi.DetailRefreshCache, d.RefreshCache)
	if d.Retriable != nil {
		e.bool(abi.DetailRetriable, *d.Retriable)
	}
	e.setID(abi.DetailTransitionID, d.TransitionID)
	e.setID(abi.DetailTaskParametersID, d.TaskParametersID)
	e.setText(abi.DetailTraceparent, d.Traceparent, leanText)
	e.setID(abi.DetailDeploymentConcurrencyLeaseID, d.DeploymentConcurrencyLeaseID)
	e.close('}')
}

func (e *encoder) flowRun(r *prefect.FlowRun, proposed *prefect.State) {
	e.open('{')
	e.id("id", &r.ID)
	e.time("created", &r.Created)
	e.text("name", r.Name)
	e.id("flow_id", &r.FlowID)
	e.id("deployment_id", r.DeploymentID)
	e.optional("deployment_version", r.DeploymentVersion)
	e.id("work_queue_id", r.WorkQueueID)
	e.optional("work_queue_name", r.WorkQueueName)
	e.id("work_pool_id", r.WorkPoolID)
	e.optional("work_pool_name", r.WorkPoolName)
	e.optional("flow_version", r.FlowVersion)
	e.optional("idempotency_key", r.IdempotencyKey)
	e.key("empirical_policy")
	e.flowRunPolicy(&r.Policy, proposed)
	e.marks(r.Tags, r.Labels)
	e.id("parent_task_run_id", r.ParentTaskRunID)
	e.times(&r.RunTimes)
	e.bool("auto_scheduled", r.AutoScheduled)
	e.optional("infrastructure_pid", r.InfrastructurePID)
	e.close('}')
}

func (e *encoder) taskRun(r *prefect.TaskRun) {
	e.open('{')
	e.id("id", &r.ID)
	e.time("created", &r.Created)
	e.text("name", r.Name)
	e.id("flow_run_id", r.FlowRunID)
	e.text("task_key", r.TaskKey)
	e.text("dynamic_key", r.DynamicKey)
	e.optional("cache_key", r.CacheKey)
	e.time("cache_expiration", r.CacheExpiration)
	e.optional("task_version", r.TaskVersion)
	e.key("empirical_policy")
	e.taskRunPolicy(&r.Policy)
	e.marks(r.Tags, r.Labels)
	e.times(&r.RunTimes)
	e.int("flow_run_run_count", r.FlowRunRunCount)
	e.close('}')
}

// marks tells what users mark runs with.
func (e *encoder) marks(tags []string, labels json.RawMessage) {
	if e.lean {
		tags, labels = nil, nil
	}
	e.texts("tags", tags)
	e.raw("labels", labels, "{}")
}

// times tells the columns that flow runs and task runs have in common.
func (e *encoder) times(r *prefect.RunTimes) {
	e.int("run_count", r.RunCount)
	e.time("expected_start_time", r.ExpectedStartTime)
	e.time("next_scheduled_start_time", r.NextScheduledStartTime)
	e.time("start_time", r.StartTime)
	e.time("end_time", r.EndTime)
	e.float("total_run_time", r.TotalRunTime)
}

func (e *encoder) flowRunPolicy(p *prefect.FlowRunPolicy, proposed *prefect.State) {
	keys := p.PauseKeys
	if e.lean {
		keys = pauseKeys(keys, proposed)
	}
	e.open('{')
	e.int("max_retries", p.MaxRetries)
	e.float("retry_delay_seconds", p.RetryDelaySeconds)
	e.optionalInt("retries", p.Retries)
	e.optionalInt("retry_delay", p.RetryDelay)
	e.texts("pause_keys", keys)
	if p.Resuming != nil {
		e.bool("resuming", *p.Resuming)
	} else {
		e.raw("resuming", nil, "null")
	}
	e.optional("retry_type", p.RetryType)
	e.close('}')
}

func (e *encoder) taskRunPolicy(p *prefect.TaskRunPolicy) {
	e.open('{')
	e.int("max_retries", p.MaxRetries)
	e.float("retry_delay_seconds", p.RetryDelaySeconds)
	e.optionalInt("retries", p.Retries)
	e.raw("retry_delay", p.RetryDelay, "null")
	if p.RetryJitterFactor != nil {
		e.float("retry_jitter_factor", *p.RetryJitterFactor)
	} else {
		e.raw("retry_jitter_factor", nil, "null")
	}
	e.close('}')
}
