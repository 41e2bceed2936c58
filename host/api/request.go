package api

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/api/bind"
	"github.com/interlock-run/interlock/host/prefect"
)

// bind decodes the body of r into dst, a pointer.
func (s *server) bind(w http.ResponseWriter, r *http.Request, dst any) error {
	buf := s.buffers.Get().(*[]byte)
	body, err := s.read(w, r, (*buf)[:0], s.MaxBody)
	defer func() { s.release(buf, body) }()
	if err != nil {
		return err
	}
	decodable := body
	if !isJSON(r) && len(body) > 0 {
		// As in the reference, a body of another type is text. It also keeps web
		// pages from posting JSON without a preflight.
		if decodable, err = json.Marshal(string(body)); err != nil {
			return err
		}
	}
	if err := s.binder.Decode(decodable, dst); err != nil {
		return &bodyError{err, append([]byte(nil), decodable...)}
	}
	return nil
}

// isJSON reports whether the body is JSON. A missing type counts as JSON: older
// clients send none.
func isJSON(r *http.Request) bool {
	header := r.Header.Get("Content-Type")
	if header == "" || header == jsonType {
		return true
	}
	media, _, err := mime.ParseMediaType(header)
	return err == nil && (media == jsonType || (strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json")))
}

// read appends the body of r to b. Errors: TooLarge over max bytes, BadRequest
// when it does not arrive whole, Unavailable when it does not arrive in time.
func (s *server) read(w http.ResponseWriter, r *http.Request, b []byte, max int64) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return b, nil
	}
	if r.ContentLength > max {
		return b, errTooLarge(max)
	}
	in := http.MaxBytesReader(w, r.Body, max)
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := in.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		var over *http.MaxBytesError
		switch {
		case err == io.EOF:
			// A deadline that passes later would cancel the request, see inTime.
			_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
			return b, nil
		case errors.As(err, &over):
			return b, errTooLarge(max)
		case errors.Is(err, os.ErrDeadlineExceeded):
			return b, prefect.Errorf(prefect.Unavailable, "the body did not arrive in time")
		case err != nil:
			return b, prefect.Errorf(prefect.BadRequest, "There was an error reading the body")
		}
	}
}

func errTooLarge(max int64) error {
	return prefect.Errorf(prefect.TooLarge, "The body is larger than %d bytes.", max)
}

// pathID returns the id in the path. One that is no UUID leads nowhere: 404.
func pathID(r *http.Request) (uuid.UUID, error) {
	raw := chi.URLParam(r, "id")
	if len(raw) != 36 && len(raw) != 32 {
		return uuid.Nil, errNoRoute()
	}
	id, err := uuid.Parse(raw)
	if err != nil {
		return uuid.Nil, errNoRoute()
	}
	return id, nil
}

// queryID returns a UUID from the query. Errors: Invalid when it is missing or
// no UUID.
func queryID(r *http.Request, name string) (uuid.UUID, error) {
	raw, err := queryText(r, name)
	if err != nil {
		return uuid.Nil, err
	}
	id, err := bind.ParseUUID(raw)
	if err != nil {
		return uuid.Nil, invalid("query", name, "uuid_parsing", "Input should be a valid UUID", raw)
	}
	return id, nil
}

// queryText returns a parameter of the query. Errors: Invalid when it is missing.
func queryText(r *http.Request, name string) (string, error) {
	values := r.URL.Query()[name]
	if len(values) == 0 {
		return "", invalid("query", name, "missing", "Field required", json.RawMessage("null"))
	}
	return values[len(values)-1], nil
}

// queryInt returns an integer from the query, or absent. Errors: Invalid below
// low or above high.
func queryInt(r *http.Request, name string, absent, low, high int) (int, error) {
	raw := r.URL.Query().Get(name)
	if raw == "" {
		return absent, nil
	}
	n, err := strconv.Atoi(raw)
	switch {
	case err != nil:
		return 0, invalid("query", name, "int_parsing", "Input should be a valid integer, unable to parse string as an integer", raw)
	case n < low:
		return 0, invalid("query", name, "greater_than_equal", "Input should be greater than or equal to "+strconv.Itoa(low), raw)
	case n > high:
		return 0, invalid("query", name, "less_than_equal", "Input should be less than or equal to "+strconv.Itoa(high), raw)
	}
	return n, nil
}

// mostListed bounds lists whose elements are rows of one transaction: others wait
// for it.
const mostListed = 1000

const tooLong = "List should have at most 1000 items after validation, not more"

// checkLength refuses a list of more than mostListed elements.
func checkLength(n int, field string, r bind.Reporter) {
	if n > mostListed {
		r.Fail("too_long", tooLong, jsonNull, field)
	}
}

// window is the limit and offset of a filtered read, as its body has them.
type window struct {
	Limit  *int `json:"limit"`
	Offset int  `json:"offset" bind:"ge=0"`
}

func (s *server) page(sort string, in window) (prefect.Page, error) {
	limit, err := s.limit(in.Limit)
	return prefect.Page{Sort: sort, Limit: limit, Offset: in.Offset}, err
}

// numbered is the limit and number of a page, as a paginate body has them.
type numbered struct {
	Limit *int `json:"limit"`
	Page  int  `json:"page" bind:"ge=1"`
}

func (s *server) paged(sort string, in numbered) (paged, error) {
	limit, err := s.limit(in.Limit)
	if err != nil {
		return paged{}, err
	}
	if limit > 0 && in.Page-1 > maxOffset/limit {
		return paged{}, invalid("body", "page", "less_than_equal", "Input should be a page that can exist", in.Page)
	}
	return paged{prefect.Page{Sort: sort, Limit: limit, Offset: (in.Page - 1) * limit}, in.Page}, nil
}

// maxOffset keeps offsets within what both databases take.
const maxOffset = 1 << 62

// limit returns the limit of a read. Errors: Invalid without fields, as the
// reference has it.
func (s *server) limit(asked *int) (int, error) {
	switch {
	case asked == nil:
		return s.DefaultLimit, nil
	case *asked < 0:
		return 0, prefect.Errorf(prefect.Invalid, "Invalid limit: must be greater than or equal to 0.")
	case *asked > s.DefaultLimit:
		return 0, prefect.Errorf(prefect.Invalid, "Invalid limit: must be less than or equal to %d.", s.DefaultLimit)
	}
	return *asked, nil
}

// pathText returns a text in the path, decoded.
func pathText(r *http.Request, name string) string { return chi.URLParam(r, name) }
