// Command bench measures interlock beside the reference in one run: the same
// load from the same process, in turns, a row of the table at a time. Whoever's turn
// it is not stands still, and the client does as little as it can: both would be time
// of the one that is measured. Only ratios within one run count, as machines drift.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/interlock-run/interlock/store/storetest/pgtest"
	"github.com/interlock-run/interlock/test/servers"
)

func main() {
	var o options
	flag.DurationVar(&o.row, "row", 4*time.Second, "how long each server is measured for each row")
	flag.StringVar(&o.only, "only", "", "setups to measure, of sqlite1,sqlite8,postgres8,start; all if empty")
	flag.BoolVar(&o.alone, "alone", false, "leave the reference out")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	err := o.run(ctx)
	pgtest.Stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	row   time.Duration
	only  string
	alone bool
}

// setup is one database with one number of clients.
type setup struct {
	name     string
	postgres bool
	clients  int
}

func (o *options) wants(name string) bool {
	return o.only == "" || strings.Contains(","+o.only+",", ","+name+",")
}

func (o *options) run(ctx context.Context) error {
	for _, s := range []setup{{"sqlite1", false, 1}, {"sqlite8", false, 8}, {"postgres8", true, 8}} {
		if !o.wants(s.name) {
			continue
		}
		if err := o.measure(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	if o.wants("start") {
		return o.starts(ctx)
	}
	return nil
}

// contestant is one server under measurement.
type contestant struct {
	name   string
	server *servers.Server
	driver *driver
	drop   func() error
}

// The names of the contestants, in the order of the table.
const (
	reference = "reference"
	ours      = "interlock"
	bare      = "interlock without policies"
	unsynced  = "interlock unsynced" // SQLite only: waits for the disk as little as the reference
)

func (o *options) measure(ctx context.Context, s setup) (err error) {
	names := []string{reference, ours, bare}
	if !s.postgres {
		names = append(names, unsynced)
	}
	if o.alone {
		names = names[1:]
	}
	var field []*contestant
	defer func() {
		for _, c := range field {
			if stopErr := c.end(); stopErr != nil && err == nil && c.name != reference {
				err = stopErr
			}
		}
	}()
	for _, name := range names {
		c, err := enter(ctx, name, s)
		if err != nil {
			return err
		}
		field = append(field, c)
	}
	fmt.Printf("\n## %s, %d clients\n\n", map[bool]string{false: "SQLite", true: "Postgres"}[s.postgres], s.clients)
	fmt.Println("| row | server | good requests/s | p50 ms | p99 ms | errors | of requests |")
	fmt.Println("|---|---|---|---|---|---|---|")
	rates := map[string]map[string]float64{}
	for _, row := range rows() {
		part := slices.DeleteFunc(slices.Clone(field), func(c *contestant) bool {
			return (c.name == bare || c.name == unsynced) && !row.decides
		})
		results, err := o.turns(ctx, part, row, s.clients)
		if err != nil {
			return err
		}
		rates[row.name] = map[string]float64{}
		for _, c := range part {
			r := results[c.name]
			rates[row.name][c.name] = r.rate()
			fmt.Printf("| %s | %s | %.0f | %.2f | %.2f | %d | %d |\n", row.name, c.name, r.rate(), r.percentile(50), r.percentile(99), r.errors, r.errors+len(r.took))
		}
	}
	printRatios(rates)
	if !s.postgres {
		if err := printDisk(); err != nil {
			return err
		}
	}
	for _, c := range field {
		fmt.Printf("\nMemory of %s after this load: %s\n", c.name, memory(c.server.PID))
	}
	return nil
}

// turns measures a row in turns, back and forth, so that a machine which gets slower
// does so for all alike.
func (o *options) turns(ctx context.Context, field []*contestant, row row, clients int) (map[string]*result, error) {
	results := map[string]*result{}
	order := slices.Clone(field)
	for range 2 {
		for _, c := range order {
			r, err := c.turn(ctx, row, clients, o.row/2)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", c.name, row.name, err)
			}
			if results[c.name] == nil {
				results[c.name] = &result{}
			}
			results[c.name].add(r)
		}
		slices.Reverse(order)
	}
	return results, nil
}

// turn lets one server run for a while. All others stand still: what one puts off to
// do it later, it does in a turn of its own.
func (c *contestant) turn(ctx context.Context, row row, clients int, lasting time.Duration) (r *result, err error) {
	if err := c.server.Resume(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.server.Pause()) }()
	return c.driver.measure(ctx, row, clients, lasting)
}

// enter starts a contestant on a database of its own, and pauses it.
func enter(ctx context.Context, name string, s setup) (*contestant, error) {
	o := servers.Options{Kind: servers.Interlock}
	switch name {
	case reference:
		o.Kind = servers.Reference
	case bare:
		o.Env = []string{"INTERLOCK_POLICIES=off"}
	case unsynced:
		o.Env = []string{"INTERLOCK_SQLITE_SYNC=false"}
	}
	c := &contestant{name: name, drop: func() error { return nil }}
	if s.postgres {
		maintenance, err := pgtest.Start()
		if err != nil {
			return nil, err
		}
		database := "bench_" + strings.ReplaceAll(name, " ", "_")
		if o.DatabaseURL, c.drop, err = servers.CreateDatabase(ctx, maintenance, database); err != nil {
			return nil, err
		}
	}
	var err error
	if c.server, err = servers.Start(ctx, o); err == nil {
		c.driver, err = newDriver(ctx, c.server.URL)
	}
	if err == nil {
		err = c.server.Pause()
	}
	if err != nil {
		_ = c.end() // the error that stopped it matters
		return nil, err
	}
	return c, nil
}

func (c *contestant) end() error {
	var err error
	if c.server != nil {
		err = errors.Join(c.server.Resume(), c.server.Stop())
	}
	if dropErr := c.drop(); err == nil {
		err = dropErr
	}
	return err
}

func printRatios(rates map[string]map[string]float64) {
	fmt.Print("\n| row | interlock : reference | unsynced : reference | what the policies cost |\n|---|---|---|---|\n")
	for _, row := range rows() {
		r := rates[row.name]
		cost := ""
		if r[bare] > 0 {
			cost = fmt.Sprintf("%.0f %%", 100*(1-r[ours]/r[bare]))
		}
		fmt.Printf("| %s | %s | %s | %s |\n", row.name, ratio(r[ours], r[reference]), ratio(r[unsynced], r[reference]), cost)
	}
}

// ratio tells how many times the reference's rate ours is, if it was measured.
func ratio(ours, reference float64) string {
	switch {
	case ours == 0:
		return ""
	case reference == 0:
		return "the reference had no good request"
	}
	return fmt.Sprintf("%.1f", ours/reference)
}

// starts measures how long servers take from nothing, and from what the first
// start left behind.
func (o *options) starts(ctx context.Context) error {
	fmt.Print("\n## Start\n\n| server | first start, s | second start, s | memory at rest |\n|---|---|---|---|\n")
	for _, kind := range []servers.Kind{servers.Reference, servers.Interlock} {
		if o.alone && kind == servers.Reference {
			continue
		}
		home, err := os.MkdirTemp("", "bench-start-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(home)
		var took [2]time.Duration
		var rest string
		for i := range took {
			s, err := servers.Start(ctx, servers.Options{Kind: kind, Home: home})
			if err != nil {
				return err
			}
			took[i], rest = s.Startup, memory(s.PID)
			if err := s.Stop(); err != nil && kind == servers.Interlock {
				return err
			}
		}
		fmt.Printf("| %s | %.2f | %.2f | %s |\n", kind, took[0].Seconds(), took[1].Seconds(), rest)
	}
	return nil
}
