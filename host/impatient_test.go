package host

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// quickly runs a server that gives its clients a moment to take what is written,
// and returns its address and a channel that gets each connection's end.
func quickly(t *testing.T) (address string, ended chan struct{}) {
	t.Helper()
	c := testConfig(t)
	c.Policies = false
	s, err := New(context.Background(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.listener.(*impatient).writeTime = 50 * time.Millisecond
	ended = make(chan struct{}, 100)
	s.http.ConnState = func(conn net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew: // so that little is under way
			_ = conn.(*impatientConn).Conn.(*net.TCPConn).SetWriteBuffer(4 << 10)
		case http.StateClosed:
			ended <- struct{}{}
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	return s.Addr(), ended
}

const patience = 2 * time.Minute

// TestAClientThatReadsNoReplyIsCutOff sends requests and takes no answer, whether
// they have a body or not, until the server gives up on it.
func TestAClientThatReadsNoReplyIsCutOff(t *testing.T) {
	address, ended := quickly(t)
	for _, request := range []string{
		"GET /api/admin/settings HTTP/1.1\r\nHost: x\r\n\r\n",
		"DELETE /api/flows/8a3e6f5c-1111-4000-8000-000000000001 HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
			t.Fatal(err)
		}
		go func() { // until the server closes
			many := strings.Repeat(request, 1000)
			for {
				if _, err := io.WriteString(conn, many); err != nil {
					return
				}
			}
		}()
		select {
		case <-ended:
		case <-time.After(patience):
			t.Fatalf("%.20s: the server still waits for a client that does not read", request)
		}
	}
}

// A client that reads may take as long as it likes for all of a reply, and for what
// comes after a deadline has passed.
func TestAnImpatientConnectionWritesInParts(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	wire := &counted{Conn: ours}
	if err := ours.SetWriteDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("x", 10*writePart+1)
	go func() {
		defer ours.Close()
		if n, err := (&impatientConn{wire, patience}).Write([]byte(text)); n != len(text) || err != nil {
			t.Errorf("wrote %d, %v", n, err)
		}
	}()
	got, err := io.ReadAll(bufio.NewReader(theirs))
	if err != nil || string(got) != text {
		t.Errorf("%d bytes arrived, %v", len(got), err)
	}
	if wire.deadlines != 11 || wire.largest != writePart {
		t.Errorf("%d deadlines, parts of %d", wire.deadlines, wire.largest)
	}
	silent, other := net.Pipe()
	defer other.Close()
	n, err := (&impatientConn{silent, time.Millisecond}).Write([]byte(text))
	if n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a client that does not read: %d, %v", n, err)
	}
}

// net/http ends a connection on which the client still sends by saying so first.
func TestAnImpatientConnectionIsClosedByHalves(t *testing.T) {
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	theirs, err := net.Dial("tcp", plain.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	ours, err := (&impatient{plain, patience}).Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	half, ok := ours.(interface{ CloseWrite() error })
	if !ok {
		t.Fatal("it can only be closed at once")
	}
	if _, err := io.WriteString(ours, "reply"); err != nil {
		t.Fatal(err)
	}
	if err := half.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(theirs); err != nil || string(got) != "reply" {
		t.Errorf("the client got %q, %v", got, err)
	}
	if _, err := io.WriteString(theirs, "more"); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(ours, make([]byte, len("more"))); err != nil {
		t.Errorf("what the client sends afterwards: %v", err)
	}
}

type counted struct {
	net.Conn
	deadlines, largest int
}

func (c *counted) SetWriteDeadline(at time.Time) error {
	c.deadlines++
	return c.Conn.SetWriteDeadline(at)
}

func (c *counted) Write(b []byte) (int, error) {
	c.largest = max(c.largest, len(b))
	return c.Conn.Write(b)
}
