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

// find is search, but for an object with a key that has escapes before the one
// that is looked for: -1.
//
//go:noescape
func find(d *Doc, object uint32, key string) int32

// find is search.
func (d *Doc) find(object uint32, key string) uint32 {
	i := find(d, object, key)
	if i < 0 {
		return d.search(object, key)
	}
	return uint32(i)
}
