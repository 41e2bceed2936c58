package storetest_test

import (
	"encoding/json"
	"slices"
	"strconv"
	"testing"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/store"
)

// q quotes the n-th id for a filter's JSON.
func q(n int) string { return `"` + id(n).String() + `"` }

// The filters as the API has them, and the numbers of the rows of newWorld that
// they select, as the reference documents them.
var flowRunFilters = map[string]struct {
	filter string
	want   []int
}{
	"nothing":                      {`{}`, []int{1, 2, 3, 4}},
	"empty filter":                 {`{"flow_runs":{}}`, []int{1, 2, 3, 4}},
	"or with nothing":              {`{"flow_runs":{"operator":"or_"}}`, []int{1, 2, 3, 4}},
	"id any":                       {`{"flow_runs":{"id":{"any_":[` + q(51) + `,` + q(53) + `]}}}`, []int{1, 3}},
	"id any, one":                  {`{"flow_runs":{"id":{"any_":[` + q(52) + `]}}}`, []int{2}},
	"id any, none":                 {`{"flow_runs":{"id":{"any_":[]}}}`, nil},
	"id any null":                  {`{"flow_runs":{"id":{"any_":null}}}`, []int{1, 2, 3, 4}},
	"id not any":                   {`{"flow_runs":{"id":{"not_any_":[` + q(51) + `,` + q(53) + `]}}}`, []int{2, 4}},
	"id not any, none":             {`{"flow_runs":{"id":{"not_any_":[]}}}`, []int{1, 2, 3, 4}},
	"id both":                      {`{"flow_runs":{"id":{"any_":[` + q(51) + `,` + q(52) + `],"not_any_":[` + q(51) + `]}}}`, []int{2}},
	"name any":                     {`{"flow_runs":{"name":{"any_":["trillian","Trillian"]}}}`, []int{3}},
	"name like":                    {`{"flow_runs":{"name":{"like_":"MARVIN"}}}`, []int{1, 2}},
	"name like, wildcards":         {`{"flow_runs":{"name":{"like_":"m%n-"}}}`, []int{1}},
	"name like, a character":       {`{"flow_runs":{"name":{"like_":"0%_x"}}}`, []int{4}},
	"name like, empty":             {`{"flow_runs":{"name":{"like_":""}}}`, []int{1, 2, 3, 4}},
	"tags all":                     {`{"flow_runs":{"tags":{"all_":["b","a"]}}}`, []int{1}},
	"tags all, repeated":           {`{"flow_runs":{"tags":{"all_":["b","b"]}}}`, []int{1, 2}},
	"tags all, odd text":           {`{"flow_runs":{"tags":{"all_":["ü\"q"]}}}`, []int{2}},
	"tags all, none":               {`{"flow_runs":{"tags":{"all_":[]}}}`, []int{1, 2, 3, 4}},
	"tags any":                     {`{"flow_runs":{"tags":{"any_":["a","ü\"q"]}}}`, []int{1, 2}},
	"tags any, none":               {`{"flow_runs":{"tags":{"any_":[]}}}`, nil},
	"tags null":                    {`{"flow_runs":{"tags":{"is_null_":true}}}`, []int{3, 4}},
	"tags not null":                {`{"flow_runs":{"tags":{"is_null_":false}}}`, []int{1, 2}},
	"tags or":                      {`{"flow_runs":{"tags":{"operator":"or_","all_":["a"],"is_null_":true}}}`, []int{1, 3, 4}},
	"deployment any":               {`{"flow_runs":{"deployment_id":{"any_":[` + q(41) + `]}}}`, []int{1}},
	"deployment null":              {`{"flow_runs":{"deployment_id":{"is_null_":true}}}`, []int{2, 3, 4}},
	"deployment any and null":      {`{"flow_runs":{"deployment_id":{"any_":[` + q(41) + `],"is_null_":true}}}`, nil},
	"deployment any or null":       {`{"flow_runs":{"deployment_id":{"operator":"or_","any_":[` + q(41) + `],"is_null_":true}}}`, []int{1, 2, 3, 4}},
	"queue name any":               {`{"flow_runs":{"work_queue_name":{"any_":["wq","x"]}}}`, []int{2}},
	"queue name not null":          {`{"flow_runs":{"work_queue_name":{"is_null_":false}}}`, []int{2}},
	"state type":                   {`{"flow_runs":{"state":{"type":{"any_":["RUNNING","COMPLETED"]}}}}`, []int{1, 3}},
	"state type, one":              {`{"flow_runs":{"state":{"type":{"any_":["RUNNING"]}}}}`, []int{1}},
	"state type not":               {`{"flow_runs":{"state":{"type":{"not_any_":["RUNNING","FAILED"]}}}}`, []int{2, 3}},
	"state name":                   {`{"flow_runs":{"state":{"name":{"any_":["Late","Running"]}}}}`, []int{1, 2}},
	"state name not":               {`{"flow_runs":{"state":{"name":{"not_any_":["Late"]}}}}`, []int{1, 3}},
	"state or":                     {`{"flow_runs":{"state":{"operator":"or_","type":{"any_":["COMPLETED"]},"name":{"any_":["Late"]}}}}`, []int{2, 3}},
	"state and":                    {`{"flow_runs":{"state":{"type":{"any_":["SCHEDULED"]},"name":{"any_":["Running"]}}}}`, nil},
	"state or, one empty":          {`{"flow_runs":{"state":{"operator":"or_","type":{},"name":{"any_":["Late"]}}}}`, []int{2}},
	"flow version":                 {`{"flow_runs":{"flow_version":{"any_":["v1"]}}}`, []int{1}},
	"start before":                 {`{"flow_runs":{"start_time":{"before_":"2026-11-23T18:00:20.123456Z"}}}`, []int{1, 2}},
	"start after":                  {`{"flow_runs":{"start_time":{"after_":"2026-11-23T19:00:20.123456+01:00"}}}`, []int{2, 3}},
	"start null":                   {`{"flow_runs":{"start_time":{"is_null_":true}}}`, []int{2, 4}},
	"end before":                   {`{"flow_runs":{"end_time":{"before_":"2026-11-23T18:00:40.123456Z"}}}`, []int{3}},
	"end after":                    {`{"flow_runs":{"end_time":{"after_":"2026-11-23T18:00:40.123457Z"}}}`, nil},
	"end not null":                 {`{"flow_runs":{"end_time":{"is_null_":false}}}`, []int{3}},
	"expected":                     {`{"flow_runs":{"expected_start_time":{"after_":"2026-11-23T18:00:05.123457Z","before_":"2026-11-23T18:00:30.123456Z"}}}`, []int{2, 3}},
	"next":                         {`{"flow_runs":{"next_scheduled_start_time":{"before_":"2026-11-23T18:01:00Z"}}}`, []int{2}},
	"parent flow run":              {`{"flow_runs":{"parent_flow_run_id":{"any_":[` + q(51) + `,` + q(99) + `]}}}`, []int{3}},
	"parent flow run, one":         {`{"flow_runs":{"parent_flow_run_id":{"any_":[` + q(51) + `]}}}`, []int{3}},
	"parent task run":              {`{"flow_runs":{"parent_task_run_id":{"any_":[` + q(61) + `]}}}`, []int{3}},
	"parent task run null":         {`{"flow_runs":{"parent_task_run_id":{"is_null_":true}}}`, []int{1, 2, 4}},
	"idempotency":                  {`{"flow_runs":{"idempotency_key":{"any_":["k1"]}}}`, []int{1}},
	"idempotency not":              {`{"flow_runs":{"idempotency_key":{"not_any_":["k2","k3"]}}}`, []int{1}},
	"created by id":                {`{"flow_runs":{"created_by":{"id_":[` + q(90) + `]}}}`, []int{1}},
	"created by ids":               {`{"flow_runs":{"created_by":{"id_":[` + q(90) + `,` + q(91) + `]}}}`, []int{1}},
	"created by type":              {`{"flow_runs":{"created_by":{"type_":["DEPLOYMENT","AUTOMATION"]}}}`, []int{1}},
	"created by null":              {`{"flow_runs":{"created_by":{"is_null_":true}}}`, []int{2, 3, 4}},
	"and":                          {`{"flow_runs":{"name":{"like_":"marvin"},"tags":{"all_":["a"]}}}`, []int{1}},
	"or":                           {`{"flow_runs":{"operator":"or_","name":{"any_":["trillian"]},"tags":{"all_":["a"]}}}`, []int{1, 3}},
	"or with an empty criterion":   {`{"flow_runs":{"operator":"or_","name":{"any_":["trillian"]},"tags":{}}}`, []int{1, 2, 3, 4}},
	"flows":                        {`{"flows":{"name":{"any_":["Beta"]}}}`, []int{3, 4}},
	"flows like":                   {`{"flows":{"name":{"like_":"ALPH"}}}`, []int{1, 2}},
	"flows by id":                  {`{"flows":{"id":{"any_":[` + q(11) + `]}}}`, []int{1, 2}},
	"deployments, empty":           {`{"deployments":{}}`, []int{1}},
	"deployments tags":             {`{"deployments":{"tags":{"any_":["d"]}}}`, []int{1}},
	"deployments paused":           {`{"deployments":{"paused":{"eq_":true}}}`, nil},
	"deployments by either name":   {`{"deployments":{"flow_or_deployment_name":{"like_":"ALPHA"}}}`, []int{1}},
	"deployments limit is ignored": {`{"deployments":{"concurrency_limit":{"ge_":5}}}`, []int{1}},
	"deployments queue":            {`{"deployments":{"work_queue_name":{"any_":["default"]}}}`, []int{1}},
	"pools":                        {`{"work_pools":{"type":{"any_":["process"]}}}`, []int{1}},
	"pools by name":                {`{"work_pools":{"name":{"any_":["other"]}}}`, nil},
	"queues":                       {`{"work_pool_queues":{"name":{"startswith_":["DEF","x"]}}}`, []int{1}},
	"queues, no beginning":         {`{"work_pool_queues":{"name":{"startswith_":[]}}}`, nil},
	"queues and pools":             {`{"work_pool_queues":{"id":{"any_":[` + q(31) + `]}},"work_pools":{"id":{"any_":[` + q(21) + `]}}}`, []int{1}},
	"task runs":                    {`{"task_runs":{"tags":{"all_":["z"]}}}`, []int{3}},
	"task runs, any":               {`{"task_runs":{}}`, []int{1, 3}},
	"flows and task runs":          {`{"flows":{"name":{"any_":["Beta"]}},"task_runs":{"state":{"type":{"any_":["RUNNING"]}}}}`, nil},
}

var taskRunFilters = map[string]struct {
	filter string
	want   []int
}{
	"nothing":               {`{}`, []int{1, 2, 3}},
	"id":                    {`{"task_runs":{"id":{"any_":[` + q(62) + `]}}}`, []int{2}},
	"name like":             {`{"task_runs":{"name":{"like_":"TASK-"}}}`, []int{1, 2, 3}},
	"tags":                  {`{"task_runs":{"tags":{"all_":["z"]}}}`, []int{2, 3}},
	"tags null":             {`{"task_runs":{"tags":{"is_null_":true}}}`, []int{1}},
	"state":                 {`{"task_runs":{"state":{"type":{"any_":["RUNNING","COMPLETED"]},"name":{"any_":["Running"]}}}}`, []int{1}},
	"start":                 {`{"task_runs":{"start_time":{"after_":"2026-11-23T18:00:30Z"}}}`, []int{2}},
	"start null":            {`{"task_runs":{"start_time":{"is_null_":true}}}`, []int{3}},
	"end":                   {`{"task_runs":{"end_time":{"before_":"2026-11-23T18:01:00Z"}}}`, []int{2}},
	"expected":              {`{"task_runs":{"expected_start_time":{"before_":"2026-11-23T18:00:11.123456Z"}}}`, []int{1}},
	"subflow":               {`{"task_runs":{"subflow_runs":{"exists_":true}}}`, []int{1}},
	"no subflow":            {`{"task_runs":{"subflow_runs":{"exists_":false}}}`, []int{2, 3}},
	"flow run id":           {`{"task_runs":{"flow_run_id":{"any_":[` + q(51) + `]}}}`, []int{1}},
	"no flow run":           {`{"task_runs":{"flow_run_id":{"is_null_":true,"any_":[` + q(51) + `]}}}`, []int{3}},
	"a flow run":            {`{"task_runs":{"flow_run_id":{"is_null_":false}}}`, []int{1, 2}},
	"that flow run":         {`{"task_runs":{"flow_run_id":{"is_null_":false,"any_":[` + q(53) + `]}}}`, []int{2}},
	"flow runs by id":       {`{"flow_runs":{"id":{"any_":[` + q(51) + `,` + q(53) + `]}}}`, []int{1, 2}},
	"flow runs by name":     {`{"flow_runs":{"name":{"like_":"trill"}}}`, []int{2}},
	"flow runs, empty":      {`{"flow_runs":{}}`, []int{1, 2}},
	"subflows within":       {`{"flow_runs":{"parent_flow_run_id":{"any_":[` + q(51) + `]}}}`, []int{2}},
	"flows":                 {`{"flows":{"tags":{"all_":["x"]}}}`, []int{1}},
	"deployments":           {`{"deployments":{"name":{"any_":["prod"]}}}`, []int{1}},
	"flow runs and flows":   {`{"flow_runs":{"id":{"any_":[` + q(51) + `]}},"flows":{"name":{"any_":["Beta"]}}}`, nil},
	"pools":                 {`{"work_pools":{"name":{"any_":["pool"]}}}`, []int{1}},
	"both, none in common":  {`{"task_runs":{"tags":{"all_":["z"]}},"flow_runs":{"id":{"any_":[` + q(51) + `]}}}`, nil},
	"or of start and state": {`{"task_runs":{"operator":"or_","start_time":{"is_null_":true},"state":{"name":{"any_":["Running"]}}}}`, []int{1, 3}},
}

var flowFilters = map[string]struct {
	filter string
	want   []int
}{
	"nothing":            {`{}`, []int{1, 2, 3}},
	"id":                 {`{"flows":{"id":{"not_any_":[` + q(11) + `]}}}`, []int{2, 3}},
	"name":               {`{"flows":{"name":{"any_":["alpha","beta"]}}}`, []int{1}},
	"tags":               {`{"flows":{"tags":{"all_":["y"]}}}`, []int{1, 2}},
	"no tags":            {`{"flows":{"tags":{"is_null_":true}}}`, []int{3}},
	"no deployment":      {`{"flows":{"deployment":{"is_null_":true}}}`, []int{3}},
	"a deployment":       {`{"flows":{"deployment":{"is_null_":false}}}`, []int{1, 2}},
	"deployments":        {`{"deployments":{"paused":{"eq_":true}}}`, []int{2}},
	"pools":              {`{"work_pools":{}}`, []int{1}},
	"flow runs":          {`{"flow_runs":{"state":{"type":{"any_":["COMPLETED"]}}}}`, []int{2}},
	"task runs":          {`{"task_runs":{"state":{"type":{"any_":["RUNNING"]}}}}`, []int{1}},
	"flow and task runs": {`{"flow_runs":{"name":{"like_":"sad"}},"task_runs":{}}`, nil},
	"queues are ignored": {`{"work_pool_queues":{"name":{"any_":["other"]}}}`, []int{1, 2, 3}},
}

func TestFilters(t *testing.T) {
	eachURL(t, func(t *testing.T, db *store.DB, exec func(string)) {
		newWorld(t, db, exec)
		page := prefect.Page{Sort: "ID_DESC", Limit: 100}
		for name, test := range flowRunFilters {
			runFilter(t, "flow runs/"+name, test.filter, test.want, 50, func(f prefect.Filters) ([]*prefect.FlowRun, error) {
				return db.FilterFlowRuns(ctx, f, page)
			}, func(f prefect.Filters) (int, error) { return db.CountFlowRuns(ctx, f) }, func(r *prefect.FlowRun) uuid.UUID { return r.ID })
		}
		for name, test := range taskRunFilters {
			runFilter(t, "task runs/"+name, test.filter, test.want, 60, func(f prefect.Filters) ([]*prefect.TaskRun, error) {
				return db.FilterTaskRuns(ctx, f, page)
			}, func(f prefect.Filters) (int, error) { return db.CountTaskRuns(ctx, f) }, func(r *prefect.TaskRun) uuid.UUID { return r.ID })
		}
		for name, test := range flowFilters {
			runFilter(t, "flows/"+name, test.filter, test.want, 10, func(f prefect.Filters) ([]*prefect.Flow, error) {
				return db.FilterFlows(ctx, f, prefect.Page{Sort: "NAME_ASC", Limit: 100})
			}, func(f prefect.Filters) (int, error) { return db.CountFlows(ctx, f) }, func(f *prefect.Flow) uuid.UUID { return f.ID })
		}
	})
}

// runFilter checks what a filter selects, and that the count agrees.
func runFilter[T any](t *testing.T, name, filter string, want []int, base int, read func(prefect.Filters) ([]T, error),
	count func(prefect.Filters) (int, error), idOf func(T) uuid.UUID,
) {
	t.Run(name, func(t *testing.T) {
		var f prefect.Filters
		check(t, json.Unmarshal([]byte(filter), &f))
		rows := must(read(f))(t)
		var got []int
		for _, r := range rows {
			s := idOf(r).String()
			n := must(strconv.ParseInt(s[24:], 16, 64))(t)
			got = append(got, int(n)-base)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if n := must(count(f))(t); n != len(want) {
			t.Errorf("the count is %d, want %d", n, len(want))
		}
	})
}

func TestFilterManyIDs(t *testing.T) {
	eachURL(t, func(t *testing.T, db *store.DB, exec func(string)) {
		newWorld(t, db, exec)
		ids := make([]uuid.UUID, 10_000)
		for i := range ids {
			ids[i] = uuid.New()
		}
		ids[5000] = id(52)
		f := prefect.Filters{FlowRuns: &prefect.FlowRunFilter{ID: &prefect.AnyNotAny[uuid.UUID]{Any: ids}}}
		if n := must(db.CountFlowRuns(ctx, f))(t); n != 1 {
			t.Errorf("of 10,000 ids there are %d, want 1", n)
		}
		f.FlowRuns.ID = &prefect.AnyNotAny[uuid.UUID]{NotAny: ids}
		if n := must(db.CountFlowRuns(ctx, f))(t); n != 3 {
			t.Errorf("without 10,000 ids there are %d, want 3", n)
		}
	})
}

func TestSorts(t *testing.T) {
	eachURL(t, func(t *testing.T, db *store.DB, exec func(string)) {
		newWorld(t, db, exec)
		with := prefect.Filters{FlowRuns: &prefect.FlowRunFilter{ExpectedStartTime: &prefect.TimeCriteria{After: ptr(at(0))}}}
		for sort, want := range map[string][]int{
			"ID_DESC":                  {3, 2, 1},
			"START_TIME_ASC":           {1, 2, 3},
			"START_TIME_DESC":          {3, 2, 1},
			"EXPECTED_START_TIME_ASC":  {1, 2, 3},
			"EXPECTED_START_TIME_DESC": {3, 2, 1},
			"NAME_ASC":                 {1, 2, 3},
			"NAME_DESC":                {3, 2, 1},
		} {
			var got []int
			for _, r := range must(db.FilterFlowRuns(ctx, with, prefect.Page{Sort: sort, Limit: 10}))(t) {
				got = append(got, int(r.ID[15])-50)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: got %v, want %v", sort, got, want)
			}
		}
		for _, sort := range []string{"NEXT_SCHEDULED_START_TIME_ASC", "END_TIME_DESC"} {
			if rows := must(db.FilterFlowRuns(ctx, with, prefect.Page{Sort: sort, Limit: 2, Offset: 1}))(t); len(rows) != 2 {
				t.Errorf("%s: a page of 2 has %d rows", sort, len(rows))
			}
		}
		_, err := db.FilterTaskRuns(ctx, with, prefect.Page{Sort: "START_TIME_ASC", Limit: 1})
		wantCode(t, err, prefect.Invalid)
	})
}
