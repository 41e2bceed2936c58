package meter

import "github.com/interlock-run/interlock/host/sandbox/wasm"

// The bytes of what is inserted.
const (
	typeI32  = 0x7f
	typeI64  = 0x7e
	typeNone = 0x40

	opUnreachable  = 0x00
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opElse         = 0x05
	opEnd          = 0x0b
	opBr           = 0x0c
	opBrIf         = 0x0d
	opBrTable      = 0x0e
	opReturn       = 0x0f
	opCall         = 0x10
	opCallIndirect = 0x11
	opDrop         = 0x1a
	opLocalGet     = 0x20
	opLocalSet     = 0x21
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opMemorySize   = 0x3f
	opMemoryGrow   = 0x40
	opI32Const     = 0x41
	opI64Const     = 0x42
	opI32Eq        = 0x46
	opI32LtS       = 0x48
	opI32GtU       = 0x4b
	opI64LtS       = 0x53
	opI64GtS       = 0x55
	opI64LeU       = 0x58
	opI32Add       = 0x6a
	opI32Sub       = 0x6b
	opI32And       = 0x71
	opI64Add       = 0x7c
	opI64Sub       = 0x7d
	opI64Shl       = 0x86
	opI64ShrU      = 0x88
	opI64ExtendU   = 0xad
	opMisc         = 0xfc
)

// How many bits to shift a length by for its charge.
const (
	bytesShift = 2  // to the right: 4 bytes a unit
	itemsShift = 2  // to the left: 4 units an entry
	pagesShift = 14 // to the left: 65536/4 units a page
)

// code makes the body of the code section: how many functions there are, and those.
func (w *rewriter) code() (count, bodies []byte) {
	bodies = make([]byte, 0, len(w.m.Bytes)+len(w.m.Bytes)/3)
	p := &planner{m: w.m}
	var body []byte
	for k := range w.m.Bodies {
		body = w.body(body[:0], k, p)
		bodies = appendUint(bodies, uint64(len(body)))
		bodies = append(bodies, body...)
	}
	functions := addedFunctions + len(w.more)
	for fn := range functions {
		body = append(w.added(append(body[:0], 0), fn), opEnd)
		bodies = appendUint(bodies, uint64(len(body)))
		bodies = append(bodies, body...)
	}
	return appendUint(nil, uint64(len(w.m.Bodies)+functions)), bodies
}

// body rewrites the k-th of the module's own functions.
func (w *rewriter) body(out []byte, k int, p *planner) []byte {
	b := &w.m.Bodies[k]
	fn := w.m.FuncType(uint32(w.m.ImportedFuncs + k))
	p.plan(b)
	out = append(out, w.m.Bytes[b.Start:b.Code]...)
	frame := frameCost(len(fn.Params)+len(fn.Results)+b.Locals+b.MaxHeight, b.Wide)
	if b.Indirect && w.directory != nil {
		frame += w.directory.frame
	}
	if b.Calls {
		out = w.enter(out, frame)
		out = w.blockOf(append(out, opBlock), fn.Results)
	}
	next, depth := 0, 0
	r := wasm.NewReader(w.m.Bytes, b.Code, b.End)
	for r.Pos() < b.End {
		for next < len(p.points) && p.points[next].at == r.Pos() {
			out = w.charge(out, &p.points[next], p.points[next].head == int32(next))
			next++
		}
		in := r.Next()
		switch in.Op {
		case wasm.OpBlock, wasm.OpLoop, wasm.OpIf:
			depth++
		case wasm.OpEnd:
			depth--
		case wasm.OpReturn:
			if b.Calls {
				out = appendUint(append(out, opBr), uint64(depth))
				continue
			}
		}
		if helper, instead, ok := w.helper(&in); ok {
			if out = w.call(out, helper); instead {
				continue
			}
		}
		out = append(out, w.m.Bytes[in.Start:in.End]...)
	}
	if b.Calls {
		out = append(w.leave(out, frame), opEnd)
	}
	return out
}

// helper names the function which does an instruction in pieces, instead, or else
// charges for the length on top of the stack.
func (w *rewriter) helper(in *wasm.Instr) (fn uint32, instead, ok bool) {
	switch in.Op {
	case wasm.OpCallIndirect:
		if w.directory != nil {
			return w.directory.found[in.A], true, true
		}
	case wasm.OpMemoryCopy:
		return fnCopy, true, true
	case wasm.OpMemoryFill:
		return fnFill, true, true
	case wasm.OpMemoryInit:
		if w.segment(in.A) > pieceBytes {
			return w.init(in.A), true, true
		}
		return fnBytes, false, true
	case wasm.OpTableInit, wasm.OpTableCopy, wasm.OpTableFill:
		return fnItems, false, true
	case wasm.OpMemoryGrow:
		return fnPages, false, true
	case wasm.OpTableGrow:
		return fnSlots, false, true
	}
	return 0, false, false
}

func (w *rewriter) call(out []byte, fn uint32) []byte {
	return appendUint(append(out, opCall), uint64(w.base+fn))
}

func (w *rewriter) get(out []byte, global uint32) []byte {
	return appendUint(append(out, opGlobalGet), uint64(w.fuel+global))
}

func (w *rewriter) set(out []byte, global uint32) []byte {
	return appendUint(append(out, opGlobalSet), uint64(w.fuel+global))
}

// charge takes a point's cost. Only heads look whether the slice is spent: what
// lies between two of them has no loop.
func (w *rewriter) charge(out []byte, p *point, head bool) []byte {
	if p.cost == 0 && !head {
		return out
	}
	out = w.get(out, globalFuel)
	out = appendInt(append(out, opI64Const), int64(max(p.cost, 1)))
	out = w.set(append(out, opI64Sub), globalFuel)
	if head {
		out = w.check(out)
	}
	return out
}

func (w *rewriter) check(out []byte) []byte {
	out = w.get(out, globalFuel)
	out = append(out, opI64Const, 0, opI64LtS, opIf, typeNone)
	return append(w.call(out, fnSlice), opEnd)
}

// enter takes stack for a call, leave gives it back.
func (w *rewriter) enter(out []byte, frame int) []byte {
	out = w.get(out, globalDepth)
	out = appendInt(append(out, opI32Const), int64(frame))
	out = w.set(append(out, opI32Sub), globalDepth)
	out = w.get(out, globalDepth)
	return append(out, opI32Const, 0, opI32LtS, opIf, typeNone, opUnreachable, opEnd)
}

func (w *rewriter) leave(out []byte, frame int) []byte {
	out = w.get(out, globalDepth)
	out = appendInt(append(out, opI32Const), int64(frame))
	return w.set(append(out, opI32Add), globalDepth)
}

// blockOf appends the type of a block with the results of a function.
func (w *rewriter) blockOf(out []byte, results []wasm.ValueType) []byte {
	switch len(results) {
	case 0:
		return append(out, typeNone)
	case 1:
		return append(out, byte(results[0]))
	}
	return appendInt(out, int64(w.addType(encodeType(nil, results))))
}

// added appends the instructions of an added function.
func (w *rewriter) added(out []byte, fn int) []byte {
	switch {
	case fn == fnSlice:
		return w.slice(out)
	case fn == fnFill:
		return w.bulk(out, fill)
	case fn == fnCopy:
		return w.bulk(out, move)
	case fn >= addedFunctions:
		return w.more[fn-addedFunctions].body(out)
	}
	out = w.get(out, globalFuel)
	switch fn {
	case fnBytes:
		out = append(out, opLocalGet, 0, opI64ExtendU, opI64Const, bytesShift, opI64ShrU)
	case fnItems:
		out = append(out, opLocalGet, 0, opI64ExtendU, opI64Const, itemsShift, opI64Shl)
	case fnPages:
		out = growCharge(out, w.o.MemoryPages, pagesShift)
	case fnSlots:
		out = growCharge(out, w.o.TableEntries, itemsShift)
	}
	out = w.check(w.set(append(out, opI64Sub), globalFuel))
	return append(out, opLocalGet, 0)
}

// growCharge charges nothing for what is refused anyway.
func growCharge(out []byte, most uint32, shift byte) []byte {
	out = appendInt(append(out, opLocalGet, 0, opI32Const), int64(int32(most)))
	out = append(out, opI32GtU, opIf, typeI64, opI64Const, 0, opElse)
	return append(out, opLocalGet, 0, opI64ExtendU, opI64Const, shift, opI64Shl, opEnd)
}

// slice ends the guest when it is told to stop or nothing is left, and gives it
// the next slice otherwise. Growing memory leaves native code for Go on the way:
// so the garbage collector and everybody else gets a turn.
func (w *rewriter) slice(out []byte) []byte {
	out = append(w.get(out, globalStop), opIf, typeNone, opUnreachable, opEnd)

	// rest += fuel (which is negative)
	out = w.get(w.get(out, globalRest), globalFuel)
	out = w.set(append(out, opI64Add), globalRest)
	out = w.set(append(out, opI64Const, 0), globalFuel)
	out = append(w.get(out, globalRest), opI64Const, 0, opI64LtS, opIf, typeNone, opUnreachable, opEnd)

	// fuel = min(rest, slice); rest -= fuel
	out = w.get(out, globalRest)
	out = appendInt(append(out, opI64Const), int64(w.o.Slice))
	out = append(out, opI64GtS, opIf, typeI64)
	out = appendInt(append(out, opI64Const), int64(w.o.Slice))
	out = append(w.get(append(out, opElse), globalRest), opEnd)
	out = w.set(out, globalFuel)
	out = w.get(w.get(out, globalRest), globalFuel)
	out = w.set(append(out, opI64Sub), globalRest)
	if !w.o.Yield {
		return append(out, opI32Const, 0, opMemoryGrow, 0, opDrop)
	}
	out = w.set(append(out, opI32Const, 1), globalYield)
	out = append(out, opI32Const, 1, opMemoryGrow, 0, opDrop)
	return w.set(append(out, opI32Const, 0), globalYield)
}
