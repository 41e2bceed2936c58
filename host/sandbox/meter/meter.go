// Package meter rewrites a valid module so that it counts its own work and can
// be stopped. Fuel is charged at function entries and loop heads, per block
// where a region is big, and by length for instructions that do much at once, which
// do it in pieces; stack is charged at the entry of functions that call others. The guest's own
// indices and names stay as they are: all that is added comes after them, and
// since a decoded module names none but its own items, it cannot reach the rest.
// Of a large table that cannot change, code takes the place, see directory.
//
// What a module burns follows from its bytes and inputs alone.
package meter

import (
	"strings"

	"github.com/interlock-run/interlock/host/sandbox/wasm"
)

// Version changes whenever the same input would give other output.
const Version = 6

// Options say how to rewrite.
type Options struct {
	MemoryPages  uint32 // what a memory may grow to, whatever it declares
	TableEntries uint32 // what a table may grow to, whatever it declares
	Slice        uint32 // units of fuel between two returns to the host
	Fuel         int64  // what an instance has at first; hosts that set it before each call need none
	Depth        int32  // likewise for the stack
	// Yield makes the guest ask for one page more than it may have between two
	// slices, after setting the global of that name: the host's allocator is then
	// to let others run and to refuse. Without it, it grows its memory by nothing.
	Yield bool
	// SmallTable is how many entries a table may have that is left as it is, though
	// it might become code; see directory.
	SmallTable uint32
	// Gate names exported functions that are to be called through one, see Metered.Gate:
	// of i32 parameters, and with one integer for a result.
	Gate      []string
	StripData bool // leave out data segments where the host can write them instead
}

// Metered is a rewritten module. The names are of exports that were added.
type Metered struct {
	Bytes []byte
	// Fuel (i64) is what is left of the slice, Rest (i64) what is left beside
	// it. Their sum below zero is the end.
	Fuel, Rest string
	// Depth (i32) is how many bytes of stack are left; below zero is the end.
	Depth string
	// Stop (i32) is looked at between two slices: any value but 0 is the end.
	Stop string
	// Yield (i32) is 1 while the guest only asks for memory to let others run.
	Yield string
	// Gate is a function (which i32, parameters i32...) -> (i64) that calls the one of
	// Options.Gate with that number, and charges nothing for it. The host needs a stack for
	// each function that it calls, so this spares it others. Empty if it was not asked for.
	Gate string
	// Globals are the guest's mutable globals, whether or not it exports them.
	Globals []string
	// MaxPages is what the memory may grow to. With Options.Yield the host's
	// allocator has to see to it.
	MaxPages uint32
	// Restorable says that memory and Globals are all that a call can change.
	Restorable bool
	// Data are segments for the host to write before anything runs, in order;
	// empty unless they were stripped.
	Data []wasm.Data
}

// frameCost is the stack in bytes that a call takes, for a function with so
// many parameters, locals, results and operands: an estimate from above of what
// native code needs when nothing fits into registers.
func frameCost(values int, wide bool) int {
	width := 8
	if wide {
		width = 16
	}
	return 64 + width*values
}

// rewriter holds what the parts of one rewrite share.
type rewriter struct {
	m   *wasm.Module
	o   Options
	out []byte

	types [][]byte          // added ones
	known map[string]uint32 // which type is which of those
	base  uint32            // index of the first added function
	fuel  uint32            // index of the first added global

	maxPages  uint32            // what the memory may grow to
	more      []function        // added ones that this module needs
	inits     map[uint32]uint32 // which of them is for which data segment, see bulk
	directory *directory        // nil: the tables stay
}

// function is an added one.
type function struct {
	typ  uint32
	body func(out []byte) []byte
}

// add adds a function and returns its distance from base.
func (w *rewriter) add(typ uint32, body func(out []byte) []byte) uint32 {
	w.more = append(w.more, function{typ, body})
	return addedFunctions + uint32(len(w.more)-1)
}

// The added functions, by their distance from base.
const (
	fnSlice        = iota // () -> (): ends the guest or refills the slice
	fnFill                // (to, value, n) -> (): memory.fill in pieces
	fnCopy                // (to, from, n) -> (): memory.copy in pieces
	fnBytes               // (n) -> (n): charges for n bytes
	fnItems               // (n) -> (n): charges for n table entries
	fnPages               // (n) -> (n): charges for growing memory by n pages
	fnSlots               // (n) -> (n): charges for growing a table by n entries
	addedFunctions        // and from here on those of rewriter.more
)

// The added globals, by their distance from fuel.
const (
	globalFuel = iota
	globalRest
	globalDepth
	globalStop
	globalYield
)

// Rewrite makes a metered module of a decoded one.
func Rewrite(m *wasm.Module, o Options) *Metered {
	w := &rewriter{
		m: m, o: o,
		out:   make([]byte, 0, len(m.Bytes)+len(m.Bytes)/2),
		base:  uint32(len(m.Funcs)),
		fuel:  uint32(len(m.Globals)),
		inits: map[uint32]uint32{},
		known: map[string]uint32{},
	}
	result := w.names()
	w.direct()
	gate, gated := w.gate()
	if !gated {
		result.Gate = ""
	}
	count, bodies := w.code() // first: it adds types and functions
	functions := w.functionTypes()
	result.Restorable = w.restorable()
	strip := o.StripData && w.strippable()
	if strip {
		result.Data = m.Data
	}

	w.out = append(w.out, m.Bytes[:8]...)
	for id := byte(1); id <= wasm.SecDataCount; id++ {
		// The data count comes between elements and code.
		if id == wasm.SecCode && !strip {
			w.copySection(wasm.SecDataCount)
		}
		switch id {
		case wasm.SecType:
			w.addTo(id, w.types...)
		case wasm.SecFunction:
			w.addTo(id, functions...)
		case wasm.SecTable:
			w.tables()
		case wasm.SecElement:
			w.elements()
		case wasm.SecMemory:
			w.memory()
		case wasm.SecGlobal:
			w.addTo(id, w.globals()...)
		case wasm.SecExport:
			w.addTo(id, w.exports(result, gate)...)
		case wasm.SecCode:
			w.section(id, count, bodies)
		case wasm.SecData:
			if !strip {
				w.copySection(id)
			}
		case wasm.SecDataCount:
		default:
			w.copySection(id)
		}
	}
	result.Bytes, result.MaxPages = w.out, w.maxPages
	return result
}

// names chooses export names that the guest does not use.
func (w *rewriter) names() *Metered {
	prefix := "interlock:"
	for k := 0; k < len(w.m.Exports); k++ {
		if strings.HasPrefix(w.m.Exports[k].Name, prefix) {
			prefix += ":"
			k = -1
		}
	}
	r := &Metered{Fuel: prefix + "fuel", Rest: prefix + "rest", Depth: prefix + "depth", Stop: prefix + "stop", Yield: prefix + "yield", Gate: prefix + "gate"}
	for k, g := range w.m.Globals {
		if g.Mutable {
			r.Globals = append(r.Globals, prefix+string(appendDecimal(nil, k)))
		}
	}
	return r
}

func appendDecimal(b []byte, k int) []byte {
	if k >= 10 {
		b = appendDecimal(b, k/10)
	}
	return append(b, byte('0'+k%10))
}

// restorable says whether the host can undo all that a call may change.
func (w *rewriter) restorable() bool {
	if w.m.MutatesTables || w.m.DropsSegments {
		return false
	}
	for _, g := range w.m.Globals {
		if g.Mutable && g.Type != wasm.I32 && g.Type != wasm.I64 && g.Type != wasm.F32 && g.Type != wasm.F64 {
			return false
		}
	}
	return true
}

// strippable says whether the host can write all data segments.
func (w *rewriter) strippable() bool {
	if w.m.UsesSegments || w.m.ImportedMemories > 0 {
		return false
	}
	for _, d := range w.m.Data {
		if !d.Active || !d.Constant {
			return false
		}
	}
	return true
}

// addType adds a function type and returns its index.
func (w *rewriter) addType(t []byte) uint32 {
	k, known := w.known[string(t)]
	if !known {
		k = uint32(len(w.m.Types) + len(w.types))
		w.known[string(t)] = k
		w.types = append(w.types, t)
	}
	return k
}

func (w *rewriter) functionTypes() [][]byte {
	plain := appendUint(nil, uint64(w.addType(encodeType(nil, nil))))
	charge := appendUint(nil, uint64(w.addType(encodeType([]wasm.ValueType{wasm.I32}, []wasm.ValueType{wasm.I32}))))
	bulk := appendUint(nil, uint64(w.addType(bulkType())))
	all := [][]byte{plain, bulk, bulk, charge, charge, charge, charge}
	for _, f := range w.more {
		all = append(all, appendUint(nil, uint64(f.typ)))
	}
	return all
}

// globals are the added ones.
func (w *rewriter) globals() [][]byte {
	number := func(typ, op byte, v int64) []byte {
		return append(appendInt([]byte{typ, 1, op}, v), opEnd)
	}
	return [][]byte{
		number(typeI64, opI64Const, 0),
		number(typeI64, opI64Const, w.o.Fuel),
		number(typeI32, opI32Const, int64(w.o.Depth)),
		number(typeI32, opI32Const, 0),
		number(typeI32, opI32Const, 0),
	}
}

// exports are the added ones.
func (w *rewriter) exports(r *Metered, gate uint32) [][]byte {
	var out [][]byte
	export := func(name string, kind wasm.ExternKind, index uint32) {
		e := append(appendUint(nil, uint64(len(name))), name...)
		out = append(out, appendUint(append(e, byte(kind)), uint64(index)))
	}
	add := func(name string, index uint32) { export(name, wasm.ExternGlobal, index) }
	if r.Gate != "" {
		export(r.Gate, wasm.ExternFunc, w.base+gate)
	}
	add(r.Fuel, w.fuel+globalFuel)
	add(r.Rest, w.fuel+globalRest)
	add(r.Depth, w.fuel+globalDepth)
	add(r.Stop, w.fuel+globalStop)
	add(r.Yield, w.fuel+globalYield)
	k := 0
	for index, g := range w.m.Globals {
		if g.Mutable {
			add(r.Globals[k], uint32(index))
			k++
		}
	}
	return out
}
