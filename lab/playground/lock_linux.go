package playground

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// locked runs f while no other command changes this repository's lab. The lock
// is on the repository's directory itself, so that no file is left behind, and
// goes with the process that holds it.
func locked(ctx context.Context, w io.Writer, o Options, f func() error) error {
	dir, err := os.Open(o.Root)
	if err != nil {
		return err
	}
	defer dir.Close()
	err = unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		fmt.Fprintln(w, "Another lab command is at work; waiting for it.")
	}
	for errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.EINTR) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
		err = unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", o.Root, err)
	}
	return f()
}
