package sandbox

import (
	"log/slog"
	"time"

	"github.com/interlock-run/interlock/host/sandbox/wasm"
)

// Config is what a [Runtime] is made of. The zero value works: it compiles in
// memory and applies the default limits.
type Config struct {
	// CacheDir keeps compiled native code between starts. It is created with
	// mode 0700 and has to belong to the user of this process and to nobody
	// else, since its contents are executed. Empty: nothing is kept.
	CacheDir string
	Limits   Limits
	Logger   *slog.Logger // nil: silent
}

// Limits bound what one module may cost. A zero field stands for its default.
type Limits struct {
	ModuleBytes int           // size of a .wasm; default 8 MiB
	MemoryPages uint32        // linear memory of an instance in pages of 64 KiB; default 64 (4 MiB)
	OutputBytes int           // one verdict or manifest; default 64 KiB
	LogBytes    int           // what a call may print, the rest is dropped; default 4 KiB
	Concurrency int           // calls of one module at the same time, more wait; default 16
	Deadline    time.Duration // wall clock of one call, waiting for an instance included; default 1 s
	Fuel        uint64        // work of one call in units, about wasm instructions; default 10 million, some milliseconds
	InitFuel    uint64        // work of _initialize; default 100 million
	StackBytes  uint32        // stack of nested calls, estimated from above; default 512 KiB
	LoadTime    time.Duration // wall clock of _initialize, and processor time of compiling; default 20 s
	Caps        wasm.Caps     // what a module may contain; MemoryPages stands above
}

const (
	defaultModuleBytes = 8 << 20
	defaultMemoryPages = 64
	defaultOutputBytes = 64 << 10
	defaultLogBytes    = 4 << 10
	defaultConcurrency = 16
	defaultDeadline    = time.Second
	defaultFuel        = 10_000_000
	defaultInitFuel    = 100_000_000
	defaultStackBytes  = 512 << 10
	defaultLoadTime    = 20 * time.Second
)

// WithDefaults returns the limits with zero fields filled in.
func (l Limits) WithDefaults() Limits {
	if l.ModuleBytes == 0 {
		l.ModuleBytes = defaultModuleBytes
	}
	if l.MemoryPages == 0 {
		l.MemoryPages = defaultMemoryPages
	}
	if l.OutputBytes == 0 {
		l.OutputBytes = defaultOutputBytes
	}
	if l.LogBytes == 0 {
		l.LogBytes = defaultLogBytes
	}
	if l.Concurrency == 0 {
		l.Concurrency = defaultConcurrency
	}
	if l.Deadline == 0 {
		l.Deadline = defaultDeadline
	}
	if l.Fuel == 0 {
		l.Fuel = defaultFuel
	}
	if l.InitFuel == 0 {
		l.InitFuel = defaultInitFuel
	}
	if l.StackBytes == 0 {
		l.StackBytes = defaultStackBytes
	}
	if l.LoadTime == 0 {
		l.LoadTime = defaultLoadTime
	}
	l.Caps = l.Caps.WithDefaults()
	return l
}
