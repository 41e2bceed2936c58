package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero/experimental"
)

// childArgument is how a process knows that it is there to compile. It is
// followed by the directory for the result, the memory limit in pages, the seconds
// of processor time and its niceness.
const childArgument = "interlock-sandbox-compile"

const (
	childMemory  = 384 << 20 // bytes of data
	childRefused = 3         // exit code: the module cannot be compiled
	childAtOnce  = 2         // how many children work at the same time
	childNice    = 10        // a tenth of what the server gets, when both want a processor

	childProcessors = 4 // of one in a hurry: each takes its part of the memory
)

// childAllowed says that this program can be run again to compile: that its main
// calls MaybeRunCompileChild.
var childAllowed atomic.Bool

// MaybeRunCompileChild does nothing in an ordinary process, but note that modules
// can be compiled in children of it. In a process that a [Runtime] started to
// compile a module it does that and exits. main has to call it before anything
// else.
func MaybeRunCompileChild() {
	if len(os.Args) == 6 && os.Args[1] == childArgument {
		os.Exit(compileChild(os.Args[2:], os.Stdin, os.Stderr))
	}
	childAllowed.Store(true)
}

// compileChild is main in a child.
func compileChild(args []string, stdin io.Reader, stderr io.Writer) int {
	pages, err := strconv.ParseUint(args[1], 10, 32)
	if err != nil {
		return 1
	}
	seconds, err := strconv.ParseUint(args[2], 10, 32)
	if err != nil {
		return 1
	}
	nice, err := strconv.Atoi(args[3])
	if err != nil {
		return 1
	}
	err = limitProcess(seconds, childMemory)
	if err == nil && nice > 0 {
		err = yieldProcessor(nice)
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	wasm, err := io.ReadAll(stdin)
	if err == nil {
		ctx := experimental.WithCompilationWorkers(context.Background(), runtime.GOMAXPROCS(0))
		err = compileInto(ctx, args[0], uint32(pages), wasm)
	}
	var refused *RefusedError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &refused):
		fmt.Fprintln(stderr, refused.Reason)
		return childRefused
	default:
		fmt.Fprintln(stderr, err)
		return 1
	}
}

// loadedMachine is how much longer compiling may take by the clock than it may take
// of a processor: that others use the machine is not the module's fault.
const loadedMachine = 4

// compileInChild runs this program again to compile a module into a directory.
// A child that needs too much time or memory means a refusal.
func (r *Runtime) compileInChild(ctx context.Context, dir string, wasm []byte) error {
	select {
	case r.children <- struct{}{}:
		defer func() { <-r.children }()
	case <-ctx.Done():
		return ctx.Err()
	}
	self, err := thisProgram()
	if err != nil {
		return fmt.Errorf("compile in a child: %w", err)
	}
	patience := loadedMachine * r.limits.LoadTime
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cpu := uint64(max(r.limits.LoadTime/time.Second, 1))
	cmd := exec.CommandContext(ctx, self, childArgument, dir,
		strconv.FormatUint(uint64(r.limits.MemoryPages), 10), strconv.FormatUint(cpu, 10), strconv.Itoa(niceness(ctx)))
	cmd.Env = []string{"GOMAXPROCS=" + strconv.Itoa(processors(ctx)), "GOTRACEBACK=none"}
	cmd.Stdin = bytes.NewReader(wasm)
	stderr := &head{limit: 2048}
	cmd.Stderr = stderr
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return refuse("compiling took more than %s", patience)
	case !errors.As(err, &exit):
		return fmt.Errorf("compile in a child: %w", err)
	case exit.ExitCode() == childRefused:
		return refuse("%s", strings.TrimSpace(string(stderr.bytes)))
	case exit.ExitCode() == 1:
		return fmt.Errorf("compile in a child: %s", strings.TrimSpace(string(stderr.bytes)))
	default:
		r.log.Warn("compiling a module failed", "state", exit.String(), "stderr", string(stderr.bytes))
		return refuse("compiling needs more than %d s of processor time or %d MiB of memory", cpu, childMemory>>20)
	}
}

type hurry struct{}

// Hurry gives a context for [Runtime.Load] of a module without which nobody can be
// served: it is compiled on several processors, like any other work of this process,
// and not only with what is left of one.
func Hurry(ctx context.Context) context.Context { return context.WithValue(ctx, hurry{}, true) }

func hurried(ctx context.Context) bool { return ctx.Value(hurry{}) != nil }

func niceness(ctx context.Context) int {
	if hurried(ctx) {
		return 0
	}
	return childNice
}

func processors(ctx context.Context) int {
	if hurried(ctx) {
		return min(runtime.GOMAXPROCS(0), childProcessors)
	}
	return 1
}

// head keeps the first bytes that are written to it.
type head struct {
	bytes []byte
	limit int
}

func (t *head) Write(b []byte) (int, error) {
	t.bytes = append(t.bytes, b[:min(len(b), t.limit-len(t.bytes))]...)
	return len(b), nil
}
