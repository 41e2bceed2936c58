package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
)

type resumeFlowRun struct {
	_        struct{}        `bind:"embed"`
	RunInput json.RawMessage `json:"run_input" bind:"object,null"`
}

// resumeFlowRun proposes the state that ends a pause. Input that the pause asked
// for is checked first and stored once the state stands.
func (s *server) resumeFlowRun(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	var body resumeFlowRun
	if err := s.bind(w, r, &body); err != nil {
		return err
	}
	run, err := s.Store.ReadFlowRun(r.Context(), id)
	if err != nil {
		return notFound(err, flowRunNotFound)
	}
	if prefect.TypeOf(run.State) != prefect.Paused {
		return s.result(w, aborted("The flow run is not paused, so there is nothing to resume."))
	}
	keyset := run.State.Details.RunInputKeyset
	if len(keyset) > 0 {
		if body.RunInput == nil {
			body.RunInput = json.RawMessage("{}")
		}
		input, reason, err := s.runInput(r.Context(), id, keyset, body.RunInput)
		if err != nil {
			return err
		}
		if reason != "" {
			refused := aborted(reason)
			refused.State, refused.Status = run.State, prefect.Reject
			return s.result(w, refused)
		}
		body.RunInput = input
	}
	result, err := s.Orchestrator.SetFlowRunState(r.Context(), id, orchestrate.Proposal{State: s.resumed(run.State), Client: client(r)})
	if err != nil {
		return notFound(err, flowRunNotFound)
	}
	if len(keyset) > 0 && result.Status == prefect.Accept && string(body.RunInput) != "{}" {
		if err := s.storeInput(r.Context(), id, keyset["response"], body.RunInput); err != nil {
			return err
		}
	}
	return s.result(w, result)
}

// resumed is the state to propose: SCHEDULED now for a suspended run, whose
// process has ended, RUNNING for one that waits in its process.
func (s *server) resumed(paused *prefect.State) *prefect.State {
	if paused.Details.PauseReschedule {
		state := &prefect.State{Type: prefect.Scheduled, Name: "Resuming", Details: prefect.NewStateDetails()}
		state.Details.ScheduledTime = s.Now().Ptr()
		return state
	}
	return &prefect.State{Type: prefect.Running, Name: prefect.Running.DefaultName(), Details: prefect.NewStateDetails()}
}

// runInput hydrates the input and checks it against the schema that the pause
// stored. It returns why the input is refused, "" if it is not.
func (s *server) runInput(ctx context.Context, id uuid.UUID, keyset map[string]string, input json.RawMessage) (json.RawMessage, string, error) {
	hydrated, reason, err := hydrate(input)
	if err != nil || reason != "" {
		return nil, reason, err
	}
	schema, err := s.Store.ReadFlowRunInput(ctx, id, keyset["schema"])
	switch {
	case prefect.CodeOf(err) == prefect.NotFound:
		return nil, "There is no schema of the run's input.", nil
	case err != nil:
		return nil, "", err
	case !json.Valid([]byte(schema.Value)):
		return nil, "The schema of the run's input is no JSON.", nil
	}
	check, err := s.compile([]byte(schema.Value))
	if err == nil {
		err = check(hydrated)
	}
	if err != nil {
		return nil, "The run input does not fit its schema: " + err.Error(), nil
	}
	return hydrated, "", nil
}

func (s *server) storeInput(ctx context.Context, id uuid.UUID, key string, value json.RawMessage) error {
	now := s.Now()
	return s.Store.CreateFlowRunInput(ctx, &prefect.FlowRunInput{
		ID: s.NewID(), Created: now, Updated: now, FlowRunID: id, Key: key, Value: string(value),
	})
}

// hydrate replaces the placeholders in input, objects with a __prefect_kind, by
// what they stand for. Those that need templates or variables are refused.
func hydrate(input json.RawMessage) (out json.RawMessage, reason string, err error) {
	v, err := decodeNumbers(input)
	if err != nil {
		return nil, "", err
	}
	v, reason = hydrated(v)
	if reason != "" {
		return nil, reason, nil
	}
	if v == nil {
		v = map[string]any{}
	}
	out, err = json.Marshal(v)
	return out, "", err
}

func hydrated(v any) (any, string) {
	switch v := v.(type) {
	case map[string]any:
		if kind, ok := v["__prefect_kind"]; ok {
			return placeholder(kind, v["value"])
		}
		for key, item := range v {
			replaced, reason := hydrated(item)
			if reason != "" {
				return nil, reason
			}
			v[key] = replaced
		}
	case []any:
		for i, item := range v {
			replaced, reason := hydrated(item)
			if reason != "" {
				return nil, reason
			}
			v[i] = replaced
		}
	}
	return v, ""
}

func placeholder(kind, value any) (any, string) {
	switch kind {
	case "none":
		return value, ""
	case "json":
		if text, ok := value.(string); ok && json.Valid([]byte(text)) {
			if v, err := decodeNumbers([]byte(text)); err == nil {
				return v, ""
			}
		}
		return nil, "Error hydrating run input: a json placeholder holds no JSON"
	}
	return nil, "Error hydrating run input: this kind of placeholder is not supported"
}
