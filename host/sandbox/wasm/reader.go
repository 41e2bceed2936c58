package wasm

import (
	"fmt"
	"unicode/utf8"
)

// Reader reads a part of a binary. The first failure stays in err and ends all
// reading: from then on every answer is zero.
type Reader struct {
	b       []byte // the whole binary
	pos     int
	end     int // reading stops here
	targets int // that a br_table may have
	err     *Error
}

// NewReader reads b from start to end.
func NewReader(b []byte, start, end int) *Reader {
	return &Reader{b: b, pos: start, end: end, targets: 1 << 30}
}

// Pos is the offset of the next byte.
func (r *Reader) Pos() int { return r.pos }

func (r *Reader) left() int { return r.end - r.pos }

func (r *Reader) more() bool { return r.err == nil && r.pos < r.end }

func (r *Reader) fail(offset int, format string, args ...any) {
	if r.err == nil {
		r.err = &Error{Offset: offset, Reason: fmt.Sprintf(format, args...)}
		r.pos = r.end
	}
}

func (r *Reader) byte() byte {
	if r.pos >= r.end {
		r.fail(r.pos, "unexpected end")
		return 0
	}
	b := r.b[r.pos]
	r.pos++
	return b
}

// skip passes over n bytes.
func (r *Reader) skip(n int) {
	if n > r.left() {
		r.fail(r.pos, "%d bytes wanted, %d are left", n, r.left())
		return
	}
	r.pos += n
}

func (r *Reader) u32() uint32 {
	if r.pos < r.end && r.b[r.pos] < 0x80 {
		r.pos++
		return uint32(r.b[r.pos-1])
	}
	start, v := r.pos, uint32(0)
	for shift := uint(0); shift < 35; shift += 7 {
		b := r.byte()
		if shift == 28 && b > 0x0f {
			r.fail(start, "integer too large for 32 bits")
			return 0
		}
		v |= uint32(b&0x7f) << shift
		if b < 0x80 {
			return v
		}
	}
	return 0
}

// signed reads a signed integer of the given bits.
func (r *Reader) signed(bits uint) int64 {
	start, v := r.pos, int64(0)
	for shift := uint(0); ; shift += 7 {
		b := r.byte()
		v |= int64(b&0x7f) << shift
		if used := bits - shift; used < 7 {
			// The bits beyond the type have to repeat its sign.
			rest := int8(b<<1) >> used
			if b >= 0x80 || (rest != 0 && rest != -1) {
				r.fail(start, "integer too large for %d bits", bits)
				return 0
			}
		}
		if b < 0x80 {
			if shift+7 < 64 && b&0x40 != 0 {
				v |= -1 << (shift + 7)
			}
			return v
		}
	}
}

// count reads the length of a vector whose items have at least size bytes.
func (r *Reader) count(what string, limit, size int) int {
	at := r.pos
	n := r.u32()
	if r.err != nil {
		return 0
	}
	if uint64(n)*uint64(size) > uint64(r.left()) {
		r.fail(at, "%d %s cannot fit into the %d bytes left", n, what, r.left())
		return 0
	}
	if int64(n) > int64(limit) {
		r.fail(at, "%d %s, the limit is %d", n, what, limit)
		return 0
	}
	return int(n)
}

func (r *Reader) name(limit int) string {
	n := r.count("bytes of a name", limit, 1)
	if r.err != nil {
		return ""
	}
	s := r.b[r.pos : r.pos+n]
	if !utf8.Valid(s) {
		r.fail(r.pos, "a name is not UTF-8")
		return ""
	}
	r.pos += n
	return string(s)
}
