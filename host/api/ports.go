package api

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/prefect"
)

// Store is all that the API reads and writes, noun by noun.
type Store interface {
	Flows
	FlowRuns
	TaskRuns
	States
	Logs
	FlowRunInputs
	CSRFTokens
	Configurations
	Deployments
	WorkPools
	WorkQueues
	Workers
	ConcurrencyLimits
	TagLimits
	Slots
	// Ping reports whether the database answers.
	Ping(ctx context.Context) error
}

// Flows are the rows of flow.
type Flows interface {
	// CreateFlow inserts f unless its name is taken; f is the stored row then.
	CreateFlow(ctx context.Context, f *prefect.Flow) (created bool, err error)
	// ReadFlow returns NotFound for an unknown id.
	ReadFlow(ctx context.Context, id uuid.UUID) (*prefect.Flow, error)
	// ReadFlowByName returns NotFound for an unknown name.
	ReadFlowByName(ctx context.Context, name string) (*prefect.Flow, error)
	// UpdateFlow applies fn to the row in one transaction. Errors: NotFound, and fn's.
	UpdateFlow(ctx context.Context, id uuid.UUID, fn func(*prefect.Flow) error) error
	// DeleteFlow returns NotFound for an unknown id.
	DeleteFlow(ctx context.Context, id uuid.UUID) error
	FilterFlows(ctx context.Context, f prefect.Filters, p prefect.Page) ([]*prefect.Flow, error)
	CountFlows(ctx context.Context, f prefect.Filters) (int, error)
}

// FlowRuns are the rows of flow_run, each with its current state and the names
// of its work queue and work pool.
type FlowRuns interface {
	// ReadFlowRun returns NotFound for an unknown id.
	ReadFlowRun(ctx context.Context, id uuid.UUID) (*prefect.FlowRun, error)
	// UpdateFlowRun applies fn to the row in one transaction. Errors: NotFound, and fn's.
	UpdateFlowRun(ctx context.Context, id uuid.UUID, fn func(*prefect.FlowRun) error) error
	// DeleteFlowRun deletes the run and what belongs to it. Errors: NotFound.
	DeleteFlowRun(ctx context.Context, id uuid.UUID) error
	FilterFlowRuns(ctx context.Context, f prefect.Filters, p prefect.Page) ([]*prefect.FlowRun, error)
	CountFlowRuns(ctx context.Context, f prefect.Filters) (int, error)
	// AverageFlowRunLateness returns seconds, nil if no run matches.
	AverageFlowRunLateness(ctx context.Context, f prefect.Filters) (*float64, error)
}

// TaskRuns are the rows of task_run, each with its current state.
type TaskRuns interface {
	// ReadTaskRun returns NotFound for an unknown id.
	ReadTaskRun(ctx context.Context, id uuid.UUID) (*prefect.TaskRun, error)
	// UpdateTaskRun applies fn to the row in one transaction. Errors: NotFound, and fn's.
	UpdateTaskRun(ctx context.Context, id uuid.UUID, fn func(*prefect.TaskRun) error) error
	// DeleteTaskRun deletes the run and what belongs to it. Errors: NotFound.
	DeleteTaskRun(ctx context.Context, id uuid.UUID) error
	FilterTaskRuns(ctx context.Context, f prefect.Filters, p prefect.Page) ([]*prefect.TaskRun, error)
	CountTaskRuns(ctx context.Context, f prefect.Filters) (int, error)
}

// States are the past and present states of runs, with their data.
type States interface {
	// ReadFlowRunState returns NotFound for an unknown state id.
	ReadFlowRunState(ctx context.Context, id uuid.UUID) (*prefect.State, error)
	// ReadFlowRunStates returns a run's states, oldest first; none for an unknown run.
	ReadFlowRunStates(ctx context.Context, flowRunID uuid.UUID) ([]*prefect.State, error)
	// ReadTaskRunState returns NotFound for an unknown state id.
	ReadTaskRunState(ctx context.Context, id uuid.UUID) (*prefect.State, error)
	// ReadTaskRunStates returns a run's states, oldest first; none for an unknown run.
	ReadTaskRunStates(ctx context.Context, taskRunID uuid.UUID) ([]*prefect.State, error)
}

// Logs are the rows of log.
type Logs interface {
	CreateLogs(ctx context.Context, logs []*prefect.Log) error
	// FilterLogs takes nil for all logs.
	FilterLogs(ctx context.Context, f *prefect.LogFilter, p prefect.Page) ([]*prefect.Log, error)
}

// FlowRunInputs are the values that were sent to flow runs.
type FlowRunInputs interface {
	// CreateFlowRunInput returns Conflict for a key that the run has, and Conflict
	// or NotFound for an unknown run.
	CreateFlowRunInput(ctx context.Context, in *prefect.FlowRunInput) error
	// ReadFlowRunInput returns NotFound for an unknown run or key.
	ReadFlowRunInput(ctx context.Context, flowRunID uuid.UUID, key string) (*prefect.FlowRunInput, error)
	// FilterFlowRunInput returns the inputs whose key begins with prefix, oldest
	// first, but for those with a key in exclude.
	FilterFlowRunInput(ctx context.Context, flowRunID uuid.UUID, prefix string, limit int, exclude []string) ([]*prefect.FlowRunInput, error)
	// DeleteFlowRunInput returns NotFound for an unknown run or key.
	DeleteFlowRunInput(ctx context.Context, flowRunID uuid.UUID, key string) error
}

// CSRFTokens are the tokens that clients were given, one a client.
type CSRFTokens interface {
	CreateOrUpdateCSRFToken(ctx context.Context, client, token string, expiration prefect.Time) error
	// ReadCSRFToken returns NotFound for an unknown client. The token may have expired.
	ReadCSRFToken(ctx context.Context, client string) (token string, expiration prefect.Time, err error)
	DeleteExpiredCSRFTokens(ctx context.Context) error
}

// Configurations are the rows of configuration.
type Configurations interface {
	// ReadConfiguration returns NotFound for an unknown key.
	ReadConfiguration(ctx context.Context, key string) (json.RawMessage, error)
	WriteConfiguration(ctx context.Context, key string, value json.RawMessage) error
}

// Orchestrator decides and applies state changes.
type Orchestrator interface {
	// SetFlowRunState returns NotFound for an unknown run.
	SetFlowRunState(ctx context.Context, id uuid.UUID, p orchestrate.Proposal) (*prefect.OrchestrationResult, error)
	// SetTaskRunState returns NotFound for an unknown run.
	SetTaskRunState(ctx context.Context, id uuid.UUID, p orchestrate.Proposal) (*prefect.OrchestrationResult, error)
	// CreateFlowRun inserts run with its first state. If its flow has a run with
	// its idempotency key, run is that row afterwards and created false.
	CreateFlowRun(ctx context.Context, run *prefect.FlowRun, p orchestrate.Proposal) (created bool, err error)
	// CreateTaskRun inserts run with its first state. If there is one with its flow
	// run, task key and dynamic key, run is that row afterwards and created false.
	CreateTaskRun(ctx context.Context, run *prefect.TaskRun, p orchestrate.Proposal) (created bool, err error)
}

// Registry is the policies and their modules.
type Registry interface {
	Modules
	Policies
	// Decisions returns records of decided proposals, oldest first.
	Decisions(ctx context.Context, f prefect.DecisionFilter) ([]*prefect.Decision, error)
	// Audit returns the attempts at changing policies, newest first.
	Audit(ctx context.Context, f prefect.PolicyAuditFilter) ([]*prefect.PolicyAudit, error)
}

// Modules are the policy modules in store.
type Modules interface {
	// AddModule returns Invalid with the reason for bytes that are no module.
	AddModule(ctx context.Context, wasm []byte) (m *prefect.PolicyModule, created bool, err error)
	Modules(ctx context.Context) ([]*prefect.PolicyModule, error)
	// Module returns NotFound for an unknown digest.
	Module(ctx context.Context, digest string) (*prefect.PolicyModule, error)
	// DeleteModule returns NotFound, or Conflict while a policy uses the module.
	DeleteModule(ctx context.Context, digest string) error
	// Readmit puts a module that was quarantined after errors back to work.
	// Errors: NotFound.
	Readmit(ctx context.Context, digest string) error
	// Quarantined reports whether this process has stopped calling a module.
	Quarantined(digest string) bool
}

// Policies are the ordered lists of entries, each with its versions.
type Policies interface {
	Policies(ctx context.Context) ([]*prefect.PolicyVersion, error)
	// Policy returns the active version. Errors: NotFound.
	Policy(ctx context.Context, name string) (*prefect.PolicyVersion, error)
	// PutPolicy makes entries the next version. Errors: NotFound, Conflict when
	// version is not the active one, Invalid for an entry that cannot work.
	PutPolicy(ctx context.Context, name string, entries []prefect.PolicyEntry, version int) (*prefect.PolicyVersion, error)
	// Versions returns all versions, newest first. Errors: NotFound.
	Versions(ctx context.Context, name string) ([]*prefect.PolicyVersion, error)
	// Rollback makes the entries of an old version the next one. Errors: NotFound.
	Rollback(ctx context.Context, name string, version int) (*prefect.PolicyVersion, error)
}

// Events takes events in and answers queries for stored ones.
type Events interface {
	// Receive stores events, the elements of a JSON list: all, or none if one is
	// refused. Errors: Invalid with Fields under "body", TooLarge, Unavailable.
	Receive(ctx context.Context, list []byte) error
	// FilterEvents returns the first page of what a filter includes: the JSON of
	// the schema EventFilter, nil for all. Errors: Invalid.
	FilterEvents(ctx context.Context, filter json.RawMessage, limit int) (EventPage, error)
	// NextEvents returns the page that Next of the one before names. Errors:
	// Forbidden for a token that is none.
	NextEvents(ctx context.Context, token string) (EventPage, error)
}

// EventPage is one page of a query's answer.
type EventPage struct {
	Events []*prefect.Event
	Total  int    // on all pages
	Next   string // "" on the last page
}

// Deployments are the rows of deployment, each with its schedules, its limit and the
// names of its work queue and work pool.
type Deployments interface {
	// PutDeployment applies fn to the deployment of a flow and name, or to a fresh one,
	// and returns the row. What fn asks for (OwnLimit, AskedQueue) is made in the same
	// transaction. Errors: Conflict for an unknown flow, NotFound for an unknown pool,
	// and fn's.
	PutDeployment(ctx context.Context, flowID uuid.UUID, name string, fn func(*prefect.Deployment) error) (d *prefect.Deployment, created bool, err error)
	// ReadDeployment returns NotFound for an unknown id.
	ReadDeployment(ctx context.Context, id uuid.UUID) (*prefect.Deployment, error)
	// ReadDeploymentByName returns NotFound for unknown names.
	ReadDeploymentByName(ctx context.Context, flow, name string) (*prefect.Deployment, error)
	// UpdateDeployment applies fn to the row, makes what fn asks for and deletes the
	// runs that are stale with it, in one transaction. Errors: NotFound, Conflict, and
	// fn's.
	UpdateDeployment(ctx context.Context, id uuid.UUID, stale prefect.StaleRuns, fn func(*prefect.Deployment) error) error
	// DeleteDeployment returns NotFound for an unknown id.
	DeleteDeployment(ctx context.Context, id uuid.UUID) error
	FilterDeployments(ctx context.Context, f prefect.Filters, p prefect.Page) ([]*prefect.Deployment, error)
	CountDeployments(ctx context.Context, f prefect.Filters) (int, error)
}

// WorkPools are the rows of work_pool.
type WorkPools interface {
	// CreateWorkPool inserts a pool with its default queue. Errors: Conflict for a
	// name that is taken.
	CreateWorkPool(ctx context.Context, p *prefect.WorkPool) error
	// ReadWorkPool returns NotFound for an unknown name.
	ReadWorkPool(ctx context.Context, name string) (*prefect.WorkPool, error)
	// UpdateWorkPool applies fn to the row in one transaction; online says whether the
	// pool has workers that are. Errors: NotFound, and fn's.
	UpdateWorkPool(ctx context.Context, name string, fn func(p *prefect.WorkPool, online bool) error) error
	// DeleteWorkPool returns NotFound for an unknown name.
	DeleteWorkPool(ctx context.Context, name string) error
	// FilterWorkPools returns pools in order of their names.
	FilterWorkPools(ctx context.Context, f *prefect.WorkPoolFilter, p prefect.Page) ([]*prefect.WorkPool, error)
	CountWorkPools(ctx context.Context, f *prefect.WorkPoolFilter) (int, error)
	// WorkPoolRuns returns the runs that workers of the pool may start, by the
	// priority of their queues and the times that they are due.
	WorkPoolRuns(ctx context.Context, pool *prefect.WorkPool, q prefect.WorkQuery) ([]*prefect.FlowRun, error)
}

// WorkQueues are the rows of work_queue.
type WorkQueues interface {
	// CreateWorkQueue inserts a queue, into the default agent pool if it names none.
	// Errors: Conflict for a name that is taken.
	CreateWorkQueue(ctx context.Context, q *prefect.WorkQueue) error
	// EnsureWorkQueue returns the queue of that name in a pool ("": the default agent
	// pool), made if it is not there. Errors: NotFound for an unknown pool.
	EnsureWorkQueue(ctx context.Context, pool, name string) (*prefect.WorkQueue, error)
	// ReadWorkQueue returns NotFound for unknown names; "" is the default agent pool.
	ReadWorkQueue(ctx context.Context, pool, name string) (*prefect.WorkQueue, error)
	// ReadWorkQueueByID returns NotFound for an unknown id.
	ReadWorkQueueByID(ctx context.Context, id uuid.UUID) (*prefect.WorkQueue, error)
	// UpdateWorkQueue applies fn to the row in one transaction. Errors: NotFound,
	// Conflict, and fn's.
	UpdateWorkQueue(ctx context.Context, id uuid.UUID, fn func(*prefect.WorkQueue) error) error
	// DeleteWorkQueue returns NotFound for an unknown id, Conflict for a pool's
	// default queue.
	DeleteWorkQueue(ctx context.Context, id uuid.UUID) error
	// FilterWorkQueues returns the queues of a pool by priority, those of all pools
	// (nil) by name.
	FilterWorkQueues(ctx context.Context, pool *uuid.UUID, f *prefect.WorkQueueFilter, p prefect.Page) ([]*prefect.WorkQueue, error)
	// WorkQueueRuns returns the runs that agents of the queue may start.
	WorkQueueRuns(ctx context.Context, id uuid.UUID, q prefect.WorkQuery) ([]*prefect.FlowRun, error)
}

// Workers are the rows of worker, and what is known of who asks for work.
type Workers interface {
	// WorkerHeartbeat notes that a worker of a pool is online, and makes the pool
	// ready. Errors: NotFound for an unknown pool.
	WorkerHeartbeat(ctx context.Context, pool, name string, intervalSeconds *int) error
	// FilterWorkers returns the workers of a pool, those first that were seen last.
	FilterWorkers(ctx context.Context, pool uuid.UUID, f *prefect.WorkerFilter, p prefect.Page) ([]*prefect.Worker, error)
	// DeleteWorker returns NotFound for an unknown name.
	DeleteWorker(ctx context.Context, pool uuid.UUID, name string) error
	// Polled makes deployments ready, by their ids or their queues, and the queues
	// too: their work was asked for now.
	Polled(ctx context.Context, deployments, queues []uuid.UUID) error
}

// ConcurrencyLimits are the rows of concurrency_limit_v2, found by id or name.
type ConcurrencyLimits interface {
	// CreateConcurrencyLimit returns Conflict for a name that is taken.
	CreateConcurrencyLimit(ctx context.Context, l *prefect.ConcurrencyLimit) error
	// ReadConcurrencyLimit returns NotFound for an unknown id or name.
	ReadConcurrencyLimit(ctx context.Context, idOrName string) (*prefect.ConcurrencyLimit, error)
	// FilterConcurrencyLimits returns limits in order of their names.
	FilterConcurrencyLimits(ctx context.Context, p prefect.Page) ([]*prefect.ConcurrencyLimit, error)
	// UpdateConcurrencyLimit applies fn to the row in one transaction. Errors:
	// NotFound, Conflict, and fn's.
	UpdateConcurrencyLimit(ctx context.Context, idOrName string, fn func(*prefect.ConcurrencyLimit) error) error
	// DeleteConcurrencyLimit returns NotFound for an unknown id or name.
	DeleteConcurrencyLimit(ctx context.Context, idOrName string) error
}

// TagLimits are the limits of task runs by tag, with who holds their slots.
type TagLimits interface {
	// PutTagLimit makes the limit of a tag or changes its number of slots.
	PutTagLimit(ctx context.Context, tag string, slots int) (l *prefect.TagLimit, created bool, err error)
	// ReadTagLimit returns NotFound for a tag without a limit.
	ReadTagLimit(ctx context.Context, tag string) (*prefect.TagLimit, error)
	// ReadTagLimitByID returns NotFound for an unknown id and for other limits.
	ReadTagLimitByID(ctx context.Context, id uuid.UUID) (*prefect.TagLimit, error)
	// FilterTagLimits returns limits in order of their tags.
	FilterTagLimits(ctx context.Context, p prefect.Page) ([]*prefect.TagLimit, error)
	// ResetTagLimit has just these task runs hold a slot each. Errors: NotFound.
	ResetTagLimit(ctx context.Context, tag string, runs []uuid.UUID, expires prefect.Time) error
	// AcquireTagSlots has a task run hold a slot of each limit, all or none: full is a
	// tag that has none left. Errors: Locked for a limit of 0.
	AcquireTagSlots(ctx context.Context, tags []string, run uuid.UUID, expires prefect.Time) (limits []*prefect.ConcurrencyLimit, full string, err error)
	// ReleaseTagSlots gives back what a task run holds and returns the limits.
	ReleaseTagSlots(ctx context.Context, tags []string, run uuid.UUID) ([]*prefect.ConcurrencyLimit, error)
}

// Slots are what is held of concurrency limits.
type Slots interface {
	// AcquireSlots takes slots of the limits that exist, all or none, and returns
	// those limits. Errors: Invalid for a request that can never be met.
	AcquireSlots(ctx context.Context, r prefect.SlotRequest) (limits []*prefect.ConcurrencyLimit, acquired bool, err error)
	// ReleaseSlots gives slots back that were held for so many seconds, 0 if
	// nobody knows, and returns the limits that exist.
	ReleaseSlots(ctx context.Context, names []string, slots int, seconds float64) ([]*prefect.ConcurrencyLimit, error)
	// ReleaseLease gives back what a lease holds, nothing if it is gone.
	ReleaseLease(ctx context.Context, id uuid.UUID) error
	// RenewLease returns Gone for a lease that is.
	RenewLease(ctx context.Context, id uuid.UUID, expires prefect.Time) error
}
