package sandbox

import (
	"bytes"
	"testing"
)

// TestResets takes memories back to their images in each of the ways that there
// are, whatever this kernel would choose.
func TestResets(t *testing.T) {
	const page = 4 << 10
	for name, way := range map[string]func(view []byte) (*image, error){
		"chosen":    newImage,
		"copied":    func(view []byte) (*image, error) { return copied(view), nil },
		"let go of": mapped,
	} {
		for _, size := range []int{64 << 10, smallMemory, 2 << 20} {
			view := make([]byte, size)
			for k := range view {
				view[k] = byte(k / page)
			}
			i, err := way(view)
			if err != nil {
				t.Fatal(err)
			}
			l := newLinear(uint64(2 * size))
			if err := l.attach(i); err != nil {
				t.Fatal(err)
			}
			for _, dirty := range []int{0, 1, 3, 400} {
				for k := range min(dirty, 2*size/page) {
					l.bytes[(k*7*page+k)%(2*size)] = 0xff
				}
				if err := l.reset(i, 2*size); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(l.bytes[:size], view) || !bytes.Equal(l.bytes[size:2*size], make([]byte, size)) {
					t.Errorf("%s: %d bytes with %d dirty pages differ after a reset", name, size, dirty)
				}
			}
			l.Free()
			i.close()
		}
	}
}
