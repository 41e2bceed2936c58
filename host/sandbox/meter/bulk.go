package meter

import "github.com/interlock-run/interlock/host/sandbox/wasm"

// pieceBytes is how much of a memory one instruction may fill or copy. It is native
// code that nobody can stop, and may be the first to touch each page: what it does is
// to be about the work of a slice.
const pieceBytes = 1 << 16

// bulkOp is an instruction of three operands that writes as many bytes as the last
// one says, as far as a memory, or what it reads from, reaches.
type bulkOp struct {
	code  []byte
	reads bool // the second operand is where it reads from, which moves along
	// overlaps says that it reads from the memory to which it writes.
	overlaps bool
	// segment is how many bytes there are to read from, if it is no memory.
	segment int
}

var (
	fill = bulkOp{code: []byte{opMisc, 11, 0}}
	move = bulkOp{code: []byte{opMisc, 10, 0, 0}, reads: true, overlaps: true}
)

// initFrom is memory.init from a data segment of so many bytes.
func initFrom(segment uint32, size int) bulkOp {
	return bulkOp{code: append(appendUint([]byte{opMisc, 8}, uint64(segment)), 0), reads: true, segment: size}
}

// segment is the size of a data segment.
func (w *rewriter) segment(k uint32) int { return w.m.Data[k].End - w.m.Data[k].Start }

// bulkType is (to, from, n) -> ().
func bulkType() []byte { return encodeType([]wasm.ValueType{wasm.I32, wasm.I32, wasm.I32}, nil) }

// init is the added function for memory.init from a data segment.
func (w *rewriter) init(segment uint32) uint32 {
	fn, known := w.inits[segment]
	if !known {
		fn = w.add(w.addType(bulkType()), func(out []byte) []byte { return w.bulk(out, initFrom(segment, w.segment(segment))) })
		w.inits[segment] = fn
	}
	return fn
}

// The operands, which are the parameters of the function that does it.
const (
	operandTo   = iota
	operandFrom // what to read, or to fill with
	operandSize
)

// bulk appends the body of a function that does the same in pieces. It charges for
// each beforehand, so that others get their turn between them. The instruction itself
// does the last one: all, if it is no more than one, or if something is out of bounds,
// for which it traps before it writes anything.
func (w *rewriter) bulk(out []byte, o bulkOp) []byte {
	out = append(long(out), opIf, typeNone)
	out = append(o.inBounds(out), opIf, typeNone)
	if o.overlaps { // what moves up goes end first: its end may lie where it starts to write
		out = append(out, opLocalGet, operandTo, opLocalGet, operandFrom, opI32GtU, opIf, typeNone)
		out = append(w.downwards(out, o), opElse)
	}
	out = w.upwards(out, o)
	if o.overlaps {
		out = append(out, opEnd)
	}
	out = w.get(append(out, opEnd, opEnd), globalFuel)
	out = append(out, opLocalGet, operandSize, opI64ExtendU, opI64Const, bytesShift, opI64ShrU)
	out = w.check(w.set(append(out, opI64Sub), globalFuel))
	out = append(out, opLocalGet, operandTo, opLocalGet, operandFrom, opLocalGet, operandSize)
	return append(out, o.code...)
}

// upwards does pieces from the front while more than one is left.
func (w *rewriter) upwards(out []byte, o bulkOp) []byte {
	out = w.chargePiece(append(out, opLoop, typeNone))
	out = append(out, opLocalGet, operandTo, opLocalGet, operandFrom)
	out = append(piece(out), o.code...)
	out = step(out, operandTo, opI32Add)
	if o.reads {
		out = step(out, operandFrom, opI32Add)
	}
	return append(long(step(out, operandSize, opI32Sub)), opBrIf, 0, opEnd)
}

// downwards does pieces from the back while more than one is left.
func (w *rewriter) downwards(out []byte, o bulkOp) []byte {
	out = w.chargePiece(append(out, opLoop, typeNone))
	out = step(out, operandSize, opI32Sub)
	out = append(out, opLocalGet, operandTo, opLocalGet, operandSize, opI32Add)
	out = append(out, opLocalGet, operandFrom, opLocalGet, operandSize, opI32Add)
	out = append(piece(out), o.code...)
	return append(long(out), opBrIf, 0, opEnd)
}

// inBounds asks whether all that is to be written and read is there. A segment that
// was dropped has the first piece trap.
func (o *bulkOp) inBounds(out []byte) []byte {
	out = inMemory(out, operandTo)
	switch {
	case o.overlaps:
		return append(inMemory(out, operandFrom), opI32And)
	case o.reads:
		out = appendInt(append(reach(out, operandFrom), opI64Const), int64(o.segment))
		return append(out, opI64LeU, opI32And)
	}
	return out
}

func inMemory(out []byte, operand byte) []byte {
	return append(reach(out, operand), opMemorySize, 0, opI64ExtendU, opI64Const, 16, opI64Shl, opI64LeU)
}

// reach is an operand and the size, added.
func reach(out []byte, operand byte) []byte {
	return append(out, opLocalGet, operand, opI64ExtendU, opLocalGet, operandSize, opI64ExtendU, opI64Add)
}

// long asks whether more than a piece is left.
func long(out []byte) []byte { return append(piece(append(out, opLocalGet, operandSize)), opI32GtU) }

func piece(out []byte) []byte { return appendInt(append(out, opI32Const), pieceBytes) }

// step moves an operand by a piece.
func step(out []byte, operand, op byte) []byte {
	return append(piece(append(out, opLocalGet, operand)), op, opLocalSet, operand)
}

// chargePiece takes what a piece costs, which is its part of what the whole does.
func (w *rewriter) chargePiece(out []byte) []byte {
	out = appendInt(append(w.get(out, globalFuel), opI64Const), pieceBytes>>bytesShift)
	return w.check(w.set(append(out, opI64Sub), globalFuel))
}
