//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sluicehq/sluice/lab/cri/spec"
)

// runInit makes the process it is into a container and becomes the pod's
// program. It never returns on success. The runtime created the namespaces in
// the clone that made this process, so this is PID 1 of the container.
func runInit() int {
	report := os.NewFile(spec.ErrorFD, "error")
	unix.CloseOnExec(spec.ErrorFD)
	err := becomeContainer()
	fmt.Fprint(report, err)
	return 127
}

func becomeContainer() error {
	in := os.NewFile(spec.SpecFD, "spec")
	var c spec.Container
	if err := json.NewDecoder(in).Decode(&c); err != nil {
		return fmt.Errorf("read the container's description: %w", err)
	}
	in.Close()
	if c.Hostname != "" {
		if err := unix.Sethostname([]byte(c.Hostname)); err != nil {
			return fmt.Errorf("set the host name: %w", err)
		}
	}
	if err := buildRoot(c); err != nil {
		return err
	}
	if err := enterRoot(c); err != nil {
		return err
	}
	if err := dropTo(c); err != nil {
		return err
	}
	os.Clearenv()
	for _, variable := range c.Env {
		name, value, _ := strings.Cut(variable, "=")
		os.Setenv(name, value)
	}
	path, err := exec.LookPath(c.Args[0])
	if err != nil {
		return err
	}
	return fmt.Errorf("exec %s: %w", path, syscall.Exec(path, c.Args, c.Env))
}

// buildRoot makes a root file system at c.Root: a memory file system with our
// one binary, the usual pseudo files, and the pod's volumes. It is visible in
// this mount namespace only and disappears with the last process in it.
func buildRoot(c spec.Container) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", c.Root, "tmpfs", unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mount the root: %w", err)
	}
	for _, dir := range []string{"bin", "dev", "etc", "proc", "root", "run", "tmp", "usr", "var"} {
		if err := os.MkdirAll(filepath.Join(c.Root, dir), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(filepath.Join(c.Root, "tmp"), 0o1777); err != nil {
		return err
	}
	if err := bind(c.Root, spec.Mount{Source: c.Binary, Target: "/bin/lab-image", ReadOnly: true}); err != nil {
		return err
	}
	for _, name := range c.Programs {
		if err := os.Symlink("lab-image", filepath.Join(c.Root, "bin", name)); err != nil {
			return err
		}
	}
	if err := unix.Mount("proc", filepath.Join(c.Root, "proc"), "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	for _, device := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		if err := bind(c.Root, spec.Mount{Source: "/dev/" + device, Target: "/dev/" + device}); err != nil {
			return err
		}
	}
	for link, target := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(target, filepath.Join(c.Root, "dev", link)); err != nil {
			return err
		}
	}
	for name, content := range map[string]string{
		"hostname": c.Hostname + "\n", "resolv.conf": c.ResolvConf,
		"passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
	} {
		if err := os.WriteFile(filepath.Join(c.Root, "etc", name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	for _, mount := range c.Mounts {
		if err := bind(c.Root, mount); err != nil {
			return err
		}
	}
	return nil
}

// bind mounts a host path into the root that is being built.
func bind(root string, m spec.Mount) error {
	target := filepath.Join(root, m.Target)
	info, err := os.Stat(m.Source)
	if err != nil {
		return fmt.Errorf("mount %s: %w", m.Target, err)
	}
	if info.IsDir() {
		err = os.MkdirAll(target, 0o755)
	} else if err = os.MkdirAll(filepath.Dir(target), 0o755); err == nil {
		var file *os.File
		if file, err = os.OpenFile(target, os.O_CREATE|os.O_WRONLY, 0o644); err == nil {
			file.Close()
		}
	}
	if err != nil {
		return fmt.Errorf("mount %s: %w", m.Target, err)
	}
	if err := unix.Mount(m.Source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mount %s on %s: %w", m.Source, m.Target, err)
	}
	if m.ReadOnly {
		// MOUNT_ATTR_RDONLY and not a remount: it keeps the flags of the mount
		// it came from without our having to name them.
		attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
		if err := unix.MountSetattr(unix.AT_FDCWD, target, unix.AT_RECURSIVE, &attr); err != nil {
			return fmt.Errorf("make %s read-only: %w", m.Target, err)
		}
	}
	return nil
}

// enterRoot swaps the host's root for the container's and lets the host's go.
func enterRoot(c spec.Container) error {
	if err := os.Chdir(c.Root); err != nil {
		return err
	}
	// With both arguments "." the old root is stacked over the new one, and
	// unmounting "." uncovers it: no directory for the old root is needed.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("enter the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the host's root: %w", err)
	}
	if c.ReadOnly {
		attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
		if err := unix.MountSetattr(unix.AT_FDCWD, "/", 0, &attr); err != nil {
			return fmt.Errorf("make the root read-only: %w", err)
		}
	}
	dir := c.Dir
	if dir == "" {
		dir = "/"
	}
	if !c.ReadOnly {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return os.Chdir(dir)
}

// dropTo gives up root if the pod asks for another user.
func dropTo(c spec.Container) error {
	if len(c.Groups) > 0 || c.UID != 0 || c.GID != 0 {
		if err := syscall.Setgroups(c.Groups); err != nil {
			return fmt.Errorf("set groups: %w", err)
		}
	}
	if c.GID != 0 {
		if err := syscall.Setgid(c.GID); err != nil {
			return fmt.Errorf("set group: %w", err)
		}
	}
	if c.UID != 0 {
		if err := syscall.Setuid(c.UID); err != nil {
			return fmt.Errorf("set user: %w", err)
		}
	}
	return nil
}
