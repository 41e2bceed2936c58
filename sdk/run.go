package sdk

import (
	"github.com/interlock-run/interlock/sdk/value"
)

// Run is the flow run or task run whose state is to change.
type Run struct {
	fields value.Value
	// What the rules before this one wrote.
	runCount        *int
	flowRunRunCount *int
	resuming        *bool
	retryType       RetryType
	pauseKeysClear  bool
	pauseKeys       []string
}

func (r *Run) patch(d *Decision) {
	p := &d.Run
	if p.RunCount != nil {
		r.runCount = p.RunCount
	}
	if p.FlowRunRunCount != nil {
		r.flowRunRunCount = p.FlowRunRunCount
	}
	if p.Resuming != nil {
		r.resuming = p.Resuming
	}
	if d.Flags&SetResumingFalse != 0 {
		r.resuming = new(bool)
	}
	if p.RetryType != 0 {
		r.retryType = p.RetryType
	}
	if d.Flags&SetRetryTypeInProcess != 0 {
		r.retryType = RetryInProcess
	}
	if d.Flags&ClearRetryType != 0 {
		r.retryType = RetryNone
	}
	if p.ClearPauseKeys || d.Flags&ClearPauseKeys != 0 {
		r.pauseKeysClear, r.pauseKeys = true, nil
	}
	if p.AddPauseKey != "" {
		r.pauseKeys = append(r.pauseKeys, p.AddPauseKey)
	}
}

// Get returns any field of the run by the API's name, as the row has it.
func (r *Run) Get(field string) Value { return r.fields.Get(field) }

// ID returns the run's id.
func (r *Run) ID() string { return textOf(r.fields.Get("id")) }

// Name returns the run's name.
func (r *Run) Name() string { return textOf(r.fields.Get("name")) }

// DeploymentID returns the id of the flow run's deployment, "" for none.
func (r *Run) DeploymentID() string { return textOf(r.fields.Get("deployment_id")) }

// Has reports whether a field is set to something else than null and "".
func (r *Run) Has(field string) bool {
	v := r.fields.Get(field)
	return !v.IsNull() && !v.Is("")
}

// RunCount returns how often the run entered RUNNING, the present one included.
func (r *Run) RunCount() int {
	if r.runCount != nil {
		return *r.runCount
	}
	return intOf(r.fields.Get("run_count"))
}

// FlowRunRunCount returns, for a task run, the attempt of its flow run that it
// last ran in.
func (r *Run) FlowRunRunCount() int {
	if r.flowRunRunCount != nil {
		return *r.flowRunRunCount
	}
	return intOf(r.fields.Get("flow_run_run_count"))
}

// HasTag reports whether the run has a tag.
func (r *Run) HasTag(tag string) bool { return contains(r.fields.Get("tags"), tag) }

// Label returns a label of the run.
func (r *Run) Label(key string) Value { return r.fields.Get("labels").Get(key) }

// Policy returns a field of empirical_policy as the row has it: retries,
// retry_delay, ...
func (r *Run) Policy(field string) Value { return r.fields.Get("empirical_policy").Get(field) }

// Retries returns how often the run may be tried again; ok is false when nothing
// was said about it.
func (r *Run) Retries() (n int, ok bool) {
	whole, ok := r.Policy("retries").Int()
	return bounded(whole), ok
}

// RetryDelay returns the flow run's delay between attempts in seconds, 0 if
// nothing was said about it.
func (r *Run) RetryDelay() float64 {
	delay, _ := r.Policy("retry_delay").Float()
	return delay
}

// HasPauseKey reports whether the flow run has been paused under this key.
func (r *Run) HasPauseKey(key string) bool {
	for _, added := range r.pauseKeys {
		if added == key {
			return true
		}
	}
	return !r.pauseKeysClear && contains(r.Policy("pause_keys"), key)
}

// Resuming reports whether the flow run is on its way back from a pause.
func (r *Run) Resuming() bool {
	if r.resuming != nil {
		return *r.resuming
	}
	resuming, _ := r.Policy("resuming").Bool()
	return resuming
}

// RetryType returns how the flow run will be tried again.
func (r *Run) RetryType() RetryType {
	if r.retryType != 0 {
		return r.retryType
	}
	switch v := r.Policy("retry_type"); {
	case v.Is(RetryInProcess.String()):
		return RetryInProcess
	case v.Is(RetryReschedule.String()):
		return RetryReschedule
	}
	return RetryNone
}

func textOf(v value.Value) string {
	s, _ := v.Text()
	return s
}

func intOf(v value.Value) int {
	n, _ := v.Int()
	return bounded(n)
}

// bounded returns a count; what does not fit an int of 32 bits is its bound.
func bounded(n int64) int { return int(min(max(n, -1<<31), 1<<31-1)) }

func contains(list value.Value, s string) bool {
	for _, v := range list.Elements() {
		if v.Is(s) {
			return true
		}
	}
	return false
}
