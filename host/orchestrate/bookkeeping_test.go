package orchestrate

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

var (
	t0 = prefect.NewTime(time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC))
	t1 = t0.Add(90 * time.Second)
	t9 = t0.Add(time.Hour)
)

// grid tells for each initial type (a row; "" is none) and each type written, in
// the order of prefect.StateTypes, what becomes of a column:
// . null stays null, k kept, s set, x cleared, + increased.
type grid map[prefect.StateType]string

func initialTypes() []prefect.StateType { return append(prefect.StateTypes(), "") }

func stateAt(t prefect.StateType, at prefect.Time) *prefect.State {
	if t == "" {
		return nil
	}
	s := &prefect.State{ID: uuid.New(), Type: t, Timestamp: at, Details: prefect.NewStateDetails()}
	if t == prefect.Scheduled {
		s.Details.ScheduledTime = t9.Ptr()
	}
	s.Normalize(at)
	return s
}

// each runs fn for all pairs with the grid's mark.
func (g grid) each(t *testing.T, fn func(t *testing.T, initial, final prefect.StateType, mark byte)) {
	t.Helper()
	for _, initial := range initialTypes() {
		row := g[initial]
		if len(row) != len(prefect.StateTypes()) {
			t.Fatalf("the row of %q has %d marks", initial, len(row))
		}
		for i, final := range prefect.StateTypes() {
			t.Run(string(initial)+" to "+string(final), func(t *testing.T) { fn(t, initial, final, row[i]) })
		}
	}
}

// book returns the columns after a transition at t1 of a run that began its
// initial state at t0.
func book(run prefect.RunTimes, initial, final prefect.StateType) prefect.RunTimes {
	setColumns(&run, stateAt(initial, t0), stateAt(final, t1))
	return run
}

func checkTime(t *testing.T, got, before *prefect.Time, set prefect.Time, mark byte) {
	t.Helper()
	var want *prefect.Time
	switch mark {
	case 'k':
		want = before
	case 's':
		want = &set
	}
	if (got == nil) != (want == nil) || got != nil && !got.Equal(want.Time) {
		t.Errorf("got %v, want %v (%c)", got, want, mark)
	}
}

// Columns of the grids:  SCHEDULED PENDING RUNNING COMPLETED FAILED CANCELLED CRASHED PAUSED CANCELLING

func TestEndTime(t *testing.T) {
	goesOn, ended := "...ssss..", "xxxkkkkxx"
	grid{
		"": goesOn, prefect.Scheduled: goesOn, prefect.Pending: goesOn, prefect.Running: goesOn,
		prefect.Paused: goesOn, prefect.Cancelling: goesOn,
		prefect.Completed: ended, prefect.Failed: ended, prefect.Cancelled: ended, prefect.Crashed: ended,
	}.each(t, func(t *testing.T, initial, final prefect.StateType, mark byte) {
		var run prefect.RunTimes
		if initial.Terminal() {
			run.EndTime = t0.Ptr()
		}
		checkTime(t, book(run, initial, final).EndTime, run.EndTime, t1, mark)
	})
}

func TestStartTime(t *testing.T) {
	unstarted := "..sssss.."
	g := grid{}
	for _, initial := range initialTypes() {
		g[initial] = unstarted
		if initial.Terminal() { // it has an end, so it is not set with one
			g[initial] = "..s......"
		}
	}
	g.each(t, func(t *testing.T, initial, final prefect.StateType, mark byte) {
		var run prefect.RunTimes
		if initial.Terminal() {
			run.EndTime = t0.Ptr()
		}
		checkTime(t, book(run, initial, final).StartTime, nil, t1, mark)
		run.StartTime = t0.Ptr()
		checkTime(t, book(run, initial, final).StartTime, run.StartTime, t1, 'k')
	})
}

func TestNextScheduledStartTime(t *testing.T) {
	g := grid{}
	for _, initial := range initialTypes() {
		g[initial] = "skkkkkkkk"
	}
	g[prefect.Scheduled] = "sxxxxxxxx"
	g.each(t, func(t *testing.T, initial, final prefect.StateType, mark byte) {
		run := prefect.RunTimes{NextScheduledStartTime: t0.Ptr()}
		checkTime(t, book(run, initial, final).NextScheduledStartTime, run.NextScheduledStartTime, t9, mark)
	})
}

func TestExpectedStartTime(t *testing.T) {
	for _, final := range prefect.StateTypes() {
		want := t1
		if final == prefect.Scheduled {
			want = t9
		}
		checkTime(t, book(prefect.RunTimes{}, "", final).ExpectedStartTime, nil, want, 's')
		checkTime(t, book(prefect.RunTimes{ExpectedStartTime: t0.Ptr()}, prefect.Scheduled, final).ExpectedStartTime, &t0, want, 'k')
	}
}

func TestTotalRunTime(t *testing.T) {
	g := grid{}
	for _, initial := range initialTypes() {
		g[initial] = "kkkkkkkkk"
	}
	g[prefect.Running] = "+++++++++"
	g.each(t, func(t *testing.T, initial, final prefect.StateType, mark byte) {
		want := 7.0
		if mark == '+' {
			want = 97
		}
		if got := book(prefect.RunTimes{TotalRunTime: 7}, initial, final).TotalRunTime; got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestStateColumns(t *testing.T) {
	for _, final := range prefect.StateTypes() {
		s := stateAt(final, t1)
		s.Name = "Named"
		var run prefect.RunTimes
		setColumns(&run, nil, s)
		if *run.StateID != s.ID || *run.StateType != final || *run.StateName != "Named" || !run.StateTimestamp.Equal(t1.Time) {
			t.Errorf("%s: %v %v %v %v", final, *run.StateID, *run.StateType, *run.StateName, *run.StateTimestamp)
		}
	}
}

func TestFlowRunCountAndResuming(t *testing.T) {
	yes, no := true, false
	for _, c := range []struct {
		name         string
		final        prefect.StateType
		resuming     *bool
		oldAPI       bool
		wantCount    int
		wantResuming *bool
	}{
		{"a run counts", prefect.Running, nil, false, 3, nil},
		{"resuming false is no resume", prefect.Running, &no, false, 3, &no},
		{"a resumed run is not counted again", prefect.Running, &yes, false, 2, &no},
		{"an old client knows of no resuming", prefect.Running, &yes, true, 3, &yes},
		{"an end ends the resuming", prefect.Completed, &yes, false, 2, &no},
		{"so does a crash", prefect.Crashed, &yes, false, 2, &no},
		{"but not for an old client", prefect.Failed, &yes, true, 2, &yes},
		{"waiting keeps it", prefect.Scheduled, &yes, false, 2, &yes},
		{"pending keeps it", prefect.Pending, &yes, false, 2, &yes},
	} {
		t.Run(c.name, func(t *testing.T) {
			run := &prefect.FlowRun{RunTimes: prefect.RunTimes{RunCount: 2}, Policy: prefect.FlowRunPolicy{Resuming: c.resuming}}
			bookkeepFlowRun(run, stateAt(prefect.Paused, t0), stateAt(c.final, t1), c.oldAPI)
			if run.RunCount != c.wantCount {
				t.Errorf("run_count %d, want %d", run.RunCount, c.wantCount)
			}
			got, want := run.Policy.Resuming, c.wantResuming
			if (got == nil) != (want == nil) || got != nil && *got != *want {
				t.Errorf("resuming %v, want %v", got, want)
			}
			if !yes || no {
				t.Fatal("the policy that was read has been changed in place")
			}
		})
	}
}

func TestTaskRunCount(t *testing.T) {
	for _, final := range prefect.StateTypes() {
		run := &prefect.TaskRun{RunTimes: prefect.RunTimes{RunCount: 2}}
		bookkeepTaskRun(run, stateAt(prefect.Pending, t0), stateAt(final, t1))
		want := 2
		if final == prefect.Running {
			want = 3
		}
		if run.RunCount != want {
			t.Errorf("%s: run_count %d, want %d", final, run.RunCount, want)
		}
	}
}

func TestStateDetailsNameTheRuns(t *testing.T) {
	foreign, parent, flowRun := uuid.New(), uuid.New(), uuid.New()
	flow := &prefect.FlowRun{ID: uuid.New()}
	s := stateAt(prefect.Running, t1)
	s.Details.FlowRunID = &foreign
	bookkeepFlowRun(flow, nil, s, false)
	if *s.Details.FlowRunID != flow.ID || s.Details.TaskRunID != nil {
		t.Errorf("flow run: %v %v", s.Details.FlowRunID, s.Details.TaskRunID)
	}
	flow.ParentTaskRunID = &parent
	bookkeepFlowRun(flow, nil, s, false)
	if *s.Details.TaskRunID != parent {
		t.Errorf("subflow: %v", s.Details.TaskRunID)
	}
	task := &prefect.TaskRun{ID: uuid.New(), FlowRunID: &flowRun}
	bookkeepTaskRun(task, nil, s)
	if *s.Details.FlowRunID != flowRun || *s.Details.TaskRunID != task.ID {
		t.Errorf("task run: %v %v", s.Details.FlowRunID, s.Details.TaskRunID)
	}
}

func TestTimestampsOfARunGrow(t *testing.T) {
	for _, c := range []struct {
		name          string
		initial, want prefect.Time
	}{
		{"later", t0, t1},
		{"the same moment", t1, t1.Add(time.Microsecond)},
		{"a clock that stepped back", t9, t9.Add(time.Microsecond)},
	} {
		s := stateAt(prefect.Running, t1)
		ensureTimestampIsUnique(stateAt(prefect.Pending, c.initial), s)
		if !s.Timestamp.Equal(c.want.Time) {
			t.Errorf("%s: %v, want %v", c.name, s.Timestamp, c.want)
		}
	}
}
