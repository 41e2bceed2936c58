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
// One of the bombs is none: what its row shows is what the method makes of nothing.
//
// A slice lasts on after its last answer, so what a bomb leaves for later counts as its
// doing for that long. Then comes a guard that counts for nobody, in which the policy is
// put into place and runs are made for the next slice. What is left of a bomb then is
// seen by whoever comes next, which is anybody: the summary says how guards after
// bombs compare with those after none. With a bomb its module is readmitted before each
// slice, so each has the failures that make a quarantine.
const (
	inGroup    = 12
	sliceTail  = 60 * time.Millisecond
	guard      = 40 * time.Millisecond // from when all is ready
	firstLook  = 10                    // rounds, before any is found clear
	lookEvery  = 3
	leastSpell = 4 // rounds, however little time is left
	seed       = 20

	// eachBomb is for the slices of a bomb and its part of the others, so a table takes
	// a quarter of an hour. What one bomb does not need is another's.
	eachBomb = 14 * time.Second
)

// brisk is the cadence of a slice whose volleys are answered soon. Where they wait for
// long, which is for a bomb to rest, a slice is one volley, and as long as the slowest
// took: also those without, or they would have more volleys than those with.
var brisk = cadence{volleys: 3, every: volley, tail: sliceTail}

// group is bombs that are measured together.
type group struct {
	bombs   []*line // and one that is none
	cadence cadence
	rounds  int
	without sample
	calm    int // slices without a bomb in a round
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
		for _, g := range groups {
			g.bombs, g.calm = append(g.bombs[:1:1], g.bombs[len(g.bombs)-1]), 1
		}
	}
	var left time.Duration
	for again := range 2 {
		for _, g := range groups {
			if again == 0 {
				left += n.each * time.Duration(len(g.bombs)-1)
				nothing = append(nothing, g.bombs[len(g.bombs)-1])
			}
			open := g.unclear()
			if again > 0 && (left < n.each || len(open) == 0 || n.little()) {
				continue
			}
			began := time.Now()
			g.spell(t, after, n, left)
			left -= time.Since(began)
			if t.Failed() {
				t.FailNow()
			}
			for _, l := range g.bombs {
				if slices.Contains(open, l) {
					l.print()
				}
			}
		}
	}
	return nothing, between
}

// grouped puts bombs together that the same slices without compare with: who meets
// them, how fast they are answered, about how many bytes are uploaded.
func grouped(lines []*line, between *guards) (groups []*group) {
	type kind struct {
		upload, slow  bool
		large, larger bool // of an upload: 64 KiB, 512 KiB or more
	}
	kinds := map[kind][]*line{}
	var order []kind
	for _, l := range lines {
		k := kind{slow: quantile(l.with.took, .5) > brisk.every}
		if l.bomb.Outcome == refused {
			k.upload, k.large, k.larger = true, len(l.bomb.Wasm) >= 64<<10, len(l.bomb.Wasm) >= 512<<10
		}
		if kinds[k] == nil {
			order = append(order, k)
		}
		kinds[k] = append(kinds[k], l)
	}
	for _, kind := range order {
		all := kinds[kind]
		parts := (len(all) + inGroup - 1) / inGroup
		for some := range slices.Chunk(all, (len(all)+parts-1)/parts) {
			g := &group{cadence: brisk, chance: rand.New(rand.NewPCG(seed, uint64(len(groups)))), guards: between}
			if kind.slow {
				g.cadence.volleys, g.cadence.every = 1, slowest(some)
			}
			none := &line{bomb: wasmtest.Bomb{Name: "no bomb", Outcome: some[0].bomb.Outcome}, none: true}
			g.bombs = append(slices.Clone(some), none)
			g.calm = int(math.Round(math.Sqrt(float64(len(g.bombs)))))
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

// unclear are the bombs that are still to be measured, and with them the one that is
// none.
func (g *group) unclear() (open []*line) {
	for _, l := range g.bombs {
		if l.change.verdict() == unclear {
			open = append(open, l)
		}
	}
	if len(open) == 1 && open[0].none {
		return nil
	}
	return open
}

// spell measures on a new server, for so long or until all is clear.
func (g *group) spell(t *testing.T, after int, n scale, long time.Duration) {
	s := start(t, after, n)
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
	until, least := time.Now().Add(long), g.rounds+leastSpell
	for !t.Failed() && len(open) > 0 {
		g.round(t, s, c, n, open)
		g.rounds++
		late := g.rounds >= least && time.Now().After(until)
		if n.little() {
			late = g.rounds >= n.rounds
		}
		if late || g.rounds >= firstLook && (g.rounds-firstLook)%lookEvery == 0 {
			for _, l := range open {
				l.change = compare(l.others, g.without[:len(l.others)])
			}
			open = g.unclear()
		}
		if late {
			return
		}
	}
}

// round gives each of the bombs a slice, and some to none.
func (g *group) round(t *testing.T, s *server, c *crew, n scale, open []*line) {
	order := slices.Clone(open)
	for range g.calm {
		order = append(order, nil)
	}
	g.chance.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	seen := map[*line][]*bucket{}
	for _, l := range order {
		b := g.slice(t, s, c, n, l)
		seen[l] = append(seen[l], b)
	}
	for _, l := range open {
		l.others = append(l.others, gather(seen[l]))
	}
	g.without = append(g.without, gather(seen[nil]))
}

func gather(buckets []*bucket) (took []time.Duration) {
	for _, b := range buckets {
		took = append(took, b.seen()...)
	}
	return took
}

// slice is a guard and a slice, with a bomb or (nil) without any.
func (g *group) slice(t *testing.T, s *server, c *crew, n scale, l *line) *bucket {
	cadence := g.cadence
	if n.little() {
		cadence.volleys = 1
	}
	runs, shots := g.prepare(t, s, l, cadence.volleys)
	time.Sleep(guard)
	counted := &bucket{}
	c.into.Store(counted)
	fire(t, cadence, shots)
	if l == nil || l.none {
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
func (g *group) prepare(t *testing.T, s *server, l *line, volleys int) (runs []string, shots []shot) {
	if g.bombs[0].bomb.Outcome != refused {
		digest := ""
		if l != nil {
			digest = l.digest
		}
		s.instead(t, digest)
		return s.failing(t, volleys)
	}
	if l == nil || l.none {
		l = &line{bomb: zeros(len(g.bombs[g.chance.IntN(len(g.bombs)-1)].bomb.Wasm))}
	}
	return nil, s.uploads(l.bomb, volleys)
}

// met wants a run of a slice to have met what the slice was of.
func (s *server) met(t *testing.T, l *line, run string) {
	kind := failure(s.decision(t, run))
	switch {
	case l == nil || l.none:
		if kind != "" {
			t.Errorf("without a bomb: run %s failed by %q", run, kind)
		}
	case kind != expected(l.bomb) && kind != "quarantine" && kind != "busy":
		t.Errorf("%s: run %s failed by %q", l.bomb.Name, run, kind)
	}
}
