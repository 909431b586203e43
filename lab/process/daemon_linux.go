// Package process keeps the lab's long-running parts: it starts them detached
// from the terminal, each with a log and a record of which process it is, finds
// them again from another invocation, and stops them.
//
// A record names a process by its number, its start time and the machine's
// boot, because numbers are used again. A part that died is simply not running;
// nothing restarts it behind the user's back.
package process

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicehq/sluice/lab/network"
)

// ID identifies one process for as long as the machine exists.
type ID struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks after boot
	Boot  string `json:"boot"`
}

// Identify returns the ID of a running process.
func Identify(pid int) (ID, error) {
	start, _, err := stat(pid)
	if err != nil {
		return ID{}, err
	}
	return ID{PID: pid, Start: start, Boot: bootID()}, nil
}

// Alive says whether that very process still runs. A process that has ended
// but was not waited for does not.
func (id ID) Alive() bool {
	if id.PID <= 0 || id.Boot != bootID() {
		return false
	}
	start, state, err := stat(id.PID)
	return err == nil && start == id.Start && state != "Z" && state != "X"
}

// Signal signals the process if it still is that one.
func (id ID) Signal(sig syscall.Signal) error {
	// The descriptor pins the process: between the check and the signal the
	// number cannot pass to another.
	fd, err := unix.PidfdOpen(id.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open process %d: %w", id.PID, err)
	}
	defer unix.Close(fd)
	if !id.Alive() {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signal process %d: %w", id.PID, err)
	}
	return nil
}

// Wait waits until the process is gone and reports whether it is.
func (id ID) Wait(limit time.Duration) bool {
	for deadline := time.Now().Add(limit); ; {
		if !id.Alive() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(20 * time.Millisecond) // nothing signals the end of another's child
	}
}

// stat reads start time and state from /proc/PID/stat.
func stat(pid int) (start uint64, state string, err error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, "", err
	}
	// The second field is the program's name in parentheses and may hold
	// anything, so count from the last parenthesis.
	fields := bytes.Fields(raw[bytes.LastIndexByte(raw, ')')+1:])
	if len(fields) < 20 {
		return 0, "", fmt.Errorf("/proc/%d/stat: %d fields", pid, len(fields))
	}
	start, err = strconv.ParseUint(string(fields[19]), 10, 64)
	return start, string(fields[0]), err
}

func bootID() string {
	raw, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(raw))
}

// Part is one long-running process of the lab.
type Part struct {
	Name string
	Args []string // Args[0] is the path of the program
	Env  []string // in addition to PATH, HOME and TMPDIR
	// Namespace is the network namespace it runs in; "" is root's.
	Namespace string
}

// Table keeps parts under a state directory: run/NAME.json, logs/NAME.log.
type Table struct{ Dir string }

// LogPath is where a part's output goes.
func (t Table) LogPath(name string) string { return filepath.Join(t.Dir, "logs", name+".log") }

func (t Table) record(name string) string { return filepath.Join(t.Dir, "run", name+".json") }

// Find returns the ID of a part and whether it runs.
func (t Table) Find(name string) (ID, bool) {
	raw, err := os.ReadFile(t.record(name))
	if err != nil {
		return ID{}, false
	}
	var id ID
	if json.Unmarshal(raw, &id) != nil {
		return ID{}, false
	}
	return id, id.Alive()
}

// Start starts a part unless it runs already, and says whether it did.
func (t Table) Start(part Part) (bool, error) {
	if _, running := t.Find(part.Name); running {
		return false, nil
	}
	temp := filepath.Join(t.Dir, "tmp")
	for _, dir := range []string{filepath.Join(t.Dir, "run"), filepath.Join(t.Dir, "logs"), temp} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return false, err
		}
	}
	log, err := os.OpenFile(t.LogPath(part.Name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return false, err
	}
	defer log.Close()
	cmd := exec.Command(part.Args[0], part.Args[1:]...)
	// Not the caller's environment: a proxy or a token in it is none of the
	// cluster's business, and the lab must come up the same from any shell.
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.Dir, "TMPDIR=" + temp}, part.Env...)
	cmd.Dir = t.Dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := network.In(part.Namespace, cmd.Start); err != nil {
		return false, fmt.Errorf("start %s: %w", part.Name, err)
	}
	id, err := Identify(cmd.Process.Pid)
	if err != nil {
		return false, fmt.Errorf("start %s: it ended at once, see %s", part.Name, t.LogPath(part.Name))
	}
	go func() { _ = cmd.Wait() }() // reaps it should it die while we live
	return true, t.Record(part.Name, id)
}

// Record notes that a part is the given process.
func (t Table) Record(name string, id ID) error {
	if err := os.MkdirAll(filepath.Join(t.Dir, "run"), 0o755); err != nil {
		return err
	}
	raw, err := json.Marshal(id)
	if err != nil {
		return err
	}
	return os.WriteFile(t.record(name), raw, 0o644)
}

// Forget removes the record of a part that has ended.
func (t Table) Forget(name string) error {
	if err := os.Remove(t.record(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// Stop ends a part: SIGTERM, and SIGKILL after the grace period; no grace
// means SIGKILL at once. A part that does not run is fine.
func (t Table) Stop(name string, grace time.Duration) error {
	id, running := t.Find(name)
	if running && grace > 0 {
		if err := id.Signal(syscall.SIGTERM); err != nil {
			return err
		}
		running = !id.Wait(grace)
	}
	if running {
		if err := id.Signal(syscall.SIGKILL); err != nil {
			return err
		}
		if !id.Wait(10 * time.Second) {
			return fmt.Errorf("%s (process %d) does not end", name, id.PID)
		}
	}
	return t.Forget(name)
}

// Names lists the parts that were started and not stopped.
func (t Table) Names() []string {
	entries, _ := os.ReadDir(filepath.Join(t.Dir, "run"))
	var names []string
	for _, entry := range entries {
		if name, ok := strings.CutSuffix(entry.Name(), ".json"); ok {
			names = append(names, name)
		}
	}
	return names
}

// KillNamespaces kills every process in the network namespaces whose names
// begin with prefix, whoever started them. It is how pods' programs are found
// after their runtime was killed.
func KillNamespaces(prefix string) error {
	names, err := network.Namespaces(prefix)
	if err != nil {
		return err
	}
	ours := map[string]bool{}
	for _, name := range names {
		if inode, err := network.Inode(name); err == nil {
			ours[fmt.Sprintf("net:[%d]", inode)] = true
		}
	}
	if self, err := os.Readlink("/proc/self/ns/net"); err == nil {
		delete(ours, self) // a stale name may be an ordinary file on another file system
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		var left []ID
		entries, err := os.ReadDir("/proc")
		if err != nil {
			return err
		}
		for _, entry := range entries {
			pid, err := strconv.Atoi(entry.Name())
			if err != nil {
				continue
			}
			if ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid)); err != nil || !ours[ns] {
				continue
			}
			if id, err := Identify(pid); err == nil && id.Alive() {
				left = append(left, id)
			}
		}
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d in the lab's network namespaces does not end", left[0].PID)
		}
		for _, id := range left {
			if err := id.Signal(syscall.SIGKILL); err != nil {
				return err
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
}
