package twin

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"
)

// fullEnv, set to 1, plays every variant of a matrix and all walks; otherwise a
// fixed part of each.
const fullEnv = "INTERLOCK_TWIN_FULL"

func full() bool { return os.Getenv(fullEnv) == "1" }

// play runs the scripts on both servers, side by side, and reports what differs.
func (p *pair) play(t *testing.T, what string, cases []*script, base time.Time) {
	t.Helper()
	began := time.Now()
	r := &report{}
	// One part after the other keeps the reference's tables of leases short.
	const part = 1000
	for from := 0; from < len(cases); from += part {
		p.playPart(t, r, cases[from:min(from+part, len(cases))], base)
	}
	r.finish(t, len(cases), what, time.Since(began))
}

func (p *pair) playPart(t *testing.T, r *report, cases []*script, base time.Time) {
	t.Helper()
	refs, ours := p.arrange(t, cases, base)
	err := p.each(t.Context(), len(cases), func(ctx context.Context, i int) error {
		return errors.Join(p.ref.perform(ctx, cases[i], refs[i]), p.ours.perform(ctx, cases[i], ours[i]))
	})
	if err != nil {
		t.Fatal(err)
	}
	p.readAll(t, cases, refs, ours)
	for i, c := range cases {
		r.add(c, base, refs[i].seen, ours[i].seen)
	}
	if err := p.ref.forgetLeases(); err != nil {
		t.Fatal(err)
	}
}

// arrange writes the rows of scripts on both sides.
func (p *pair) arrange(t *testing.T, cases []*script, base time.Time) (refs, ours []*run) {
	t.Helper()
	both := func(s *side) (runs []*run) {
		var rows []row
		for _, c := range cases {
			rows = append(rows, rowsOf(c, s.flow, base)...)
			runs = append(runs, s.newRun(c, base))
		}
		if err := s.write(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
		return runs
	}
	return both(&p.ref), both(&p.ours)
}

// readAll reads back, on both sides, the runs and what stands around them.
func (p *pair) readAll(t *testing.T, cases []*script, refs, ours []*run) {
	t.Helper()
	if err := errors.Join(p.ref.readAll(t.Context(), cases, refs), p.ours.readAll(t.Context(), cases, ours)); err != nil {
		t.Fatal(err)
	}
}

// perform makes a script's requests on one side.
func (s *side) perform(ctx context.Context, c *script, r *run) error {
	for i, p := range c.prelude {
		if _, err := s.propose(ctx, r, preludeName(i), p); err != nil {
			return err
		}
	}
	if c.drop {
		if err := s.giveBack(ctx, r); err != nil {
			return err
		}
	}
	if c.change != "" {
		if _, err := s.db.ExecContext(ctx, c.change, c.id("limit 0")); err != nil {
			return err
		}
	}
	_, err := s.propose(ctx, r, "set_state", c.proposal)
	return err
}

// readAll reads back the runs and what stands around them.
func (s *side) readAll(ctx context.Context, cases []*script, runs []*run) error {
	for _, k := range []*kind{flowRuns, taskRuns} {
		var of []*run
		for _, r := range runs {
			if r.kind == k {
				of = append(of, r)
			}
		}
		if err := s.readBack(ctx, k, of); err != nil {
			return err
		}
	}
	return s.readWorld(ctx, cases, runs)
}
