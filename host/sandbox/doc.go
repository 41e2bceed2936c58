// Package sandbox runs policy modules that nobody vouches for: bytes in, bytes
// out. It knows nothing of what the bytes mean.
//
// # The promise
//
// Whatever a module contains, loading and calling it cannot crash the process,
// stop it, slow its neighbours beyond a bound, take memory without a bound, read
// or keep anything but its own input, or reach a file, the network or the clock.
// A call's answer follows from the module, the input, and [CallOptions]: the same
// on every machine, with the same fuel, whatever was called before.
//
// # The threat model
//
// The module is hostile: its author knows this code and wrote the binary by hand.
// The operator who uploads it, the process's user, the files of that user and the
// machine are not. Input and output are JSON of the caller's; who calls has to
// expect any bytes as output.
//
// # The layers
//
//   - Admit (admit.go, package wasm): a decoder and validator of our own reads the
//     binary before the compiler does. Every count is held against the bytes left,
//     everything has a cap, imports come from an allow-list, there is no start
//     function, and the feature set is WebAssembly 2.0. A refusal tells the offset,
//     what was found and the cap. Tested with the specification's suite, of which
//     every binary is either accepted or refused as it should be, with mutants of
//     it below a limit on addresses, and by fuzzing: make corpus, make fuzz.
//   - Meter (package meter): the binary is rewritten to count its own work in fuel
//     and its own stack in bytes, and to come back to Go after each slice of fuel,
//     so that the garbage collector never waits for long and a deadline can end it.
//     What fills or copies much memory does it in pieces, each worth a slice. A large
//     table that cannot change becomes code, so that no instance needs one.
//     Tested by running the specification's suite both ways and comparing, by
//     fuzzing, and with guests made to evade it.
//   - Compile (compile.go, child.go, cache.go): a child process with limits on time
//     and memory, and nicer than this one, turns the metered module into native code, which goes into a
//     private directory with a digest, and the metered module with it; this process
//     only loads them, and what was admitted under the same caps is not read again.
//     A damaged or lost file costs a compilation. Tested by damaging files in every
//     way.
//   - Isolate (snapshot.go, memory_linux.go, faults_linux.go): each call starts from the state
//     after _initialize, interlock_manifest and one interlock_alloc, which know no
//     input. Memory is mapped copy-on-write from a snapshot and the pages
//     that a call wrote are copied back; globals are set again. An instance that
//     failed or cannot be restored is thrown away. One that waits for a call for long
//     lets go of its pages and stack. Tested with guests that leave marks and look
//     for them.
//   - Contain (module.go, gauge.go, metrics.go): calls of one module at the same
//     time, those of them that work for longer than usual, their output, log, wall clock
//     and stack have limits, and what happened is counted. Quarantine is for the caller,
//     [CallErrorKind.ModuleFault] says which failures count; so is how many modules may
//     run beside each other, since only the caller knows which of them it trusts. Tested
//     with a table of bombs (package wasmtest) here, each alone beside ordinary calls, and
//     on a whole server in test/bombs.
//
// Loading runs beside what others wait for: one load fewer than there are processors
// is worked on at a time, and what a guest does meanwhile is paced to a quarter of a
// processor, but for a load that was given a context of [Hurry].
//
// # Out of scope
//
// Side channels (timing of caches, Spectre) between a module and what else runs
// in the process. Miscompilation: wazero's compiler is trusted to keep native
// code inside of the module's memory, which validation, the pinned feature set
// and caps make less to trust but do not prove. NaN bit patterns may differ from
// one CPU architecture to another, as the specification allows.
//
// On systems other than Linux children have no hard memory limit and memory is
// reset by copying all of it.
package sandbox
