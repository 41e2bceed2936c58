package value

import (
	"errors"
	"strconv"
	"unicode/utf8"
)

// MaxDepth bounds the nesting of a text, MaxSize its length in bytes.
const (
	MaxDepth = 128
	MaxSize  = 64 << 20
)

// Kind is what a value is.
type Kind uint8

// The kinds of value. Absent is what a missing field is.
const (
	Absent Kind = iota
	Null
	Bool
	Number
	Text
	Array
	Object
)

// Doc is a parsed text. The zero Doc is ready for Parse.
type Doc struct {
	text  []byte
	nodes []node
}

// node is a value, or the key of a member, which stands right before its value.
type node struct {
	start, end uint32 // in the text; of a Text without its quotes
	next       uint32 // the index after this value and all within it
	kind       Kind
	escaped    bool // a Text with backslashes
}

// Parse makes d the document of text and returns its value. Values of an earlier
// Parse by the same Doc become meaningless; text must not change while values
// are in use. The memory of the earlier document is used again.
func (d *Doc) Parse(text []byte) (Value, error) {
	d.text, d.nodes = text, d.nodes[:0]
	if len(text) > MaxSize {
		return Value{}, errors.New("the text is larger than " + strconv.Itoa(MaxSize) + " bytes")
	}
	if len(text) > countFrom {
		d.nodes = nil // before there is a new one, to leave room for it
		d.nodes = make([]node, 0, countValues(text))
	}
	p := parser{text: text, nodes: d.nodes}
	pos := p.quick()
	if pos < 0 {
		p.nodes = p.nodes[:0]
		pos = p.value(skipSpace(text, 0), 0)
	}
	if pos >= 0 {
		if pos = skipSpace(text, pos); pos < len(text) {
			pos = p.fail(pos, "text after the value")
		}
	}
	d.nodes = p.nodes
	if pos < 0 {
		d.nodes = d.nodes[:0]
		return Value{}, errors.New("at byte " + strconv.Itoa(p.at) + ": " + p.reason)
	}
	return Value{doc: d}, nil
}

// countFrom is the size from which on values are counted before they are noted,
// since growing would take twice the room.
const countFrom = 16 << 10

// countValues returns an upper bound of the values and keys of a text, or of
// those before it is nested too deeply.
func countValues(text []byte) int {
	count, depth := 1, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i = endOfString(text, i+1)
		case ',', ':':
			count++
		case '{', '[':
			count++
			if depth++; depth > MaxDepth {
				return count
			}
		case '}', ']':
			depth--
		}
	}
	return count
}

// endOfString returns where a string's last quote stands, or the text's end.
func endOfString(text []byte, pos int) int {
	for pos = skipPlain(text, pos); pos < len(text) && text[pos] != '"'; pos = skipPlain(text, pos) {
		if text[pos] == '\\' {
			pos++ // what follows is no end
		}
		pos = min(pos+1, len(text))
	}
	return pos
}

// Parse is [Doc.Parse] with a new Doc.
func Parse(text []byte) (Value, error) { return new(Doc).Parse(text) }

// Grow makes room for a text of this many values, keys counted.
func (d *Doc) Grow(nodes int) {
	if cap(d.nodes) < nodes {
		d.nodes = append(make([]node, 0, nodes), d.nodes...)
	}
}

// parser makes the nodes of a text. Its methods take a position and return the
// one after what they read, or -1. They are many and small, return little and do
// the usual without calling: calls and large functions are what costs in a guest.
type parser struct {
	text   []byte
	nodes  []node
	at     int // where it went wrong
	reason string
}

func (p *parser) fail(pos int, reason string) int {
	p.at, p.reason = pos, reason
	return -1
}

// value reads the value that stands at pos.
func (p *parser) value(pos, depth int) int {
	if pos >= len(p.text) {
		return p.fail(pos, "the text ends early")
	}
	switch c := p.text[pos]; c {
	case '"':
		return p.string(pos)
	case 'n':
		return p.word(pos, "null", Null)
	case '{':
		return p.object(pos, depth)
	case '[':
		return p.array(pos, depth)
	case 't':
		return p.word(pos, "true", Bool)
	case 'f':
		return p.word(pos, "false", Bool)
	default:
		if c != '-' && !isDigit(c) {
			return p.fail(pos, "no value starts with "+strconv.QuoteToASCII(string(rune(c))))
		}
		return p.number(pos)
	}
}

// grow makes room for as many nodes again: less than what append adds would
// leave too much garbage behind in the small memory of a guest.
func (p *parser) grow() {
	p.nodes = append(make([]node, 0, max(64, 2*cap(p.nodes))), p.nodes...)
}

// leaf notes a value without others in it.
func (p *parser) leaf(start, end int, kind Kind, escaped bool) {
	if len(p.nodes) == cap(p.nodes) {
		p.grow()
	}
	i := len(p.nodes)
	p.nodes = p.nodes[:i+1]
	p.nodes[i] = node{start: uint32(start), end: uint32(end), next: uint32(i + 1), kind: kind, escaped: escaped}
}

func (p *parser) word(pos int, word string, kind Kind) int {
	end := pos + len(word)
	if end > len(p.text) || string(p.text[pos:end]) != word {
		return p.fail(pos, "not a value")
	}
	p.leaf(pos, end, kind, false)
	return end
}

// object reads the object whose brace stands at pos.
func (p *parser) object(pos, depth int) int {
	text, self := p.text, len(p.nodes)
	if depth >= MaxDepth {
		return p.fail(pos, "nested deeper than "+strconv.Itoa(MaxDepth))
	}
	p.leaf(pos, pos, Object, false)
	if pos = skipSpace(text, pos+1); pos < len(text) && text[pos] == '}' {
		return p.close(self, pos)
	}
	for {
		if pos >= len(text) || text[pos] != '"' {
			return p.fail(pos, "a key is missing")
		}
		if pos = p.string(pos); pos < 0 {
			return pos
		}
		if pos >= len(text) || text[pos] != ':' {
			if pos = skipSpace(text, pos); pos >= len(text) || text[pos] != ':' {
				return p.fail(pos, "a colon is missing")
			}
		}
		pos++
		if pos < len(text) && text[pos] <= ' ' {
			pos = skipSpace(text, pos)
		}
		if pos = p.value(pos, depth+1); pos < 0 {
			return pos
		}
		if pos < len(text) && text[pos] <= ' ' {
			pos = skipSpace(text, pos)
		}
		switch {
		case pos < len(text) && text[pos] == ',':
			pos++
			if pos < len(text) && text[pos] <= ' ' {
				pos = skipSpace(text, pos)
			}
		case pos < len(text) && text[pos] == '}':
			return p.close(self, pos)
		default:
			return p.fail(pos, "the object does not go on")
		}
	}
}

// array reads the array whose bracket stands at pos.
func (p *parser) array(pos, depth int) int {
	text, self := p.text, len(p.nodes)
	if depth >= MaxDepth {
		return p.fail(pos, "nested deeper than "+strconv.Itoa(MaxDepth))
	}
	p.leaf(pos, pos, Array, false)
	if pos = skipSpace(text, pos+1); pos < len(text) && text[pos] == ']' {
		return p.close(self, pos)
	}
	for {
		if pos = p.value(pos, depth+1); pos < 0 {
			return pos
		}
		pos = skipSpace(text, pos)
		switch {
		case pos < len(text) && text[pos] == ',':
			pos = skipSpace(text, pos+1)
		case pos < len(text) && text[pos] == ']':
			return p.close(self, pos)
		default:
			return p.fail(pos, "the array does not go on")
		}
	}
}

// close ends the array or object at node self with the byte at pos.
func (p *parser) close(self, pos int) int {
	n := &p.nodes[self]
	n.end, n.next = uint32(pos+1), uint32(len(p.nodes))
	return pos + 1
}

// string reads the string whose quote stands at pos.
func (p *parser) string(pos int) int {
	end := skipPlain(p.text, pos+1)
	if end >= len(p.text) || p.text[end] != '"' {
		return p.oddString(pos+1, end)
	}
	p.leaf(pos+1, end, Text, false)
	return end + 1
}

// oddString reads on at pos a string that starts at start and has more than
// plain characters.
func (p *parser) oddString(start, pos int) int {
	text, escaped := p.text, false
	for pos < len(text) && text[pos] != '"' {
		n, reason := oddLength(text[pos:])
		if reason != "" {
			return p.fail(pos, reason)
		}
		escaped = escaped || text[pos] == '\\'
		pos = skipPlain(text, pos+n)
	}
	if pos >= len(text) {
		return p.fail(pos, "the string does not end")
	}
	p.leaf(start, pos, Text, escaped)
	return pos + 1
}

// number reads the number at pos.
func (p *parser) number(pos int) int {
	text, start := p.text, pos
	if text[pos] == '-' {
		pos++
	}
	whole := pos
	if pos = digits(text, pos); pos == whole || text[whole] == '0' && pos > whole+1 {
		return p.fail(whole, "a digit is missing, or there is a 0 too many")
	}
	if pos < len(text) && text[pos] == '.' {
		fraction := pos + 1
		if pos = digits(text, fraction); pos == fraction {
			return p.fail(pos, "a digit is missing")
		}
	}
	if pos < len(text) && text[pos]|0x20 == 'e' {
		pos++
		if pos < len(text) && (text[pos] == '+' || text[pos] == '-') {
			pos++
		}
		exponent := pos
		if pos = digits(text, exponent); pos == exponent {
			return p.fail(pos, "a digit is missing")
		}
	}
	p.leaf(start, pos, Number, false)
	return pos
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

func skipSpace(text []byte, pos int) int {
	for pos < len(text) && isSpace(text[pos]) {
		pos++
	}
	return pos
}

// oddLength returns the length of the escape or the rune that b starts with.
func oddLength(b []byte) (n int, reason string) {
	switch c := b[0]; {
	case c == '\\':
		if n = escapeLength(b); n == 0 {
			return 0, "no such escape"
		}
		return n, ""
	case c < 0x20:
		return 0, "a control character stands in a string"
	}
	r, n := utf8.DecodeRune(b)
	if r == utf8.RuneError && n == 1 {
		return 0, "not UTF-8"
	}
	return n, ""
}

// escapeLength returns the length of the escape that b starts with, 0 for none.
func escapeLength(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if _, ok := hex4(b[2:]); ok {
			return 6
		}
	}
	return 0
}

func digits(text []byte, pos int) int {
	for pos < len(text) && isDigit(text[pos]) {
		pos++
	}
	return pos
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// hex4 reads four hexadecimal digits.
func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case isDigit(c):
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
