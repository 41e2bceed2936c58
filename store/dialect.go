package store

import (
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// dialect is what differs between the two databases.
type dialect struct {
	postgres bool
	rebound  sync.Map // SQL with ? → SQL with $1, $2, ...
	kept     atomic.Int64
}

// What bounds the texts that are kept: there is no end to what filters from outside
// make of them.
const (
	maxRebound      = 1024
	maxReboundBytes = 16 << 10 // of one
)

// rebind returns query with the placeholders of the dialect. Queries are written
// with ?, which stands in no string literal of ours; ?? is a literal ?, for the
// JSON operators of Postgres.
func (d *dialect) rebind(query string) string {
	if !d.postgres {
		return query
	}
	if done, ok := d.rebound.Load(query); ok {
		return done.(string)
	}
	done := numbered(query)
	if len(query) <= maxReboundBytes && d.kept.Load() < maxRebound {
		d.kept.Add(1)
		d.rebound.Store(query, done)
	}
	return done
}

// numbered replaces each ? by $1, $2, ... and each ?? by ?.
func numbered(query string) string {
	var b strings.Builder
	b.Grow(len(query) + 16)
	n := 0
	for i := 0; i < len(query); i++ {
		switch {
		case query[i] != '?':
			b.WriteByte(query[i])
		case i+1 < len(query) && query[i+1] == '?':
			b.WriteByte('?')
			i++
		default:
			n++
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(n))
		}
	}
	return b.String()
}

// pick returns the text for the dialect.
func (d *dialect) pick(sqlite, postgres string) string {
	if d.postgres {
		return postgres
	}
	return sqlite
}
