package meter

import (
	"slices"

	"github.com/interlock-run/interlock/host/sandbox/wasm"
)

// Each instance has a table of its own, with eight bytes for an entry, and wazero makes
// an object of some thirty for each function in it: 95 KiB of a Go guest, whose table has
// all of its functions behind 4,096 empty entries. Where nothing ever changes the table, and
// nothing but call_indirect looks into it, what an index stands for is known beforehand,
// and the code that all instances share can tell: a br_table to a call of each function.

// directory is a table that becomes code.
type directory struct {
	first uint32   // index of the first entry with a function
	funcs []uint32 // from there to the last one; wasm.NoFunc for none
	found []uint32 // by a call's type: the added function that finds what to call
	frame int      // stack that those take
}

// maxDirect bounds the code that a table becomes, and so the time to compile it: a call
// for each entry and type, and what that passes. It is 6,500 entries of Go's functions,
// which take half a second. So many blocks within blocks, and branches of one table, are
// more than a guest may have of its own; what compiling them takes is bounded by this.
const maxDirect = 1 << 15

// What is left of the table: entries of which a call fails as it should, for an index
// that has no function, and for one that has a function of another type.
const (
	entryNone   = iota
	entryPlain  // of () -> ()
	entryCharge // of (i32) -> (i32)
	entries
)

// direct makes code of the module's table, if it is large and never changes.
func (w *rewriter) direct() {
	m := w.m
	if m.UsesTables || m.ImportedTables > 0 || len(m.Tables) != 1 || m.Tables[0].Type != wasm.FuncRef || m.Tables[0].Min <= w.o.SmallTable {
		return
	}
	if slices.ContainsFunc(m.Exports, func(e wasm.Export) bool { return e.Kind == wasm.ExternTable }) {
		return
	}
	d := &directory{}
	if !d.fill(m) {
		return
	}
	work := 0
	kinds := map[string]uint32{} // the first type of those that are equal, by a finder's type
	for t, called := range m.Called {
		if typ := &m.Types[t]; called {
			kind := string(finderType(typ))
			if _, known := kinds[kind]; !known {
				kinds[kind] = uint32(t)
				work += (3 + len(typ.Params) + len(typ.Results)) * (1 + len(d.funcs))
			}
		}
	}
	if work > maxDirect {
		return
	}
	d.found = make([]uint32, len(m.Types))
	for t, called := range m.Called {
		if !called {
			continue
		}
		kind := finderType(&m.Types[t])
		if first := kinds[string(kind)]; first < uint32(t) {
			d.found[t] = d.found[first]
			continue
		}
		d.found[t] = w.add(w.addType(kind), func(out []byte) []byte { return w.find(out, d, uint32(t)) })
		d.frame = max(d.frame, finderFrame(&m.Types[t]))
	}
	w.directory = d
}

// finderType is a call's type, with the index for one more parameter.
func finderType(t *wasm.FuncType) []byte {
	return encodeType(append(slices.Clone(t.Params), wasm.I32), t.Results)
}

func finderFrame(t *wasm.FuncType) int {
	params, results := len(t.Params)+1, len(t.Results)
	wide := slices.Contains(t.Params, wasm.V128) || slices.Contains(t.Results, wasm.V128)
	return frameCost(params+results+max(params, results), wide)
}

// fill reads the segments. False: something of them is not known, or does not fit.
func (d *directory) fill(m *wasm.Module) bool {
	first, end := uint64(m.Tables[0].Min), uint64(0)
	for _, e := range m.Elements {
		if !e.Active || !e.Constant {
			return false
		}
		first = min(first, uint64(e.Offset))
		end = max(end, uint64(e.Offset)+uint64(len(e.Funcs)))
	}
	if end > uint64(m.Tables[0].Min) || end > first+maxDirect {
		return false
	}
	if first >= end {
		return true
	}
	d.first = uint32(first)
	d.funcs = slices.Repeat([]uint32{wasm.NoFunc}, int(end-first))
	for _, e := range m.Elements {
		copy(d.funcs[e.Offset-d.first:], e.Funcs)
	}
	return true
}

// find appends the body of a function that has the parameters and results of type t,
// and an index into the table for its last parameter: it calls what that stands for.
func (w *rewriter) find(out []byte, d *directory, t uint32) []byte {
	typ := &w.m.Types[t]
	var calls []uint32         // each function once
	labels := map[uint32]int{} // of those
	for _, f := range d.funcs {
		if f == wasm.NoFunc || !w.m.FuncType(f).Equal(typ) {
			continue
		}
		if _, known := labels[f]; !known {
			labels[f] = len(calls)
			calls = append(calls, f)
		}
	}
	mistyped, none := len(calls), len(calls)+1
	labels[wasm.NoFunc] = none
	for range len(calls) + 2 {
		out = append(out, opBlock, typeNone)
	}
	out = appendUint(append(out, opLocalGet), uint64(len(typ.Params)))
	out = append(appendInt(append(out, opI32Const), int64(int32(d.first))), opI32Sub, opBrTable)
	out = appendUint(out, uint64(len(d.funcs)))
	for _, f := range d.funcs {
		label, known := labels[f]
		if !known {
			label = mistyped
		}
		out = appendUint(out, uint64(label))
	}
	out = append(appendUint(out, uint64(none)), opEnd)
	for _, f := range calls {
		out = appendUint(append(passOn(out, typ, 0), opCall), uint64(f))
		out = append(out, opReturn, opEnd)
	}
	other := byte(entryPlain)
	if len(typ.Params)+len(typ.Results) == 0 {
		other = entryCharge
	}
	out = append(through(passOn(out, typ, 0), t, other), opReturn, opEnd)
	return through(passOn(out, typ, 0), t, entryNone)
}

// through calls an entry of the table, which fails.
func through(out []byte, t uint32, entry byte) []byte {
	return append(appendUint(append(out, opI32Const, entry, opCallIndirect), uint64(t)), 0)
}

// elements writes the element segments, or what is left of them.
func (w *rewriter) elements() {
	if w.directory == nil {
		w.copySection(wasm.SecElement)
		return
	}
	body := []byte{1, 0, opI32Const, entryPlain, opEnd, entries - entryPlain}
	body = appendUint(body, uint64(w.base+fnSlice))
	w.section(wasm.SecElement, appendUint(body, uint64(w.base+fnBytes)))
}
