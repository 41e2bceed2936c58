package prefect

import (
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
)

// Filters select rows of one noun by its own filter and by those of the nouns
// around it: flows by their flow runs, flow runs by their deployment, ... A nil
// filter selects all.
type Filters struct {
	Flows          *FlowFilter       `json:"flows"`
	FlowRuns       *FlowRunFilter    `json:"flow_runs"`
	TaskRuns       *TaskRunFilter    `json:"task_runs"`
	Deployments    *DeploymentFilter `json:"deployments"`
	WorkPools      *WorkPoolFilter   `json:"work_pools"`
	WorkPoolQueues *WorkQueueFilter  `json:"work_pool_queues"`
}

// Operator says how the criteria of one filter combine.
type Operator string

// The operators; "" is And.
const (
	And Operator = "and_"
	Or  Operator = "or_"
)

// UnmarshalJSON reads and_ or or_ and refuses anything else.
func (o *Operator) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if Operator(s) != And && Operator(s) != Or {
		return fmt.Errorf("%q is not a filter operator", s)
	}
	*o = Operator(s)
	return nil
}

// The fields of a noun's filter carry the tags which the store turns into SQL:
//
//	col   the column; of several, ranges look at the first that is not null
//	via   "table.column": the criterion is on that column of the row of table whose id is in col
//	or    "col table.column": or on that column of the row of table whose id is in that col
//	rows  "table.column": the rows of table that point here by column
//
// A criterion is a field of the types below. Nil is none; an empty list of
// any_ selects nothing, and other empty lists and texts are none.

// FlowFilter selects flows.
type FlowFilter struct {
	Operator   Operator               `json:"operator"`
	ID         *AnyNotAny[uuid.UUID]  `json:"id" col:"id"`
	Deployment *RelatedIsNullCriteria `json:"deployment" rows:"deployment.flow_id"`
	Name       *NameCriteria          `json:"name" col:"name"`
	Tags       *AllTagsCriteria       `json:"tags" col:"tags"`
}

// FlowRunFilter selects flow runs.
type FlowRunFilter struct {
	Operator               Operator              `json:"operator"`
	ID                     *AnyNotAny[uuid.UUID] `json:"id" col:"id"`
	Name                   *NameCriteria         `json:"name" col:"name"`
	Tags                   *TagsCriteria         `json:"tags" col:"tags"`
	DeploymentID           *AnyIsNull[uuid.UUID] `json:"deployment_id" col:"deployment_id"`
	WorkQueueName          *AnyIsNull[string]    `json:"work_queue_name" col:"work_queue_name"`
	State                  *FlowRunStateFilter   `json:"state"`
	FlowVersion            *Any[string]          `json:"flow_version" col:"flow_version"`
	StartTime              *TimeOrNullCriteria   `json:"start_time" col:"start_time,expected_start_time"`
	EndTime                *TimeOrNullCriteria   `json:"end_time" col:"end_time"`
	ExpectedStartTime      *TimeCriteria         `json:"expected_start_time" col:"expected_start_time"`
	NextScheduledStartTime *TimeCriteria         `json:"next_scheduled_start_time" col:"next_scheduled_start_time"`
	ParentFlowRunID        *AnyOp[uuid.UUID]     `json:"parent_flow_run_id" col:"parent_task_run_id" via:"task_run.flow_run_id"`
	ParentTaskRunID        *AnyIsNull[uuid.UUID] `json:"parent_task_run_id" col:"parent_task_run_id"`
	IdempotencyKey         *AnyNotAny[string]    `json:"idempotency_key" col:"idempotency_key"`
	CreatedBy              *CreatedByCriteria    `json:"created_by" col:"created_by"`
}

// FlowRunStateFilter selects flow runs by their current state.
type FlowRunStateFilter struct {
	Operator Operator              `json:"operator"`
	Type     *AnyNotAny[StateType] `json:"type" col:"state_type"`
	Name     *AnyNotAny[string]    `json:"name" col:"state_name"`
}

// TaskRunFilter selects task runs.
type TaskRunFilter struct {
	Operator          Operator                `json:"operator"`
	ID                *Any[uuid.UUID]         `json:"id" col:"id"`
	Name              *NameCriteria           `json:"name" col:"name"`
	Tags              *AllTagsCriteria        `json:"tags" col:"tags"`
	State             *TaskRunStateFilter     `json:"state"`
	StartTime         *TimeOrNullCriteria     `json:"start_time" col:"start_time"`
	EndTime           *TimeOrNullCriteria     `json:"end_time" col:"end_time"`
	ExpectedStartTime *TimeCriteria           `json:"expected_start_time" col:"expected_start_time"`
	SubflowRuns       *ExistsCriteria         `json:"subflow_runs" rows:"flow_run.parent_task_run_id"`
	FlowRunID         *AnyElseNull[uuid.UUID] `json:"flow_run_id" col:"flow_run_id"`
}

// TaskRunStateFilter selects task runs by their current state.
type TaskRunStateFilter struct {
	Operator Operator        `json:"operator"`
	Type     *Any[StateType] `json:"type" col:"state_type"`
	Name     *Any[string]    `json:"name" col:"state_name"`
}

// DeploymentFilter selects deployments.
type DeploymentFilter struct {
	Operator             Operator              `json:"operator"`
	ID                   *AnyNotAny[uuid.UUID] `json:"id" col:"id"`
	Name                 *NameCriteria         `json:"name" col:"name"`
	FlowOrDeploymentName *LikeCriteria         `json:"flow_or_deployment_name" col:"name" or:"flow_id flow.name"`
	Paused               *EqCriteria           `json:"paused" col:"paused"`
	Tags                 *TagsCriteria         `json:"tags" col:"tags"`
	WorkQueueName        *Any[string]          `json:"work_queue_name" col:"work_queue_name"`
	ConcurrencyLimit     *IgnoredRange         `json:"concurrency_limit"`
}

// WorkPoolFilter selects work pools.
type WorkPoolFilter struct {
	Operator Operator        `json:"operator"`
	ID       *Any[uuid.UUID] `json:"id" col:"id"`
	Name     *Any[string]    `json:"name" col:"name"`
	Type     *Any[string]    `json:"type" col:"type"`
}

// WorkQueueFilter selects work queues.
type WorkQueueFilter struct {
	Operator Operator            `json:"operator"`
	ID       *Any[uuid.UUID]     `json:"id" col:"id"`
	Name     *StartsWithCriteria `json:"name" col:"name"`
}

// WorkerFilter selects workers.
type WorkerFilter struct {
	Operator          Operator                 `json:"operator"`
	LastHeartbeatTime *TimeCriteria            `json:"last_heartbeat_time" col:"last_heartbeat_time"`
	Status            *AnyNotAny[WorkerStatus] `json:"status" col:"status"` // as stored
}

// LogFilter selects logs.
type LogFilter struct {
	Operator  Operator              `json:"operator"`
	Level     *RangeCriteria        `json:"level" col:"level"`
	Timestamp *TimeCriteria         `json:"timestamp" col:"timestamp"`
	FlowRunID *Any[uuid.UUID]       `json:"flow_run_id" col:"flow_run_id"`
	TaskRunID *AnyOrNull[uuid.UUID] `json:"task_run_id" col:"task_run_id"`
	Text      *TextCriteria         `json:"text" col:"message,name"`
}

// DecisionFilter selects decision records, oldest first. A nil or empty field
// selects all; Limit 0 is 200.
type DecisionFilter struct {
	RunType RunType
	RunID   *uuid.UUID
	Limit   int // 0: none
	Offset  int
}

// Any selects rows by a list of values.
type Any[T any] struct {
	Any []T `json:"any_"`
}

// AnyOp is [Any] with an operator that has nothing to combine.
type AnyOp[T any] struct {
	Operator Operator `json:"operator"`
	Any      []T      `json:"any_"`
}

// AnyNotAny selects by a list of values, by a list to exclude, or both. Null is
// in no list and excluded by a list to exclude, as in SQL.
type AnyNotAny[T any] struct {
	Any    []T `json:"any_"`
	NotAny []T `json:"not_any_"`
}

// AnyIsNull selects by a list of values and by being null or not.
type AnyIsNull[T any] struct {
	Operator Operator `json:"operator"`
	Any      []T      `json:"any_"`
	IsNull   *bool    `json:"is_null_"`
}

// AnyOrNull is [AnyIsNull] without an operator: both must hold.
type AnyOrNull[T any] struct {
	Any    []T   `json:"any_"`
	IsNull *bool `json:"is_null_"`
}

// AnyElseNull has one criterion at most: is_null_ if it is true, else any_ if it
// is there, else is_null_.
type AnyElseNull[T any] struct {
	Operator Operator `json:"operator"`
	Any      []T      `json:"any_"`
	IsNull   *bool    `json:"is_null_"`
}

// NameCriteria select by a list of names and by a part of the name, any case.
// In Like, % stands for any text and _ for any character.
type NameCriteria struct {
	Any  []string `json:"any_"`
	Like *string  `json:"like_"`
}

// LikeCriteria select by a part of a text, as in [NameCriteria].
type LikeCriteria struct {
	Like *string `json:"like_"`
}

// StartsWithCriteria select by a list of names and by a list of beginnings of a
// name, any case, with the wildcards of [NameCriteria].
type StartsWithCriteria struct {
	Any        []string `json:"any_"`
	StartsWith []string `json:"startswith_"`
}

// AllTagsCriteria select by tags that all must be there, and by having none.
type AllTagsCriteria struct {
	Operator Operator `json:"operator"`
	All      []string `json:"all_"`
	IsNull   *bool    `json:"is_null_"` // an empty list of tags
}

// TagsCriteria are [AllTagsCriteria] and tags of which one must be there.
type TagsCriteria struct {
	Operator Operator `json:"operator"`
	All      []string `json:"all_"`
	Any      []string `json:"any_"`
	IsNull   *bool    `json:"is_null_"`
}

// TimeCriteria select by a span of time, both ends included.
type TimeCriteria struct {
	Before *Time `json:"before_"`
	After  *Time `json:"after_"`
}

// TimeOrNullCriteria are [TimeCriteria] and being null or not.
type TimeOrNullCriteria struct {
	Before *Time `json:"before_"`
	After  *Time `json:"after_"`
	IsNull *bool `json:"is_null_"`
}

// RangeCriteria select by a range of numbers, both ends included.
type RangeCriteria struct {
	Ge *int `json:"ge_"`
	Le *int `json:"le_"`
}

// IgnoredRange is read and selects all, as in the reference: the column it was
// about is gone.
type IgnoredRange struct {
	Ge     *int  `json:"ge_"`
	Le     *int  `json:"le_"`
	IsNull *bool `json:"is_null_"`
}

// EqCriteria select by a boolean.
type EqCriteria struct {
	Eq *bool `json:"eq_"`
}

// ExistsCriteria select by there being rows that point here.
type ExistsCriteria struct {
	Exists *bool `json:"exists_"`
}

// RelatedIsNullCriteria select by there being no rows that point here.
type RelatedIsNullCriteria struct {
	Operator Operator `json:"operator"`
	IsNull   *bool    `json:"is_null_"`
}

// CreatedByCriteria select by who made the object.
type CreatedByCriteria struct {
	Operator Operator    `json:"operator"`
	ID       []uuid.UUID `json:"id_"`
	Type     []string    `json:"type_"`
	IsNull   *bool       `json:"is_null_"`
}

// TextCriteria search text, see [TextQuery].
type TextCriteria struct {
	Query string `json:"query" bind:"required,max_length=200"` // at most TextQueryLength characters
}
