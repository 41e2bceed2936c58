package bombs

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/interlock-run/interlock/host/sandbox/wasmtest"
)

// The aims for each bomb.
const (
	mostPause  = 20 * time.Millisecond
	mostMemory = 64 << 20
	mostSlower = 1.10
)

// refused is the outcome of a bomb that is not let in.
const refused = "refused"

// line is what is known of one bomb.
type line struct {
	bomb          wasmtest.Bomb
	none          bool    // it is no bomb
	with, without figures // of the hundred
	digest        string  // on the server that is measured; "" for the built-in rule
	others        sample
	change        change
}

// harmless reports whether there is no bomb in the slices of l, which are of no row if
// l is nil.
func (l *line) harmless() bool { return l == nil || l.none }

// heading explains the table.
const heading = `
%s: 16 at once meet the bomb beside 8 clients.
A hundred of each: how long it took, the longest pause between two ticks of 1 ms in the server's process with a garbage collection every 50 ms, and
without the bomb; stop is how long at most one of those waited until nothing ran, which is what a module can do to the process; memory is what the
process took; beside is how many processors others on this machine, or its host, took meanwhile, which the figures are the worse for.
In slices that take turns with slices without any bomb, on a server without periodic services: the 8 clients' p99, the change with its %d %% interval,
and how many slices. This is sequential: a row passes or fails at the first look that finds its interval clear of %s, and is measured on until then,
while there is time; looks are few and the level is above 95 %% for that.
`

const row = "%-34s %-8v %9v %9v %9v %9v %8v %8v %7v %8v %8v %7v  %-15v %6v %v\n"

func printHeading(title string) {
	fmt.Printf(heading, title, level, percent(mostSlower))
	fmt.Printf(row, "bomb", "found", "median", "slowest", "pause", "without", "stop", "memory", "beside", "p99", "without", "change", "interval", "slices", "")
}

func (l *line) print() {
	found, c := expected(l.bomb), l.change
	watched := []any{round(quantile(l.with.took, .5)), round(quantile(l.with.took, 1)), round(l.with.Pause), round(l.without.Pause), round(l.with.Stop),
		fmt.Sprintf("%+d MiB", l.with.Memory>>20), fmt.Sprintf("%.2f", (l.with.foreign+l.without.foreign)/2)}
	if l.none {
		found, watched = "", slices.Repeat([]any{""}, len(watched))
	}
	fmt.Printf(row, slices.Concat([]any{l.bomb.Name, found}, watched,
		[]any{round(c.with), round(c.without), percent(c.ratio), c.interval(), c.rounds, c.verdict()})...)
}

func percent(ratio float64) string { return fmt.Sprintf("%+.0f %%", 100*(ratio-1)) }

func (c change) interval() string {
	return fmt.Sprintf("%+.0f to %+.0f %%", 100*(c.low-1), 100*(c.high-1))
}

// summary says how many of the bombs meet each aim and which do not (with what it was
// without them in brackets), and what the figures are worth: what the rows show that
// are of no bomb.
func summary(lines, nothing []*line, between *guards) string {
	var b strings.Builder
	say := func(aim string, met func(l *line) bool, figure func(l *line) string) {
		var missed []string
		for _, l := range lines {
			if !met(l) {
				missed = append(missed, l.bomb.Name+" "+figure(l))
			}
		}
		fmt.Fprintf(&b, "  %-24s %d of %d", aim, len(lines)-len(missed), len(lines))
		if len(missed) > 0 {
			fmt.Fprintf(&b, "; not: %s", strings.Join(missed, ", "))
		}
		b.WriteString("\n")
	}
	say(fmt.Sprintf("pause <= %v:", mostPause), func(l *line) bool { return l.with.Pause <= mostPause },
		func(l *line) string { return fmt.Sprintf("%v (%v)", round(l.with.Pause), round(l.without.Pause)) })
	say(fmt.Sprintf("stop <= %v:", mostPause), func(l *line) bool { return l.with.Stop <= mostPause },
		func(l *line) string { return fmt.Sprintf("%v (%v)", round(l.with.Stop), round(l.without.Stop)) })
	say(fmt.Sprintf("memory <= +%d MiB:", mostMemory>>20), func(l *line) bool { return l.with.Memory <= mostMemory },
		func(l *line) string { return fmt.Sprintf("%+d MiB", l.with.Memory>>20) })
	say(fmt.Sprintf("others' p99 <= %s:", percent(mostSlower)), func(l *line) bool { return l.change.verdict() == passes },
		func(l *line) string {
			return l.change.verdict() + " " + percent(l.change.ratio) + " (" + l.change.interval() + ")"
		})
	fmt.Fprintf(&b, "  p99: %s\n", tally(lines))
	fmt.Fprintf(&b, "  the same of no bomb: %s\n", tally(nothing))
	x, y := between.bomb.seen(), between.none.seen()
	fmt.Fprintf(&b, "  between slices, which counts for nobody: p99 of %d requests after bombs %v, of %d after none %v\n", len(x), quantile(x, .99), len(y), quantile(y, .99))
	return b.String()
}

// tally counts verdicts and says where changes lie and how wide intervals are.
func tally(lines []*line) string {
	count := map[string]int{}
	var changes, wide []float64
	around := 0
	for _, l := range lines {
		c := l.change
		count[c.verdict()]++
		changes, wide = append(changes, c.ratio), append(wide, (c.high-c.low)/2)
		if c.low <= 1 && 1 <= c.high {
			around++
		}
	}
	if len(lines) == 0 {
		return "nothing"
	}
	slices.Sort(changes)
	slices.Sort(wide)
	return fmt.Sprintf("%d pass, %d fail, %d unclear; changes of %s to %s, half of them below %s; half of the intervals within %.0f %% to either side, %d of %d hold 0",
		count[passes], count[fails], count[unclear], percent(changes[0]), percent(changes[len(changes)-1]), percent(changes[len(changes)/2]),
		100*wide[len(wide)/2], around, len(lines))
}
