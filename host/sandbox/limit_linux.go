package sandbox

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// limitProcess bounds this process: seconds of processor time, bytes of data.
func limitProcess(seconds, data uint64) error {
	if raceDetector {
		data = unix.RLIM_INFINITY
	}
	for _, l := range []struct {
		resource int
		value    uint64
	}{
		{unix.RLIMIT_CPU, seconds},
		{unix.RLIMIT_DATA, data},
		{unix.RLIMIT_CORE, 0},
	} {
		if err := unix.Setrlimit(l.resource, &unix.Rlimit{Cur: l.value, Max: l.value}); err != nil {
			return fmt.Errorf("limit the process: %w", err)
		}
	}
	return nil
}

// thisProgram is the running binary, even if its file was replaced since.
func thisProgram() (string, error) { return "/proc/self/exe", nil }
