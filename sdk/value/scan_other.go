//go:build !wasm

package value

import (
	"math/bits"
	"unicode/utf8"
)

// quick says that the text has to be read otherwise.
func (p *parser) quick() int { return -1 }

// find is search.
func (d *Doc) find(object uint32, key string) uint32 { return d.search(object, key) }

// findAll is find for each of the keys.
func (d *Doc) findAll(object uint32, keys []string, into []uint32) {
	for k, key := range keys {
		into[k] = d.search(object, key)
	}
}

// quote says that the string has to be appended otherwise.
func quote([]byte, string) bool { return false }

// skipPlain returns the position of the first byte from pos on that does not
// stand for itself in a string: a quote, a backslash, a control character or a
// part of a longer rune. It looks at eight bytes at once.
func skipPlain(text []byte, pos int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for len(text)-pos >= 8 {
		b := text[pos : pos+8]
		w := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		quote, backslash := w^ones*'"', w^ones*'\\'
		// A borrow from a lower byte can only make a byte above an odd one look odd.
		odd := ((w-ones*0x20)&^w | (quote-ones)&^quote | (backslash-ones)&^backslash | w) & tops
		if odd != 0 {
			return pos + bits.TrailingZeros64(odd)>>3
		}
		pos += 8
	}
	for pos < len(text) && text[pos] >= 0x20 && text[pos] < utf8.RuneSelf && text[pos] != '"' && text[pos] != '\\' {
		pos++
	}
	return pos
}
