package store

import (
	"database/sql"
	"sync"
)

// maxStatements bounds a cache; queries beyond it (filters of rare shapes) run
// unprepared.
const maxStatements = 512

// statementCache keeps prepared statements by their SQL.
type statementCache struct {
	mu   sync.RWMutex
	kept map[string]*sql.Stmt
}

func newStatementCache() *statementCache { return &statementCache{kept: map[string]*sql.Stmt{}} }

// get returns the statement that is kept for query, and if none is, whether
// there is room for it.
func (c *statementCache) get(query string) (st *sql.Stmt, room bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.kept[query], len(c.kept) < maxStatements
}

// put keeps st, unless another one was kept meanwhile or the cache is full, and
// returns the statement to use: nil when st was not kept, and is closed.
func (c *statementCache) put(query string, st *sql.Stmt) *sql.Stmt {
	c.mu.Lock()
	defer c.mu.Unlock()
	if other := c.kept[query]; other != nil {
		st.Close()
		return other
	}
	if len(c.kept) >= maxStatements {
		st.Close()
		return nil
	}
	c.kept[query] = st
	return st
}

func (c *statementCache) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, st := range c.kept {
		st.Close()
	}
	clear(c.kept)
	return nil
}
