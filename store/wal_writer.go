package store

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// A transaction leaves some thirty pages in SQLite's write-ahead log, and SQLite
// writes each of them with two system calls: its header, its content. They follow
// one another, so a VFS that is the system's in all else gathers them and writes
// them with one call, before the sync that makes the transaction durable. Other
// connections look at a page of the log only when the index of the log names it,
// which is after that sync (synchronous=FULL). Pages come here at a commit only
// (cache_spill=OFF): nothing that was gathered is left when the lock is let go of,
// which others may take to write at the same place.
//
// SQLite's own calls go through C function pointers, hence the conversions here.

// walVFS is the name of the VFS for the connection that writes.
const walVFS = "interlock-wal"

const (
	// walGathered bounds what is gathered before it is written, in bytes.
	walGathered = 1 << 20
	// walPiece bounds one write, in bytes. SQLite's VFS for Unix looks at no more
	// than the low 17 bits of a length.
	walPiece = 1<<17 - 1
)

// registerWALVFS makes walVFS known to SQLite, once in a process.
var registerWALVFS = sync.OnceValue(func() error {
	tls := libc.NewTLS()
	defer tls.Close()
	plain := sqlite3.Xsqlite3_vfs_find(tls, 0)
	if plain == 0 {
		return fmt.Errorf("SQLite has no VFS")
	}
	var err error
	own := newCopy(tls, plain, func(v *sqlite3.Tsqlite3_vfs) {
		v.FpNext, v.FpAppData = 0, plain
		v.FxOpen = functionPointer(walOpen)
		v.FzName, err = libc.CString(walVFS)
	})
	if err != nil {
		return err
	}
	if code := sqlite3.Xsqlite3_vfs_register(tls, own, 0); code != sqlite3.SQLITE_OK {
		return fmt.Errorf("SQLite refused the VFS: error %d", code)
	}
	return nil
})

// walFiles are the open logs by the address of their sqlite3_file.
var walFiles sync.Map // uintptr → *walFile

// walLogs are the logs that somebody watches, by their path.
var walLogs sync.Map // string → *walLog

// walLog is what a database and its log tell each other.
type walLog struct {
	// grown is told, after each commit, where the log ends. It must not block.
	grown func(end int64)
	// unsynced has the next sync, that of a commit, not reach the disk. A later one
	// does it along: the log is read in order, so no commit is there without those
	// before it. The sync of a new header always reaches it: under the old one, what
	// is left of the old pages would be read after a power cut.
	unsynced atomic.Bool
	synced   atomic.Int64 // how often one reached the disk
	durable  atomic.Int64 // where the log ended then
}

// walMethods are the changed copies of a VFS's method tables by their address.
var walMethods sync.Map // uintptr → uintptr

// walFile is a log that is open for writing. SQLite calls the methods of one
// from one thread at a time.
type walFile struct {
	plain sqlite3.Tsqlite3_io_methods
	start int64 // where data belongs
	data  []byte
	end   int64 // of what was written last
	log   *walLog
}

// walOpen opens a file as the system's VFS does, and a log with methods of ours.
func walOpen(tls *libc.TLS, vfs, name, file uintptr, flags int32, outFlags uintptr) int32 {
	plain := at[sqlite3.Tsqlite3_vfs](vfs).FpAppData
	open := function[func(*libc.TLS, uintptr, uintptr, uintptr, int32, uintptr) int32](at[sqlite3.Tsqlite3_vfs](plain).FxOpen)
	code := open(tls, plain, name, file, flags, outFlags)
	if code != sqlite3.SQLITE_OK || flags&sqlite3.SQLITE_OPEN_WAL == 0 {
		return code
	}
	f := at[sqlite3.Tsqlite3_file](file)
	w := &walFile{plain: *at[sqlite3.Tsqlite3_io_methods](f.FpMethods), log: &walLog{grown: func(int64) {}}}
	if log, watched := walLogs.Load(libc.GoString(name)); watched {
		w.log, _ = log.(*walLog)
	}
	walFiles.Store(file, w)
	changed, known := walMethods.Load(f.FpMethods)
	if !known {
		changed, _ = walMethods.LoadOrStore(f.FpMethods, newCopy(tls, f.FpMethods, func(m *sqlite3.Tsqlite3_io_methods) {
			m.FxClose, m.FxRead, m.FxWrite = functionPointer(walClose), functionPointer(walRead), functionPointer(walWrite)
			m.FxTruncate, m.FxSync, m.FxFileSize = functionPointer(walTruncate), functionPointer(walSync), functionPointer(walFileSize)
		}))
	}
	f.FpMethods, _ = changed.(uintptr)
	return code
}

func walOf(file uintptr) *walFile {
	f, _ := walFiles.Load(file)
	w, _ := f.(*walFile)
	return w
}

// flush writes what was gathered. After an error it is gone: SQLite gives the
// transaction up.
func (w *walFile) flush(tls *libc.TLS, file uintptr) int32 {
	write := function[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](w.plain.FxWrite)
	at := w.start
	for piece := range slices.Chunk(w.data, walPiece) {
		code := write(tls, file, uintptr(unsafe.Pointer(unsafe.SliceData(piece))), int32(len(piece)), at)
		if code != sqlite3.SQLITE_OK {
			w.data = w.data[:0]
			return code
		}
		at += int64(len(piece))
	}
	if len(w.data) > 0 {
		w.end = at
	}
	w.data = w.data[:0]
	return sqlite3.SQLITE_OK
}

// flushed writes what was gathered and then does what the plain VFS does.
func (w *walFile) flushed(tls *libc.TLS, file uintptr, plain func() int32) int32 {
	if code := w.flush(tls, file); code != sqlite3.SQLITE_OK {
		return code
	}
	return plain()
}

func walWrite(tls *libc.TLS, file, data uintptr, n int32, offset int64) int32 {
	w := walOf(file)
	if len(w.data) > 0 && (offset != w.start+int64(len(w.data)) || len(w.data)+int(n) > walGathered) {
		if code := w.flush(tls, file); code != sqlite3.SQLITE_OK {
			return code
		}
	}
	if len(w.data) == 0 {
		w.start = offset
	}
	w.data = append(w.data, libc.GoBytes(data, int(n))...)
	return sqlite3.SQLITE_OK
}

func walRead(tls *libc.TLS, file, data uintptr, n int32, offset int64) int32 {
	w := walOf(file)
	return w.flushed(tls, file, func() int32 {
		return function[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](w.plain.FxRead)(tls, file, data, n, offset)
	})
}

func walSync(tls *libc.TLS, file uintptr, flags int32) int32 {
	w := walOf(file)
	header := w.start == 0 && len(w.data) > 0 // of a log that starts over
	if code := w.flush(tls, file); code != sqlite3.SQLITE_OK {
		return code
	}
	if header || !w.log.unsynced.CompareAndSwap(true, false) {
		if code := function[func(*libc.TLS, uintptr, int32) int32](w.plain.FxSync)(tls, file, flags); code != sqlite3.SQLITE_OK {
			return code
		}
		w.log.synced.Add(1)
		w.log.durable.Store(w.end)
	}
	w.log.grown(w.end)
	return sqlite3.SQLITE_OK
}

func walTruncate(tls *libc.TLS, file uintptr, size int64) int32 {
	w := walOf(file)
	return w.flushed(tls, file, func() int32 {
		return function[func(*libc.TLS, uintptr, int64) int32](w.plain.FxTruncate)(tls, file, size)
	})
}

func walFileSize(tls *libc.TLS, file, size uintptr) int32 {
	w := walOf(file)
	return w.flushed(tls, file, func() int32 {
		return function[func(*libc.TLS, uintptr, uintptr) int32](w.plain.FxFileSize)(tls, file, size)
	})
}

// walClose leaves unwritten what was never synced: no commit needs it.
func walClose(tls *libc.TLS, file uintptr) int32 {
	w := walOf(file)
	walFiles.Delete(file)
	return function[func(*libc.TLS, uintptr) int32](w.plain.FxClose)(tls, file)
}

// at is the C structure at an address.
func at[T any](address uintptr) *T {
	var size T
	return (*T)(unsafe.Pointer(unsafe.SliceData(libc.GoBytes(address, int(unsafe.Sizeof(size))))))
}

// newCopy returns the address of a changed copy of a C structure; it is never
// freed.
func newCopy[T any](tls *libc.TLS, of uintptr, change func(*T)) uintptr {
	var size T
	address := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(size)))
	own := at[T](address)
	*own = *at[T](of)
	change(own)
	return address
}

// function is the Go function behind a C function pointer.
func function[F any](pointer uintptr) F {
	return *(*F)(unsafe.Pointer(&struct{ uintptr }{pointer}))
}

// functionPointer is the C function pointer of a top-level Go function.
func functionPointer(f any) uintptr {
	return (*[2]uintptr)(unsafe.Pointer(&f))[1]
}
