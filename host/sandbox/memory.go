package sandbox

import (
	"bytes"
	"runtime"
	"time"

	"github.com/tetratelabs/wazero/api"
)

// ground is what an instance's memory needs to know to answer for its size.
type ground struct {
	limit  uint64            // bytes that the guest may have
	yield  api.MutableGlobal // see meter.Options.Yield; nil until there is an instance
	pause  func()            // what is done then
	shrunk uint64            // when not 0: the next answer, whatever is asked for
	pace   *pace             // nil for a guest that never rests
}

// Reallocate is wazero's call for a size, made by memory.grow.
func (l *linear) Reallocate(size uint64) []byte {
	if l.shrunk > 0 {
		size, l.shrunk = l.shrunk, 0
		return l.bytes[:size]
	}
	if l.yield != nil && l.yield.Get() != 0 {
		l.pause()
		return nil
	}
	if size > l.limit || size > uint64(len(l.bytes)) {
		return nil
	}
	return l.bytes[:size]
}

// pass lets others run between two slices.
func (g *ground) pass() {
	if g.pace == nil {
		runtime.Gosched()
		return
	}
	now := time.Now()
	if rest := g.pace.rest(now); rest > 0 {
		time.Sleep(rest)
		g.waited(now)
		return
	}
	runtime.Gosched()
	gone := time.Since(now) // others had it: neither work nor the end of a stint
	g.pace.since = g.pace.since.Add(gone)
	g.pace.rested += gone
}

// waited is after a guest waited for others.
func (g *ground) waited(since time.Time) {
	if g.pace != nil {
		g.pace.since = time.Now()
		g.pace.rested += g.pace.since.Sub(since)
	}
}

// pace is how a guest runs that is in no hurry: what it does for a stint is followed
// by a rest. Gosched alone is not enough: a processor of Go's that always has a guest
// to go on with neither looks at the network nor takes over what waits for another.
type pace struct {
	stint  time.Duration // of work
	times  time.Duration // as long is a rest, at least
	since  time.Time     // when the stint began
	rested time.Duration
}

// leisure is for a guest that is being loaded: a quarter of a processor, and as
// courtesy has it in pieces that others do not notice.
func leisure(now time.Time) pace { return pace{stint: 100 * time.Microsecond, times: 3, since: now} }

// courtesy is for a call that somebody waits for, but that must not keep others from
// what they wait for: half of a processor, in pieces so short that nobody notices.
func courtesy(now time.Time) pace { return pace{stint: 100 * time.Microsecond, times: 1, since: now} }

// rest is how long to do nothing, if it is time for that.
func (p *pace) rest(now time.Time) time.Duration {
	worked := now.Sub(p.since)
	if worked < p.stint {
		return 0
	}
	return p.times * worked
}

// shrink gives a memory the size that it had when its snapshot was taken. wazero
// only knows growing, but takes whatever buffer it is given then.
func (l *linear) shrink(m api.Memory, size uint64) bool {
	if uint64(m.Size()) == size {
		return true
	}
	l.shrunk = size
	_, ok := m.Grow(1)
	l.shrunk = 0
	return ok && uint64(m.Size()) == size
}

// copyChanged makes dst like src, page by page: a page that is equal stays
// untouched, so that an empty one takes no memory.
func copyChanged(dst, src []byte) {
	const page = 4 << 10
	for at := 0; at < len(src); at += page {
		end := min(at+page, len(src))
		if !bytes.Equal(dst[at:end], src[at:end]) {
			copy(dst[at:end], src[at:end])
		}
	}
}
