//go:build unix

package store

import (
	"errors"
	"os"
	"syscall"

	"github.com/interlock-run/interlock/host/prefect"
)

// lockFile takes an advisory lock on name, which ends with the process: two
// servers on one SQLite file would each believe to be its only writer.
func lockFile(name string) (unlock func() error, err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, prefect.Errorf(prefect.Unavailable, "the database's directory cannot be written: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, prefect.Errorf(prefect.Conflict, "another interlock serves this database")
		}
		return nil, prefect.Errorf(prefect.Unavailable, "the database cannot be locked: %w", err)
	}
	return f.Close, nil
}
