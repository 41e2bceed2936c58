//go:build wasip1

// Command goguest is a policy module for the sandbox's tests: it answers with
// its input, the clock, a random number and how often it was asked.
package main

import (
	"os"
	"strconv"
	"time"
	"unsafe"

	"crypto/rand"
)

var (
	input    []byte
	output   []byte
	manifest = []byte(`{"abi":1,"name":"goguest"}`)
	calls    int
)

func pack(b []byte) uint64 {
	return uint64(uintptr(unsafe.Pointer(&b[0])))<<32 | uint64(len(b))
}

//go:wasmexport interlock_abi
func version() uint32 { return 1 }

//go:wasmexport interlock_alloc
func alloc(size uint32) uint32 {
	input = make([]byte, size+1)
	return uint32(uintptr(unsafe.Pointer(&input[0])))
}

//go:wasmexport interlock_manifest
func describe() uint64 { return pack(manifest) }

//go:wasmexport interlock_evaluate
func evaluate(ptr, size uint32) uint64 {
	calls++
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		panic(err)
	}
	output = append(output[:0], input[:size]...)
	output = append(output, " at "...)
	output = time.Now().UTC().AppendFormat(output, time.RFC3339Nano)
	output = append(output, " random "...)
	for _, b := range random {
		output = strconv.AppendUint(output, uint64(b), 16)
	}
	output = append(output, " args "...)
	output = strconv.AppendInt(output, int64(len(os.Args)), 10)
	output = append(output, " env "...)
	output = strconv.AppendInt(output, int64(len(os.Environ())), 10)
	if string(input[:size]) == "panic" {
		panic("asked to")
	}
	println("evaluated")
	return pack(output)
}

func main() {}
