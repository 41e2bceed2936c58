package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestChildYieldsToTheServer looks at the threads of a child that waits for the
// rest of its module.
func TestChildYieldsToTheServer(t *testing.T) {
	self, err := thisProgram()
	if err != nil {
		t.Fatal(err)
	}
	own := nicenesses(t, os.Getpid())[0]
	for _, c := range []struct {
		ctx  context.Context
		want int
	}{{t.Context(), max(own, childNice)}, {Hurry(t.Context()), own}} {
		child := exec.CommandContext(t.Context(), self, childArgument, t.TempDir(), "16", "5", strconv.Itoa(niceness(c.ctx)))
		in, err := child.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		// More than a pipe holds: once it is written, the child is reading.
		if _, err := in.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
		for _, nice := range nicenesses(t, child.Process.Pid) {
			if nice != c.want {
				t.Errorf("a thread has niceness %d, want %d", nice, c.want)
			}
		}
		in.Close()
		var exit *exec.ExitError
		if err := child.Wait(); !errors.As(err, &exit) || exit.ExitCode() != childRefused {
			t.Errorf("the child ended with %v", err)
		}
	}
}

// nicenesses are of a process's threads.
func nicenesses(t *testing.T, pid int) (all []int) {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(tasks) == 0 {
		t.Fatalf("process %d has no threads: %v", pid, err)
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		nice, err := strconv.Atoi(fields[16])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, nice)
	}
	return all
}
