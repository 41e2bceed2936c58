package wasmtest

import "math/rand/v2"

// Mutate changes a copy of a binary in one to three places: bytes, numbers as
// large as they get, lengths of sections, pieces left out or doubled. The same
// source of random numbers gives the same mutants.
func Mutate(r *rand.Rand, wasm []byte) []byte {
	out := append([]byte(nil), wasm...)
	for range 1 + r.IntN(3) {
		if len(out) == 0 {
			return out
		}
		at := r.IntN(len(out))
		switch r.IntN(6) {
		case 0:
			out[at] = byte(r.Uint32())
		case 1:
			out[at] ^= 1 << r.IntN(8)
		case 2:
			out = splice(out, at, 1, hugeNumbers()[r.IntN(len(hugeNumbers()))])
		case 3:
			if starts := sectionSizes(out); len(starts) > 0 {
				at = starts[r.IntN(len(starts))]
			}
			out = splice(out, at, 1, Uint(uint64(r.Uint32()>>r.IntN(32))))
		case 4:
			out = splice(out, at, min(r.IntN(8), len(out)-at), nil)
		case 5:
			out = splice(out, at, 0, out[at:min(at+r.IntN(16), len(out))])
		}
	}
	return out
}

func hugeNumbers() [][]byte {
	return [][]byte{
		{0xff, 0xff, 0xff, 0xff, 0x0f},
		{0xff, 0xff, 0xff, 0xff, 0x07},
		{0x80, 0x80, 0x80, 0x80, 0x08},
		{0xff, 0xff, 0x7f},
		{0x80, 0x80, 0x80, 0x80, 0x80, 0x00},
	}
}

func splice(b []byte, at, drop int, insert []byte) []byte {
	return Code(b[:at], insert, b[min(at+drop, len(b)):])
}

// sectionSizes finds the offsets of the sections' sizes, as far as they lead.
func sectionSizes(b []byte) []int {
	var out []int
	for at := 8; at+1 < len(b); {
		out = append(out, at+1)
		size, k := 0, at+1
		for shift := 0; k < len(b) && shift < 28; shift += 7 {
			size |= int(b[k]&0x7f) << shift
			k++
			if b[k-1] < 0x80 {
				break
			}
		}
		at = k + size
	}
	return out
}
