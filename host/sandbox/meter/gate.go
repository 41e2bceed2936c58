package meter

import (
	"slices"

	"github.com/interlock-run/interlock/host/sandbox/wasm"
)

// gate adds the function that calls what Options.Gate names, and returns its distance
// from base. False: something of that is not there, or cannot be called so.
func (w *rewriter) gate() (fn uint32, ok bool) {
	var calls []uint32
	params := []wasm.ValueType{wasm.I32} // which
	for _, name := range w.o.Gate {
		k := slices.IndexFunc(w.m.Exports, func(e wasm.Export) bool { return e.Name == name && e.Kind == wasm.ExternFunc })
		if k < 0 {
			return 0, false
		}
		f := w.m.Exports[k].Index
		t := w.m.FuncType(f)
		if len(t.Results) != 1 || t.Results[0] != wasm.I32 && t.Results[0] != wasm.I64 ||
			slices.ContainsFunc(t.Params, func(v wasm.ValueType) bool { return v != wasm.I32 }) {
			return 0, false
		}
		calls = append(calls, f)
		for len(params) < 1+len(t.Params) {
			params = append(params, wasm.I32)
		}
	}
	if len(calls) == 0 {
		return 0, false
	}
	typ := w.addType(encodeType(params, []wasm.ValueType{wasm.I64}))
	return w.add(typ, func(out []byte) []byte { return w.pass(out, calls) }), true
}

// pass appends the body of the gate.
func (w *rewriter) pass(out []byte, calls []uint32) []byte {
	for k, f := range calls {
		out = appendInt(append(out, opLocalGet, 0, opI32Const), int64(k))
		out = append(out, opI32Eq, opIf, typeNone)
		t := w.m.FuncType(f)
		out = passOn(out, t, 1)
		out = appendUint(append(out, opCall), uint64(f))
		if t.Results[0] == wasm.I32 {
			out = append(out, opI64ExtendU)
		}
		out = append(out, opReturn, opEnd)
	}
	return append(out, opUnreachable)
}

// passOn passes the parameters of a type on, of which the first is that parameter.
func passOn(out []byte, t *wasm.FuncType, first int) []byte {
	for k := range t.Params {
		out = appendUint(append(out, opLocalGet), uint64(first+k))
	}
	return out
}
