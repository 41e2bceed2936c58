package sandbox

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/interlock-run/interlock/host/sandbox/wasmtest"
)

// newRuntime is a runtime without a cache that the test's end closes.
func newRuntime(t testing.TB, l Limits) *Runtime {
	t.Helper()
	return newRuntimeIn(t, "", l)
}

func newRuntimeIn(t testing.TB, dir string, l Limits) *Runtime {
	t.Helper()
	// No test is about the machine's speed, unless it says so.
	if l.Deadline == 0 {
		l.Deadline = time.Minute
	}
	if l.LoadTime == 0 {
		l.LoadTime = 5 * time.Minute
	}
	r, err := New(t.Context(), Config{CacheDir: dir, Limits: l})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return r
}

func load(t testing.TB, r *Runtime, wasm []byte) *Module {
	t.Helper()
	m, err := r.Load(t.Context(), wasm)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// callKind calls and returns the kind of the failure, or "" and the output.
func callKind(t testing.TB, m *Module, in string) (CallErrorKind, string) {
	t.Helper()
	result, err := m.Call(t.Context(), []byte(in), CallOptions{})
	var failed *CallError
	switch {
	case err == nil:
		return "", string(result.Output)
	case errors.As(err, &failed):
		return failed.Kind, failed.Reason
	default:
		t.Fatalf("error of type %T: %v", err, err)
		return "", ""
	}
}

func TestCallAnswersWithWhatTheGuestReturns(t *testing.T) {
	m := load(t, newRuntime(t, Limits{}), Policy(&Builder{}).Evaluate(nil, Echo()))
	if got := string(m.Manifest()); got != Manifest {
		t.Errorf("manifest %q, want %q", got, Manifest)
	}
	for _, in := range []string{"", "x", strings.Repeat("long ", 5000)} {
		if kind, out := callKind(t, m, in); kind != "" || out != in {
			t.Errorf("%.20q gave %q %.20q", in, kind, out)
		}
	}
}

func TestFailedCallsSayWhy(t *testing.T) {
	spin := Code(Loop(Void, Br(0)), Op(Unreachable))
	for _, c := range []struct {
		name string
		body []byte
		kind CallErrorKind
		want string
	}{
		{"unreachable", Op(Unreachable), KindTrap, "unreachable"},
		{"division", Code(I32Const(1), I32Const(0), Op(I32DivU, Drop), I64Const(0)), KindTrap, "divide by zero"},
		{"wild load", Code(I32Const(-8), Load(I64Load, 0)), KindTrap, "out of bounds"},
		{"output out of bounds", Pack(1<<31, 10), KindOutput, "out of bounds"},
		{"output wraps around", Pack(0xffffffff, 10), KindOutput, "out of bounds"},
		{"output too big", Pack(0, 65<<10), KindOutput, "limit is 65536"},
		{"no memory to be had", Code(I32Const(1<<15), MemoryGrow(), I32Const(-1), Op(I32Eq), If(Void, Op(Unreachable)), I64Const(0)), KindTrap, "unreachable"},
		{"loop", spin, KindFuel, "more than 10000000 units"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := load(t, newRuntime(t, Limits{}), Policy(&Builder{}).Evaluate(nil, c.body))
			kind, reason := callKind(t, m, "in")
			if kind != c.kind || !strings.Contains(reason, c.want) {
				t.Errorf("%s %q, want %s %q", kind, reason, c.kind, c.want)
			}
			if again, _ := callKind(t, m, "in"); again != kind {
				t.Errorf("the second call gave %q", again)
			}
		})
	}
}

func TestAllocOutOfBounds(t *testing.T) {
	m := &Builder{}
	m.Memory(1, -1)
	m.Export("memory", ExternMemory, 0)
	m.ExportFunc("interlock_abi", nil, Types{I32}, nil, I32Const(1))
	m.ExportFunc("interlock_alloc", Types{I32}, Types{I32}, nil, I32Const(65535))
	m.ExportFunc("interlock_manifest", nil, Types{I64}, nil, I64Const(0))
	kind, reason := callKind(t, load(t, newRuntime(t, Limits{}), m.Evaluate(nil, Echo())), "two")
	if kind != KindMemory || !strings.Contains(reason, "interlock_alloc(3) returned 65535") {
		t.Errorf("%s %q", kind, reason)
	}
}

func TestModulesThatAreRefused(t *testing.T) {
	without := func(omit string) []byte {
		m := &Builder{}
		m.Memory(1, -1)
		if omit != "memory" {
			m.Export("memory", ExternMemory, 0)
		}
		for _, f := range []struct {
			name            string
			params, results Types
			body            []byte
		}{
			{"interlock_abi", nil, Types{I32}, I32Const(1)},
			{"interlock_alloc", Types{I32}, Types{I32}, I32Const(0)},
			{"interlock_manifest", nil, Types{I64}, I64Const(0)},
			{"interlock_evaluate", Types{I32, I32}, Types{I64}, I64Const(0)},
		} {
			if f.name != omit {
				m.ExportFunc(f.name, f.params, f.results, nil, f.body)
			}
		}
		return m.Bytes()
	}
	importing := func(module, name string, params, results Types) []byte {
		m := &Builder{}
		m.ImportFunc(module, name, params, results)
		return Policy(m).Evaluate(nil, I64Const(0))
	}
	wrongABI := &Builder{}
	wrongABI.Memory(1, -1)
	wrongABI.Export("memory", ExternMemory, 0)
	wrongABI.ExportFunc("interlock_abi", nil, Types{I32}, nil, I32Const(2))
	wrongABI.ExportFunc("interlock_alloc", Types{I32}, Types{I32}, nil, I32Const(0))
	wrongABI.ExportFunc("interlock_manifest", nil, Types{I64}, nil, I64Const(0))
	badInit := Policy(&Builder{})
	badInit.ExportFunc("_initialize", nil, nil, nil, Op(Unreachable))
	wrongType := Policy(&Builder{})
	wrongType.ExportFunc("interlock_evaluate", Types{I32, I32}, Types{I32}, nil, I32Const(0))

	for _, c := range []struct {
		name string
		wasm []byte
		want []string
	}{
		{"empty", nil, nil},
		{"not wasm", []byte("#!/bin/sh\n"), nil},
		{"truncated", without("")[:60], nil},
		{"no memory", without("memory"), []string{`"memory"`, "missing"}},
		{"no abi", without("interlock_abi"), []string{`"interlock_abi"`, "() -> (i32)", "missing"}},
		{"no alloc", without("interlock_alloc"), []string{`"interlock_alloc"`, "missing"}},
		{"no manifest", without("interlock_manifest"), []string{`"interlock_manifest"`, "missing"}},
		{"no evaluate", without("interlock_evaluate"), []string{`"interlock_evaluate"`, "(i32, i32) -> (i64)", "missing"}},
		{"evaluate of another type", wrongType.Bytes(), []string{`"interlock_evaluate"`, "(i32, i32) -> (i32)", "want (i32, i32) -> (i64)"}},
		{"foreign import", importing("env", "abort", nil, nil), []string{`"env"."abort"`}},
		{"unknown WASI function", importing("wasi_snapshot_preview1", "sock_open", nil, nil), []string{`"sock_open"`}},
		{"WASI function of another type", importing("wasi_snapshot_preview1", "random_get", Types{I64, I32}, Types{I32}), []string{`"random_get"`, "(i64, i32)", "want (i32, i32) -> (i32)"}},
		{"other ABI", wrongABI.Evaluate(nil, I64Const(0)), []string{"interlock_abi returned 2", "version 1"}},
		{"init traps", badInit.Evaluate(nil, I64Const(0)), []string{"_initialize", "unreachable"}},
		{"too big", make([]byte, 9<<20), []string{"9437184 bytes", "limit is 8388608"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := newRuntime(t, Limits{}).Load(t.Context(), c.wasm)
			var refused *RefusedError
			if !errors.As(err, &refused) {
				t.Fatalf("got %T %v, want a RefusedError", err, err)
			}
			for _, want := range c.want {
				if !strings.Contains(refused.Reason, want) {
					t.Errorf("reason %q lacks %q", refused.Reason, want)
				}
			}
		})
	}
}

func TestLoadIsIdempotentAndEachLoadHasItsClose(t *testing.T) {
	r := newRuntime(t, Limits{})
	wasm := Policy(&Builder{}).Evaluate(nil, Echo())
	first, second := load(t, r, wasm), load(t, r, wasm)
	if first != second {
		t.Fatal("the same bytes gave two modules")
	}
	if first.Digest() != Digest(wasm) || !strings.HasPrefix(first.Digest(), "sha256:") {
		t.Errorf("digest %q", first.Digest())
	}
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if kind, _ := callKind(t, second, "x"); kind != "" {
		t.Errorf("after one of two closes: %s", kind)
	}
	if err := second.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if kind, _ := callKind(t, second, "x"); kind != KindClosed {
		t.Errorf("after both closes: %q", kind)
	}
	if kind, _ := callKind(t, load(t, r, wasm), "x"); kind != "" {
		t.Errorf("loaded again: %s", kind)
	}
}

func TestConcurrentCallsAndClose(t *testing.T) {
	r := newRuntime(t, Limits{Concurrency: 2})
	m := load(t, r, Policy(&Builder{}).Evaluate(nil, Echo()))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				result, err := m.Call(context.Background(), []byte("x"), CallOptions{})
				var failed *CallError
				if errors.As(err, &failed) && failed.Kind == KindClosed {
					return
				}
				if err != nil || string(result.Output) != "x" {
					t.Errorf("%v %v", result, err)
					return
				}
			}
		})
	}
	if err := m.Close(t.Context()); err != nil {
		t.Error(err)
	}
	wg.Wait()
}

func TestBusyAndCancelled(t *testing.T) {
	spin := Policy(&Builder{}).Evaluate(nil, Loop(Void, Br(0)), Op(Unreachable))
	m := load(t, newRuntime(t, Limits{Concurrency: 1, Deadline: 200 * time.Millisecond}), spin)
	m.slots <- struct{}{}
	if kind, reason := callKind(t, m, ""); kind != KindBusy {
		t.Errorf("%s %s, want busy", kind, reason)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := m.Call(ctx, nil, CallOptions{})
	var failed *CallError
	if !errors.As(err, &failed) || failed.Kind != KindCancelled || failed.Kind.ModuleFault() {
		t.Errorf("%v, want cancelled", err)
	}
	<-m.slots
	_, err = m.Call(ctx, nil, CallOptions{})
	if !errors.As(err, &failed) || failed.Kind != KindCancelled {
		t.Errorf("%v, want cancelled", err)
	}
}

func TestCacheDirMustBePrivate(t *testing.T) {
	open := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := New(t.Context(), Config{CacheDir: open}); err == nil || !strings.Contains(err.Error(), "mode 755") {
		t.Errorf("an open directory gave %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(t.Context(), Config{CacheDir: file}); err == nil {
		t.Error("a file was taken for a directory")
	}
	made := filepath.Join(t.TempDir(), "a", "b")
	r := newRuntimeIn(t, made, Limits{})
	load(t, r, Policy(&Builder{}).Evaluate(nil, Echo()))
	info, err := os.Stat(made)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

// goGuest builds testdata/goguest once for all tests.
var goGuest = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "goguest")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "goguest.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-o", out, "./testdata/goguest")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, errors.New(string(text))
	}
	return os.ReadFile(out)
})

func goGuestBytes(t testing.TB) []byte {
	t.Helper()
	wasm, err := goGuest()
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

func TestGoGuestIsDeterministic(t *testing.T) {
	m := load(t, newRuntime(t, Limits{}), goGuestBytes(t))
	if string(m.Manifest()) != `{"abi":1,"name":"goguest"}` {
		t.Errorf("manifest %s", m.Manifest())
	}
	now := time.Date(2026, 11, 23, 18, 0, 0, 5000, time.UTC)
	var before *Result
	for range 3 {
		result, err := m.Call(t.Context(), []byte("hello"), CallOptions{Now: now, Seed: "seed"})
		if err != nil {
			t.Fatal(err)
		}
		if want := "hello at 2026-11-23T18:00:00.000005Z random "; !strings.HasPrefix(string(result.Output), want) {
			t.Errorf("output %q, want %q first", result.Output, want)
		}
		if string(result.Log) != "evaluated\n" {
			t.Errorf("log %q", result.Log)
		}
		if before != nil && string(before.Output) != string(result.Output) {
			t.Errorf("output %q, then %q", before.Output, result.Output)
		}
		before = result
	}
	other, err := m.Call(t.Context(), []byte("hello"), CallOptions{Now: now, Seed: "other"})
	if err != nil {
		t.Fatal(err)
	}
	if string(other.Output) == string(before.Output) {
		t.Error("another seed gave the same random number")
	}
	_, err = m.Call(t.Context(), []byte("panic"), CallOptions{})
	var failed *CallError
	if !errors.As(err, &failed) || failed.Kind != KindTrap {
		t.Fatalf("panic gave %v: %s", err, failed.Log)
	}
	if !strings.HasPrefix(string(failed.Log), "panic: asked to") {
		t.Errorf("log of a panic: %q", failed.Log)
	}
}
