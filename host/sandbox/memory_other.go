//go:build !linux

package sandbox

// image is the memory of a snapshot.
type image struct {
	bytes []byte
}

func newImage(view []byte) (*image, error) {
	return &image{bytes: append([]byte(nil), view...)}, nil
}

func (i *image) close() {}

// linear is an instance's memory.
type linear struct {
	bytes []byte // as much as it may ever have
}

func newLinear(most uint64) *linear { return &linear{bytes: make([]byte, most)} }

// Reallocate is wazero's call for a size.
func (l *linear) Reallocate(size uint64) []byte {
	if size > uint64(len(l.bytes)) {
		return nil
	}
	return l.bytes[:size]
}

// Free is wazero's call at the end.
func (l *linear) Free() { l.bytes = nil }

func (l *linear) attach(i *image) error {
	copy(l.bytes, i.bytes)
	return nil
}

func (l *linear) reset(i *image) error { return l.attach(i) }
