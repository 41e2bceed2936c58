package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

const (
	// logged is what a transition adds to SQLite's log: some 27 pages of 2 KB.
	logged = 56 << 10
	// logLength is where the log starts over: it is written over and does not grow.
	logLength = 32 << 20
	// between two writes a client is answered and asks again.
	between = 600 * time.Microsecond
	writes  = 1000
)

// printDisk tells what part of a lone client's wait is the disk's.
func printDisk() error {
	dir, err := os.MkdirTemp("", "bench-disk-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	median, err := disk(dir)
	if err != nil {
		return err
	}
	fmt.Printf("\nThe disk alone takes %.2f ms to write and sync the %d KB of a transition; the reference and interlock unsynced do not wait for it.\n",
		float64(median.Microseconds())/1000, logged>>10)
	return nil
}

// disk returns what the disk alone takes of a transition on SQLite: the median time
// of writing as much as it adds to the log, durably, in a file in dir.
func disk(dir string) (median time.Duration, err error) {
	f, err := os.OpenFile(filepath.Join(dir, "log"), os.O_RDWR|os.O_CREATE|os.O_EXCL|syscall.O_SYNC, 0o600)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, logLength)); err != nil {
		return 0, err
	}
	data := slices.Repeat([]byte{1}, logged)
	took := make([]time.Duration, writes)
	for i := range took {
		time.Sleep(between)
		start := time.Now()
		if _, err := f.WriteAt(data, int64(i*logged%(logLength-logged))); err != nil {
			return 0, err
		}
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	return took[writes/2], nil
}
