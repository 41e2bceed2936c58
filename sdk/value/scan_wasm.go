package value

import "unsafe"

// scanState is where scan stands. scan_wasm.s knows its layout, and node's.
type scanState struct {
	text  *byte
	nodes *node
	pos   int // in the text
	size  int // of the text
	count int // of the nodes so far
	room  int // for nodes
	open  int // where the innermost open node ends, in bytes from the first; 0: none is
	depth int // how many more may be opened
}

// What scan is to start with.
const (
	atValue    = 0
	afterValue = 1
	afterKey   = 2
)

// Why scan returns.
const (
	scanDone   = iota
	oddValue   // a string stands at pos that scan cannot read
	oddKey     // the same for a key
	oddNumber  // a number stands at pos that scan cannot read
	scanGaveUp // the text is wrong, or there is no room
)

// scan makes nodes of a text like parser's methods, but not of all that they do:
// it takes no text that they refuse.
//
//go:noescape
func scan(s *scanState, state int) (why int)

// quick reads the text with scan as far as that goes, and returns the position
// after the value, or -1: then it has to be read from the start.
func (p *parser) quick() int {
	s := scanState{text: unsafe.SliceData(p.text), size: len(p.text), depth: MaxDepth}
	state := atValue
	for {
		s.nodes, s.room = unsafe.SliceData(p.nodes), cap(p.nodes)
		why := scan(&s, state)
		p.nodes = p.nodes[:s.count]
		switch why {
		case scanDone:
			return s.pos
		case oddValue:
			s.pos, state = p.string(s.pos), afterValue
		case oddKey:
			s.pos, state = p.string(s.pos), afterKey
		case oddNumber:
			s.pos, state = p.number(s.pos), afterValue
		default:
			return -1
		}
		if s.pos < 0 {
			return -1
		}
		s.count = len(p.nodes)
	}
}

// skipPlain is the function of scan_other.go.
//
//go:noescape
func skipPlain(text []byte, pos int) int

// quote appends s as a JSON string within the capacity of dst, if there is room
// and no byte of it has to be escaped or looked at; it says whether that was so.
//
//go:noescape
func quote(dst []byte, s string) bool

// pick notes the indexes of the values of an object's members, of count keys as
// far as they come in this order; found is of how many. It is -1 if there is a key
// with escapes before: then it has to be searched.
//
//go:noescape
func pick(d *Doc, object uint32, keys *string, count int, into *uint32) (found int32)

// find is search.
func (d *Doc) find(object uint32, key string) (i uint32) {
	if pick(d, object, &key, 1, &i) < 0 {
		return d.search(object, key)
	}
	return i
}

// findAll is find for each of the keys.
func (d *Doc) findAll(object uint32, keys []string, into []uint32) {
	if len(keys) == 0 || len(into) < len(keys) {
		return
	}
	for k := max(0, int(pick(d, object, &keys[0], len(keys), &into[0]))); k < len(keys); k++ {
		into[k] = d.find(object, keys[k])
	}
}
