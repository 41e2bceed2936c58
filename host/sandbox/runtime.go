package sandbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"sync"
)

// Runtime loads modules. It is safe for concurrent use.
type Runtime struct {
	limits Limits
	cache  *cache
	log    *slog.Logger

	children chan struct{} // one token for each child that compiles
	loads    chan struct{} // one for each module that is read, or made ready, in this process

	mu      sync.Mutex
	closed  bool
	modules map[string]*loading // by digest, also while they are being loaded
}

// loading is a module that somebody loads or has loaded.
type loading struct {
	done   chan struct{} // closed when module or err is there
	module *Module
	err    error
	users  int // Loads without their Close
}

// New makes a runtime. It fails when the cache directory cannot be made or is
// open to other users.
func New(_ context.Context, c Config) (*Runtime, error) {
	log := c.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	cache, err := openCache(c.CacheDir)
	if err != nil {
		return nil, err
	}
	return &Runtime{
		limits:  c.Limits.WithDefaults(),
		cache:   cache,
		log:     log,
		modules: map[string]*loading{},

		children: make(chan struct{}, childAtOnce),
		loads:    make(chan struct{}, max(1, runtime.GOMAXPROCS(0)-1)),
	}, nil
}

// Digest names a module: "sha256:" and 64 hex digits of its bytes.
func Digest(wasm []byte) string {
	sum := sha256.Sum256(wasm)
	return "sha256:" + hex.EncodeToString(sum[:])
}

var errRuntimeClosed = errors.New("sandbox: the runtime is closed")

// Load admits, compiles and initialises a module and reads its manifest. The
// same bytes give the same Module; each Load wants its own [Module.Close]. The
// error is a *RefusedError when it is the bytes' fault.
func (r *Runtime) Load(ctx context.Context, wasm []byte) (*Module, error) {
	if len(wasm) > r.limits.ModuleBytes {
		return nil, refuse("the module has %d bytes, the limit is %d", len(wasm), r.limits.ModuleBytes)
	}
	var digest string
	if err := r.inTurn(ctx, func() error { digest = Digest(wasm); return nil }); err != nil {
		return nil, err
	}
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil, errRuntimeClosed
	}
	l, known := r.modules[digest]
	if !known {
		l = &loading{done: make(chan struct{})}
		r.modules[digest] = l
		go r.load(context.WithoutCancel(ctx), l, digest, slices.Clone(wasm))
	}
	l.users++
	r.mu.Unlock()

	select {
	case <-l.done:
		return l.module, l.err
	case <-ctx.Done():
		go r.abandon(l)
		return nil, ctx.Err()
	}
}

// load fills l. It goes on when its first caller gives up: others may wait.
func (r *Runtime) load(ctx context.Context, l *loading, digest string, wasm []byte) {
	l.module, l.err = newModule(ctx, r, digest, wasm)
	if l.err != nil {
		r.mu.Lock()
		delete(r.modules, digest)
		r.mu.Unlock()
	}
	close(l.done)
}

// inTurn does a part of loading that takes this process's time and memory, in as
// many loads at once as leave a processor to others.
func (r *Runtime) inTurn(ctx context.Context, do func() error) error {
	select {
	case r.loads <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-r.loads }()
	return do()
}

// abandon undoes one Load whose caller does not wait for it any more.
func (r *Runtime) abandon(l *loading) {
	<-l.done
	if l.err == nil {
		_ = l.module.Close(context.Background())
	}
}

// release takes one user off a module and says whether it was the last.
func (r *Runtime) release(m *Module) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.modules[m.digest]
	if l == nil || l.module != m {
		return false
	}
	l.users--
	if l.users > 0 {
		return false
	}
	delete(r.modules, m.digest)
	return true
}

// Close ends all modules, however many users they have, once their calls are
// done. It is safe to call twice.
func (r *Runtime) Close(ctx context.Context) error {
	r.mu.Lock()
	r.closed = true
	all := make([]*loading, 0, len(r.modules))
	for _, l := range r.modules {
		all = append(all, l)
	}
	clear(r.modules)
	r.mu.Unlock()

	var errs []error
	for _, l := range all {
		<-l.done
		if l.err == nil {
			errs = append(errs, l.module.shut(ctx))
		}
	}
	return errors.Join(errs...)
}
