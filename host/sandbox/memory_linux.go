package sandbox

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// image is the memory of a snapshot. It lies in a file of its own in memory,
// which instances map copy-on-write: so they share what they do not write, and
// the kernel knows what they have written. Where it does not tell, a small one is
// a plain copy.
type image struct {
	bytes   []byte
	file    int      // descriptor, or -1 for a plain copy
	pagemap *os.File // nil where the kernel does not tell
}

func newImage(view []byte) (*image, error) {
	if len(view) == 0 {
		return copied(view), nil
	}
	pagemap := openPagemap()
	if pagemap == nil && len(view) <= smallMemory {
		return copied(view), nil
	}
	i, err := mapped(view)
	if err != nil {
		if pagemap != nil {
			_ = pagemap.Close()
		}
		return nil, err
	}
	i.pagemap = pagemap
	return i, nil
}

// copied makes an image that is a plain copy.
func copied(view []byte) *image { return &image{bytes: append([]byte(nil), view...), file: -1} }

// mapped makes an image in a file. Without a pagemap, instances are reset by
// letting go of all their pages.
func mapped(view []byte) (*image, error) {
	file, err := unix.MemfdCreate("interlock-snapshot", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd: %w", err)
	}
	i := &image{file: file}
	if err := unix.Ftruncate(file, int64(len(view))); err != nil {
		i.close()
		return nil, fmt.Errorf("memfd: %w", err)
	}
	i.bytes, err = unix.Mmap(file, 0, len(view), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		i.close()
		return nil, fmt.Errorf("map snapshot: %w", err)
	}
	copy(i.bytes, view)
	if err := unix.Mprotect(i.bytes, unix.PROT_READ); err != nil {
		i.close()
		return nil, fmt.Errorf("protect snapshot: %w", err)
	}
	return i, nil
}

// openPagemap opens what tells of dirty pages, nil before Linux 6.7 and where
// there is no /proc.
func openPagemap() *os.File {
	pagemap, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return nil
	}
	arg := scanArgument{categoryAnyOf: pageIsHere, returnMask: pageIsHere} // of no addresses
	if _, errno := arg.scan(pagemap); errno != 0 {
		_ = pagemap.Close()
		return nil
	}
	return pagemap
}

func (i *image) close() {
	if i.file < 0 {
		return
	}
	if i.bytes != nil {
		_ = unix.Munmap(i.bytes)
	}
	if i.pagemap != nil {
		_ = i.pagemap.Close()
	}
	_ = unix.Close(i.file)
}

// linear is an instance's memory: addresses for as much as it may ever have, of
// which the kernel gives what is touched.
type linear struct {
	ground
	bytes   []byte
	regions [64]pageRegion // the dirty pages
	dirty   int            // how many regions there are, as the last scan has it; -1: not known
	scanned int            // up to where that looked
	faults  faults
}

func newLinear(most uint64) *linear {
	if most == 0 {
		return &linear{dirty: -1}
	}
	bytes, err := unix.Mmap(-1, 0, int(most), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return &linear{dirty: -1}
	}
	return &linear{bytes: bytes, dirty: -1}
}

// Free is wazero's call at the end.
func (l *linear) Free() {
	if l.bytes != nil {
		_ = unix.Munmap(l.bytes)
		l.bytes = nil
	}
}

// attach makes the memory a copy of the image.
func (l *linear) attach(i *image) error {
	l.dirty = -1
	if i.file < 0 {
		copyChanged(l.bytes, i.bytes)
		return nil
	}
	_, err := unix.MmapPtr(i.file, 0, unsafe.Pointer(unsafe.SliceData(l.bytes)), uintptr(len(i.bytes)),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_FIXED)
	if err != nil {
		return fmt.Errorf("map snapshot: %w", err)
	}
	return nil
}

// reset undoes what was written since attach to the first size bytes: by copying
// pages back, or where the kernel does not tell which by letting go of all.
func (l *linear) reset(i *image, size int) error {
	if i.file < 0 && size <= smallMemory {
		copyChanged(l.bytes, i.bytes)
		clear(l.bytes[len(i.bytes):size])
		return nil
	}
	if i.pagemap != nil && l.copyDirty(i, size) == nil {
		return nil
	}
	l.dirty = -1
	if err := unix.Madvise(l.bytes[:size], unix.MADV_DONTNEED); err != nil {
		return fmt.Errorf("let go of dirty pages: %w", err)
	}
	if i.file < 0 {
		copy(l.bytes, i.bytes)
	}
	return nil
}

// release lets go of the pages that are the memory's own and equal the image's, so
// that it takes none until it is written to. It has been reset before. Pages that were
// only read stay: they are the image's, and are there for the next call.
func (l *linear) release(i *image) {
	if i.file < 0 || len(l.bytes) == 0 {
		return // they are all there is of a plain copy
	}
	// In vain it costs memory: each page is as it should be, before and after.
	base := l.base()
	if i.pagemap == nil || l.ownPages(i, len(l.bytes), func(regions []pageRegion) error {
		for _, r := range regions {
			_ = unix.Madvise(l.bytes[r.start-base:r.end-base], unix.MADV_DONTNEED)
		}
		return nil
	}) != nil {
		_ = unix.Madvise(l.bytes, unix.MADV_DONTNEED)
	}
	l.dirty = -1
}

// ownsMany reports whether many pages have become the memory's own, as far as the
// kernel tells.
func (l *linear) ownsMany(i *image) bool {
	if i.pagemap == nil || len(l.bytes) == 0 {
		return false
	}
	pages := uint64(0)
	err := l.ownPages(i, len(l.bytes), func(regions []pageRegion) error { return countDirty(&pages, regions) })
	return errors.Is(err, errTooDirty)
}

// populate makes the first size bytes the memory's own before anybody reads them. The
// first write to a page that was read has every processor on which this process runs
// interrupted, so that it forgets the page; of one that was not read nobody knows.
func (l *linear) populate(size int) {
	if size <= len(l.bytes) {
		_ = unix.Madvise(l.bytes[:size], unix.MADV_POPULATE_WRITE) // in vain before Linux 5.14
	}
}

// pageRegion and scanArgument are of the kernel's PAGEMAP_SCAN (Linux 6.7).
type pageRegion struct {
	start, end uint64
	_          uint64 // the categories of its pages
}

type scanArgument struct {
	size, flags, start, end, walkEnd, vec, vecLen, maxPages   uint64
	categoryInverted, categoryMask, categoryAnyOf, returnMask uint64
}

const (
	pagemapScan  = 0xc0606610
	pageIsFile   = 1 << 2
	pageIsHere   = 1 << 3
	pageIsSwap   = 1 << 4
	manyDirty    = 256 // pages from which letting go is cheaper
	pageSizeBits = 12
)

var errTooDirty = errors.New("too many dirty pages to copy")

// scan asks for the pages of its categories, and returns how many regions of them
// there are.
func (a *scanArgument) scan(pagemap *os.File) (int, syscall.Errno) {
	a.size = uint64(unsafe.Sizeof(*a))
	n, _, errno := syscall.Syscall(syscall.SYS_IOCTL, pagemap.Fd(), pagemapScan, uintptr(unsafe.Pointer(a)))
	return int(n), errno
}

// countDirty adds the pages of regions. Errors: errTooDirty.
func countDirty(pages *uint64, regions []pageRegion) error {
	for _, r := range regions {
		if *pages += (r.end - r.start) >> pageSizeBits; *pages > manyDirty {
			return errTooDirty
		}
	}
	return nil
}

// copyDirty copies back the pages that are no longer the file's own, and clears
// those that there were not. A page becomes this memory's own by a fault and is so
// from then on: without a fault since the last scan, they are the ones that it
// found, and there is no need for another.
func (l *linear) copyDirty(i *image, size int) error {
	if l.faults.none() && l.dirty >= 0 && size <= l.scanned {
		l.copyBack(i, size, l.regions[:l.dirty])
		return nil
	}
	l.dirty = -1
	pages, all := uint64(0), 0
	err := l.ownPages(i, size, func(regions []pageRegion) error {
		if err := countDirty(&pages, regions); err != nil {
			return err
		}
		l.copyBack(i, size, regions)
		all += len(regions)
		return nil
	})
	if err == nil && all < len(l.regions) {
		l.dirty, l.scanned = all, size
	}
	return err
}

// ownPages asks for the pages among the first size bytes that are no longer the
// file's own, or never were, and gives as many regions of them at a time as fit.
func (l *linear) ownPages(i *image, size int, each func([]pageRegion) error) error {
	arg := scanArgument{
		start: l.base(), end: l.base() + uint64(size),
		vec: uint64(uintptr(unsafe.Pointer(&l.regions))), vecLen: uint64(len(l.regions)),
		categoryInverted: pageIsFile, categoryMask: pageIsFile,
		categoryAnyOf: pageIsHere | pageIsSwap, returnMask: pageIsHere,
	}
	for arg.start < arg.end {
		n, errno := arg.scan(i.pagemap)
		if errno != 0 {
			return errno
		}
		if err := each(l.regions[:n]); err != nil {
			return err
		}
		if n < len(l.regions) {
			break
		}
		arg.start = arg.walkEnd
	}
	return nil
}

// base is the address of the first byte.
func (l *linear) base() uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(l.bytes)))) }

// copyBack brings regions back to the image, as far as the memory reaches. What lies
// beyond was brought back when it last reached there.
func (l *linear) copyBack(i *image, size int, regions []pageRegion) {
	base := l.base()
	end := base + uint64(size)
	for _, r := range regions {
		if r.start >= end {
			continue
		}
		from, to := r.start-base, min(r.end, end)-base
		n := uint64(0)
		if from < uint64(len(i.bytes)) {
			n = uint64(copy(l.bytes[from:to], i.bytes[from:]))
		}
		clear(l.bytes[from+n : to])
	}
}
