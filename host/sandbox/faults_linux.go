package sandbox

import (
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// faults tells whether a guest may have made pages its own since it was last
// asked. The first write to a page that a memory shares with its image is a page
// fault of the thread that writes, and the kernel counts those: reading the count
// twice costs a tenth of asking for the dirty pages. Whatever else faults in
// between, or is not counted as hoped for, only has that asked.
type faults struct {
	locked  bool
	before  int64 // at enter
	counted bool  // a guest has run
	taken   bool  // and there was one, or nobody knows
}

// enter is before a guest runs. Until leave it stays on its thread.
func (l *linear) enter() {
	l.faults.counted = true
	if !faultsAreCounted() {
		l.faults.taken = true
		return
	}
	runtime.LockOSThread()
	l.faults.locked, l.faults.before = true, threadFaults()
}

// stray has a guest go on that may change threads from now on.
func (l *linear) stray() {
	l.faults.taken = true
	l.unlock()
}

// leave is after a guest ran.
func (l *linear) leave() {
	if l.faults.locked {
		if now := threadFaults(); now < 0 || now != l.faults.before {
			l.faults.taken = true
		}
	}
	l.unlock()
}

func (l *linear) unlock() {
	if l.faults.locked {
		l.faults.locked = false
		runtime.UnlockOSThread()
	}
}

// none reports whether a guest ran since it was last asked, and without a fault.
func (f *faults) none() bool {
	none := f.counted && !f.taken
	f.counted, f.taken = false, false
	return none
}

// threadFaults is how many page faults this thread has had; -1 if that is not
// told.
func threadFaults() int64 {
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_THREAD, &usage) != nil {
		return -1
	}
	return int64(usage.Minflt) + int64(usage.Majflt)
}

// faultsAreCounted tries once whether the kernel counts the first write to a page
// that is mapped from a file in memory.
var faultsAreCounted = sync.OnceValue(func() bool {
	const size = 1 << 16
	file, err := unix.MemfdCreate("interlock-probe", unix.MFD_CLOEXEC)
	if err != nil {
		return false
	}
	defer unix.Close(file)
	if unix.Ftruncate(file, size) != nil {
		return false
	}
	page, err := unix.Mmap(file, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Munmap(page) }()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	sum := page[0] // so that it is mapped before it is written to
	before := threadFaults()
	page[0] = sum + 1
	return before >= 0 && threadFaults() > before
})
