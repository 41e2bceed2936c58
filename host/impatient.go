package host

import (
	"errors"
	"net"
	"time"
)

const (
	// writeTime is how long a client may take for a part of a reply, or of what a
	// websocket sends: who does not read holds its goroutine no longer than that.
	writeTime = 30 * time.Second
	// writePart is the size in bytes of such a part. A long reply on a slow line has
	// writeTime for each of its parts.
	writePart = 64 << 10
)

// impatient is a listener whose connections end when their client does not take
// what is written to it.
type impatient struct {
	net.Listener
	writeTime time.Duration
}

// Accept waits for the next connection.
func (l *impatient) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &impatientConn{conn, l.writeTime}, nil
}

type impatientConn struct {
	net.Conn
	writeTime time.Duration
}

// Write writes b in parts, each with a deadline of its own. After an error, a
// timeout included, the connection is of no more use.
func (c *impatientConn) Write(b []byte) (n int, err error) {
	for {
		if err := c.SetWriteDeadline(time.Now().Add(c.writeTime)); err != nil {
			return n, err
		}
		written, err := c.Conn.Write(b[n:min(n+writePart, len(b))])
		n += written
		if err != nil || n >= len(b) {
			return n, err
		}
	}
}

// CloseWrite tells the client that nothing more comes while it may still be sending:
// what it sends to a closed connection could cost it the reply. It is net/http's call.
func (c *impatientConn) CloseWrite() error {
	if conn, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return conn.CloseWrite()
	}
	return errors.ErrUnsupported
}
