package wasm

// The sections' ids.
const (
	SecCustom    = 0
	SecType      = 1
	SecImport    = 2
	SecFunction  = 3
	SecTable     = 4
	SecMemory    = 5
	SecGlobal    = 6
	SecExport    = 7
	SecStart     = 8
	SecElement   = 9
	SecCode      = 10
	SecData      = 11
	SecDataCount = 12
)

// decoder is a reader with the module that it fills and the caps it keeps.
type decoder struct {
	Reader
	m    *Module
	caps Caps
	work int // of Caps.JoinWork, so far
}

// Decode reads and validates a binary. Its error is an *Error.
func Decode(b []byte, caps Caps) (*Module, error) {
	caps = caps.WithDefaults()
	d := &decoder{
		Reader: Reader{b: b, end: len(b), targets: caps.BranchTable},
		m:      &Module{Bytes: b, dataCount: -1},
		caps:   caps,
	}
	d.header()
	d.sections()
	if d.err != nil {
		return nil, d.err
	}
	return d.m, nil
}

func (d *decoder) header() {
	if d.left() < 8 || string(d.b[:4]) != "\x00asm" {
		d.fail(0, "not WebAssembly: no magic number")
		return
	}
	if string(d.b[4:8]) != "\x01\x00\x00\x00" {
		d.fail(4, "not version 1 of the binary format")
		return
	}
	d.pos = 8
}

// order is the place of a section, since the data count comes before the code.
func order(id byte) int {
	switch {
	case id == SecDataCount:
		return 2*SecElement + 1
	default:
		return 2 * int(id)
	}
}

func (d *decoder) sections() {
	last, customs := 0, 0
	for d.more() {
		at := d.pos
		id := d.byte()
		size := d.count("bytes of a section", len(d.b), 1)
		if d.err != nil {
			return
		}
		end := d.pos + size
		if id == SecCustom {
			if customs++; customs > d.caps.Customs {
				d.fail(at, "more than %d custom sections", d.caps.Customs)
				return
			}
			part := Reader{b: d.b, pos: d.pos, end: end}
			part.name(size)
			if part.err != nil {
				d.err = part.err
				return
			}
			d.pos = end
			continue
		}
		if id > SecDataCount {
			d.fail(at, "unknown section %d", id)
			return
		}
		if order(id) <= last {
			d.fail(at, "section %d is out of order or there twice", id)
			return
		}
		last = order(id)
		d.section(id, end)
	}
	d.finish()
}

// section reads one section, which has to end where it says.
func (d *decoder) section(id byte, end int) {
	d.m.Sections = append(d.m.Sections, Section{ID: id, Start: d.pos, End: end})
	outer := d.end
	d.end = end
	switch id {
	case SecType:
		d.types()
	case SecImport:
		d.imports()
	case SecFunction:
		d.functions()
	case SecTable:
		d.tables()
	case SecMemory:
		d.memories()
	case SecGlobal:
		d.globals()
	case SecExport:
		d.exports()
	case SecStart:
		d.start()
	case SecElement:
		d.elements()
	case SecDataCount:
		d.dataCount()
	case SecCode:
		d.code()
	case SecData:
		d.data()
	}
	if d.err == nil && d.pos != end {
		d.fail(d.pos, "section %d has %d bytes too many", id, end-d.pos)
	}
	d.end = outer
	if d.err != nil {
		d.pos = outer
	}
}

// finish checks what concerns several sections.
func (d *decoder) finish() {
	m := d.m
	if want := len(m.Funcs) - m.ImportedFuncs; d.err == nil && len(m.Bodies) != want {
		d.fail(len(d.b), "%d functions have %d bodies", want, len(m.Bodies))
	}
	if m.dataCount >= 0 && m.dataCount != len(m.Data) {
		d.fail(len(d.b), "the data count is %d, there are %d segments", m.dataCount, len(m.Data))
	}
}

func (d *decoder) valueType() ValueType {
	t := ValueType(d.byte())
	if d.err == nil && !t.valid() {
		d.fail(d.pos-1, "0x%02x is no value type", byte(t))
	}
	return t
}

func (d *decoder) refType() ValueType {
	t := d.valueType()
	if d.err == nil && !t.reference() {
		d.fail(d.pos-1, "%s is no reference type", t)
	}
	return t
}

func (d *decoder) valueTypes(what string) []ValueType {
	n := d.count(what, d.caps.Arity, 1)
	out := make([]ValueType, 0, n)
	for ; n > 0 && d.err == nil; n-- {
		out = append(out, d.valueType())
	}
	return out
}

func (d *decoder) types() {
	n := d.count("types", d.caps.Types, 3)
	d.m.Types = make([]FuncType, 0, n)
	for ; n > 0 && d.err == nil; n-- {
		if form := d.byte(); d.err == nil && form != 0x60 {
			d.fail(d.pos-1, "0x%02x is no function type", form)
		}
		params := d.valueTypes("parameters")
		d.m.Types = append(d.m.Types, FuncType{Params: params, Results: d.valueTypes("results")})
	}
}

// index reads an index below n.
func (d *decoder) index(what string, n int) uint32 {
	at := d.pos
	v := d.u32()
	if d.err == nil && int64(v) >= int64(n) {
		d.fail(at, "%s %d of %d", what, v, n)
		return 0
	}
	return v
}

func (d *decoder) limits(what string, limit int, most uint32) Limits {
	at := d.pos
	flag := d.byte()
	if flag > 1 {
		d.fail(at, "flag 0x%02x of %s limits is not allowed", flag, what)
		return Limits{}
	}
	l := Limits{Min: d.u32(), HasMax: flag == 1}
	if l.HasMax {
		l.Max = d.u32()
	}
	switch {
	case d.err != nil:
	case l.Min > most || l.Max > most:
		d.fail(at, "a %s can have %d at most", what, most)
	case l.HasMax && l.Max < l.Min:
		d.fail(at, "a %s with minimum %d and maximum %d", what, l.Min, l.Max)
	case int64(l.Min) > int64(limit):
		d.fail(at, "a %s starts with %d, the limit is %d", what, l.Min, limit)
	}
	return l
}

func (d *decoder) table() {
	t := Table{Type: d.refType()}
	t.Limits = d.limits("table", d.caps.TableEntries, 1<<32-1)
	d.m.Tables = append(d.m.Tables, t)
	if len(d.m.Tables) > d.caps.Tables {
		d.fail(d.pos, "more than %d tables", d.caps.Tables)
	}
}

func (d *decoder) memory() {
	at := d.pos
	d.m.Memories = append(d.m.Memories, d.limits("memory", d.caps.MemoryPages, 1<<16))
	if len(d.m.Memories) > 1 {
		d.fail(at, "more than one memory")
	}
}

func (d *decoder) globalType() {
	g := Global{Type: d.valueType()}
	mutable := d.byte()
	if mutable > 1 {
		d.fail(d.pos-1, "0x%02x is no mutability", mutable)
	}
	g.Mutable = mutable == 1
	d.m.Globals = append(d.m.Globals, g)
}

func (d *decoder) imports() {
	n := d.count("imports", d.caps.Imports, 4)
	m := d.m
	for ; n > 0 && d.err == nil; n-- {
		imp := Import{Offset: d.pos, Module: d.name(d.caps.NameBytes), Name: d.name(d.caps.NameBytes)}
		imp.Kind = ExternKind(d.byte())
		switch imp.Kind {
		case ExternFunc:
			imp.Type = d.index("type", len(m.Types))
			m.Funcs = append(m.Funcs, imp.Type)
			m.ImportedFuncs++
		case ExternTable:
			d.table()
			m.ImportedTables++
		case ExternMemory:
			d.memory()
			m.ImportedMemories++
		case ExternGlobal:
			d.globalType()
			m.ImportedGlobals++
		default:
			d.fail(d.pos-1, "0x%02x is no kind of import", byte(imp.Kind))
		}
		m.Imports = append(m.Imports, imp)
	}
}

func (d *decoder) functions() {
	n := d.count("functions", d.caps.Functions, 1)
	for ; n > 0 && d.err == nil; n-- {
		d.m.Funcs = append(d.m.Funcs, d.index("type", len(d.m.Types)))
	}
}

func (d *decoder) tables() {
	for n := d.count("tables", d.caps.Tables, 3); n > 0 && d.err == nil; n-- {
		d.table()
	}
}

func (d *decoder) memories() {
	for n := d.count("memories", 1, 2); n > 0 && d.err == nil; n-- {
		d.memory()
	}
}

func (d *decoder) globals() {
	for n := d.count("globals", d.caps.Globals, 4); n > 0 && d.err == nil; n-- {
		d.globalType()
		if d.err == nil {
			d.constant(d.m.Globals[len(d.m.Globals)-1].Type)
		}
	}
}

func (d *decoder) exports() {
	n := d.count("exports", d.caps.Exports, 3)
	m := d.m
	seen := make(map[string]bool, n)
	for ; n > 0 && d.err == nil; n-- {
		at := d.pos
		e := Export{Name: d.name(d.caps.NameBytes), Kind: ExternKind(d.byte())}
		if seen[e.Name] {
			d.fail(at, "export %q is there twice", e.Name)
		}
		seen[e.Name] = true
		switch e.Kind {
		case ExternFunc:
			e.Index = d.index("function", len(m.Funcs))
			d.declare(e.Index)
		case ExternTable:
			e.Index = d.index("table", len(m.Tables))
		case ExternMemory:
			e.Index = d.index("memory", len(m.Memories))
		case ExternGlobal:
			e.Index = d.index("global", len(m.Globals))
		default:
			d.fail(d.pos-1, "0x%02x is no kind of export", byte(e.Kind))
		}
		m.Exports = append(m.Exports, e)
	}
}

func (d *decoder) start() {
	at := d.pos
	f := d.index("function", len(d.m.Funcs))
	if d.err != nil {
		return
	}
	if t := d.m.FuncType(f); len(t.Params)+len(t.Results) > 0 {
		d.fail(at, "the start function has parameters or results")
	}
	d.m.HasStart = true
}

// declare allows ref.func of a function.
func (d *decoder) declare(f uint32) {
	if d.err != nil {
		return
	}
	if d.m.declared == nil {
		d.m.declared = make([]bool, len(d.m.Funcs))
	}
	d.m.declared[f] = true
}
