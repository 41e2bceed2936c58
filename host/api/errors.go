package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/interlock-run/interlock/host/prefect"
)

// status is the one table from an error's code to the status of the reply.
func status(code prefect.Code) int {
	switch code {
	case prefect.NotFound:
		return http.StatusNotFound
	case prefect.Invalid:
		return http.StatusUnprocessableEntity
	case prefect.BadRequest:
		return http.StatusBadRequest
	case prefect.Unauthorized:
		return http.StatusUnauthorized
	case prefect.Forbidden:
		return http.StatusForbidden
	case prefect.Conflict:
		return http.StatusConflict
	case prefect.Locked:
		return http.StatusLocked
	case prefect.Gone:
		return http.StatusGone
	case prefect.TooLarge:
		return http.StatusRequestEntityTooLarge
	case prefect.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// codeOf is prefect.CodeOf, with a deadline that passed as Unavailable: the
// client may try again.
func codeOf(err error) prefect.Code {
	code := prefect.CodeOf(err)
	if code == prefect.Internal && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)) {
		return prefect.Unavailable
	}
	return code
}

// writeError answers err in the reference's shapes: fields refused are listed
// under exception_detail, what is wrong with the server or the credentials is an
// exception_message without particulars, all else is a detail.
func (s *server) writeError(w http.ResponseWriter, r *http.Request, err error) {
	code := codeOf(err)
	var known *prefect.Error
	errors.As(err, &known)
	var raised *raisedError
	switch {
	case code == prefect.Invalid && len(known.Fields) > 0:
		s.writeFields(w, known, bodyOf(err))
	case code == prefect.Unauthorized:
		s.exception(w, code, "Unauthorized")
	case code == prefect.Unavailable:
		s.Logger.WarnContext(r.Context(), "request could not be served now", s.about(r, err)...)
		s.exception(w, code, "Service Unavailable")
	case status(code) == http.StatusInternalServerError:
		s.Logger.ErrorContext(r.Context(), "request failed", s.about(r, err)...)
		s.exception(w, prefect.Internal, "Internal Server Error")
	case errors.As(err, &raised):
		s.exception(w, code, known.Message)
	default:
		s.detail(w, status(code), known.Message)
	}
}

// raisedError marks an error that the reference raises from below its routes: it
// is answered as exception_message where others are a detail.
type raisedError struct{ error }

func (e *raisedError) Unwrap() error { return e.error }

// raised marks a NotFound of err as a [raisedError].
func raised(err error) error {
	if prefect.CodeOf(err) == prefect.NotFound {
		return &raisedError{err}
	}
	return err
}

// errNoRoute answers a path, or an id in it, that leads nowhere.
func errNoRoute() error { return prefect.Errorf(prefect.NotFound, "Not Found") }

// notFound replaces the message of a NotFound by the API's own.
func notFound(err error, message string) error {
	if prefect.CodeOf(err) == prefect.NotFound {
		return prefect.Errorf(prefect.NotFound, "%s", message)
	}
	return err
}

// bodyError is an error with the body that it is about.
type bodyError struct {
	error
	body []byte
}

func (e *bodyError) Unwrap() error { return e.error }

// maxEcho is the largest body that is repeated in a 422 reply, in bytes.
const maxEcho = 64 << 10

// bodyOf returns the refused body as JSON for the reply, null if it is absent or
// large.
func bodyOf(err error) json.RawMessage {
	var b *bodyError
	if !errors.As(err, &b) || len(b.body) == 0 || len(b.body) > maxEcho {
		return json.RawMessage("null")
	}
	if json.Valid(b.body) {
		return b.body
	}
	quoted, err := json.Marshal(string(b.body))
	if err != nil {
		return json.RawMessage("null")
	}
	return quoted
}

func (s *server) writeFields(w http.ResponseWriter, e *prefect.Error, body json.RawMessage) {
	reply, err := json.Marshal(struct {
		Message string               `json:"exception_message"`
		Detail  []prefect.FieldError `json:"exception_detail"`
		Body    json.RawMessage      `json:"request_body"`
	}{"Invalid request received.", e.Fields, body})
	if err != nil {
		s.detail(w, http.StatusUnprocessableEntity, e.Message)
		return
	}
	s.write(w, http.StatusUnprocessableEntity, jsonType, reply)
}

func (s *server) exception(w http.ResponseWriter, code prefect.Code, message string) {
	s.encode(w, status(code), func(b []byte) []byte {
		return append(appendString(append(b, `{"exception_message":`...), message), '}')
	})
}

func (s *server) detail(w http.ResponseWriter, status int, message string) {
	s.encode(w, status, func(b []byte) []byte {
		return append(appendString(append(b, `{"detail":`...), message), '}')
	})
}

// invalid refuses one parameter of the path, the query or the header.
func invalid(where, name, typ, message string, input any) error {
	e := prefect.Errorf(prefect.Invalid, "%s %s: %s", where, name, message)
	e.Fields = []prefect.FieldError{{Loc: []any{where, name}, Type: typ, Msg: message, Input: input}}
	return e
}
