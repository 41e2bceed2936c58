//go:build !linux

package sandbox

import (
	"os"
	"runtime/debug"
)

// limitProcess can only ask the collector to be thrifty here: the parent's kill
// timer is what bounds the process.
func limitProcess(_, data uint64) error {
	debug.SetMemoryLimit(int64(data))
	return nil
}

// thisProgram is the running binary.
func thisProgram() (string, error) { return os.Executable() }

// yieldProcessor does nothing here: only Linux counts by threads.
func yieldProcessor(int) error { return nil }
