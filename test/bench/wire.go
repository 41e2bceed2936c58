package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// wire is one client's connection, which is opened when it is needed. Whoever sends
// also reads: net/http's client hands each request to other goroutines, which on a small
// machine takes a good part of what is to be measured.
type wire struct {
	host string
	conn net.Conn
	in   *bufio.Reader
	out  []byte
}

// reply is the answer to a request.
type reply struct {
	status int
	body   []byte
	took   time.Duration // from before the request left until the body was read
}

// do sends a request to a path below /api. The error means that there was no whole
// answer: by the deadline of ctx, or since the connection broke.
func (w *wire) do(ctx context.Context, method, path string, body []byte) (*reply, error) {
	sent := time.Now()
	r, err := w.exchange(ctx, method, path, body)
	if err != nil {
		w.close()
		return nil, err
	}
	r.took = time.Since(sent)
	return r, nil
}

func (w *wire) exchange(ctx context.Context, method, path string, body []byte) (*reply, error) {
	if err := w.open(ctx); err != nil {
		return nil, err
	}
	w.out = fmt.Appendf(w.out[:0], "%s /api%s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", method, path, w.host, len(body))
	w.out = append(w.out, body...)
	if _, err := w.conn.Write(w.out); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(w.in, &http.Request{Method: method})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if resp.Close || resp.StatusCode >= http.StatusBadRequest { // the reference closes after some errors, and does not always say so
		w.close()
	}
	return &reply{status: resp.StatusCode, body: raw}, err
}

func (w *wire) open(ctx context.Context) error {
	if w.conn == nil {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", w.host)
		if err != nil {
			return err
		}
		w.conn, w.in = conn, bufio.NewReader(conn)
	}
	deadline, _ := ctx.Deadline() // none is the zero time, which is none here too
	return w.conn.SetDeadline(deadline)
}

func (w *wire) close() {
	if w.conn != nil {
		w.conn.Close()
		w.conn = nil
	}
}
