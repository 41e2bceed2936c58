package sandbox

import (
	"fmt"
	"os"
	"strconv"

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

// yieldProcessor has this process take its processors only after others: each of its
// threads, since the kernel counts by them. Those to come inherit it.
func yieldProcessor(nice int) error {
	for done := map[string]bool{}; ; {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("limit the process: %w", err)
		}
		before := len(done)
		for _, task := range tasks {
			id, err := strconv.Atoi(task.Name())
			if err != nil || done[task.Name()] {
				continue
			}
			done[task.Name()] = true
			if err := unix.Setpriority(unix.PRIO_PROCESS, id, nice); err != nil && err != unix.ESRCH {
				return fmt.Errorf("limit the process: %w", err)
			}
		}
		if len(done) == before {
			return nil
		}
	}
}

// thisProgram is the running binary, even if its file was replaced since.
func thisProgram() (string, error) { return "/proc/self/exe", nil }
