package orchestrate

import (
	"time"

	"github.com/interlock-run/interlock/host/prefect"
)

// The bookkeeping keeps a run's columns true to its states. It is the host's,
// not a policy's: it applies to every state that is written, forced or not, and
// no module can leave it out. Each step is the reference's global transform of that
// name, and they run in its order: later ones read what earlier ones set.

// bookkeepFlowRun applies the bookkeeping of a transition from initial (nil for
// none) to final, changing run and final's own details and timestamp. oldAPI is
// a client before API 0.8.4, which does not know of resuming.
func bookkeepFlowRun(run *prefect.FlowRun, initial, final *prefect.State, oldAPI bool) {
	ensureTimestampIsUnique(initial, final)
	setColumns(&run.RunTimes, initial, final)
	updateFlowRunStateDetails(run, final)
	updateSubflowStateDetails(run, final)
	incrementFlowRunCount(run, final, oldAPI)
	removeResumingIndicator(run, final, oldAPI)
}

// bookkeepTaskRun is bookkeepFlowRun for a task run.
func bookkeepTaskRun(run *prefect.TaskRun, initial, final *prefect.State) {
	ensureTimestampIsUnique(initial, final)
	setColumns(&run.RunTimes, initial, final)
	updateTaskRunStateDetails(run, final)
	incrementTaskRunCount(run, final)
}

// setColumns is what flow runs and task runs have in common.
func setColumns(run *prefect.RunTimes, initial, final *prefect.State) {
	setRunState(run, final)
	setStartTime(run, final)
	setEndTime(run, initial, final)
	incrementRunTime(run, initial, final)
	setExpectedStartTime(run, final)
	setNextScheduledStartTime(run, initial, final)
}

// ensureTimestampIsUnique moves final's timestamp past initial's: two states of
// a run must not share one. Since every state passes here they grow strictly,
// so that one comparison does, also when the clock steps back.
func ensureTimestampIsUnique(initial, final *prefect.State) {
	if initial != nil && !final.Timestamp.After(initial.Timestamp.Time) {
		final.Timestamp = initial.Timestamp.Add(time.Microsecond)
	}
}

// setRunState is SetRunStateType, SetRunStateName and SetRunStateTimestamp.
func setRunState(run *prefect.RunTimes, final *prefect.State) {
	id, stateType, name := final.ID, final.Type, final.Name
	run.StateID, run.StateType, run.StateName = &id, &stateType, &name
	run.StateTimestamp = final.Timestamp.Ptr()
}

// setStartTime notes when a run was first RUNNING.
func setStartTime(run *prefect.RunTimes, final *prefect.State) {
	if final.Type == prefect.Running && run.StartTime == nil {
		run.StartTime = final.Timestamp.Ptr()
	}
}

// setEndTime notes when a run ended, and forgets it when the run goes on. A run
// that ended before it started has both at once; from one terminal state to
// another the first end stays.
func setEndTime(run *prefect.RunTimes, initial, final *prefect.State) {
	if prefect.TypeOf(initial).Terminal() && !final.Type.Terminal() {
		run.EndTime = nil
	}
	if final.Type.Terminal() && run.EndTime == nil {
		run.EndTime = final.Timestamp.Ptr()
		if run.StartTime == nil {
			run.StartTime = final.Timestamp.Ptr()
		}
	}
}

// incrementRunTime adds the stretch of RUNNING that ends.
func incrementRunTime(run *prefect.RunTimes, initial, final *prefect.State) {
	if prefect.TypeOf(initial) == prefect.Running {
		run.TotalRunTime += final.Timestamp.Sub(initial.Timestamp.Time).Seconds()
	}
}

// setExpectedStartTime notes, once, when the run was meant to start.
func setExpectedStartTime(run *prefect.RunTimes, final *prefect.State) {
	switch {
	case run.ExpectedStartTime != nil:
	case final.Type == prefect.Scheduled && final.Details.ScheduledTime != nil:
		run.ExpectedStartTime = final.Details.ScheduledTime.Ptr()
	default:
		run.ExpectedStartTime = final.Timestamp.Ptr()
	}
}

// setNextScheduledStartTime notes the start of a run that waits for it.
func setNextScheduledStartTime(run *prefect.RunTimes, initial, final *prefect.State) {
	if prefect.TypeOf(initial) == prefect.Scheduled {
		run.NextScheduledStartTime = nil
	}
	if final.Type == prefect.Scheduled && final.Details.ScheduledTime != nil {
		run.NextScheduledStartTime = final.Details.ScheduledTime.Ptr()
	}
}

// updateFlowRunStateDetails is UpdateStateDetails: a state names its run.
func updateFlowRunStateDetails(run *prefect.FlowRun, final *prefect.State) {
	id := run.ID
	final.Details.FlowRunID = &id
}

// updateTaskRunStateDetails is UpdateStateDetails for task runs.
func updateTaskRunStateDetails(run *prefect.TaskRun, final *prefect.State) {
	id := run.ID
	final.Details.FlowRunID, final.Details.TaskRunID = run.FlowRunID, &id
}

// updateSubflowStateDetails has a subflow's state name the task run that stands
// for it in its parent.
func updateSubflowStateDetails(run *prefect.FlowRun, final *prefect.State) {
	if run.ParentTaskRunID != nil {
		final.Details.TaskRunID = run.ParentTaskRunID
	}
}

// incrementFlowRunCount counts the runs of a flow run, and a resumed one not
// twice.
func incrementFlowRunCount(run *prefect.FlowRun, final *prefect.State, oldAPI bool) {
	if final.Type == prefect.Running && (oldAPI || !resuming(run)) {
		run.RunCount++
	}
}

// removeResumingIndicator ends the resuming of a run that goes on or ends.
func removeResumingIndicator(run *prefect.FlowRun, final *prefect.State, oldAPI bool) {
	if (final.Type == prefect.Running || final.Type.Terminal()) && resuming(run) && !oldAPI {
		no := false
		run.Policy.Resuming = &no
	}
}

// incrementTaskRunCount counts the runs of a task run.
func incrementTaskRunCount(run *prefect.TaskRun, final *prefect.State) {
	if final.Type == prefect.Running {
		run.RunCount++
	}
}

func resuming(run *prefect.FlowRun) bool {
	return run.Policy.Resuming != nil && *run.Policy.Resuming
}
