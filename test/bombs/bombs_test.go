// Package bombs drops hostile policy modules on a server while clients use it.
//
// Each bomb is dropped a hundred times first, 16 at once, with a garbage collection
// every 50 ms: that is where the reasons, the times until a call returned, the pauses
// and the memory come from (hundred_test.go). What it does to others' 99th percentile
// is far less than what that differs by from one minute to the next, so it is measured
// in slices of time that take turns with slices without any bomb (slices_test.go), and
// told as an interval (compare_test.go).
package bombs

import (
	"fmt"
	"os"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/host/sandbox"
	"github.com/interlock-run/interlock/host/sandbox/wasmtest"
)

const (
	rule       = "Bomb"
	entryName  = "RetryFailedFlows" // the entry that a bomb takes the place of
	policyPath = "/interlock/policies/" + prefect.CoreFlowPolicy
	manifest   = `{"abi":1,"name":"bomb","version":"1","rules":[{"name":"` + rule + `","run_type":"flow_run","from":["RUNNING"],"to":["FAILED"],"kind":"rule","phase":"before"}]}`
	atOnce     = 16 // runs that meet the bomb
	clients    = 8  // that do not
	verdict    = "verdict"

	quarantineAfter = 5 // failures in a row
	patience        = 20
	never           = 1 << 30
)

func TestMain(m *testing.M) {
	sandbox.MaybeRunCompileChild()
	if len(os.Args) == 5 && os.Args[1] == serverArgument {
		exit(serve(os.Args[2:], os.Stdin, os.Stdout))
	}
	if len(os.Args) == 4 && os.Args[1] == tidierArgument {
		exit(tidy(os.Args[2:], os.Stdin, os.Stdout))
	}
	debug.SetGCPercent(clientsGC)
	os.Exit(m.Run())
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// clientsGC has the clients, whose process this is, collect garbage less often: they
// share the processors with the server, and nobody asks what they cost.
const clientsGC = 800

// scale is how much is done: little in every run of the tests, so that all of it is
// run; in make bombs INTERLOCK_BOMBS times of each bomb (of those that
// INTERLOCK_BOMBS_NAMED matches), and slices for INTERLOCK_BOMBS_SECONDS of each.
type scale struct {
	volleys int           // of the hundred
	rounds  int           // of slices, when it is little
	each    time.Duration // for slices with a bomb and their part of those without; 0: as many rounds
	homes   string        // where servers keep their files, "" for where tests do
}

func (n scale) little() bool { return n.each == 0 }

func scaled() scale {
	times, err := strconv.Atoi(os.Getenv("INTERLOCK_BOMBS"))
	if err != nil || times <= 0 {
		return scale{volleys: 1, rounds: 1}
	}
	n := scale{volleys: (times + atOnce - 1) / atOnce, each: eachBomb}
	if seconds, err := strconv.Atoi(os.Getenv("INTERLOCK_BOMBS_SECONDS")); err == nil && seconds > 0 {
		n.each = time.Duration(seconds) * time.Second
	}
	return n
}

// TestBombs drops each bomb on a server: it is refused, or put in the place of
// RetryFailedFlows, where runs that fail meet it. Whatever it does, the record
// tells the reason, the built-in rule decides, every run ends, and after five
// failures nobody asks it any more.
func TestBombs(t *testing.T) {
	table(t, "As a server is set up, a module in quarantine after 5 failures", quarantineAfter, func(wasmtest.Bomb) bool { return true })
}

// TestBombsWithoutQuarantine has the server ask for ever, as if a module failed
// often but never five times in a row. Where little is done, it is with those that
// take long.
func TestBombsWithoutQuarantine(t *testing.T) {
	little := scaled().little()
	table(t, "Quarantine held open, each meets the module", never, func(b wasmtest.Bomb) bool {
		return b.Outcome != refused && (!little || b.Outcome == "fuel" || b.Outcome == "stack")
	})
}

// table drops bombs on servers of their own and prints what each cost.
func table(t *testing.T, title string, after int, which func(wasmtest.Bomb) bool) {
	n := scaled()
	favoured := false
	if !n.little() {
		n.homes = homeInMemory()
		left, err := tidyLater(groupNice(), n.homes)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := left.now(); err != nil {
				t.Error(err)
			}
		})
		favoured = favour()
	}
	wanted, err := regexp.Compile(os.Getenv("INTERLOCK_BOMBS_NAMED"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []*line
	for _, b := range slices.Concat(wasmtest.Bombs(manifest), answers()) {
		if which(b) && wanted.MatchString(b.Name) {
			lines = append(lines, &line{bomb: b})
		}
	}
	hundreds(t, lines, after, n)
	printHeading(title)
	nothing, between := inSlices(t, lines, after, n)
	fmt.Printf("bombs: %d, each %d times or more, each refused or contained with its reason, 0 deaths, 0 stuck runs; preferred to other work: %v\n%s",
		len(lines), n.volleys*atOnce, favoured, summary(lines, nothing, between))
}
