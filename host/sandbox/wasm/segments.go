package wasm

// constant checks a constant expression of type want, with its end. It returns
// its value if that is an i32, or a reference: to a function, or [NoFunc].
func (d *decoder) constant(want ValueType) (value uint32, known bool) {
	at := d.pos
	in := d.Next()
	var got ValueType
	switch in.Op {
	case OpI32Const:
		got, value, known = I32, in.A, true
	case OpI64Const:
		got = I64
	case OpF32Const:
		got = F32
	case OpF64Const:
		got = F64
	case OpV128Const:
		got = V128
	case OpRefNull:
		got, value, known = ValueType(in.A), NoFunc, true
	case OpRefFunc:
		if d.err == nil && int64(in.A) >= int64(len(d.m.Funcs)) {
			d.fail(at, "function %d of %d", in.A, len(d.m.Funcs))
		}
		d.declare(in.A)
		got, value, known = FuncRef, in.A, true
	case OpGlobalGet:
		if d.err == nil && (int64(in.A) >= int64(d.m.ImportedGlobals) || d.m.Globals[in.A].Mutable) {
			d.fail(at, "a constant expression reads global %d, which is no imported constant", in.A)
		}
		if d.err == nil {
			got = d.m.Globals[in.A].Type
		}
	default:
		d.fail(at, "instruction 0x%02x in a constant expression", in.Op)
	}
	if d.err == nil && got != want {
		d.fail(at, "a constant of type %s, want %s", got, want)
	}
	if end := d.byte(); d.err == nil && end != byte(OpEnd) {
		d.fail(d.pos-1, "a constant expression does not end")
	}
	return value, known
}

// The bits of an element segment's flags.
const (
	elementNotActive = 1 // passive, or with elementExplicit declarative
	elementExplicit  = 2 // names a table, or is declarative
	elementExprs     = 4 // entries are expressions
)

func (d *decoder) elements() {
	n := d.count("element segments", d.caps.Elements, 2)
	total := 0
	for ; n > 0 && d.err == nil; n-- {
		at := d.pos
		flags := d.u32()
		if flags > 7 {
			d.fail(at, "flags %d of an element segment", flags)
			return
		}
		table, e := Table{Type: FuncRef}, Element{Active: flags&elementNotActive == 0}
		if e.Active {
			if flags&elementExplicit != 0 {
				e.Table = d.u32()
			}
			if d.err == nil && int64(e.Table) >= int64(len(d.m.Tables)) {
				d.fail(at, "table %d of %d", e.Table, len(d.m.Tables))
				return
			}
			if d.err == nil {
				table = d.m.Tables[e.Table]
			}
			e.Offset, e.Constant = d.constant(I32)
		}
		e.Type = d.elementType(flags)
		if d.err == nil && e.Active && e.Type != table.Type {
			d.fail(at, "an element segment of %s for a table of %s", e.Type, table.Type)
		}
		entries := d.count("elements", d.caps.Elements-total, 1)
		total += entries
		d.entries(&e, entries, flags)
		d.m.Elements = append(d.m.Elements, e)
	}
}

// elementType reads the type or kind of a segment's entries, if it has one.
func (d *decoder) elementType(flags uint32) ValueType {
	if flags&(elementNotActive|elementExplicit) == 0 {
		return FuncRef
	}
	if flags&elementExprs != 0 {
		return d.refType()
	}
	if kind := d.byte(); d.err == nil && kind != 0 {
		d.fail(d.pos-1, "0x%02x is no element kind", kind)
	}
	return FuncRef
}

func (d *decoder) entries(e *Element, n int, flags uint32) {
	e.Funcs = make([]uint32, 0, n)
	for ; n > 0 && d.err == nil; n-- {
		f, known := uint32(NoFunc), true
		if flags&elementExprs != 0 {
			f, known = d.constant(e.Type)
		} else {
			f = d.index("function", len(d.m.Funcs))
			d.declare(f)
		}
		e.Constant = e.Constant && known
		e.Funcs = append(e.Funcs, f)
	}
}

func (d *decoder) dataCount() {
	d.m.dataCount = 0
	at := d.pos
	n := d.u32()
	if int64(n) > int64(d.caps.Data) {
		d.fail(at, "%d data segments, the limit is %d", n, d.caps.Data)
		return
	}
	d.m.dataCount = int(n)
}

func (d *decoder) data() {
	n := d.count("data segments", d.caps.Data, 2)
	for ; n > 0 && d.err == nil; n-- {
		at := d.pos
		flags := d.u32()
		if flags > 2 {
			d.fail(at, "flags %d of a data segment", flags)
			return
		}
		seg := Data{Active: flags != 1}
		if flags == 2 {
			if k := d.u32(); k != 0 {
				d.fail(at, "memory %d of %d", k, len(d.m.Memories))
			}
		}
		if seg.Active {
			if len(d.m.Memories) == 0 {
				d.fail(at, "a data segment without a memory")
			}
			seg.Offset, seg.Constant = d.constant(I32)
		}
		size := d.count("bytes of data", len(d.b), 1)
		seg.Start, seg.End = d.pos, d.pos+size
		d.skip(size)
		d.m.Data = append(d.m.Data, seg)
	}
}

func (d *decoder) code() {
	at := d.pos
	n := d.count("function bodies", d.caps.Functions, 2)
	m := d.m
	if want := len(m.Funcs) - m.ImportedFuncs; d.err == nil && n != want {
		d.fail(at, "%d functions have %d bodies", want, n)
		return
	}
	m.Bodies = make([]Body, 0, n)
	v := &validator{decoder: d}
	for k := 0; k < n && d.err == nil; k++ {
		size := d.count("bytes of a function body", d.caps.BodyBytes, 1)
		if d.err != nil {
			return
		}
		outer := d.end
		d.end = d.pos + size
		m.Bodies = append(m.Bodies, Body{Start: d.pos, End: d.end})
		v.body(m.FuncType(uint32(m.ImportedFuncs+k)), &m.Bodies[k])
		if d.err == nil && d.pos != d.end {
			d.fail(d.pos, "a function body has %d bytes after its end", d.end-d.pos)
		}
		d.end = outer
		if d.err != nil {
			d.pos = outer
		}
	}
}
