package wasm

import "math"

// BlockType is the type of a block: nothing, one result, or a function type.
type BlockType struct {
	Value ValueType // the one result; Unknown for none
	Index int32     // of the function type, or -1
}

// Instr is one instruction.
type Instr struct {
	Op         Op
	Start, End int    // its bytes
	A, B       uint32 // immediates: indices, labels, lanes, constants; of br_table the number of targets and the default
	Block      BlockType
	Targets    int // where br_table's targets start
}

// Next reads one instruction without looking at what its indices mean. Use it on
// bodies that [Decode] has found valid.
func (r *Reader) Next() (in Instr) {
	r.instr(&in)
	return in
}

// U32 reads an unsigned number.
func (r *Reader) U32() uint32 { return r.u32() }

func (r *Reader) instr(in *Instr) {
	*in = Instr{Start: r.pos, Block: BlockType{Index: -1}}
	in.Op = Op(r.byte())
	if in.Op == prefixMisc || in.Op == prefixSIMD {
		n := r.u32()
		if n > 255 {
			r.fail(in.Start, "unknown instruction 0x%02x %d", uint16(in.Op), n)
			return
		}
		in.Op = in.Op<<8 | Op(n)
	}
	r.immediates(in)
	in.End = r.pos
}

func (r *Reader) immediates(in *Instr) {
	switch in.Op {
	case OpUnreachable, OpNop, OpElse, OpEnd, OpReturn, OpDrop, OpSelect, OpRefIsNull:
	case OpBlock, OpLoop, OpIf:
		r.blockType(in)
	case OpBr, OpBrIf, OpCall, OpLocalGet, OpLocalSet, OpLocalTee, OpGlobalGet, OpGlobalSet, OpTableGet, OpTableSet,
		OpRefFunc, OpDataDrop, OpElemDrop, OpTableGrow, OpTableSize, OpTableFill:
		in.A = r.u32()
	case OpBrTable:
		r.brTable(in)
	case OpCallIndirect, OpTableInit, OpTableCopy:
		in.A, in.B = r.u32(), r.u32()
	case OpSelectTyped:
		in.A = r.u32()
		in.B = uint32(r.byte())
		if r.err == nil && (in.A != 1 || !ValueType(in.B).valid()) {
			r.fail(in.Start, "a select with %d types or one that there is not", in.A)
		}
	case OpMemorySize, OpMemoryGrow, OpMemoryFill:
		r.zero()
	case OpMemoryInit:
		in.A = r.u32()
		r.zero()
	case OpMemoryCopy:
		r.zero()
		r.zero()
	case OpI32Const:
		in.A = uint32(r.signed(32))
	case OpI64Const:
		r.signed(64)
	case OpF32Const:
		r.skip(4)
	case OpF64Const:
		r.skip(8)
	case OpRefNull:
		in.A = uint32(r.byte())
		if r.err == nil && !ValueType(in.A).reference() {
			r.fail(in.Start, "ref.null of 0x%02x", in.A)
		}
	case OpV128Const:
		r.skip(16)
	case OpShuffle:
		for range 16 {
			if l := r.byte(); l >= 32 {
				r.fail(r.pos-1, "lane %d of 32", l)
			}
		}
	default:
		r.shaped(in)
	}
}

// shaped reads the immediates of an instruction that its shape describes.
func (r *Reader) shaped(in *Instr) {
	s := shapeOf(in.Op)
	if !s.known {
		r.fail(in.Start, "unknown instruction 0x%02x", uint16(in.Op))
		return
	}
	if s.align > 0 {
		align := r.u32()
		in.A = r.u32()
		if align >= uint32(s.align) {
			r.fail(in.Start, "an alignment of 2^%d, the access has 2^%d", align, s.align-1)
		}
	}
	if s.lanes > 0 {
		if l := r.byte(); l >= s.lanes {
			r.fail(r.pos-1, "lane %d of %d", l, s.lanes)
		}
	}
}

// zero reads the index of the only memory, for which there is one encoding.
func (r *Reader) zero() {
	if k := r.byte(); k != 0 {
		r.fail(r.pos-1, "memory %d of 1", k)
	}
}

func (r *Reader) blockType(in *Instr) {
	if r.more() {
		switch t := ValueType(r.b[r.pos]); {
		case t == 0x40:
			r.pos++
			return
		case t.valid():
			r.pos++
			in.Block.Value = t
			return
		}
	}
	at := r.pos
	k := r.signed(33)
	if k < 0 || k > math.MaxInt32 {
		r.fail(at, "no block type")
		return
	}
	in.Block.Index = int32(k)
}

func (r *Reader) brTable(in *Instr) {
	in.A = uint32(r.count("branch targets", r.targets, 1))
	in.Targets = r.pos
	for range in.A {
		r.u32()
		if r.err != nil {
			return
		}
	}
	in.B = r.u32()
}
