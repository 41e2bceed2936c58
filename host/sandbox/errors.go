package sandbox

import (
	"fmt"
	"time"
)

// RefusedError says why bytes cannot be a module here. Nothing of a refused
// module is kept.
type RefusedError struct {
	Offset int    // byte offset of the finding, or -1 when it has no place
	Reason string // what was found and what is allowed
}

func (e *RefusedError) Error() string {
	if e.Offset < 0 {
		return "module refused: " + e.Reason
	}
	return fmt.Sprintf("module refused at byte %d: %s", e.Offset, e.Reason)
}

func refuse(format string, args ...any) *RefusedError {
	return &RefusedError{Offset: -1, Reason: fmt.Sprintf(format, args...)}
}

// CallErrorKind classifies how a call failed.
type CallErrorKind string

// The kinds of failed calls. Of these, Busy, Closed and Cancelled are no fault
// of the module; the others are, and count towards its quarantine.
const (
	KindTrap      CallErrorKind = "trap"      // the guest trapped, exited or returned nonsense
	KindDeadline  CallErrorKind = "deadline"  // it ran past the deadline
	KindFuel      CallErrorKind = "fuel"      // it used up its fuel
	KindStack     CallErrorKind = "stack"     // its calls went too deep
	KindOutput    CallErrorKind = "output"    // its result is over the cap or out of bounds
	KindMemory    CallErrorKind = "memory"    // it could not take the input
	KindBusy      CallErrorKind = "busy"      // no instance came free in time, or no turn
	KindClosed    CallErrorKind = "closed"    // the module was closed before the call
	KindCancelled CallErrorKind = "cancelled" // the caller's context ended first
)

// ModuleFault says whether a failure of this kind is the module's own.
func (k CallErrorKind) ModuleFault() bool {
	return k != KindBusy && k != KindClosed && k != KindCancelled
}

// CallError is how every failed call fails.
type CallError struct {
	Kind   CallErrorKind
	Reason string
	Log    []byte // what the guest printed until then, capped
	Fuel   uint64 // what it used until then, in units

	Duration time.Duration // wall clock in the guest
	Rested   time.Duration // of it, see CallOptions.Courteous
}

func (e *CallError) Error() string {
	return fmt.Sprintf("policy module: %s: %s", e.Kind, e.Reason)
}
