//go:build !unix

package proxy

import (
	"sync"
	"syscall"
)

// waitsForBytes says that readReady is not for use here.
const waitsForBytes = false

func readReady(syscall.RawConn, *sync.Pool) (b *[]byte, n int, err error) {
	return nil, 0, syscall.EINVAL
}

func isAddressTrouble(error) bool { return true }
