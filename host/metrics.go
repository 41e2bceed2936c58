package host

import (
	"context"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/interlock-run/interlock/host/metrics"
	"github.com/interlock-run/interlock/host/orchestrate"
	"github.com/interlock-run/interlock/host/policy"
	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/host/sandbox"
	"github.com/interlock-run/interlock/store"
)

// meters are what the server counts, and where it reads what others do.
type meters struct {
	db       *store.DB
	registry *policy.Registry // nil without policies
	runtime  *sandbox.Runtime // likewise
	version  string
	started  time.Time

	requests    *metrics.Vec[requestKey, atomic.Uint64]
	durations   *metrics.Vec[routeKey, metrics.Histogram]
	transitions *metrics.Vec[transitionKey, atomic.Uint64]
	decisions   *metrics.Vec[decisionKey, atomic.Uint64]
	races       *metrics.Vec[prefect.RunType, atomic.Uint64]
}

type routeKey struct{ method, route string }

type requestKey struct {
	routeKey
	status int
}

type transitionKey struct {
	run      prefect.RunType
	policy   string
	proposed prefect.StateType
	status   prefect.Status
}

type decisionKey struct{ policy, entry, decision, handled string }

func newMeters(db *store.DB, version string) *meters {
	return &meters{
		db: db, version: version, started: time.Now(),
		requests:    metrics.Counters[requestKey](),
		durations:   metrics.NewVec[routeKey](func() *metrics.Histogram { return metrics.NewHistogram(metrics.RequestBounds()) }),
		transitions: metrics.Counters[transitionKey](),
		decisions:   metrics.Counters[decisionKey](),
		races:       metrics.Counters[prefect.RunType](),
	}
}

// watch has a conductor tell of what it decides.
func (m *meters) watch(c *orchestrate.Orchestrator) { c.Decided, c.LostRace = m.decided, m.lostRace }

// request counts a request. Methods of clients' own making count as one.
func (m *meters) request(method, route string, status int, took time.Duration) {
	if route == "" {
		method, route = "any", "none"
	}
	key := routeKey{method, route}
	m.requests.At(requestKey{key, status}).Add(1)
	m.durations.At(key).Observe(took.Seconds())
}

func (m *meters) decided(d *prefect.Decision) {
	m.transitions.At(transitionKey{d.RunType, d.Policy, d.ProposedType, d.Status}).Add(1)
	for i := range d.Rules {
		r := &d.Rules[i]
		m.decisions.At(decisionKey{d.Policy, r.Name, r.Decision, r.Handled}).Add(1)
	}
}

func (m *meters) lostRace(run prefect.RunType) { m.races.At(run).Add(1) }

// text is everything in Prometheus' text form.
func (m *meters) text(ctx context.Context) ([]byte, error) {
	var t metrics.Text
	t.Family("interlock_build_info", "gauge", "The version of this binary.").Add(1, metrics.Label{Name: "version", Value: m.version})
	t.Family("process_start_time_seconds", "gauge", "When the server started, in seconds since 1970.").Add(float64(m.started.UnixMilli()) / 1000)
	t.Family("go_goroutines", "gauge", "Goroutines.").Add(float64(runtime.NumGoroutine()))
	if bytes, ok := residentMemory(); ok {
		t.Family("process_resident_memory_bytes", "gauge", "Memory of the process.").Add(float64(bytes))
	}
	m.served(&t)
	m.orchestrated(&t)
	if m.registry != nil {
		m.modules(&t)
	}
	err := m.stored(ctx, &t)
	return t.Bytes(), err
}

func (m *meters) served(t *metrics.Text) {
	labels := func(k routeKey) []metrics.Label {
		return []metrics.Label{{Name: "method", Value: k.method}, {Name: "route", Value: k.route}}
	}
	f := t.Family("interlock_http_requests_total", "counter", "Requests by route and status.")
	m.requests.Each(func(k requestKey) []metrics.Label {
		return append(labels(k.routeKey), metrics.Label{Name: "status", Value: strconv.Itoa(k.status)})
	}, counter(f))
	f = t.Family("interlock_http_request_duration_seconds", "histogram", "Time until the reply was written.")
	m.durations.Each(labels, func(l []metrics.Label, h *metrics.Histogram) { f.AddHistogram(h, l...) })
}

func counter(f *metrics.Family) func([]metrics.Label, *atomic.Uint64) {
	return func(l []metrics.Label, n *atomic.Uint64) { f.Add(float64(n.Load()), l...) }
}

func (m *meters) orchestrated(t *metrics.Text) {
	m.transitions.Each(func(k transitionKey) []metrics.Label {
		return []metrics.Label{{Name: "run_type", Value: string(k.run)}, {Name: "policy", Value: k.policy},
			{Name: "proposed", Value: string(k.proposed)}, {Name: "status", Value: string(k.status)}}
	}, counter(t.Family("interlock_transitions_total", "counter", "Proposals by the status that they were answered with.")))
	m.decisions.Each(func(k decisionKey) []metrics.Label {
		return []metrics.Label{{Name: "policy", Value: k.policy}, {Name: "entry", Value: k.entry},
			{Name: "decision", Value: k.decision}, {Name: "handled", Value: k.handled}}
	}, counter(t.Family("interlock_policy_decisions_total", "counter", "Decisions of a policy's entries; handled is the failure mode where the module failed.")))
	m.races.Each(func(run prefect.RunType) []metrics.Label {
		return []metrics.Label{{Name: "run_type", Value: string(run)}}
	},
		counter(t.Family("interlock_lost_races_total", "counter", "Decisions that were made again because the run had changed.")))
}

// modules tells of the modules by their digest.
func (m *meters) modules(t *metrics.Text) {
	standings := map[string]policy.Standing{}
	info := t.Family("interlock_module_info", "gauge", "The modules that active policies use.")
	for _, s := range m.registry.Standings() {
		standings[s.Digest] = s
		if s.Loaded {
			info.Add(1, module(s.Digest), metrics.Label{Name: "name", Value: s.Name}, metrics.Label{Name: "version", Value: s.Version},
				metrics.Label{Name: "builtin", Value: strconv.FormatBool(s.Builtin)})
		}
	}
	f := t.Family("interlock_module_quarantined", "gauge", "1 for a module that is not asked any more, because it failed too often in a row.")
	for _, s := range m.registry.Standings() {
		f.Add(map[bool]float64{true: 1}[s.Quarantined], module(s.Digest))
	}
	all := m.runtime.Metrics()
	each := func(name, kind, help string, value func(sandbox.Metrics) float64) {
		f := t.Family(name, kind, help)
		for _, one := range all {
			f.Add(value(one), module(one.Digest))
		}
	}
	each("interlock_module_calls_total", "counter", "Calls, failed ones included.", func(s sandbox.Metrics) float64 { return float64(s.Calls) })
	each("interlock_module_fuel_total", "counter", "Work in units.", func(s sandbox.Metrics) float64 { return float64(s.Fuel) })
	each("interlock_module_running", "gauge", "Calls under way.", func(s sandbox.Metrics) float64 { return float64(s.Running) })
	each("interlock_module_idle", "gauge", "Instances that wait for a call.", func(s sandbox.Metrics) float64 { return float64(s.Idle) })
	each("interlock_module_instances_total", "counter", "Instances made.", func(s sandbox.Metrics) float64 { return float64(s.Made) })
	f = t.Family("interlock_module_failures_total", "counter", "Failed calls by kind; verdict is an answer that was none, context one too large to be sent.")
	for _, one := range all {
		for _, kind := range sandbox.Kinds() {
			f.Add(float64(one.Failures[kind]), module(one.Digest), metrics.Label{Name: "kind", Value: string(kind)})
		}
		s := standings[one.Digest]
		f.Add(float64(s.BadVerdicts), module(one.Digest), metrics.Label{Name: "kind", Value: "verdict"})
		f.Add(float64(s.TooLarge), module(one.Digest), metrics.Label{Name: "kind", Value: "context"})
	}
	f = t.Family("interlock_module_call_duration_seconds", "histogram", "Time of calls in the guest.")
	for _, one := range all {
		f.AddHistogram(one.Times, module(one.Digest))
	}
}

func module(digest string) metrics.Label { return metrics.Label{Name: "module", Value: digest} }

// stored tells of the database.
func (m *meters) stored(ctx context.Context, t *metrics.Text) error {
	if waiting, groups, ok := m.db.Writes(); ok {
		t.Family("interlock_sqlite_writes_waiting", "gauge", "Writes that wait for their turn.").Add(float64(waiting))
		t.Family("interlock_sqlite_group_size", "histogram", "Writes that shared a transaction.").AddHistogram(groups)
	}
	counted, err := m.db.CountOutbox(ctx)
	if err != nil {
		return err
	}
	kinds := map[string]int{prefect.OutboxEvent: 0, prefect.OutboxPolicyEvent: 0, prefect.OutboxCancellingTimeout: 0}
	maps.Copy(kinds, counted)
	f := t.Family("interlock_outbox_rows", "gauge", "Promises of transitions that are still to be kept.")
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		f.Add(float64(kinds[kind]), metrics.Label{Name: "kind", Value: kind})
	}
	return nil
}

// residentMemory is the process's memory in bytes, where the kernel tells.
func residentMemory() (int, bool) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, false
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, false
	}
	pages, err := strconv.Atoi(fields[1])
	return pages * os.Getpagesize(), err == nil
}
