package store

import (
	"encoding/json"

	"github.com/interlock-run/interlock/host/prefect"
)

// runTimesColumns are those of prefect.RunTimes, in the order of runTimesInto and
// runTimesArgs.
const runTimesColumns = `state_id, state_type, state_name, state_timestamp, run_count, expected_start_time,
	next_scheduled_start_time, start_time, end_time, total_run_time`

var runTimesColumnList = splitColumns(runTimesColumns)

func runTimesInto(r *prefect.RunTimes) []any {
	return []any{into(&r.StateID), &r.StateType, &r.StateName, into(&r.StateTimestamp), &r.RunCount, into(&r.ExpectedStartTime),
		into(&r.NextScheduledStartTime), into(&r.StartTime), into(&r.EndTime), into((*seconds)(&r.TotalRunTime))}
}

func runTimesArgs(r *prefect.RunTimes) []any {
	return []any{r.StateID, r.StateType, r.StateName, r.StateTimestamp, r.RunCount, r.ExpectedStartTime,
		r.NextScheduledStartTime, r.StartTime, r.EndTime, seconds(r.TotalRunTime)}
}

// changes tells which of runTimesColumns a write changes.
type changes struct {
	d    *dialect
	was  *prefect.RunTimes // nil: any may be changed
	args []any             // of was, as they are bound
}

// differs reports whether the column in that place is not value already.
func (c *changes) differs(place int, value any) bool {
	if c.was == nil {
		return true
	}
	if c.args == nil {
		c.args = c.d.args(runTimesArgs(c.was)...)
	}
	return c.args[place] != c.d.arg(value)
}

// flowRunPolicy reads empirical_policy of a flow run with the defaults of the
// reference, which also lets the deprecated twins stand in for empty fields.
func flowRunPolicy(b json.RawMessage) (prefect.FlowRunPolicy, error) {
	no := false
	p := prefect.FlowRunPolicy{PauseKeys: []string{}, Resuming: &no}
	if len(b) == 0 {
		return p, nil
	}
	fresh := p
	if !members(b, func(name, value []byte) bool { return flowRunPolicyField(&p, name, value) }) {
		p = fresh
		if err := json.Unmarshal(b, &p); err != nil {
			return p, err
		}
	}
	if (p.Retries == nil || *p.Retries == 0) && p.MaxRetries != 0 {
		p.Retries = &p.MaxRetries
	}
	if delay := int(p.RetryDelaySeconds); (p.RetryDelay == nil || *p.RetryDelay == 0) && delay != 0 {
		p.RetryDelay = &delay
	}
	return p, nil
}

// taskRunPolicy is flowRunPolicy for a task run.
func taskRunPolicy(b json.RawMessage) (prefect.TaskRunPolicy, error) {
	var p prefect.TaskRunPolicy
	if len(b) == 0 {
		return p, nil
	}
	if err := json.Unmarshal(b, &p); err != nil {
		return p, err
	}
	if string(p.RetryDelay) == "null" {
		p.RetryDelay = nil
	}
	if (p.Retries == nil || *p.Retries == 0) && p.MaxRetries != 0 {
		p.Retries = &p.MaxRetries
	}
	if !truthy(p.RetryDelay) && p.RetryDelaySeconds != 0 {
		delay, err := json.Marshal(p.RetryDelaySeconds)
		if err != nil {
			return p, err
		}
		p.RetryDelay = delay
	}
	return p, nil
}

// marshal encodes a value of the vocabulary, which cannot fail but for raw JSON
// in it that is none.
func marshal(v any) (json.RawMessage, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, prefect.Errorf(prefect.Invalid, "not valid JSON: %w", err)
	}
	return b, nil
}

// object returns b, {} for nil: what the columns hold that are not nullable.
func object(b json.RawMessage) json.RawMessage {
	if len(b) == 0 || string(b) == "null" {
		return json.RawMessage("{}")
	}
	return b
}
