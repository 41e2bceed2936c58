package bombs

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/interlock-run/interlock/host/sandbox/wasmtest"
)

// What others notice of a bomb is measured in rounds. In a round each bomb of a group
// has a slice of time, and some slices have none: runs fail by the built-in rule then,
// or as many bytes are uploaded that are no module. Their order is shuffled, the server
// and its clients are the same and never stop, so whatever drifts (the database grows,
// its log is copied, garbage is collected, others use the machine) falls on all alike.
// Some of the bombs are none: what their rows show is what the method makes of nothing.
//
// A slice is some volleys, and others' 99th percentile is of those who come while one
// is answered. It lasts on after its last answer, so what a bomb leaves for later counts
// as its doing for that long. Then comes a guard that counts for nobody, in which the
// policy is put into place and runs are made for the next slice. What is left of a bomb
// then is seen by whoever comes next, which is anybody: the summary says how guards after
// bombs compare with those after none. With a bomb its module is readmitted before each
// slice, so each has the failures that make a quarantine.
//
// The server leaves periodic work to another. The relay of events is at work for a
// third of the time, in which a volley takes twice as long with a bomb and without:
// with it the 99th percentile is a matter of how many volleys have met it.
const (
	inGroup   = 20
	nothingTo = 10 // so many bombs: one that is none
	sliceTail = 60 * time.Millisecond
	guard     = 20 * time.Millisecond // from when all is ready
	firstLook = 20                    // rounds, before any is found clear; half of them where a slice is long
	oneServer = 2 * time.Minute       // how long it is used: its database grows
	seed      = 20

	// eachBomb is for the slices of a bomb and its part of the others, so a table takes
	// half an hour. What one bomb does not need is another's.
	eachBomb = 24 * time.Second
)

// brisk is the cadence of a slice whose volleys are answered soon. Where they wait for
// long, which is for a bomb to rest, a slice is one volley, and as long as the slowest
// took: also those without, or they would have more volleys than those with.
var brisk = cadence{volleys: 3, every: 80 * time.Millisecond, tail: sliceTail}

// group is bombs that are measured together.
type group struct {
	bombs   []*line // and some that are none
	cadence cadence
	rounds  int
	look    int // after how many rounds
	without sample
	chance  *rand.Rand
	guards  *guards
}

// guards are requests that began between slices.
type guards struct{ bomb, none bucket }

// inSlices measures all bombs in groups and prints their rows: and those that are
// unclear go on, while there is time, and are printed again. It returns the rows that
// are of no bomb.
func inSlices(t *testing.T, lines []*line, after int, n scale) (nothing []*line, between *guards) {
	between = &guards{}
	groups := grouped(lines, between)
	if n.little() {
		groups = slices.Compact([]*group{groups[0], groups[len(groups)-1]})
	}
	var left time.Duration
	for _, g := range groups {
		if n.little() {
			g.bombs, g.cadence.volleys = append(g.bombs[:1:1], g.bombs[len(g.bombs)-1]), 1
		}
		some := 0
		for _, l := range g.bombs {
			if l.none {
				nothing = append(nothing, l)
			} else {
				some++
			}
		}
		left += g.measure(t, after, n, n.each*time.Duration(some))
		for _, l := range g.bombs {
			l.print()
		}
	}
	for k, g := range groups {
		open := g.unclear()
		if len(open) == 0 || n.little() {
			continue
		}
		rest := 0
		for _, g := range groups[k:] {
			rest += len(g.unclear())
		}
		part := left * time.Duration(len(open)) / time.Duration(rest)
		if part < n.each {
			continue
		}
		left += g.measure(t, after, n, part) - part
		for _, l := range open {
			l.print()
		}
	}
	return nothing, between
}

// kind is what bombs have in common that the same slices without compare with.
type kind struct {
	refused bool
	bytes   int // of an upload, if they are more than a few
	slow    int // each twice as slow as the last, by the first volley: those that come later may find a quarantine
}

// aFew bytes are uploaded as fast as any fewer.
const aFew = 4 << 10

func kindOf(l *line) (k kind) {
	k.refused = l.bomb.Outcome == refused
	if k.refused && len(l.bomb.Wasm) > aFew {
		k.bytes = len(l.bomb.Wasm)
	}
	for d := brisk.every; d < l.with.first; d *= 2 {
		k.slow++
	}
	return k
}

// grouped puts bombs of a kind together.
func grouped(lines []*line, between *guards) (groups []*group) {
	kinds := map[kind][]*line{}
	var order []kind
	for _, l := range lines {
		k := kindOf(l)
		if kinds[k] == nil {
			order = append(order, k)
		}
		kinds[k] = append(kinds[k], l)
	}
	for _, kind := range order {
		all := kinds[kind]
		parts := (len(all) + inGroup - 1) / inGroup
		for some := range slices.Chunk(all, (len(all)+parts-1)/parts) {
			g := &group{bombs: slices.Clone(some), cadence: brisk, look: firstLook, chance: rand.New(rand.NewPCG(seed, uint64(len(groups)))), guards: between}
			if kind.slow > 0 {
				g.cadence.volleys, g.cadence.every, g.look = 1, slowest(some), firstLook/2
			}
			for range (len(some) + nothingTo - 1) / nothingTo {
				g.bombs = append(g.bombs, &line{bomb: wasmtest.Bomb{Name: "no bomb", Wasm: some[0].bomb.Wasm, Outcome: some[0].bomb.Outcome}, none: true})
			}
			groups = append(groups, g)
		}
	}
	return groups
}

func slowest(lines []*line) (most time.Duration) {
	for _, l := range lines {
		most = max(most, quantile(l.with.took, 1))
	}
	return most
}

// unclear are the bombs that are still to be measured, and with them those that are
// none.
func (g *group) unclear() (open []*line) {
	some := false
	for _, l := range g.bombs {
		if l.change.verdict() == unclear {
			open, some = append(open, l), some || !l.none
		}
	}
	if !some {
		return nil
	}
	return open
}

// measure goes on until all is clear or the time is up, on as many servers as that
// takes, and returns what is left of the time.
func (g *group) measure(t *testing.T, after int, n scale, long time.Duration) (left time.Duration) {
	until := time.Now().Add(long)
	for len(g.unclear()) > 0 {
		fewer := time.Now().Add(oneServer)
		if fewer.After(until) {
			fewer = until
		}
		g.spell(t, after, n, fewer)
		if t.Failed() {
			t.FailNow()
		}
		if !time.Now().Before(until) || n.little() {
			g.compare() // the last look
			break
		}
	}
	return time.Until(until)
}

// compare looks at the intervals of those that are unclear.
func (g *group) compare() {
	for _, l := range g.unclear() {
		l.change = compare(l.others, g.without[:len(l.others)])
	}
}

// lookAfter is the next look after one: looks at nearly the same rounds would find
// nothing new, but each may be wrong.
func lookAfter(rounds int) int { return rounds + (rounds+3)/4 }

// spell measures on a new server, until then or until all is clear.
func (g *group) spell(t *testing.T, after int, n scale, until time.Time) {
	s := start(t, after, false, n)
	defer s.close(t)
	open := g.unclear()
	for _, l := range open {
		l.digest = ""
		if l.bomb.Outcome != refused && !l.none {
			l.digest = s.push(t, l.bomb)
		}
	}
	c := s.hire(t)
	defer c.dismiss()
	for rounds := 0; !t.Failed() && len(open) > 0 && time.Now().Before(until) && !(n.little() && rounds == n.rounds); rounds++ {
		g.round(t, s, c, open)
		if g.rounds++; g.rounds >= g.look {
			g.look = lookAfter(g.look)
			g.compare()
			open = g.unclear()
		}
	}
}

// round gives each of the bombs a slice, and some to none.
func (g *group) round(t *testing.T, s *server, c *crew, open []*line) {
	order := slices.Clone(open)
	for range calm(len(open)) {
		order = append(order, nil)
	}
	g.chance.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	seen := map[*line][]*bucket{}
	for _, l := range order {
		b := g.one(t, s, c, l)
		seen[l] = append(seen[l], b)
	}
	for _, l := range open {
		l.others = append(l.others, gather(seen[l]))
	}
	g.without = append(g.without, gather(seen[nil]))
}

// calm is how many slices are without a bomb beside so many with one: all compare with
// them, so they have the root of it, where intervals become narrow the fastest.
func calm(bombs int) int { return int(math.Round(math.Sqrt(float64(bombs)))) }

func gather(buckets []*bucket) (took []time.Duration) {
	for _, b := range buckets {
		took = append(took, b.seen()...)
	}
	return took
}

// one is a guard and a slice, with a bomb or (nil) without any.
func (g *group) one(t *testing.T, s *server, c *crew, l *line) *bucket {
	runs, shots := g.prepare(t, s, l)
	time.Sleep(guard)
	counted := &bucket{}
	c.into.Store(counted)
	fire(t, g.cadence, shots)
	if l.harmless() {
		c.into.Store(&g.guards.none)
	} else {
		c.into.Store(&g.guards.bomb)
	}
	if len(runs) > 0 && !t.Failed() {
		s.met(t, l, runs[0])
	}
	return counted
}

// prepare puts the policy of a slice into place and makes its runs.
func (g *group) prepare(t *testing.T, s *server, l *line) (runs []string, shots []shot) {
	b := g.bombs[0].bomb
	if b.Outcome != refused {
		digest := ""
		if l != nil {
			digest = l.digest
		}
		s.instead(t, digest)
		return s.failing(t, g.cadence.volleys)
	}
	if l.harmless() {
		return nil, s.uploads(zeros(len(b.Wasm)), g.cadence.volleys)
	}
	return nil, s.uploads(l.bomb, g.cadence.volleys)
}

// met wants a run of a slice to have met what the slice was of.
func (s *server) met(t *testing.T, l *line, run string) {
	kind := failure(s.decision(t, run))
	switch {
	case l.harmless():
		if kind != "" {
			t.Errorf("without a bomb: run %s failed by %q", run, kind)
		}
	case kind != expected(l.bomb) && kind != "quarantine" && kind != "busy":
		t.Errorf("%s: run %s failed by %q", l.bomb.Name, run, kind)
	}
}
