package sandbox

import (
	"bytes"
	"errors"
	"testing"

	. "github.com/interlock-run/interlock/host/sandbox/wasmtest"
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

// TestPagesAreNotForgotten writes to pages of a memory that grows and is taken
// back, to some for the first time and to others again, which is no fault, and
// wants all of them brought back, whether or not somebody counted faults.
func TestPagesAreNotForgotten(t *testing.T) {
	const (
		page  = 4 << 10
		least = 2 << 20
		most  = least + 64*page // no more than is copied back
	)
	view := bytes.Repeat([]byte{7}, least)
	i, err := newImage(view)
	if err != nil {
		t.Fatal(err)
	}
	defer i.close()
	l := newLinear(most)
	defer l.Free()
	if err := l.attach(i); err != nil {
		t.Fatal(err)
	}
	for round, c := range []struct {
		size    int // of the memory after the call
		pages   []int
		counted bool
	}{
		{least, []int{1}, true},
		{least, []int{1}, true},
		{most, []int{1, 530}, true}, // beyond the image
		{least, []int{1, 2}, true},  // the scan does not look there
		{least, []int{1}, true},
		{most, []int{530}, true}, // again: no fault
		{most, []int{530, 2}, true},
		{least, []int{3}, false},
		{least, []int{3}, true},
		{most, []int{540}, true},
		{most, nil, true},
		{most - page, []int{540, 530}, false},
	} {
		if c.counted {
			l.enter()
		}
		for _, p := range c.pages {
			l.bytes[p*page+5] = 0xff
		}
		if c.counted {
			l.leave()
		}
		if err := l.reset(i, c.size); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(l.bytes[:least], view) || !bytes.Equal(l.bytes[least:], make([]byte, most-least)) {
			t.Fatalf("call %d left something behind", round)
		}
	}
}

// TestSleepingMemoriesTakeNone has a memory let go of its pages, of the image and
// beyond it, and wants none left to be its own, and the next calls brought back too.
func TestSleepingMemoriesTakeNone(t *testing.T) {
	const (
		size = 2 << 20
		most = size + 16<<12 // few more: comparing takes pages too
	)
	view := bytes.Repeat([]byte{7}, size)
	i, err := mapped(view)
	if err != nil {
		t.Fatal(err)
	}
	defer i.close()
	if i.pagemap = openPagemap(); i.pagemap == nil {
		t.Log("this kernel tells of no dirty pages")
		return
	}
	l := newLinear(most)
	defer l.Free()
	if err := l.attach(i); err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		l.enter()
		for _, at := range []int{5, size / 2, size + 5} {
			l.bytes[at] = 0xff
		}
		l.leave()
		if err := l.reset(i, most); err != nil {
			t.Fatal(err)
		}
		if n := ownPages(t, l, i); n < 3 {
			t.Errorf("%d pages are the memory's own after a call, want 3 or more", n)
		}
		l.release(i)
		l.enter() // a call that writes nothing
		l.leave()
		if err := l.reset(i, most); err != nil {
			t.Fatal(err)
		}
		if n := ownPages(t, l, i); n != 0 {
			t.Errorf("%d pages are the memory's own in its sleep", n)
		}
		if !bytes.Equal(l.bytes[:size], view) || !bytes.Equal(l.bytes[size:], make([]byte, most-size)) {
			t.Fatalf("sleep %d changed the memory", round)
		}
	}
}

// ownPages counts the pages that are no longer the image's.
func ownPages(t *testing.T, l *linear, i *image) (n uint64) {
	t.Helper()
	err := l.ownPages(i, len(l.bytes), func(regions []pageRegion) error {
		for _, r := range regions {
			n += (r.end - r.start) >> pageSizeBits
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestScansAreSpared wants the scan for dirty pages to be the first call's alone.
// Without a kernel that tells there is nothing to spare.
func TestScansAreSpared(t *testing.T) {
	view := make([]byte, 2<<20)
	i, err := newImage(view)
	if err != nil {
		t.Fatal(err)
	}
	defer i.close()
	if i.pagemap == nil || !faultsAreCounted() {
		t.Log("this kernel tells of no dirty pages or counts no faults")
		return
	}
	l := newLinear(2 << 20)
	defer l.Free()
	if err := l.attach(i); err != nil {
		t.Fatal(err)
	}
	spared := 0
	for range 20 {
		l.enter()
		l.bytes[5]++
		l.leave()
		if l.faults.counted && !l.faults.taken {
			spared++
		}
		if err := l.reset(i, len(view)); err != nil || l.bytes[5] != 0 {
			t.Fatal(err, l.bytes[5])
		}
	}
	if spared < 10 {
		t.Errorf("%d of 20 calls were without a fault", spared)
	}
}

// TestWhatFailedInMuchMemoryIsGivenItAtOnce has calls that fail after they wrote to all
// of their memory, and want the next to be as the first: but for the faults.
func TestWhatFailedInMuchMemoryIsGivenItAtOnce(t *testing.T) {
	r := newRuntime(t, Limits{})
	size := int32(64 << 16)
	load := func(body ...[]byte) *Module {
		m, err := r.Load(t.Context(), PolicyOf(&Builder{}, "{}", 64).Evaluate(nil, append(body, Op(Unreachable))...))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = m.Close(t.Context()) })
		return m
	}
	copies := load(Loop(Void, I32Const(8), I32Const(0), I32Const(size-8), Copy(), Br(0)))
	traps := load()
	told := openPagemap() != nil
	var fuel uint64
	for k := range 3 {
		var failed *CallError
		if _, err := copies.Call(t.Context(), nil, CallOptions{}); !errors.As(err, &failed) || failed.Kind != KindFuel {
			t.Fatal(err)
		}
		if k > 0 && failed.Fuel != fuel {
			t.Errorf("%d units, then %d", fuel, failed.Fuel)
		}
		fuel = failed.Fuel
		if copies.wide.Load() != told {
			t.Errorf("after a copy: %v", !told)
		}
		if _, err := traps.Call(t.Context(), nil, CallOptions{}); !errors.As(err, &failed) || failed.Kind != KindTrap || traps.wide.Load() {
			t.Errorf("a trap: %v, wide %v", err, traps.wide.Load())
		}
	}
	inst, err := newInstance(t.Context(), copies)
	if err != nil {
		t.Fatal(err)
	}
	defer inst.close()
	if inst.linear.ownsMany(copies.snapshot.image) != told {
		t.Errorf("a new instance has its memory: %v", !told)
	}
	if view, _ := inst.memory.Read(0, inst.memory.Size()); !bytes.Equal(view, copies.snapshot.image.bytes) {
		t.Error("it is not as its snapshot")
	}
}
