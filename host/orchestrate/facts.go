package orchestrate

import (
	"context"
	"encoding/json"
	"fmt"
)

// The facts that the run itself has. They are in no context unless a rule asks,
// since they can be big; they cost no read.
const (
	factParameters   = "parameters"
	factContext      = "context"
	factJobVariables = "job_variables"
	factTaskInputs   = "task_inputs"
)

// gather reads the facts that entries declared, each once; none costs nothing.
func gather(ctx context.Context, store Store, names []string, t *Transition) (Facts, error) {
	if len(names) == 0 {
		return nil, nil
	}
	facts := Facts{}
	var stored []string
	for _, name := range names {
		if value, own := ownFact(name, t); own {
			facts[name] = value
		} else {
			stored = append(stored, name)
		}
	}
	if len(stored) == 0 {
		return facts, nil
	}
	read, err := store.Facts(ctx, factKeys(stored, t))
	if err != nil {
		return nil, fmt.Errorf("read facts: %w", err)
	}
	for name, value := range read {
		facts[name] = value
	}
	return facts, nil
}

// ownFact returns a fact that stands in the run, and whether name is one.
func ownFact(name string, t *Transition) (value json.RawMessage, own bool) {
	switch name {
	case factParameters, factContext, factJobVariables:
		if t.FlowRun == nil {
			return nil, true
		}
	case factTaskInputs:
		if t.TaskRun == nil {
			return nil, true
		}
		return t.TaskRun.TaskInputs, true
	}
	switch name {
	case factParameters:
		return t.FlowRun.Parameters, true
	case factContext:
		return t.FlowRun.Context, true
	case factJobVariables:
		return t.FlowRun.JobVariables, true
	}
	return nil, false
}

// factKeys computes what the facts of a transition are read by.
func factKeys(names []string, t *Transition) FactKeys {
	k := FactKeys{RunType: t.RunType, Now: t.Now, Names: names}
	if t.Initial != nil {
		k.LeaseID = t.Initial.Details.DeploymentConcurrencyLeaseID
	}
	if run := t.FlowRun; run != nil {
		k.RunID, k.FlowID, k.DeploymentID = run.ID, &run.FlowID, run.DeploymentID
		k.WorkQueueID, k.ParentTaskRun = run.WorkQueueID, run.ParentTaskRunID
	}
	if run := t.TaskRun; run != nil {
		k.RunID, k.FlowRun, k.TaskKey, k.Tags = run.ID, run.FlowRunID, run.TaskKey, run.Tags
		if d := t.Proposed.Details; d.RefreshCache == nil || !*d.RefreshCache {
			k.CacheKey = d.CacheKey
		}
	}
	k.Attempts = &AttemptsKey{RunType: t.RunType, RunID: k.RunID}
	return k
}
