package store

import (
	"context"
	"database/sql"
	"log/slog"
	"sync"
	"sync/atomic"
)

// checkpointAt is how long SQLite's log may grow, in bytes, before it is copied to
// the file: three quarters of what wal_autocheckpoint allows.
const checkpointAt = 24 << 20

// checkpointer copies the log to the database file beside the writer. SQLite has
// the one whose commit fills the log do so, a tenth of a second in which nobody
// writes. That is still the end of it, since only then the log starts over, but by
// then most is copied.
type checkpointer struct {
	db     *sql.DB
	logger *slog.Logger
	at     int64 // bytes
	asked  atomic.Bool
	wake   chan struct{}
	done   atomic.Int64 // how often
	ended  sync.WaitGroup
}

// newCheckpointer starts one for the database at path. Somebody has to tell it
// about the log.
func newCheckpointer(path string, at int64, logger *slog.Logger) (*checkpointer, error) {
	db, err := sql.Open("sqlite", sqliteDSN(path, "cache_size(0)"))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	c := &checkpointer{db: db, logger: logger, at: at, wake: make(chan struct{}, 1)}
	c.ended.Go(c.run)
	return c, nil
}

// grown is told where the log ends now, as a walLog tells it.
func (c *checkpointer) grown(end int64) {
	if end < c.at { // the log has started over
		c.asked.Store(false)
		return
	}
	if c.asked.CompareAndSwap(false, true) {
		select {
		case c.wake <- struct{}{}:
		default: // it is asked already
		}
	}
}

func (c *checkpointer) run() {
	for range c.wake {
		// PASSIVE waits for nobody and makes nobody wait.
		if _, err := c.db.ExecContext(context.Background(), "PRAGMA wal_checkpoint(PASSIVE)"); err != nil {
			c.logger.Warn("SQLite's log was not copied to the database file beforehand", "error", err)
			continue
		}
		c.done.Add(1)
	}
}

// Close ends it. Nobody may tell it anything any more.
func (c *checkpointer) Close() error {
	close(c.wake)
	c.ended.Wait()
	return c.db.Close()
}
