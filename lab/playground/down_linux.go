package playground

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicehq/sluice/lab/network"
	"github.com/sluicehq/sluice/lab/process"
)

// Down removes all that the lab made: processes, namespaces, links, mounts and
// files. It goes by what is there and not only by what was written down, so it
// also cleans up after a crash, and it may be called when there is nothing.
func Down(ctx context.Context, w io.Writer, o Options) error {
	if os.Geteuid() != 0 {
		return ErrPlace
	}
	return locked(ctx, w, o, func() error { return down(w, o) })
}

func down(w io.Writer, o Options) error {
	owner := network.Owner()
	if owner != "" && owner != o.Dir {
		return fmt.Errorf("the lab on this machine is another one (state in %s): use --dir %s", owner, owner)
	}
	if owner == "" && !exists(o.Dir) {
		_, err := fmt.Fprintln(w, "Sluice's lab is down.")
		return err
	}
	if err := ours(o.Dir); err != nil {
		return err
	}
	p := newProgress(w)
	// The control plane and the nodes go at once: graceful deletion of a
	// thing that is thrown away as a whole is time lost. Local AWS and the
	// controller may have something to put away.
	err := p.step("stop processes", func() error {
		parts := process.Table{Dir: o.Dir}
		var failures []error
		for _, name := range []string{"controller", "aws"} {
			failures = append(failures, parts.Stop(name, 5*time.Second))
		}
		for _, name := range parts.Names() {
			failures = append(failures, parts.Stop(name, 0))
		}
		failures = append(failures, process.KillNamespaces(network.Prefix+"-"))
		return errors.Join(failures...)
	})
	if err != nil {
		return err
	}
	if err := p.step("remove network", network.Down); err != nil {
		return err
	}
	return p.step("remove files", func() error {
		if err := unmountBelow(o.Dir); err != nil {
			return err
		}
		if err := removeKubectl(o.Root); err != nil {
			return err
		}
		return os.RemoveAll(o.Dir)
	})
}

// ours refuses to delete a directory that is not a lab's.
func ours(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) || len(entries) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	for _, mark := range []string{"lab.json", "lab.json.new", "run", "pki"} {
		if exists(filepath.Join(dir, mark)) {
			return nil
		}
	}
	return fmt.Errorf("%s does not look like a lab's state directory: not touching it", dir)
}

// unmountBelow undoes the kubelets' mounts, which are in the state directory.
func unmountBelow(dir string) error {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	defer file.Close()
	var points []string
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 4 {
			// Spaces and the like are written as octal escapes.
			point := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(fields[4])
			if strings.HasPrefix(point, dir+"/") {
				points = append(points, point)
			}
		}
	}
	sort.Sort(sort.Reverse(sort.StringSlice(points))) // inner ones first
	for _, point := range points {
		if err := unix.Unmount(point, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("unmount %s: %w", point, err)
		}
	}
	return nil
}

// removeKubectl removes the link that "up" made.
func removeKubectl(root string) error {
	link := filepath.Join(root, "bin", "kubectl")
	if target, _ := os.Readlink(link); target == filepath.Base(self()) {
		return os.Remove(link)
	}
	return nil
}

// Status prints which parts run.
func Status(w io.Writer, o Options) error {
	l, found, err := open(o.Dir, o.Root)
	if err != nil {
		return err
	}
	if !found {
		_, err := fmt.Fprintln(w, "Sluice's lab is down.")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "PART\tSTATE\tPID\tADDRESS")
	for _, part := range l.all() {
		id, running := l.parts.Find(part.Name)
		if running {
			fmt.Fprintf(table, "%s\trunning\t%d\t%s\n", part.Name, id.PID, l.address(part))
		} else {
			fmt.Fprintf(table, "%s\tstopped\t-\t%s\n", part.Name, l.address(part))
		}
	}
	return table.Flush()
}

// address is where a part can be reached.
func (l lab) address(part process.Part) string {
	switch {
	case part.Name == "aws":
		return fmt.Sprintf("%s, names at %s", l.endpoint().URL, l.dnsServer())
	case part.Name == "controller":
		return fmt.Sprintf("metrics http://127.0.0.1:%d, health http://127.0.0.1:%d", l.Ports.Metrics, l.Ports.Health)
	case part.Name == "apiserver":
		return l.cluster.URL()
	case part.Namespace == network.Control:
		return l.plan.ControlPlane().String()
	}
	for _, n := range l.nodes {
		if part.Namespace == n.Namespace() {
			return fmt.Sprintf("%s %s (%s)", n.IP, n.Name, n.Zone.Name)
		}
	}
	return ""
}
