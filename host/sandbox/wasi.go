package sandbox

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/interlock-run/interlock/sdk/abi"
)

// WASI error numbers that guests get to see.
const (
	errnoSuccess = 0
	errnoBadf    = 8
	errnoFault   = 21
	errnoInval   = 28
	errnoNosys   = 52
)

// host is what WASI functions know of the call that they serve. All answers
// follow from the call's options, so that a call can be repeated.
type host struct {
	now    time.Time
	seed   string
	random *rand.ChaCha8 // made on first use
	log    []byte
	logCap int
	gauge  gauge // of the guest that asks
}

// epoch is what guests take for now while they initialise, and in calls without
// a Now. Zero would not do: Go's runtime refuses to start with it.
func epoch() time.Time { return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) }

// begin prepares for the next call.
func (h *host) begin(o CallOptions, logCap int, g gauge) {
	if o.Now.IsZero() {
		o.Now = epoch()
	}
	*h = host{now: o.Now, seed: o.Seed, log: h.log[:0], logCap: logCap, gauge: g}
}

// output copies what the guest printed.
func (h *host) output() []byte {
	if len(h.log) == 0 {
		return nil
	}
	return append([]byte(nil), h.log...)
}

type hostKey struct{}

// exit is the trap that proc_exit becomes.
type exit uint32

func (e exit) Error() string { return fmt.Sprintf("the guest exited with code %d", uint32(e)) }

// i and j shorten signatures below.
const (
	i = api.ValueTypeI32
	j = api.ValueTypeI64
)

// wasiFunction is one function that a guest may import. A nil answer stands for
// ENOSYS.
type wasiFunction struct {
	params []api.ValueType
	answer func(h *host, m api.Memory, p []uint64) uint32
}

// wasiFunctions is the allow-list: all of preview 1, so that what a runtime
// links is there, though most of it only ever says ENOSYS.
func wasiFunctions() map[string]wasiFunction {
	t := func(v ...api.ValueType) []api.ValueType { return v }
	return map[string]wasiFunction{
		"args_get":                {t(i, i), nothing},
		"args_sizes_get":          {t(i, i), emptySizes},
		"environ_get":             {t(i, i), nothing},
		"environ_sizes_get":       {t(i, i), emptySizes},
		"clock_res_get":           {t(i, i), clockRes},
		"clock_time_get":          {t(i, j, i), clockTime},
		"random_get":              {t(i, i), random},
		"fd_write":                {t(i, i, i, i), fdWrite},
		"fd_prestat_get":          {t(i, i), badDescriptor},
		"fd_prestat_dir_name":     {t(i, i, i), badDescriptor},
		"sched_yield":             {nil, nothing},
		"proc_exit":               {t(i), nil},
		"fd_advise":               {t(i, j, j, i), nil},
		"fd_allocate":             {t(i, j, j), nil},
		"fd_close":                {t(i), nil},
		"fd_datasync":             {t(i), nil},
		"fd_fdstat_get":           {t(i, i), nil},
		"fd_fdstat_set_flags":     {t(i, i), nil},
		"fd_fdstat_set_rights":    {t(i, j, j), nil},
		"fd_filestat_get":         {t(i, i), nil},
		"fd_filestat_set_size":    {t(i, j), nil},
		"fd_filestat_set_times":   {t(i, j, j, i), nil},
		"fd_pread":                {t(i, i, i, j, i), nil},
		"fd_pwrite":               {t(i, i, i, j, i), nil},
		"fd_read":                 {t(i, i, i, i), nil},
		"fd_readdir":              {t(i, i, i, j, i), nil},
		"fd_renumber":             {t(i, i), nil},
		"fd_seek":                 {t(i, j, i, i), nil},
		"fd_sync":                 {t(i), nil},
		"fd_tell":                 {t(i, i), nil},
		"path_create_directory":   {t(i, i, i), nil},
		"path_filestat_get":       {t(i, i, i, i, i), nil},
		"path_filestat_set_times": {t(i, i, i, i, j, j, i), nil},
		"path_link":               {t(i, i, i, i, i, i, i), nil},
		"path_open":               {t(i, i, i, i, i, j, j, i, i), nil},
		"path_readlink":           {t(i, i, i, i, i, i), nil},
		"path_remove_directory":   {t(i, i, i), nil},
		"path_rename":             {t(i, i, i, i, i, i), nil},
		"path_symlink":            {t(i, i, i, i, i), nil},
		"path_unlink_file":        {t(i, i, i), nil},
		"poll_oneoff":             {t(i, i, i, i), poll},
		"proc_raise":              {t(i), nil},
		"sock_accept":             {t(i, i, i), nil},
		"sock_recv":               {t(i, i, i, i, i, i), nil},
		"sock_send":               {t(i, i, i, i, i), nil},
		"sock_shutdown":           {t(i, i), nil},
	}
}

// instantiateWASI gives r's guests the allow-list to import from.
func instantiateWASI(ctx context.Context, r wazero.Runtime) error {
	b := r.NewHostModuleBuilder(abi.ImportModule)
	for name, f := range wasiFunctions() {
		results := []api.ValueType{i}
		if name == "proc_exit" {
			results = nil
		}
		b.NewFunctionBuilder().WithGoModuleFunction(f.bind(name), f.params, results).Export(name)
	}
	_, err := b.Instantiate(ctx)
	if err != nil {
		return fmt.Errorf("wasi host module: %w", err)
	}
	return nil
}

// hostCall is what a call into Go is charged with, in fuel, whichever instruction made it.
const hostCall = 500

// bind makes the function that wazero calls.
func (f wasiFunction) bind(name string) api.GoModuleFunc {
	if name == "proc_exit" {
		return func(_ context.Context, _ api.Module, stack []uint64) { panic(exit(stack[0])) }
	}
	return func(ctx context.Context, m api.Module, stack []uint64) {
		errno := uint32(errnoNosys)
		h, ok := ctx.Value(hostKey{}).(*host)
		if ok {
			h.gauge.charge(hostCall)
		}
		if ok && f.answer != nil && m.Memory() != nil {
			errno = f.answer(h, m.Memory(), stack)
		}
		stack[0] = uint64(errno)
	}
}

func nothing(*host, api.Memory, []uint64) uint32 { return errnoSuccess }

// badDescriptor ends the loop in which C libraries look for open directories.
func badDescriptor(*host, api.Memory, []uint64) uint32 { return errnoBadf }

func emptySizes(_ *host, m api.Memory, p []uint64) uint32 {
	if !m.WriteUint32Le(uint32(p[0]), 0) || !m.WriteUint32Le(uint32(p[1]), 0) {
		return errnoFault
	}
	return errnoSuccess
}

func clockRes(_ *host, m api.Memory, p []uint64) uint32 {
	if !m.WriteUint64Le(uint32(p[1]), uint64(time.Microsecond)) {
		return errnoFault
	}
	return errnoSuccess
}

func clockTime(h *host, m api.Memory, p []uint64) uint32 {
	if uint32(p[0]) > 3 {
		return errnoInval
	}
	if !m.WriteUint64Le(uint32(p[2]), uint64(h.now.UnixNano())) {
		return errnoFault
	}
	return errnoSuccess
}

func random(h *host, m api.Memory, p []uint64) uint32 {
	buf, ok := m.Read(uint32(p[0]), uint32(p[1]))
	if !ok {
		return errnoFault
	}
	h.gauge.charge(uint64(len(buf)))
	if h.random == nil {
		h.random = rand.NewChaCha8(sha256.Sum256([]byte(h.seed)))
	}
	if _, err := h.random.Read(buf); err != nil {
		return errnoFault
	}
	return errnoSuccess
}

// maxVectors is how many buffers one fd_write looks at. WASI lets a write be
// short, so a guest with more has to come again and pay for it.
const maxVectors = 16

func fdWrite(h *host, m api.Memory, p []uint64) uint32 {
	if fd := uint32(p[0]); fd != 1 && fd != 2 {
		return errnoBadf
	}
	written := uint32(0)
	for k := range min(uint32(p[2]), maxVectors) {
		vector, ok := m.Read(uint32(p[1])+8*k, 8)
		if !ok {
			return errnoFault
		}
		buf, ok := m.Read(binary.LittleEndian.Uint32(vector), binary.LittleEndian.Uint32(vector[4:]))
		if !ok {
			return errnoFault
		}
		h.log = append(h.log, buf[:min(len(buf), h.logCap-len(h.log))]...)
		written += uint32(len(buf))
	}
	if !m.WriteUint32Le(uint32(p[3]), written) {
		return errnoFault
	}
	return errnoSuccess
}

// The layout of what poll_oneoff reads and writes.
const (
	subscriptionBytes = 48
	eventBytes        = 32
	eventClock        = 0
)

// poll says of every timer that its time has come, since no time passes here.
// Go's runtime sleeps a little before it prints why it panics.
func poll(_ *host, m api.Memory, p []uint64) uint32 {
	n := min(uint32(p[2]), maxVectors)
	for k := range n {
		subscription, ok := m.Read(uint32(p[0])+k*subscriptionBytes, subscriptionBytes)
		if !ok {
			return errnoFault
		}
		var event [eventBytes]byte
		copy(event[:8], subscription)
		event[10] = subscription[8]
		if subscription[8] != eventClock {
			binary.LittleEndian.PutUint16(event[8:], errnoNosys)
		}
		if !m.Write(uint32(p[1])+k*eventBytes, event[:]) {
			return errnoFault
		}
	}
	if n == 0 {
		return errnoInval
	}
	if !m.WriteUint32Le(uint32(p[3]), n) {
		return errnoFault
	}
	return errnoSuccess
}

// asExit finds the exit in what wazero made of a panic.
func asExit(err error) (exit, bool) {
	var e exit
	ok := errors.As(err, &e)
	return e, ok
}
