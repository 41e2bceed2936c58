package bombs

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A tidier is a process that outlives the test, however that ends: it reads from a
// pipe until nobody holds its other end any more, and then undoes what the kernel
// keeps of a process that was killed. No signal ends it but SIGKILL.
type tidier struct {
	process *exec.Cmd
	alive   io.Closer
	refused bytes.Buffer
}

// tidierArgument is how a process knows that it is a tidier. What the group is to be
// put back to, "" for nothing, and a directory to remove, "" for none, follow.
const tidierArgument = "interlock-bombs-tidier"

const (
	autogroup = "/proc/self/autogroup" // of a session; reads as /autogroup-12 nice 0
	// tidyPatience is how long a directory may be written to still: a server whose
	// test is gone ends by itself.
	tidyPatience = 10 * time.Second
)

func tidyLater(group, dir string) (*tidier, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	d := &tidier{process: exec.Command(self, tidierArgument, group, dir)}
	d.process.Stderr = &d.refused
	if d.alive, err = d.process.StdinPipe(); err != nil {
		return nil, err
	}
	ready, err := d.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := d.process.Start(); err != nil {
		return nil, err
	}
	_, err = ready.Read(make([]byte, 1)) // signals do not end it any more
	return d, err
}

// now has it do its work.
func (d *tidier) now() error {
	d.alive.Close()
	if err := d.process.Wait(); err != nil {
		return fmt.Errorf("left behind: %w: %s", err, d.refused.String())
	}
	return nil
}

// tidy is main in a tidier.
func tidy(args []string, stdin io.Reader, stdout io.Writer) error {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	_, err := fmt.Fprintln(stdout)
	_, _ = io.Copy(io.Discard, stdin)
	if group := args[0]; group != "" {
		err = os.WriteFile(autogroup, []byte(group), 0)
	}
	if dir := args[1]; dir != "" {
		for deadline := time.Now().Add(tidyPatience); os.RemoveAll(dir) != nil && time.Now().Before(deadline); {
			time.Sleep(10 * time.Millisecond)
		}
		if _, there := os.Stat(dir); there == nil {
			return fmt.Errorf("%s is still there", dir)
		}
	}
	return err
}

// groupNice is the niceness of this session, "" where the kernel shares out
// processors without regard to sessions.
func groupNice() string {
	text, err := os.ReadFile(autogroup)
	_, nice, found := strings.Cut(strings.TrimSpace(string(text)), " nice ")
	if err != nil || !found {
		return ""
	}
	return nice
}

// TestATidierOutlivesSignals has one get what ends a test, and nothing be removed until
// the test is over.
func TestATidierOutlivesSignals(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "left")
	if err := os.MkdirAll(filepath.Join(dir, "deep"), 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := tidyLater("", dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		if err := d.process.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
	if err := d.now(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the directory is there: %v", err)
	}
}
