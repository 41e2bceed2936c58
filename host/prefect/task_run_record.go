package prefect

// TaskRunRecord is what one event of a task run that its client orchestrates
// says: the run as it is after the state change, and that state. No rule and no
// bookkeeping applies to it; the client's columns are taken as they are.
//
// Storing one means, in this order and in one transaction:
//
//   - find the row by (flow_run_id, task_key, dynamic_key), or by id when there is
//     none or FlowRunID is nil; its id stands, whatever Run.ID says, and is
//     the state's task_run_id and that of the state's details;
//   - insert the run if there is no row. Otherwise update it, but only if its
//     state_timestamp is null or older than State.Timestamp; a nil field of Run
//     (pointer, slice or raw JSON) was not sent and leaves its column alone, and
//     so does created; updated moves as with any write;
//   - insert the state, whether or not the run was updated, with its data in the
//     column data (never an artifact). A state that is there already, by id, is
//     left alone: the event was delivered before.
//
// A batch is in the order the events came in. Several records of one run in a
// batch leave the same rows as if they came one by one. The reference fails a
// whole batch when another state of the run has the same timestamp; here only
// that state is left out.
type TaskRunRecord struct {
	Run   *TaskRun // with the state columns (StateID, StateType, ...) of State
	State *State
}
