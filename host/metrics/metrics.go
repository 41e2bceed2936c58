// Package metrics counts and measures, and writes what it has in the text form
// that Prometheus reads. It has the two kinds that this server needs, counters and
// histograms of fixed buckets; gauges are read when they are written.
package metrics

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

// Histogram sorts observations into buckets. It is safe for concurrent use.
type Histogram struct {
	bounds []float64 // upper ones, in order; what is above them all has a bucket of its own
	counts []atomic.Uint64
	sum    atomic.Uint64 // bits of a float64
}

// NewHistogram makes a histogram of buckets with these upper bounds, in order.
func NewHistogram(bounds []float64) *Histogram {
	return &Histogram{bounds: bounds, counts: make([]atomic.Uint64, len(bounds)+1)}
}

// Observe adds an observation.
func (h *Histogram) Observe(v float64) {
	at, _ := slices.BinarySearch(h.bounds, v)
	h.counts[at].Add(1)
	for {
		old := h.sum.Load()
		if h.sum.CompareAndSwap(old, math.Float64bits(math.Float64frombits(old)+v)) {
			return
		}
	}
}

// RequestBounds are buckets in seconds for what a client waits for.
func RequestBounds() []float64 {
	return []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}
}

// CallBounds are buckets in seconds for the call of a policy module.
func CallBounds() []float64 {
	return []float64{5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, .001, .0025, .005, .01, .05, .25, 1}
}

// SizeBounds are buckets for small numbers of things.
func SizeBounds() []float64 { return []float64{1, 2, 4, 8, 16, 32, 64, 128} }

// Vec is metrics by a key: a struct of what they are told apart by. It is safe for
// concurrent use. Who uses it has to bound the number of keys.
type Vec[K comparable, M any] struct {
	make func() *M
	all  sync.Map // K → *M
}

// NewVec returns a Vec whose metrics begin as made by fresh.
func NewVec[K comparable, M any](fresh func() *M) *Vec[K, M] { return &Vec[K, M]{make: fresh} }

// Counters is a Vec of counters.
func Counters[K comparable]() *Vec[K, atomic.Uint64] {
	return NewVec[K](func() *atomic.Uint64 { return new(atomic.Uint64) })
}

// At returns the metric of a key.
func (v *Vec[K, M]) At(key K) *M {
	if m, ok := v.all.Load(key); ok {
		return m.(*M)
	}
	m, _ := v.all.LoadOrStore(key, v.make())
	return m.(*M)
}

// Each calls fn with each key and its metric, in the order of labels.
func (v *Vec[K, M]) Each(labels func(K) []Label, fn func(labels []Label, m *M)) {
	type row struct {
		labels []Label
		m      *M
	}
	var rows []row
	v.all.Range(func(key, m any) bool {
		rows = append(rows, row{labels(key.(K)), m.(*M)})
		return true
	})
	slices.SortFunc(rows, func(a, b row) int {
		return slices.CompareFunc(a.labels, b.labels, func(x, y Label) int { return cmp.Compare(x.Value, y.Value) })
	})
	for _, r := range rows {
		fn(r.labels, r.m)
	}
}
