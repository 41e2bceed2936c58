package sandbox

import (
	"errors"
	"fmt"
)

// smallMemory is the size up to which copying all of a memory beats letting go of
// it, where the kernel does not tell what changed.
const smallMemory = 256 << 10

// snapshot is an instance's state when its module was loaded, where every call
// starts.
type snapshot struct {
	image   *image
	globals []uint64
}

// take keeps the state of an instance.
func (inst *instance) take() (*snapshot, error) {
	view, ok := inst.memory.Read(0, inst.memory.Size())
	if !ok {
		return nil, errors.New("the memory cannot be read")
	}
	image, err := newImage(view)
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	s := &snapshot{image: image}
	for _, g := range inst.globals {
		s.globals = append(s.globals, g.Get())
	}
	return s, nil
}

// adopt brings an instance to a snapshot for the first time.
func (inst *instance) adopt(s *snapshot) error {
	size := uint32(len(s.image.bytes))
	if have := inst.memory.Size(); have < size {
		if _, ok := inst.memory.Grow((size - have) >> 16); !ok {
			return fmt.Errorf("the memory cannot grow to the %d bytes of its snapshot", size)
		}
	}
	if err := inst.linear.attach(s.image); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	inst.setGlobals(s)
	return nil
}

// restore brings an instance back to its snapshot after a call. False: it cannot
// be used again.
func (inst *instance) restore(s *snapshot) bool {
	if s == nil {
		return false
	}
	if err := inst.linear.reset(s.image, int(inst.memory.Size())); err != nil {
		return false
	}
	if !inst.linear.shrink(inst.memory, uint64(len(s.image.bytes))) {
		return false
	}
	inst.setGlobals(s)
	return true
}

func (inst *instance) setGlobals(s *snapshot) {
	for k, g := range inst.globals {
		g.Set(s.globals[k])
	}
}
