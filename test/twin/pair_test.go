package twin

import (
	"context"
	"database/sql"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/interlock-run/interlock/store/storetest/pgtest"
	"github.com/interlock-run/interlock/test/rest"
	"github.com/interlock-run/interlock/test/servers"
)

func TestMain(m *testing.M) {
	code := m.Run()
	pgtest.Stop()
	os.Exit(code)
}

// side is one of the two servers under comparison.
type side struct {
	server *servers.Server
	client *rest.Client
	db     *sql.DB
	flow   string // id of the flow that the runs belong to
	made   window // when that was made
}

// pair is the reference and ours, side by side.
type pair struct {
	ref, ours side
	workers   int
}

// selfEnv, set to 1, compares the reference with itself: the harness is right
// only if it finds nothing then.
const selfEnv = "INTERLOCK_TWIN_SELF"

func newPair(t *testing.T, postgres bool) *pair {
	t.Helper()
	kind := servers.Interlock
	if os.Getenv(selfEnv) == "1" {
		kind = servers.Reference
	}
	p := &pair{workers: 1}
	if postgres {
		p.workers = 8
	}
	both(func() { p.ref = newSide(t, servers.Reference, postgres) }, func() { p.ours = newSide(t, kind, postgres) })
	return p
}

// both runs two functions at the same time. They must not end the test from
// inside: newSide reports by t.Error and an empty side.
func both(a, b func()) {
	var wg sync.WaitGroup
	wg.Go(a)
	wg.Go(b)
	wg.Wait()
}

func newSide(t *testing.T, kind servers.Kind, postgres bool) side {
	o := servers.Options{Kind: kind, Quiet: true}
	if postgres {
		o.DatabaseURL = servers.Postgres(t)
	}
	s := servers.Run(t, o)
	db, err := s.OpenDatabase()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	c := side{server: s, client: rest.New(s.URL, 20), db: db}
	c.made = window{name: "setup", from: time.Now()}
	var flow struct{ ID string }
	if err := c.client.Post(t.Context(), "/flows/", map[string]any{"name": "twin"}, &flow); err != nil {
		t.Fatal(err)
	}
	c.flow, c.made.to = flow.ID, time.Now()
	return c
}

// each calls fn for 0..n-1 from the pair's workers.
func (p *pair) each(ctx context.Context, n int, fn func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var wg sync.WaitGroup
	for range p.workers {
		wg.Go(func() {
			for i := range next {
				if err := fn(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := range n {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	wg.Wait()
	return context.Cause(ctx)
}
