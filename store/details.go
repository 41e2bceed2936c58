package store

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// The JSON that every row of a run carries is flat and mostly null, and a page of
// runs has hundreds of it: members walks it without the cost of reflection. What
// it does not expect is left to encoding/json.

// members calls each with the name and the value of every member of an object,
// nil for null, and reports whether it understood all of it. each says whether it
// understood the value.
func members(b []byte, each func(name, value []byte) bool) bool {
	b = bytes.TrimSpace(b)
	if len(b) < 2 || b[0] != '{' || b[len(b)-1] != '}' {
		return false
	}
	b = space(b[1:])
	for len(b) > 0 && b[0] == '"' {
		end := bytes.IndexByte(b[1:], '"') + 1
		if end == 0 || bytes.IndexByte(b[1:end], '\\') >= 0 {
			return false
		}
		name := b[1:end]
		if b = space(b[end+1:]); len(b) == 0 || b[0] != ':' {
			return false
		}
		b = space(b[1:])
		n := scalarLength(b)
		if n == 0 {
			return false
		}
		value := b[:n]
		if string(value) == "null" {
			value = nil
		}
		if !each(name, value) {
			return false
		}
		if b = space(b[n:]); len(b) > 0 && b[0] == ',' {
			b = space(b[1:])
		}
	}
	return string(b) == "}"
}

// plainStrings reads a list of strings without escapes, an empty one for nothing;
// nil is for a list that it does not understand.
func plainStrings(b []byte) []string {
	list := []string{}
	if len(b) == 0 || string(b) == "[]" {
		return list
	}
	if b = bytes.TrimSpace(b); len(b) < 2 || b[0] != '[' || b[len(b)-1] != ']' {
		return nil
	}
	for b = space(b[1:]); len(b) > 1 && b[0] == '"'; {
		n := scalarLength(b)
		if n == 0 {
			return nil
		}
		list = append(list, string(b[1:n-1]))
		if b = space(b[n:]); b[0] == ',' {
			b = space(b[1:])
		}
	}
	if string(b) != "]" {
		return nil
	}
	return list
}

func space(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\n' || b[0] == '\t' || b[0] == '\r') {
		b = b[1:]
	}
	return b
}

// scalarLength is the length of the string without escapes, the number, the
// literal or the empty list that b begins with, 0 for anything else.
func scalarLength(b []byte) int {
	if len(b) > 0 && b[0] == '"' {
		end := bytes.IndexByte(b[1:], '"') + 1
		if end == 0 || bytes.IndexByte(b[:end], '\\') >= 0 {
			return 0
		}
		return end + 1
	}
	if bytes.HasPrefix(b, []byte("[]")) {
		return 2
	}
	n := bytes.IndexAny(b, ",} \n\t\r")
	if n < 0 || bytes.ContainsAny(b[:n], `[]{"\`) {
		return 0
	}
	return n
}

// stateDetails reads state_details into d, which has the defaults.
func stateDetails(b json.RawMessage, d *prefect.StateDetails) error {
	fresh := *d
	if members(b, func(name, value []byte) bool { return detail(d, name, value) }) {
		return nil
	}
	*d = fresh
	return json.Unmarshal(b, d)
}

// detail sets one field of state_details.
func detail(d *prefect.StateDetails, name, value []byte) bool {
	switch string(name) {
	case "flow_run_id":
		return setUUID(&d.FlowRunID, value)
	case "task_run_id":
		return setUUID(&d.TaskRunID, value)
	case "child_flow_run_id":
		return setUUID(&d.ChildFlowRunID, value)
	case "transition_id":
		return setUUID(&d.TransitionID, value)
	case "task_parameters_id":
		return setUUID(&d.TaskParametersID, value)
	case "deployment_concurrency_lease_id":
		return setUUID(&d.DeploymentConcurrencyLeaseID, value)
	case "scheduled_time":
		return setTime(&d.ScheduledTime, value)
	case "cache_expiration":
		return setTime(&d.CacheExpiration, value)
	case "pause_timeout":
		return setTime(&d.PauseTimeout, value)
	case "cache_key":
		return setString(&d.CacheKey, value)
	case "pause_key":
		return setString(&d.PauseKey, value)
	case "traceparent":
		return setString(&d.Traceparent, value)
	case "deferred":
		return setBool(&d.Deferred, value)
	case "refresh_cache":
		return setBool(&d.RefreshCache, value)
	case "retriable":
		return setBool(&d.Retriable, value)
	case "run_input_keyset":
		return value == nil
	case "untrackable_result":
		d.UntrackableResult = string(value) == "true"
		return d.UntrackableResult || string(value) == "false"
	case "pause_reschedule":
		d.PauseReschedule = string(value) == "true"
		return d.PauseReschedule || string(value) == "false"
	}
	return false
}

// flowRunPolicyField sets one field of a flow run's empirical_policy.
func flowRunPolicyField(p *prefect.FlowRunPolicy, name, value []byte) bool {
	switch string(name) {
	case "max_retries":
		return setInt(&p.MaxRetries, value)
	case "retry_delay_seconds":
		n, err := strconv.ParseFloat(string(value), 64)
		p.RetryDelaySeconds = n
		return err == nil
	case "retries":
		return setIntPtr(&p.Retries, value)
	case "retry_delay":
		return setIntPtr(&p.RetryDelay, value)
	case "pause_keys":
		return string(value) == "[]"
	case "resuming":
		return setBool(&p.Resuming, value)
	case "retry_type":
		return setString(&p.RetryType, value)
	}
	return false
}

func setUUID(dst **uuid.UUID, value []byte) bool {
	if value == nil {
		*dst = nil
		return true
	}
	id, err := uuid.ParseBytes(unquote(value))
	*dst = &id
	return err == nil
}

func setTime(dst **prefect.Time, value []byte) bool {
	if value == nil {
		*dst = nil
		return true
	}
	t, err := prefect.ParseTime(string(unquote(value)))
	*dst = &t
	return err == nil && value[0] == '"'
}

func setString(dst **string, value []byte) bool {
	if value == nil {
		*dst = nil
		return true
	}
	s := string(unquote(value))
	*dst = &s
	return value[0] == '"'
}

func setBool(dst **bool, value []byte) bool {
	if value == nil {
		*dst = nil
		return true
	}
	is := string(value) == "true"
	*dst = &is
	return is || string(value) == "false"
}

func setInt(dst *int, value []byte) bool {
	n, err := strconv.Atoi(string(value))
	*dst = n
	return err == nil
}

func setIntPtr(dst **int, value []byte) bool {
	if value == nil {
		*dst = nil
		return true
	}
	*dst = new(int)
	return setInt(*dst, value)
}

func unquote(value []byte) []byte { return bytes.Trim(value, `"`) }
