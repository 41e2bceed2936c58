package wasm

// frame is a block that is open. It is small, since there can be thousands before
// one is too many.
type frame struct {
	block       BlockType
	height      int32 // of the operands below the block
	op          Op
	unreachable bool
}

// ofFunction stands in a frame for a function type: its block has the function's
// results and, as parameters are locals, nothing on the stack.
const ofFunction = -2

// validator checks function bodies by the specification's algorithm. Its slices
// are used again for each body.
type validator struct {
	*decoder
	fn       *FuncType
	locals   []ValueType
	operands []ValueType
	frames   []frame
	out      *Body
	bulk     int
	at       int // offset of the instruction
}

// body checks one function's locals and instructions.
func (v *validator) body(fn *FuncType, out *Body) {
	v.fn, v.out, v.bulk = fn, out, 0
	v.operands, v.frames = v.operands[:0], v.frames[:0]
	v.readLocals()
	out.Code, v.at = v.pos, v.pos
	v.push(OpBlock, BlockType{Index: ofFunction})
	var in Instr
	for len(v.frames) > 0 && v.err == nil {
		v.instr(&in)
		if v.err != nil {
			return
		}
		v.at = in.Start
		v.check(&in)
		if n := len(v.operands); n > out.MaxHeight {
			out.MaxHeight = n
		}
	}
}

func (v *validator) readLocals() {
	v.locals = append(v.locals[:0], v.fn.Params...)
	for n := v.count("groups of locals", v.caps.Locals, 2); n > 0 && v.err == nil; n-- {
		at := v.pos
		k := v.u32()
		t := v.valueType()
		if int64(k)+int64(v.out.Locals) > int64(v.caps.Locals) {
			v.fail(at, "more than %d locals", v.caps.Locals)
			return
		}
		v.out.Locals += int(k)
		v.out.Wide = v.out.Wide || t == V128
		for range k {
			v.locals = append(v.locals, t)
		}
	}
}

func (v *validator) bad(format string, args ...any) { v.fail(v.at, format, args...) }

func (v *validator) put(t ValueType) {
	v.operands = append(v.operands, t)
	if t == V128 {
		v.out.Wide = true
	}
}

func (v *validator) putAll(types []ValueType) {
	for _, t := range types {
		v.put(t)
	}
}

// pop takes any operand.
func (v *validator) pop() ValueType {
	f := &v.frames[len(v.frames)-1]
	if len(v.operands) == int(f.height) {
		if !f.unreachable {
			v.bad("an operand is missing")
		}
		return Unknown
	}
	t := v.operands[len(v.operands)-1]
	v.operands = v.operands[:len(v.operands)-1]
	return t
}

// want takes an operand of a type.
func (v *validator) want(t ValueType) ValueType {
	got := v.pop()
	if v.err == nil && got != t && got != Unknown && t != Unknown {
		v.bad("an operand is %s, want %s", got, t)
	}
	return got
}

func (v *validator) wantAll(types []ValueType) {
	for k := len(types) - 1; k >= 0 && v.err == nil; k-- {
		v.want(types[k])
	}
}

// push opens a block, whose parameters are on the stack.
func (v *validator) push(op Op, block BlockType) {
	if len(v.frames) > v.caps.Nesting {
		v.bad("blocks within blocks %d deep, the limit is %d", len(v.frames), v.caps.Nesting)
		return
	}
	if v.work += len(v.locals) + 1; v.work > v.caps.JoinWork {
		v.bad("variables times blocks come to more than %d in all functions", v.caps.JoinWork)
		return
	}
	v.frames = append(v.frames, frame{op: op, block: block, height: int32(len(v.operands))})
	v.putAll(v.params(block))
}

// close takes a block's results and leaves it.
func (v *validator) close() frame {
	f := v.frames[len(v.frames)-1]
	v.wantAll(v.results(f.block))
	if left := len(v.operands) - int(f.height); v.err == nil && left != 0 {
		v.bad("%d operands are left over at the end of a block", left)
	}
	v.frames = v.frames[:len(v.frames)-1]
	return f
}

// dead says that the rest of the block is not reached.
func (v *validator) dead() {
	f := &v.frames[len(v.frames)-1]
	v.operands = v.operands[:f.height]
	f.unreachable = true
}

// label gives the types that a branch out of n blocks wants.
func (v *validator) label(n uint32) []ValueType {
	if int64(n) >= int64(len(v.frames)) {
		v.bad("a branch out of %d blocks, there are %d", n, len(v.frames))
		return nil
	}
	f := &v.frames[len(v.frames)-1-int(n)]
	if f.op == OpLoop {
		return v.params(f.block)
	}
	return v.results(f.block)
}

func (v *validator) inRange(what string, k uint32, n int) bool {
	if int64(k) >= int64(n) {
		v.bad("%s %d of %d", what, k, n)
		return false
	}
	return true
}

// letter gives the value type that a letter of a shape stands for.
func letter(c byte) ValueType {
	switch c {
	case 'i':
		return I32
	case 'I':
		return I64
	case 'f':
		return F32
	case 'F':
		return F64
	default:
		return V128
	}
}

// checkShape checks an instruction that is no more than its shape.
func (v *validator) checkShape(o Op) {
	s := shapeOf(o)
	if s.align > 0 && len(v.m.Memories) == 0 {
		v.bad("a memory access without a memory")
	}
	for k := len(s.params) - 1; k >= 0; k-- {
		v.want(letter(s.params[k]))
	}
	for k := range len(s.results) {
		v.put(letter(s.results[k]))
	}
}

// params gives what a block of a type that exists takes from the stack.
func (v *validator) params(b BlockType) []ValueType {
	if b.Index >= 0 {
		return v.m.Types[b.Index].Params
	}
	return nil
}

// results gives what it leaves there.
func (v *validator) results(b BlockType) []ValueType {
	switch {
	case b.Index >= 0:
		return v.m.Types[b.Index].Results
	case b.Index == ofFunction:
		return v.fn.Results
	case b.Value != Unknown:
		return single(b.Value)
	default:
		return nil
	}
}

// singles holds each value type, so that one can be a slice without a new one.
var singles = [...]ValueType{I32, I64, F32, F64, V128, FuncRef, ExternRef}

func single(t ValueType) []ValueType {
	for k := range singles {
		if singles[k] == t {
			return singles[k : k+1]
		}
	}
	return nil
}
