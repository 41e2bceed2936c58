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
	p := parser{text: text, nodes: d.nodes}
	pos, reason := p.value(p.space(0), 0)
	if reason == "" {
		if pos = p.space(pos); pos < len(text) {
			reason = "text after the value"
		}
	}
	d.nodes = p.nodes
	if reason != "" {
		d.nodes = d.nodes[:0]
		return Value{}, errors.New("at byte " + strconv.Itoa(pos) + ": " + reason)
	}
	return Value{doc: d}, nil
}

// Parse is [Doc.Parse] with a new Doc.
func Parse(text []byte) (Value, error) { return new(Doc).Parse(text) }

type parser struct {
	text  []byte
	nodes []node
}

func (p *parser) space(pos int) int {
	text := p.text
	for pos < len(text) {
		switch text[pos] {
		case ' ', '\t', '\n', '\r':
			pos++
		default:
			return pos
		}
	}
	return pos
}

// value reads the value at pos and returns the position after it, or where it
// went wrong and why.
func (p *parser) value(pos, depth int) (int, string) {
	if pos >= len(p.text) {
		return pos, "the text ends early"
	}
	switch c := p.text[pos]; c {
	case '{':
		return p.object(pos, depth)
	case '[':
		return p.array(pos, depth)
	case '"':
		return p.string(pos)
	case 'n':
		return p.literal(pos, "null", Null)
	case 't':
		return p.literal(pos, "true", Bool)
	case 'f':
		return p.literal(pos, "false", Bool)
	default:
		if c == '-' || isDigit(c) {
			return p.number(pos)
		}
		return pos, "no value starts with " + strconv.QuoteToASCII(string(rune(c)))
	}
}

func (p *parser) open(pos, depth int, kind Kind) (int, string) {
	if depth >= MaxDepth {
		return 0, "nested deeper than " + strconv.Itoa(MaxDepth)
	}
	p.nodes = append(p.nodes, node{start: uint32(pos), kind: kind})
	return len(p.nodes) - 1, ""
}

func (p *parser) close(i, pos int) int {
	p.nodes[i].end = uint32(pos)
	p.nodes[i].next = uint32(len(p.nodes))
	return pos
}

func (p *parser) object(pos, depth int) (int, string) {
	self, reason := p.open(pos, depth, Object)
	if reason != "" {
		return pos, reason
	}
	pos = p.space(pos + 1)
	if pos < len(p.text) && p.text[pos] == '}' {
		return p.close(self, pos+1), ""
	}
	for {
		if pos >= len(p.text) || p.text[pos] != '"' {
			return pos, "a key is missing"
		}
		if pos, reason = p.string(pos); reason != "" {
			return pos, reason
		}
		pos = p.space(pos)
		if pos >= len(p.text) || p.text[pos] != ':' {
			return pos, "a colon is missing"
		}
		if pos, reason = p.value(p.space(pos+1), depth+1); reason != "" {
			return pos, reason
		}
		pos = p.space(pos)
		switch {
		case pos < len(p.text) && p.text[pos] == ',':
			pos = p.space(pos + 1)
		case pos < len(p.text) && p.text[pos] == '}':
			return p.close(self, pos+1), ""
		default:
			return pos, "the object does not go on"
		}
	}
}

func (p *parser) array(pos, depth int) (int, string) {
	self, reason := p.open(pos, depth, Array)
	if reason != "" {
		return pos, reason
	}
	pos = p.space(pos + 1)
	if pos < len(p.text) && p.text[pos] == ']' {
		return p.close(self, pos+1), ""
	}
	for {
		if pos, reason = p.value(pos, depth+1); reason != "" {
			return pos, reason
		}
		pos = p.space(pos)
		switch {
		case pos < len(p.text) && p.text[pos] == ',':
			pos = p.space(pos + 1)
		case pos < len(p.text) && p.text[pos] == ']':
			return p.close(self, pos+1), ""
		default:
			return pos, "the array does not go on"
		}
	}
}

func (p *parser) literal(pos int, word string, kind Kind) (int, string) {
	if len(p.text)-pos < len(word) || string(p.text[pos:pos+len(word)]) != word {
		return pos, "not a value"
	}
	p.leaf(pos, pos+len(word), kind, false)
	return pos + len(word), ""
}

func (p *parser) leaf(start, end int, kind Kind, escaped bool) {
	p.nodes = append(p.nodes, node{
		start: uint32(start), end: uint32(end), next: uint32(len(p.nodes) + 1), kind: kind, escaped: escaped,
	})
}

func (p *parser) string(pos int) (int, string) {
	text := p.text
	start, escaped := pos+1, false
	for pos++; pos < len(text); {
		switch c := text[pos]; {
		case c == '"':
			p.leaf(start, pos, Text, escaped)
			return pos + 1, ""
		case c == '\\':
			escaped = true
			n := escapeLength(text[pos:])
			if n == 0 {
				return pos, "no such escape"
			}
			pos += n
		case c < 0x20:
			return pos, "a control character stands in a string"
		case c < utf8.RuneSelf:
			pos++
		default:
			r, n := utf8.DecodeRune(text[pos:])
			if r == utf8.RuneError && n == 1 {
				return pos, "not UTF-8"
			}
			pos += n
		}
	}
	return pos, "the string does not end"
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

func (p *parser) number(pos int) (int, string) {
	text, start := p.text, pos
	if text[pos] == '-' {
		pos++
	}
	switch {
	case pos < len(text) && text[pos] == '0':
		pos++
	case pos < len(text) && isDigit(text[pos]):
		pos = digits(text, pos)
	default:
		return pos, "a digit is missing"
	}
	if pos < len(text) && text[pos] == '.' {
		fraction := pos + 1
		if pos = digits(text, fraction); pos == fraction {
			return pos, "a digit is missing"
		}
	}
	if pos < len(text) && text[pos]|0x20 == 'e' {
		pos++
		if pos < len(text) && (text[pos] == '+' || text[pos] == '-') {
			pos++
		}
		exponent := pos
		if pos = digits(text, exponent); pos == exponent {
			return pos, "a digit is missing"
		}
	}
	p.leaf(start, pos, Number, false)
	return pos, ""
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

// Grow makes room for a text of this many values, keys counted.
func (d *Doc) Grow(nodes int) {
	if cap(d.nodes) < nodes {
		d.nodes = append(make([]node, 0, nodes), d.nodes...)
	}
}
