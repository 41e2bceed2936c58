package metrics

import (
	"sync"
	"sync/atomic"
	"testing"
)

func TestText(t *testing.T) {
	var text Text
	text.Family("up", "gauge", "Whether.").Add(1)
	f := text.Family("calls_total", "counter", "Calls.")
	type key struct{ a, b string }
	calls := Counters[key]()
	calls.At(key{"y", "z"}).Add(2)
	calls.At(key{"x", "a\n\"\\\xff"}).Add(3)
	calls.At(key{"y", "z"}).Add(1)
	calls.Each(func(k key) []Label { return []Label{{"a", k.a}, {"b", k.b}} }, func(l []Label, n *atomic.Uint64) { f.Add(float64(n.Load()), l...) })
	h := NewHistogram([]float64{.5, 1})
	for _, v := range []float64{.25, .5, .75, 1.5} {
		h.Observe(v)
	}
	text.Family("took_seconds", "histogram", "Took.").AddHistogram(h, Label{"who", "me"})
	want := `# HELP up Whether.
# TYPE up gauge
up 1
# HELP calls_total Calls.
# TYPE calls_total counter
calls_total{a="x",b="a\n\"\\�"} 3
calls_total{a="y",b="z"} 3
# HELP took_seconds Took.
# TYPE took_seconds histogram
took_seconds_bucket{who="me",le="0.5"} 2
took_seconds_bucket{who="me",le="1"} 3
took_seconds_bucket{who="me",le="+Inf"} 4
took_seconds_sum{who="me"} 3
took_seconds_count{who="me"} 4
`
	if got := string(text.Bytes()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestNothingIsLostWhenManyCount(t *testing.T) {
	h, calls := NewHistogram(SizeBounds()), Counters[int]()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for k := range 1000 {
				h.Observe(1)
				calls.At(k % 3).Add(1)
			}
		})
	}
	all.Wait()
	var text Text
	text.Family("n", "histogram", "N.").AddHistogram(h)
	if n := h.counts[0].Load(); n != 8000 || calls.At(0).Load()+calls.At(1).Load()+calls.At(2).Load() != 8000 {
		t.Errorf("counted %d\n%s", n, text.Bytes())
	}
}
