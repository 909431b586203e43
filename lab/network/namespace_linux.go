package network

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// namespaces is where named network namespaces are mounted, as "ip netns" has it.
const namespaces = "/run/netns"

// In runs f with the calling thread in the named network namespace; "" is the
// one the process is in. Sockets and processes that f makes belong to it. The
// thread is thrown away afterwards, so f must not start goroutines that count
// on the namespace.
func In(name string, f func() error) error {
	if name == "" {
		return f()
	}
	done := make(chan error, 1)
	go func() {
		// Never unlocked: when the goroutine ends, the thread ends with it, and
		// no other goroutine can find itself in the wrong namespace.
		runtime.LockOSThread()
		ns, err := netns.GetFromName(name)
		if err == nil {
			err = netns.Set(ns)
			ns.Close()
		}
		if err != nil {
			done <- fmt.Errorf("enter network namespace %s: %w", name, err)
			return
		}
		done <- f()
	}()
	return <-done
}

// CreateNamespace makes a named namespace with loopback up. It may be called
// again; created says whether this call made it.
func CreateNamespace(name string) (created bool, err error) {
	if _, err := os.Stat(filepath.Join(namespaces, name)); err == nil {
		if usable(name) {
			return false, nil
		}
		// A file left behind by a machine that went down: a name, no namespace.
		if err := netns.DeleteNamed(name); err != nil && os.Remove(filepath.Join(namespaces, name)) != nil {
			return false, fmt.Errorf("remove stale network namespace %s: %w", name, err)
		}
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked, see In
		ns, err := netns.NewNamed(name)
		if err == nil {
			ns.Close()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		return false, fmt.Errorf("create network namespace %s: %w", name, err)
	}
	return true, onLinks(name, func(h *netlink.Handle) error {
		lo, err := h.LinkByName("lo")
		if err != nil {
			return err
		}
		return h.LinkSetUp(lo)
	})
}

func usable(name string) bool {
	ns, err := netns.GetFromName(name)
	if err != nil {
		return false
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(ns)
	if err != nil {
		return false
	}
	h.Close()
	return true
}

// DeleteNamespace removes the name, and with the last process in it the
// namespace and its links. A name that is not there is fine.
func DeleteNamespace(name string) error {
	err := netns.DeleteNamed(name)
	if err == nil || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	// The mount may be gone already and just the file left.
	if os.Remove(filepath.Join(namespaces, name)) == nil {
		return nil
	}
	return fmt.Errorf("delete network namespace %s: %w", name, err)
}

// Namespaces lists the names that begin with prefix.
func Namespaces(prefix string) ([]string, error) {
	entries, err := os.ReadDir(namespaces)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), prefix) {
			names = append(names, entry.Name())
		}
	}
	sort.Strings(names)
	return names, nil
}

// Inode identifies a namespace in the way that /proc/PID/ns/net does.
func Inode(name string) (uint64, error) {
	return inode(filepath.Join(namespaces, name))
}

// onLinks gives f a netlink handle inside the namespace.
func onLinks(name string, f func(*netlink.Handle) error) error {
	ns, err := netns.GetFromName(name)
	if err != nil {
		return fmt.Errorf("open network namespace %s: %w", name, err)
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(ns)
	if err != nil {
		return fmt.Errorf("open network namespace %s: %w", name, err)
	}
	defer h.Close()
	return f(h)
}

// sysctl sets a network parameter of the namespace.
func sysctl(namespace, key, value string) error {
	path := filepath.Join("/proc/sys", strings.ReplaceAll(key, ".", "/"))
	return In(namespace, func() error {
		if err := os.WriteFile(path, []byte(value), 0); err != nil {
			return fmt.Errorf("set %s in %s: %w", key, namespace, err)
		}
		return nil
	})
}
