package bombs

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// sample is how long requests took, by round.
type sample [][]time.Duration

// change is others' 99th percentile with a bomb against that without.
type change struct {
	with, without    time.Duration
	ratio, low, high float64 // low to high: 95 % by a bootstrap over rounds
	rounds, requests int     // with the bomb
}

const resamples = 1000

// compare tells of samples that were made in the same rounds. Requests of one slice
// are slow together, so that it is rounds which are drawn again, not requests.
func compare(with, without sample) change {
	a, b := poolOf(with), poolOf(without)
	once := slices.Repeat([]int{1}, len(with))
	c := change{with: a.p99(once), without: b.p99(once), rounds: len(with), requests: len(a.all)}
	c.ratio = ratio(c.with, c.without)
	chance := rand.New(rand.NewPCG(seed, 0))
	drawn := make([]float64, resamples)
	for k := range drawn {
		times := make([]int, len(with))
		for range times {
			times[chance.IntN(len(times))]++
		}
		drawn[k] = ratio(a.p99(times), b.p99(times))
	}
	slices.Sort(drawn)
	c.low, c.high = drawn[resamples*25/1000], drawn[resamples*975/1000]
	return c
}

// pool is a sample in the order of what is longest.
type pool struct {
	all  []timed
	each []int // requests by round
}

type timed struct {
	took  time.Duration
	round int
}

func poolOf(s sample) pool {
	p := pool{each: make([]int, len(s))}
	for k, some := range s {
		p.each[k] = len(some)
		for _, d := range some {
			p.all = append(p.all, timed{d, k})
		}
	}
	slices.SortFunc(p.all, func(a, b timed) int { return int(b.took - a.took) })
	return p
}

// p99 is of all requests, each as often as its round is taken.
func (p pool) p99(times []int) time.Duration {
	total := 0
	for k, n := range p.each {
		total += n * times[k]
	}
	above := total - total*99/100
	for _, r := range p.all {
		if above -= times[r.round]; above <= 0 {
			return r.took
		}
	}
	return 0
}

func ratio(a, b time.Duration) float64 {
	if b == 0 {
		return 1
	}
	return float64(a) / float64(b)
}

// What can be said of a bomb.
const (
	passes  = "passes"
	fails   = "fails"
	unclear = "unclear"
)

func (c change) verdict() string {
	switch {
	case c.rounds == 0:
		return unclear
	case c.high <= mostSlower:
		return passes
	case c.low > mostSlower:
		return fails
	default:
		return unclear
	}
}

// TestCompare wants a shift of all requests to be seen and chance not to be: of many
// comparisons of equals, most intervals hold 1.
func TestCompare(t *testing.T) {
	chance := rand.New(rand.NewPCG(seed, 1))
	draw := func(rounds int, scale float64) sample {
		s := make(sample, rounds)
		for k := range s {
			slow := scale * (1 + chance.ExpFloat64()) // of the whole slice
			for range 200 {
				s[k] = append(s[k], time.Duration(slow*chance.ExpFloat64()*float64(time.Millisecond)))
			}
		}
		return s
	}
	held := 0
	const pairs = 50
	for range pairs {
		if c := compare(draw(25, 1), draw(25, 1)); c.low <= 1 && 1 <= c.high {
			held++
		}
	}
	if held < pairs*8/10 {
		t.Errorf("of %d intervals of equals, %d hold 1", pairs, held)
	}
	if c := compare(draw(100, 2), draw(100, 1)); c.verdict() != fails || c.ratio < 1.5 || c.ratio > 2.5 {
		t.Errorf("twice as slow: %+v", c)
	}
	if c := compare(draw(100, .7), draw(100, 1)); c.verdict() != passes {
		t.Errorf("faster: %+v", c)
	}
	if c := compare(draw(3, 1.1), draw(3, 1)); c.verdict() != unclear {
		t.Errorf("three rounds are enough: %+v", c)
	}
	s := sample{{3, 1}, {2}}
	for k, want := range []time.Duration{3, 2, 3} {
		if got := poolOf(s).p99([][]int{{1, 1}, {0, 2}, {2, 0}}[k]); got != want {
			t.Errorf("%d: %v instead of %v", k, got, want)
		}
	}
	if got := fmt.Sprint(compare(nil, nil).verdict()); got != unclear {
		t.Errorf("of nothing: %s", got)
	}
}
