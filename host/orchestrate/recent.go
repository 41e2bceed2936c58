package orchestrate

import (
	"sync"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

const (
	// maxRecent is how many runs are remembered at least, twice as many at most.
	maxRecent = 1024
	// maxRecentBytes bounds what one of them carries of its user's texts.
	maxRecentBytes = 8 << 10
)

// recent remembers runs as this process wrote them last. A client proposes the
// states of a run one after another, so most transitions find their run here and
// read nothing. What is remembered may be out of date, for others write too: it is
// good for proposing a commit, which compares, and for no answer that commits
// nothing. The zero value works.
type recent struct {
	mu    sync.Mutex
	runs  map[uuid.UUID]subject
	order []uuid.UUID // of arrival; ids that are not in runs are passed over
}

// recall returns a run, which must not be changed, and forgets it: the
// transition that comes of it remembers what becomes of it.
func (r *recent) recall(kind prefect.RunType, id uuid.UUID) (subject, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	run, found := r.runs[id]
	if !found || run.kind() != kind {
		return subject{}, false
	}
	delete(r.runs, id)
	return run, true
}

// remember keeps the run of a commit that was applied, unless it is big, has ended,
// was made for later, or its state has data, which the store may have left out or
// changed.
func (r *recent) remember(c *Commit) {
	if c.State == nil || c.State.Type.Terminal() || len(c.State.Data) > 0 || c.Create && c.State.Type == prefect.Scheduled {
		return
	}
	run := subject{flow: c.FlowRun, task: c.TaskRun}.copied()
	run.setState(c.State.Copy())
	if run.bytes() > maxRecentBytes {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.runs == nil {
		r.runs = make(map[uuid.UUID]subject, maxRecent)
	}
	id := run.id()
	r.runs[id] = run
	r.order = append(r.order, id)
	if len(r.order) > 2*maxRecent {
		r.evict()
	}
}

// evict forgets all but the maxRecent that came last.
func (r *recent) evict() {
	kept := r.order[len(r.order)-maxRecent:]
	runs := make(map[uuid.UUID]subject, maxRecent)
	for _, id := range kept {
		if run, found := r.runs[id]; found {
			runs[id] = run
		}
	}
	r.runs, r.order = runs, append([]uuid.UUID(nil), kept...)
}
