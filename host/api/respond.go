package api

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/interlock-run/interlock/host/prefect"
)

const jsonType = "application/json"

// encode answers with what fn appends to a buffer that is used again.
func (s *server) encode(w http.ResponseWriter, status int, fn func([]byte) []byte) {
	buf := s.buffers.Get().(*[]byte)
	b := fn((*buf)[:0])
	s.write(w, status, jsonType, b)
	s.release(buf, b)
}

// keptBuffer is the largest buffer that is kept for use again, in bytes.
const keptBuffer = 1 << 20

func (s *server) release(buf *[]byte, b []byte) {
	if cap(b) <= keptBuffer {
		*buf = b[:0]
		s.buffers.Put(buf)
	}
}

// marshal answers with v by encoding/json.
func (s *server) marshal(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	s.write(w, status, jsonType, b)
	return nil
}

// write sends a whole reply.
func (s *server) write(w http.ResponseWriter, status int, contentType string, body []byte) {
	h := w.Header()
	h["Content-Type"] = []string{contentType}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone; nobody is left to tell
}

// noContent answers 204.
func noContent(w http.ResponseWriter) error {
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// list answers 200 with a list, each element appended by one.
func list[T any](s *server, w http.ResponseWriter, items []T, one func([]byte, T) []byte) error {
	s.encode(w, http.StatusOK, func(b []byte) []byte { return appendList(b, items, one) })
	return nil
}

func appendList[T any](b []byte, items []T, one func([]byte, T) []byte) []byte {
	b = append(b, '[')
	for i, item := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = one(b, item)
	}
	return append(b, ']')
}

// count answers 200 with a number.
func (s *server) count(w http.ResponseWriter, n int) error {
	s.encode(w, http.StatusOK, func(b []byte) []byte { return strconv.AppendInt(b, int64(n), 10) })
	return nil
}

// paginated answers 200 with one page of count results.
func paginated[T any](s *server, w http.ResponseWriter, p paged, count int, items []T, one func([]byte, T) []byte) error {
	pages := 0
	if p.Limit > 0 {
		pages = (count + p.Limit - 1) / p.Limit
	}
	s.encode(w, http.StatusOK, func(b []byte) []byte {
		b = appendList(append(b, `{"results":`...), items, one)
		b = strconv.AppendInt(append(b, `,"count":`...), int64(count), 10)
		b = strconv.AppendInt(append(b, `,"limit":`...), int64(p.Limit), 10)
		b = strconv.AppendInt(append(b, `,"pages":`...), int64(pages), 10)
		b = strconv.AppendInt(append(b, `,"page":`...), int64(p.number), 10)
		return append(b, '}')
	})
	return nil
}

// paged is a page with its number, from 1.
type paged struct {
	prefect.Page
	number int
}
