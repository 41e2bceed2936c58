package api

import (
	"encoding/json"
	"strconv"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/api/bind"
	"github.com/interlock-run/interlock/host/prefect"
)

// flowRunPolicy is prefect.FlowRunPolicy with what its schema allows.
type flowRunPolicy struct {
	MaxRetries        int      `json:"max_retries"`
	RetryDelaySeconds float64  `json:"retry_delay_seconds"`
	Retries           *int     `json:"retries"`
	RetryDelay        *int     `json:"retry_delay"`
	PauseKeys         []string `json:"pause_keys" bind:"set,null"`
	Resuming          *bool    `json:"resuming"`
	RetryType         *string  `json:"retry_type" bind:"literal=in_process|reschedule"`
}

// SetDefaults is called by bind.
func (p *flowRunPolicy) SetDefaults() {
	no := false
	*p = flowRunPolicy{PauseKeys: []string{}, Resuming: &no}
}

// CheckBind lets the deprecated fields stand for the ones that took their place.
func (p *flowRunPolicy) CheckBind(r bind.Reporter) {
	if (p.Retries == nil || *p.Retries == 0) && p.MaxRetries != 0 {
		p.Retries = &p.MaxRetries
	}
	if (p.RetryDelay == nil || *p.RetryDelay == 0) && p.RetryDelaySeconds != 0 {
		n := int(p.RetryDelaySeconds)
		if float64(n) != p.RetryDelaySeconds {
			r.Fail("int_from_float", "Input should be a valid integer, got a number with a fractional part", formatFloat(p.RetryDelaySeconds), "retry_delay")
			return
		}
		p.RetryDelay = &n
	}
}

// taskRunPolicy is prefect.TaskRunPolicy with what its schema allows.
type taskRunPolicy struct {
	MaxRetries        int        `json:"max_retries"`
	RetryDelaySeconds float64    `json:"retry_delay_seconds"`
	Retries           *int       `json:"retries"`
	RetryDelay        retryDelay `json:"retry_delay"`
	RetryJitterFactor *float64   `json:"retry_jitter_factor"`
}

// CheckBind lets the deprecated fields stand for the ones that took their place,
// and checks bounds.
func (p *taskRunPolicy) CheckBind(r bind.Reporter) {
	if (p.Retries == nil || *p.Retries == 0) && p.MaxRetries != 0 {
		p.Retries = &p.MaxRetries
	}
	if zeroDelay(p.RetryDelay) && p.RetryDelaySeconds != 0 {
		p.RetryDelay = formatFloat(p.RetryDelaySeconds)
	}
	if len(p.RetryDelay) > 0 && p.RetryDelay[0] == '[' {
		n := 0
		bind.Elements(p.RetryDelay, func(int, []byte) { n++ })
		if n > maxRetryDelays {
			r.Fail("value_error", "Value error, a task has at most 50 retry delays", p.RetryDelay, "retry_delay")
		}
	}
	if p.RetryJitterFactor != nil && *p.RetryJitterFactor < 0 {
		r.Fail("value_error", "Value error, retry_jitter_factor must not be negative", formatFloat(*p.RetryJitterFactor), "retry_jitter_factor")
	}
}

const maxRetryDelays = 50

func (p taskRunPolicy) policy() prefect.TaskRunPolicy {
	return prefect.TaskRunPolicy{MaxRetries: p.MaxRetries, RetryDelaySeconds: p.RetryDelaySeconds, Retries: p.Retries,
		RetryDelay: json.RawMessage(p.RetryDelay), RetryJitterFactor: p.RetryJitterFactor}
}

func formatFloat(f float64) []byte { return strconv.AppendFloat(nil, f, 'f', -1, 64) }

// zeroDelay reports whether d counts as not given: null, 0 or an empty list.
func zeroDelay(d retryDelay) bool {
	if len(d) == 0 || string(d) == "[]" {
		return true
	}
	f, err := strconv.ParseFloat(string(d), 64)
	return err == nil && f == 0
}

// retryDelay is null (nil), a number of seconds, or a list of them.
type retryDelay json.RawMessage

// UnmarshalBind is called by bind.
func (d *retryDelay) UnmarshalBind(raw []byte, r bind.Reporter) {
	var whole int
	var fraction float64
	var wholes []int
	var fractions []float64
	var refused []prefect.FieldError
	try := func(dst any, name string) bool {
		errs := r.Try(raw, dst, name)
		refused = append(refused, errs...)
		return len(errs) == 0
	}
	var value any
	switch {
	case raw[0] == 'n':
		*d = nil
		return
	case try(&whole, "int"):
		value = whole
	case try(&fraction, "float"):
		value = fraction
	case try(&wholes, "list[int]"):
		value = wholes
	case try(&fractions, "list[float]"):
		value = fractions
	default:
		r.Report(refused)
		return
	}
	b, err := json.Marshal(value)
	if err != nil {
		r.Fail("value_error", "Value error, not a delay", raw)
		return
	}
	*d = b
}

// The inputs of a task run, told apart by input_type.

type taskRunResult struct {
	InputType string    `json:"input_type" bind:"literal=task_run"`
	ID        uuid.UUID `json:"id" bind:"required"`
}

type flowRunResult struct {
	InputType string    `json:"input_type" bind:"literal=flow_run"`
	ID        uuid.UUID `json:"id" bind:"required"`
}

type parameterInput struct {
	InputType string `json:"input_type" bind:"literal=parameter"`
	Name      string `json:"name" bind:"required"`
}

type constantInput struct {
	InputType string `json:"input_type" bind:"literal=constant"`
	Type      string `json:"type" bind:"required"`
}

// taskInputs maps a parameter's name to where its values come from; JSON with
// every input_type filled in.
type taskInputs json.RawMessage

// UnmarshalBind is called by bind.
func (t *taskInputs) UnmarshalBind(raw []byte, r bind.Reporter) {
	if raw[0] != '{' {
		r.Fail("dict_type", "Input should be a valid dictionary", raw)
		return
	}
	out := map[string][]any{}
	bind.Members(raw, func(key string, list []byte) {
		if list[0] != '[' {
			r.Fail("list_type", "Input should be a valid list", list, key)
			return
		}
		out[key] = []any{}
		bind.Elements(list, func(i int, item []byte) {
			if r.Full() {
				return
			}
			if input := taskInput(item, r, key, i); input != nil {
				out[key] = append(out[key], input)
			}
		})
	})
	b, err := json.Marshal(out)
	if err != nil {
		r.Fail("value_error", "Value error, not task inputs", raw)
		return
	}
	*t = b
}

// taskInput returns the first form that item has, or reports what each refused.
func taskInput(item []byte, r bind.Reporter, key string, i int) any {
	result, run := &taskRunResult{InputType: "task_run"}, &flowRunResult{InputType: "flow_run"}
	parameter, constant := &parameterInput{InputType: "parameter"}, &constantInput{InputType: "constant"}
	forms := []struct {
		name string
		dst  any
	}{{"TaskRunResult", result}, {"FlowRunResult", run}, {"Parameter", parameter}, {"Constant", constant}}
	var refused []prefect.FieldError
	for _, form := range forms {
		errs := r.Try(item, form.dst, key, i, form.name)
		if len(errs) == 0 {
			return form.dst
		}
		refused = append(refused, errs...)
	}
	r.Report(refused)
	return nil
}
