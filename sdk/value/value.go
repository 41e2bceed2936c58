package value

import (
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Value is a value within a [Doc]. The zero Value is absent: reading on from it
// gives absent values, so a path can be followed without a check at each step.
type Value struct {
	doc *Doc
	i   uint32
}

func (v Value) node() *node { return &v.doc.nodes[v.i] }

// Kind returns what v is.
func (v Value) Kind() Kind {
	if v.doc == nil {
		return Absent
	}
	return v.node().kind
}

// IsNull reports whether v is null or absent.
func (v Value) IsNull() bool { return v.Kind() <= Null }

// Raw returns the text of v, a part of the document's; nil for an absent value.
func (v Value) Raw() []byte {
	if v.doc == nil {
		return nil
	}
	n := v.node()
	if n.kind == Text {
		return v.doc.text[n.start-1 : n.end+1]
	}
	return v.doc.text[n.start:n.end]
}

// Get returns the member of an object by its key: the first, should there be
// more. Anything else than an object has none.
func (v Value) Get(key string) Value {
	if v.doc != nil {
		if i := v.doc.find(v.i, key); i != 0 {
			return Value{v.doc, i}
		}
	}
	return Value{}
}

// MaxPick is how many members Pick takes at once.
const MaxPick = 12

// Pick fills into with the members of an object by their keys, at most MaxPick:
// what Get returns for each, unless a key stands twice. Keys in the order in which
// they stand in the text are found in one walk.
func (v Value) Pick(keys []string, into []Value) {
	var found [MaxPick]uint32
	if v.doc != nil {
		v.doc.findAll(v.i, keys, found[:])
	}
	for k := range keys {
		into[k] = Value{}
		if i := found[k]; i != 0 {
			into[k] = Value{v.doc, i}
		}
	}
}

// search returns the index of the value of an object's member. 0, which no
// member's value has, stands for none and for what is no object.
func (d *Doc) search(object uint32, key string) uint32 {
	nodes, text := d.nodes, d.text
	if nodes[object].kind != Object {
		return 0
	}
	for i, end := object+1, nodes[object].next; i < end; i = nodes[i+1].next {
		n := &nodes[i]
		if n.escaped {
			if d.is(i, key) {
				return i + 1
			}
		} else if int(n.end-n.start) == len(key) && string(text[n.start:n.end]) == key {
			return i + 1
		}
	}
	return 0
}

// is reports whether the text at node i is s.
func (d *Doc) is(i uint32, s string) bool {
	n := &d.nodes[i]
	if !n.escaped {
		return string(d.text[n.start:n.end]) == s
	}
	var scratch [64]byte
	return string(unescape(scratch[:0], d.text[n.start:n.end])) == s
}

// Is reports whether v is the text s.
func (v Value) Is(s string) bool { return v.Kind() == Text && v.doc.is(v.i, s) }

// Text returns a text, "" and false for anything else. Half of a surrogate pair
// becomes U+FFFD.
func (v Value) Text() (string, bool) {
	if v.Kind() != Text {
		return "", false
	}
	if n := v.node(); !n.escaped {
		return string(v.doc.text[n.start:n.end]), true
	}
	return string(v.AppendText(nil)), true
}

// AppendText appends the text of v, nothing if it is none.
func (v Value) AppendText(dst []byte) []byte {
	if v.Kind() != Text {
		return dst
	}
	n := v.node()
	if n.escaped {
		return unescape(dst, v.doc.text[n.start:n.end])
	}
	return append(dst, v.doc.text[n.start:n.end]...)
}

// Bool returns a bool; ok is false for anything else.
func (v Value) Bool() (b, ok bool) {
	if v.Kind() != Bool {
		return false, false
	}
	return v.doc.text[v.node().start] == 't', true
}

// Int returns a number that is whole and fits; 3.0 and 3e0 are 3.
func (v Value) Int() (int64, bool) {
	if v.Kind() != Number {
		return 0, false
	}
	n := v.node()
	text := v.doc.text[n.start:n.end]
	if i, ok := smallInt(text); ok {
		return i, true
	}
	if i, err := strconv.ParseInt(string(text), 10, 64); err == nil {
		return i, true
	}
	f, ok := v.Float()
	if !ok || f != math.Trunc(f) || f < -1<<63 || f >= 1<<63 {
		return 0, false
	}
	return int64(f), true
}

// smallInt reads what has at most 18 digits and nothing else, as nearly all
// numbers do.
func smallInt(text []byte) (n int64, ok bool) {
	digits := text
	if digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) > 18 {
		return 0, false
	}
	for _, c := range digits {
		if !isDigit(c) {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if text[0] == '-' {
		n = -n
	}
	return n, true
}

// Float returns a number; ok is false for anything else and for one too large.
func (v Value) Float() (float64, bool) {
	if v.Kind() != Number {
		return 0, false
	}
	n := v.node()
	text := v.doc.text[n.start:n.end]
	if i, ok := smallInt(text); ok && i != 0 && i > -1<<53 && i < 1<<53 {
		return float64(i), true
	}
	f, err := strconv.ParseFloat(string(text), 64)
	return f, err == nil
}

// Len returns how many elements an array or members an object has, else 0.
func (v Value) Len() int {
	kind := v.Kind()
	if kind < Array {
		return 0
	}
	count, nodes := 0, v.doc.nodes
	for i, end := v.i+1, nodes[v.i].next; i < end; i = nodes[i].next {
		count++
	}
	if kind == Object {
		count /= 2 // keys have been counted too
	}
	return count
}

// Members ranges over an object's keys and values, in the text's order.
func (v Value) Members() func(yield func(string, Value) bool) {
	return func(yield func(string, Value) bool) {
		if v.Kind() != Object {
			return
		}
		nodes := v.doc.nodes
		for i, end := v.i+1, nodes[v.i].next; i < end; i = nodes[i+1].next {
			key, _ := Value{v.doc, i}.Text()
			if !yield(key, Value{v.doc, i + 1}) {
				return
			}
		}
	}
}

// Elements ranges over an array's indexes and values.
func (v Value) Elements() func(yield func(int, Value) bool) {
	return func(yield func(int, Value) bool) {
		if v.Kind() != Array {
			return
		}
		nodes := v.doc.nodes
		at := 0
		for i, end := v.i+1, nodes[v.i].next; i < end; i = nodes[i].next {
			if !yield(at, Value{v.doc, i}) {
				return
			}
			at++
		}
	}
}

// unescape appends the text that a checked string with escapes stands for.
func unescape(dst, text []byte) []byte {
	for i := 0; i < len(text); {
		if text[i] != '\\' {
			dst = append(dst, text[i])
			i++
			continue
		}
		switch c := text[i+1]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, n := unescapeRune(text[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
			continue
		default:
			dst = append(dst, c)
		}
		i += 2
	}
	return dst
}

// unescapeRune reads \uXXXX, two of them for a surrogate pair.
func unescapeRune(b []byte) (rune, int) {
	r, _ := hex4(b[2:])
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if len(b) >= 12 && b[6] == '\\' && b[7] == 'u' {
		if low, ok := hex4(b[8:]); ok {
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				return pair, 12
			}
		}
	}
	return utf8.RuneError, 6
}
