package meter

import "github.com/interlock-run/interlock/host/sandbox/wasm"

// copySection takes a section over as it is.
func (w *rewriter) copySection(id byte) {
	if s, ok := w.m.Section(id); ok {
		w.section(id, w.m.Bytes[s.Start:s.End])
	}
}

func (w *rewriter) section(id byte, body ...[]byte) {
	size := 0
	for _, part := range body {
		size += len(part)
	}
	w.out = appendUint(append(w.out, id), uint64(size))
	for _, part := range body {
		w.out = append(w.out, part...)
	}
}

// addTo takes a section over and adds items to its vector.
func (w *rewriter) addTo(id byte, items ...[]byte) {
	var old []byte
	count := uint32(0)
	if s, ok := w.m.Section(id); ok {
		r := wasm.NewReader(w.m.Bytes, s.Start, s.End)
		count = r.U32()
		old = w.m.Bytes[r.Pos():s.End]
	}
	body := appendUint(make([]byte, 0, len(old)+64), uint64(count)+uint64(len(items)))
	body = append(body, old...)
	for _, item := range items {
		body = append(body, item...)
	}
	if len(items) > 0 || count > 0 {
		w.section(id, body)
	}
}

// capped gives limits with a maximum within most.
func capped(l wasm.Limits, most uint32) []byte {
	if !l.HasMax || l.Max > most {
		l.Max = max(most, l.Min)
	}
	return appendUint(appendUint([]byte{1}, uint64(l.Min)), uint64(l.Max))
}

// tables writes the module's own tables, which may not grow past the cap.
func (w *rewriter) tables() {
	own := w.m.Tables[w.m.ImportedTables:]
	if w.directory != nil {
		own = []wasm.Table{{Type: wasm.FuncRef, Limits: wasm.Limits{Min: entries, Max: entries, HasMax: true}}}
	}
	if len(own) == 0 {
		return
	}
	body := appendUint(nil, uint64(len(own)))
	for _, t := range own {
		body = append(body, byte(t.Type))
		body = append(body, capped(t.Limits, w.o.TableEntries)...)
	}
	w.section(wasm.SecTable, body)
}

// memory writes the module's memory, which may not grow past the cap. A module
// without one gets an empty one, since growing it is the way to Go.
func (w *rewriter) memory() {
	if w.m.ImportedMemories > 0 {
		return
	}
	limits := wasm.Limits{HasMax: true}
	if len(w.m.Memories) > 0 {
		limits = w.m.Memories[0]
	}
	if !limits.HasMax || limits.Max > w.o.MemoryPages {
		limits.HasMax, limits.Max = true, max(w.o.MemoryPages, limits.Min)
	}
	w.maxPages = limits.Max
	if w.o.Yield {
		limits.Max++
	}
	w.section(wasm.SecMemory, append([]byte{1}, capped(limits, limits.Max)...))
}

// encodeType is a function type as a module has it.
func encodeType(params, results []wasm.ValueType) []byte {
	t := []byte{0x60}
	for _, list := range [][]wasm.ValueType{params, results} {
		t = appendUint(t, uint64(len(list)))
		for _, v := range list {
			t = append(t, byte(v))
		}
	}
	return t
}

// appendUint appends an unsigned LEB128 number.
func appendUint(b []byte, v uint64) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

// appendInt appends a signed LEB128 number.
func appendInt(b []byte, v int64) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if (v == 0 && c&0x40 == 0) || (v == -1 && c&0x40 != 0) {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}
