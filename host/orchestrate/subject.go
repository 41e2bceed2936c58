package orchestrate

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// subject is the run of a transition: a flow run or a task run.
type subject struct {
	flow *prefect.FlowRun
	task *prefect.TaskRun
}

// readSubject reads a run with its state. Errors: NotFound.
func readSubject(ctx context.Context, store Store, kind prefect.RunType, id uuid.UUID) (s subject, err error) {
	if kind == prefect.FlowRunType {
		s.flow, err = store.ReadFlowRun(ctx, id)
	} else {
		s.task, err = store.ReadTaskRun(ctx, id)
	}
	return s, err
}

// fill gives a run that is to be made the empty values that the database would
// give it.
func (s subject) fill() {
	object := func(raw *json.RawMessage) {
		if len(*raw) == 0 {
			*raw = json.RawMessage("{}")
		}
	}
	tags := func(list *[]string) {
		if *list == nil {
			*list = []string{}
		}
	}
	if r := s.flow; r != nil {
		object(&r.Parameters)
		object(&r.Context)
		tags(&r.Tags)
		return
	}
	object(&s.task.TaskInputs)
	tags(&s.task.Tags)
}

func (s subject) kind() prefect.RunType {
	if s.flow != nil {
		return prefect.FlowRunType
	}
	return prefect.TaskRunType
}

func (s subject) id() uuid.UUID {
	if s.flow != nil {
		return s.flow.ID
	}
	return s.task.ID
}

func (s subject) state() *prefect.State {
	if s.flow != nil {
		return s.flow.State
	}
	return s.task.State
}

func (s subject) updated() prefect.Time {
	if s.flow != nil {
		return s.flow.Updated
	}
	return s.task.Updated
}

func (s subject) times() *prefect.RunTimes {
	if s.flow != nil {
		return &s.flow.RunTimes
	}
	return &s.task.RunTimes
}

// bytes is the size of what the run and its state carry of their user's texts.
func (s subject) bytes() int {
	n := 0
	count := func(texts ...string) {
		for _, t := range texts {
			n += len(t)
		}
	}
	if r := s.flow; r != nil {
		n += len(r.Parameters) + len(r.Context) + len(r.Labels) + len(r.JobVariables)
		count(r.Name)
		count(r.Tags...)
		count(r.Policy.PauseKeys...)
	} else {
		n += len(s.task.TaskInputs) + len(s.task.Labels) + len(s.task.Policy.RetryDelay)
		count(s.task.Name, s.task.TaskKey, s.task.DynamicKey)
		count(s.task.Tags...)
	}
	state := s.state()
	count(state.Name)
	if state.Message != nil {
		count(*state.Message)
	}
	for key, value := range state.Details.RunInputKeyset {
		count(key, value)
	}
	return n
}

func (s subject) setState(state *prefect.State) {
	if s.flow != nil {
		s.flow.State = state
	} else {
		s.task.State = state
	}
}

// copied returns a run that can be changed while s stays as it is.
func (s subject) copied() subject {
	if s.flow != nil {
		run := *s.flow
		return subject{flow: &run}
	}
	run := *s.task
	return subject{task: &run}
}

func (s subject) patch(patches []RunPatch) {
	for i := range patches {
		if s.flow != nil {
			patches[i].ApplyFlowRun(s.flow)
		} else {
			patches[i].ApplyTaskRun(s.task)
		}
	}
}

func (s subject) bookkeep(initial, final *prefect.State, oldAPI bool) {
	if s.flow != nil {
		bookkeepFlowRun(s.flow, initial, final, oldAPI)
	} else {
		bookkeepTaskRun(s.task, initial, final)
	}
	s.setState(final)
}
