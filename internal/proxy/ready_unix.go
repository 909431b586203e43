//go:build unix

package proxy

import (
	"errors"
	"io"
	"sync"
	"syscall"
)

// waitsForBytes says that readReady works here.
const waitsForBytes = true

// readReady waits until a connection can be read, and only then takes a buffer.
func readReady(raw syscall.RawConn, pool *sync.Pool) (b *[]byte, n int, err error) {
	waited := raw.Read(func(fd uintptr) bool {
		b = pool.Get().(*[]byte)
		for {
			n, err = syscall.Read(int(fd), *b)
			if !errors.Is(err, syscall.EINTR) {
				break
			}
		}
		if errors.Is(err, syscall.EAGAIN) {
			pool.Put(b)
			b = nil
			return false
		}
		return true
	})
	switch {
	case waited != nil:
		return b, 0, waited
	case err != nil:
		return b, 0, err
	case n == 0:
		return b, 0, io.EOF
	}
	return b, n, nil
}

// isAddressTrouble tells that an address cannot be used as ours to connect from.
func isAddressTrouble(err error) bool {
	return errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EINVAL)
}
