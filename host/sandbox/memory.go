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
	pace   *pace             // nil for calls, which somebody waits for
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
	if g.pace != nil {
		if rest := g.pace.rest(time.Now()); rest > 0 {
			time.Sleep(rest)
			g.pace.since = time.Now()
			return
		}
	}
	runtime.Gosched()
}

// pace is how a guest runs that has time: what it does for a stint is followed by
// a rest, so that it takes a quarter of a processor.
type pace struct{ since time.Time }

const (
	stint       = 2 * time.Millisecond
	restOfStint = 3 // times as long
)

// rest is how long to do nothing, if it is time for that.
func (p *pace) rest(now time.Time) time.Duration {
	worked := now.Sub(p.since)
	if worked < stint {
		return 0
	}
	return restOfStint * worked
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
