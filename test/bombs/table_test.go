package bombs

import (
	"fmt"
	"math"
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

// line is what is known of one bomb: each of its phases has one without it before
// and after, of the same clients and as many who fail runs.
type line struct {
	bomb          wasmtest.Bomb
	with, without []figures
}

// heading explains the table.
const heading = `
%s: 16 at once meet the bomb beside 8 clients, between phases without it, in which runs fail
by the built-in rule, or as many bytes are uploaded that are no module.
Pause is the longest between two ticks of 1 ms in the server's process, with a garbage collection every 50 ms; stop is how long at most one of
those waited until nothing ran, which is what a module can do to the process; memory is what the process took; p99 is of the 8 clients' requests;
beside is how many processors others on this machine, or its host, took meanwhile, which the figures are the worse for.
`

const row = "%-34s %-8v %9v %9v %9v %9v %8v %8v %9v %9v %7v %6v\n"

func printHeading(title string) {
	fmt.Printf(heading, title)
	fmt.Printf(row, "bomb", "found", "median", "slowest", "pause", "without", "stop", "memory", "p99", "without", "change", "beside")
}

func (l *line) print() {
	took := l.took()
	fmt.Printf(row, l.bomb.Name, expected(l.bomb), quantile(took, .5), quantile(took, 1), round(pause(l.with)), round(pause(l.without)), round(stop(l.with)),
		fmt.Sprintf("%+d MiB", l.memory()>>20), p99(l.with), p99(l.without), percent(l.slower()), fmt.Sprintf("%.2f", foreign(append(slices.Clone(l.with), l.without...))))
}

func percent(ratio float64) string { return fmt.Sprintf("%+.0f %%", 100*(ratio-1)) }

func (l *line) took() (all []time.Duration) {
	for _, f := range l.with {
		all = append(all, f.took...)
	}
	return all
}

func (l *line) memory() (most int) {
	for _, f := range l.with {
		most = max(most, f.Memory)
	}
	return most
}

// slower is others' p99 as a multiple of what it is without the bomb.
func (l *line) slower() float64 { return ratio(p99(l.with), p99(l.without)) }

// aimed reports whether all aims are met.
func (l *line) aimed() bool {
	return pause(l.with) <= mostPause && l.memory() <= mostMemory && l.slower() <= mostSlower
}

func requests(all []figures) (n int) {
	for _, f := range all {
		n += len(f.others)
	}
	return n
}

// foreign is how many processors other processes took on average.
func foreign(all []figures) (mean float64) {
	for _, f := range all {
		mean += f.foreign / float64(len(all))
	}
	return mean
}

func ratio(a, b time.Duration) float64 {
	if b == 0 {
		return 1
	}
	return float64(a) / float64(b)
}

func pause(all []figures) (longest time.Duration) {
	for _, f := range all {
		longest = max(longest, f.Pause)
	}
	return longest
}

func stop(all []figures) (longest time.Duration) {
	for _, f := range all {
		longest = max(longest, f.Stop)
	}
	return longest
}

// p99 is of all requests of some phases.
func p99(all []figures) time.Duration {
	var took []time.Duration
	for _, f := range all {
		took = append(took, f.others...)
	}
	return quantile(took, .99)
}

// verdictOf says how many of the bombs meet each aim and which do not (with what it
// was without them in brackets), and what the figures are worth: how much they
// differ without any bomb.
func verdictOf(lines []line) string {
	var b strings.Builder
	say := func(aim string, met func(l *line) bool, figure func(l *line) string) {
		var missed []string
		for k := range lines {
			if !met(&lines[k]) {
				missed = append(missed, lines[k].bomb.Name+" "+figure(&lines[k]))
			}
		}
		fmt.Fprintf(&b, "  %-24s %d of %d", aim, len(lines)-len(missed), len(lines))
		if len(missed) > 0 {
			fmt.Fprintf(&b, "; not: %s", strings.Join(missed, ", "))
		}
		b.WriteString("\n")
	}
	say(fmt.Sprintf("pause <= %v:", mostPause), func(l *line) bool { return pause(l.with) <= mostPause },
		func(l *line) string { return fmt.Sprintf("%v (%v)", round(pause(l.with)), round(pause(l.without))) })
	say(fmt.Sprintf("stop <= %v:", mostPause), func(l *line) bool { return stop(l.with) <= mostPause },
		func(l *line) string { return fmt.Sprintf("%v (%v)", round(stop(l.with)), round(stop(l.without))) })
	say(fmt.Sprintf("memory <= +%d MiB:", mostMemory>>20), func(l *line) bool { return l.memory() <= mostMemory },
		func(l *line) string { return fmt.Sprintf("%+d MiB", l.memory()>>20) })
	say(fmt.Sprintf("others' p99 <= %s:", percent(mostSlower)), func(l *line) bool { return l.slower() <= mostSlower },
		func(l *line) string { return percent(l.slower()) })
	fmt.Fprintf(&b, "  %s\n", noise(lines))
	return b.String()
}

// noise compares phases without bombs with each other, and all with all.
func noise(lines []line) string {
	var with, without []figures
	var apart []float64
	for _, l := range lines {
		for k, f := range l.without {
			if k > 0 {
				apart = append(apart, math.Abs(ratio(p99(l.without[k:k+1]), p99(l.without[k-1:k]))-1))
			}
			without = append(without, f)
		}
		with = append(with, l.with...)
	}
	slices.Sort(apart)
	n := len(apart)
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("all bombs together: p99 of %d requests %v, of %d without %v: %s; longest pause %v, without %v; longest stop %v, without %v\n"+
		"  noise: p99 of a phase without a bomb differs from the next one's by %.0f %% (median) to %.0f %% (nine in ten); other processes took %.2f processors",
		requests(with), p99(with), requests(without), p99(without), percent(ratio(p99(with), p99(without))), round(pause(with)), round(pause(without)),
		round(stop(with)), round(stop(without)),
		100*apart[n/2], 100*apart[n*9/10], foreign(append(slices.Clone(with), without...)))
}
