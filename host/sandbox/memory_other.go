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
	ground
	bytes []byte // as much as it may ever have
}

func newLinear(most uint64) *linear { return &linear{bytes: make([]byte, most)} }

// Free is wazero's call at the end.
func (l *linear) Free() { l.bytes = nil }

// attach makes the memory a copy of the image.
func (l *linear) attach(i *image) error {
	copy(l.bytes, i.bytes)
	return nil
}

// reset undoes what was written since attach to the first size bytes.
func (l *linear) reset(i *image, size int) error {
	clear(l.bytes[copy(l.bytes, i.bytes):size])
	return nil
}

// release would let go of what equals the image, if this memory did not hold a copy.
func (l *linear) release(*image) {}

// ownsMany and populate spare faults, of which there are none here.
func (l *linear) ownsMany(*image) bool { return false }
func (l *linear) populate(int)         {}

// enter, stray and leave tell when a guest runs, which nobody wants to know here.
func (l *linear) enter() {}
func (l *linear) stray() {}
func (l *linear) leave() {}
