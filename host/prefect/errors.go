package prefect

import (
	"errors"
	"fmt"
)

// Code classifies an [Error]. Each code has one HTTP status, listed in the api
// package.
type Code string

// The codes. Everything that is not an [Error] counts as [Internal].
const (
	NotFound        Code = "not_found"        // no row with that id or name
	Invalid         Code = "invalid"          // a request that its schema refuses
	BadRequest      Code = "bad_request"      // a header or parameter that cannot be read
	Unauthorized    Code = "unauthorized"     // credentials missing or wrong
	Forbidden       Code = "forbidden"        // understood and refused
	Conflict        Code = "conflict"         // a uniqueness, foreign key or version conflict
	Gone            Code = "gone"             // was there and expired (a lease)
	Locked          Code = "locked"           // no slot is free now; clients wait and ask again
	TooLarge        Code = "too_large"        // a body over its cap
	Unavailable     Code = "unavailable"      // the database cannot be reached now; clients retry
	UnknownRevision Code = "unknown_revision" // a database at a schema revision we do not know
	Internal        Code = "internal"         // a bug or a fault outside; details go to the log only
)

// Error is the one error type that callers may branch on. Message is shown to
// clients, so it never carries secrets, SQL or file paths.
type Error struct {
	Code    Code
	Message string
	Fields  []FieldError // for Invalid: one per refused field, the first MaxFields
	err     error
}

// FieldError says which part of a request was refused, in the shape of
// Prefect's 422 replies.
type FieldError struct {
	Loc  []any  `json:"loc"` // path from "body", "path", "query" or "header": strings and indexes
	Msg  string `json:"msg"`
	Type string `json:"type"` // pydantic's error type: missing, uuid_parsing, extra_forbidden, ...
	// Input is the refused value as it came in, raw JSON when present.
	Input any `json:"input,omitempty"`
	// Ctx is what the message was made of (bounds, expected values), if anything.
	Ctx map[string]any `json:"ctx,omitempty"`
}

// MaxFields is how many refused fields an [Error] lists. What is sent can have
// millions of them, each larger in a reply than in the request.
const MaxFields = 100

// Errorf makes an [Error]. An argument verbed with %w stays reachable through
// errors.Is and errors.As.
func Errorf(code Code, format string, args ...any) *Error {
	wrapped := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: wrapped.Error(), err: errors.Unwrap(wrapped)}
}

// Error returns the message for clients.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause, nil if there is none.
func (e *Error) Unwrap() error { return e.err }

// CodeOf returns the code of the first [Error] in err's chain, [Internal] if
// there is none, and "" for a nil err.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}
