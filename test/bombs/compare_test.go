package bombs

import (
	"fmt"
	"math"
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
	ratio, low, high float64 // low to high: the interval
	rounds, requests int     // with the bomb
}

const (
	resamples = 1000
	// level is how often an interval holds what is true, when it is looked at once. A
	// row goes on until its interval is clear, which is looked at some ten times, and
	// each is one more chance to be wrong: so it is stricter than the usual 95 %.
	level = 99
	// outside is so many standard deviations that a normal variable lies further off at
	// one end by half of what level leaves.
	outside = 2.5758
)

// compare tells of samples that were made in the same rounds. Requests of one slice
// are slow together, so that it is rounds which are drawn again, not requests: from
// that comes the standard deviation of the logarithm of the ratio, and from it the
// interval. Where rounds are few it is wider, as Student has it: the quantiles of what
// was drawn are too close together then.
func compare(with, without sample) change {
	a, b := poolOf(with), poolOf(without)
	once := slices.Repeat([]int{1}, len(with))
	c := change{with: a.p99(once), without: b.p99(once), rounds: len(with), requests: len(a.all)}
	c.ratio = ratio(c.with, c.without)
	if len(with) < 2 {
		c.high = math.Inf(1)
		return c
	}
	chance := rand.New(rand.NewPCG(seed, 0))
	var sum, squares float64
	for range resamples {
		times := make([]int, len(with))
		for range times {
			times[chance.IntN(len(times))]++
		}
		x := math.Log(ratio(a.p99(times), b.p99(times)))
		sum, squares = sum+x, squares+x*x
	}
	mean := sum / resamples
	n := float64(len(with))
	wide := student(n-1) * math.Sqrt(max(0, squares/resamples-mean*mean)*n/(n-1))
	c.low, c.high = c.ratio*math.Exp(-wide), c.ratio*math.Exp(wide)
	return c
}

// student is outside for Student's distribution of so many degrees of freedom, by the
// first terms of its expansion (Abramowitz and Stegun, 26.7.5).
func student(freedom float64) float64 {
	const z = outside
	z3, z5 := math.Pow(z, 3), math.Pow(z, 5)
	return z + (z3+z)/(4*freedom) + (5*z5+16*z3+3*z)/(96*freedom*freedom) +
		(3*z5*z*z+19*z5+17*z3-15*z)/(384*math.Pow(freedom, 3))
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

// draw makes up a sample. Requests of a slice are slow together.
func draw(chance *rand.Rand, rounds int, scale float64) sample {
	s := make(sample, rounds)
	for k := range s {
		slow := scale * (1 + chance.ExpFloat64()) // of the whole slice
		for range 200 {
			s[k] = append(s[k], time.Duration(slow*chance.ExpFloat64()*float64(time.Millisecond)))
		}
	}
	return s
}

// TestLooks has rows looked at as often as they are in slices, whose truth is just at
// the aim: whatever is found of one is wrong.
func TestLooks(t *testing.T) {
	chance := rand.New(rand.NewPCG(seed, 2))
	const rows, rounds, most = 50, 80, 5
	wrong := 0
	for range rows {
		with, without := draw(chance, rounds, mostSlower), draw(chance, rounds, 1)
		for look := firstLook; look <= rounds; look = lookAfter(look) {
			if compare(with[:look], without[:look]).verdict() != unclear {
				wrong++
				break
			}
		}
	}
	if wrong > most {
		t.Errorf("of %d rows, %d were found clear", rows, wrong)
	}
}

// TestCompare wants a shift of all requests to be seen and chance not to be: of many
// comparisons of equals, nearly all intervals hold 1.
func TestCompare(t *testing.T) {
	chance := rand.New(rand.NewPCG(seed, 1))
	draw := func(rounds int, scale float64) sample { return draw(chance, rounds, scale) }
	for _, rounds := range []int{5, 25} {
		held := 0
		const pairs = 100
		for range pairs {
			if c := compare(draw(rounds, 1), draw(rounds, 1)); c.low <= 1 && 1 <= c.high {
				held++
			}
		}
		if held < pairs*96/100 {
			t.Errorf("of %d intervals of equals in %d rounds, %d hold 1", pairs, rounds, held)
		}
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
