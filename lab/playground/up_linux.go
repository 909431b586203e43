package playground

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluicehq/sluice/lab/aws"
	"github.com/sluicehq/sluice/lab/process"
)

// ErrPlace says that this machine or user cannot have a lab.
var ErrPlace = errors.New(`Sluice's lab needs Linux and root: run "sudo make up", or on other machines bring a cluster of your own (kind, k3d, minikube, EKS): see docs/other-clusters.md`)

// Up brings the lab up, or what is missing of it, and says how to use it.
func Up(ctx context.Context, w io.Writer, o Options) error {
	if os.Geteuid() != 0 {
		return ErrPlace
	}
	return locked(ctx, w, o, func() error { return up(ctx, w, o) })
}

func up(ctx context.Context, w io.Writer, o Options) error {
	if len(o.Dir) > maxDir {
		return fmt.Errorf("the state directory %s is too long a path for unix sockets below it (at most %d characters): choose another with --dir", o.Dir, maxDir)
	}
	old, found, err := open(o.Dir, o.Root)
	if err != nil {
		return err
	}
	settled, err := settle(o, old, found)
	if err != nil {
		return err
	}
	l, err := newLab(o.Dir, o.Root, settled)
	if err != nil {
		return err
	}
	if err := l.programs(); err != nil {
		return err
	}
	if err := l.plan.Conflict(l.dir); err != nil {
		return err
	}
	p := newProgress(w)
	if found {
		p.line("Sluice's lab: starting what does not run (state in %s)", l.dir)
	} else {
		p.line("Sluice's lab: Kubernetes 1.36 with %d nodes in %s (state in %s)", l.Nodes, l.plan.CIDR, l.dir)
	}
	if err := install(p); err != nil {
		return err
	}
	if !found {
		if err := l.first(ctx, p); err != nil {
			return err
		}
	}
	if err := l.save(); err != nil {
		return err
	}
	if err := l.start(ctx, p, o); err != nil {
		return err
	}
	p.line("Ready after %.0f s.\n", time.Since(p.began).Seconds())
	return l.summary(ctx, w)
}

// programs checks that the other programs of the repository are built.
func (l *lab) programs() error {
	image := filepath.Join(filepath.Dir(self()), "lab-image")
	if !exists(image) {
		return fmt.Errorf("%s is missing: run \"make build\" (it is built from lab/programs)", image)
	}
	if len(l.localAWS())+len(l.controller()) > 0 {
		if _, err := exec.LookPath(l.Sluice); err != nil {
			return fmt.Errorf("%s is missing: run \"make build\", or name the binary with --sluice PATH", l.Sluice)
		}
	}
	return nil
}

// first decides what stays the same for the life of the lab.
func (l *lab) first(ctx context.Context, p *progress) error {
	var err error
	if l.Ports, err = choosePorts(); err != nil {
		return err
	}
	if l.AWSEndpoint == "" {
		l.Inventory = aws.NewInventory(l.plan, l.Nodes)
		return nil
	}
	return p.step("VPC and instances at "+l.AWSEndpoint, func() error {
		l.Inventory, err = aws.Create(ctx, l.endpoint(), l.plan, l.nodes)
		return err
	})
}

// start runs the whole way from nothing to samples that answer.
func (l lab) start(ctx context.Context, p *progress, o Options) error {
	err := p.step("network", func() error {
		if err := l.plan.Up(l.dir, l.nodes); err != nil {
			return err
		}
		return l.write()
	})
	if err != nil {
		return err
	}
	var a *api
	control := func() error {
		return p.step("control plane", func() (err error) { a, err = l.controlPlane(ctx); return err })
	}
	if err := together(control, func() error { return l.startAWS(ctx, p) }); err != nil {
		return err
	}
	nodes := func() error { return p.step("nodes", func() error { return l.startNodes(ctx, a) }) }
	config := func() error { return l.startController(ctx, p, a) }
	if err := together(nodes, config); err != nil {
		return err
	}
	if err := l.linkKubectl(); err != nil {
		return err
	}
	if o.Examples && l.Controller != "none" {
		return l.examples(ctx, p, a)
	}
	return nil
}

// startAll starts parts that do not run.
func (l lab) startAll(parts ...process.Part) error {
	for _, part := range parts {
		if _, err := l.parts.Start(part); err != nil {
			return err
		}
	}
	return nil
}

// failure says why waiting for a part was in vain: its last words.
func (l lab) failure(part string, err error) error {
	what := "does not get ready"
	if _, running := l.parts.Find(part); !running {
		what = "ended"
	}
	return fmt.Errorf("%s %s (%w); the end of its log, %s:\n%s", part, what, err, l.parts.LogPath(part), tail(l.parts.LogPath(part), 5))
}

// tail is the last lines of a file, indented.
func tail(path string, lines int) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "    " + err.Error()
	}
	all := strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
	return "    " + strings.Join(all[max(0, len(all)-lines):], "\n    ")
}

// await calls ready until it succeeds, the part ends, or the time is up.
func (l lab) await(ctx context.Context, part string, limit time.Duration, ready func(context.Context) error) error {
	err := until(ctx, limit, 100*time.Millisecond, func() (error, bool) {
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		if err := ready(try); err != nil {
			_, running := l.parts.Find(part)
			return err, running
		}
		return nil, false
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		return l.failure(part, err)
	}
	return err
}

func (l lab) startAWS(ctx context.Context, p *progress) error {
	return p.step("AWS at "+l.endpoint().URL, func() error {
		if err := l.startAll(l.localAWS()...); err != nil {
			return err
		}
		ready := func(ctx context.Context) error { return aws.Ready(ctx, l.endpoint()) }
		if l.AWSEndpoint != "" {
			return ready(ctx)
		}
		return l.await(ctx, "aws", 30*time.Second, ready)
	})
}

// controlPlane starts etcd and the API server, and when that answers the rest.
func (l lab) controlPlane(ctx context.Context) (*api, error) {
	if err := l.startAll(l.etcd(), l.apiserver()); err != nil {
		return nil, err
	}
	// Runtimes need no API server and use the time that it takes.
	for _, n := range l.nodes {
		if err := l.startAll(l.runtime(n)); err != nil {
			return nil, err
		}
	}
	a, err := l.api()
	if err != nil {
		return nil, err
	}
	err = l.await(ctx, "apiserver", 2*time.Minute, func(ctx context.Context) error {
		return a.client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
	if err != nil {
		if _, running := l.parts.Find("etcd"); !running {
			return nil, l.failure("etcd", err)
		}
		return nil, err
	}
	return a, l.startAll(l.controllerManager(), l.scheduler())
}

// startNodes starts kubelets and proxies and waits until every node is ready.
func (l lab) startNodes(ctx context.Context, a *api) error {
	objects, err := decode([]byte(l.cluster.DNSManifest()))
	if err != nil {
		return err
	}
	for _, n := range l.nodes {
		if err := l.startAll(l.kubelet(n), l.proxy(n)); err != nil {
			return err
		}
	}
	if err := a.apply(ctx, objects); err != nil {
		return err
	}
	if err := l.startAll(l.dns()); err != nil {
		return err
	}
	for _, n := range l.nodes {
		err := l.await(ctx, "kubelet-"+n.Short, time.Minute, func(ctx context.Context) error {
			node, err := a.client.CoreV1().Nodes().Get(ctx, n.Name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if !ready(node) {
				return fmt.Errorf("node %s is not ready", n.Name)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ready says that pods can be scheduled: the node says so and its taint is gone.
func ready(node *corev1.Node) bool {
	for _, taint := range node.Spec.Taints {
		if taint.Key == corev1.TaintNodeNotReady {
			return false
		}
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// startController applies the repository's manifests and starts the controller
// with the rights that they give it.
func (l lab) startController(ctx context.Context, p *progress, a *api) error {
	parts := l.controller()
	if len(parts) == 0 {
		// Another controller will be tried; ours must not be in its way.
		return l.parts.Stop("controller", 10*time.Second)
	}
	return p.step("controller", func() error {
		objects, err := manifests(filepath.Join(l.root, "config"), true)
		if err != nil {
			return err
		}
		// The controller runs as a process of the lab: as a pod it could not reach local AWS, which is on loopback.
		objects = slices.DeleteFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetKind() == "Deployment" })
		if err := a.apply(ctx, objects); err != nil {
			return err
		}
		if _, running := l.parts.Find("controller"); !running {
			if err := l.writeControllerKubeconfig(ctx, a); err != nil {
				return err
			}
		}
		if err := l.startAll(parts...); err != nil {
			return err
		}
		return l.awaitController(ctx)
	})
}

func (l lab) awaitController(ctx context.Context) error {
	return l.await(ctx, "controller", 30*time.Second, func(ctx context.Context) error {
		return get(ctx, fmt.Sprintf("http://127.0.0.1:%d/readyz", l.Ports.Health), "")
	})
}

// linkKubectl makes this binary kubectl where the machine has none.
func (l lab) linkKubectl() error {
	link := filepath.Join(filepath.Dir(self()), "kubectl")
	if _, err := exec.LookPath("kubectl"); err == nil || exists(link) {
		return nil
	}
	return os.Symlink(filepath.Base(self()), link)
}

// Restart ends a part and starts it again. The controller is killed outright,
// for that is the case worth trying.
func Restart(ctx context.Context, w io.Writer, o Options, name string) error {
	if os.Geteuid() != 0 {
		return ErrPlace
	}
	return locked(ctx, w, o, func() error { return restart(ctx, w, o, name) })
}

func restart(ctx context.Context, w io.Writer, o Options, name string) error {
	l, part, err := find(o, name)
	if err != nil {
		return err
	}
	return newProgress(w).step("restart "+name, func() error {
		grace := 10 * time.Second
		if name == "controller" {
			grace = 0
		}
		if err := l.parts.Stop(name, grace); err != nil {
			return err
		}
		if err := l.startAll(part); err != nil || name != "controller" {
			return err
		}
		return l.awaitController(ctx)
	})
}

// find is the part of that name in the lab that is up.
func find(o Options, name string) (lab, process.Part, error) {
	l, found, err := open(o.Dir, o.Root)
	if err != nil {
		return l, process.Part{}, err
	}
	if !found {
		return l, process.Part{}, errors.New("no lab is up: run \"make up\" (or \"lab up\") first")
	}
	var names []string
	for _, part := range l.all() {
		if part.Name == name {
			return l, part, nil
		}
		names = append(names, part.Name)
	}
	return l, process.Part{}, fmt.Errorf("the lab has no part %q; it has %s", name, strings.Join(names, ", "))
}

// Logs prints a part's log.
func Logs(w io.Writer, o Options, name string) error {
	l, part, err := find(o, name)
	if err != nil {
		return err
	}
	file, err := os.Open(l.parts.LogPath(part.Name))
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(w, file)
	return err
}
