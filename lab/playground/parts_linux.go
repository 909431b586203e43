package playground

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/sluicehq/sluice/lab/aws"
	"github.com/sluicehq/sluice/lab/cluster"
	"github.com/sluicehq/sluice/lab/cri"
	"github.com/sluicehq/sluice/lab/network"
	"github.com/sluicehq/sluice/lab/process"
)

// self is this binary, which is all the Kubernetes programs too.
func self() string {
	path, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return path
}

// component is a part that is a personality of this binary.
func component(part, name, namespace string, args ...string) process.Part {
	return process.Part{Name: part, Namespace: namespace, Args: append([]string{self(), "internal", name}, args...)}
}

func (l lab) etcd() process.Part {
	return component("etcd", "etcd", network.Control, filepath.Join(l.dir, "etcd"))
}

func (l lab) apiserver() process.Part {
	return component("apiserver", "kube-apiserver", network.Control, l.cluster.APIServer()...)
}

func (l lab) controllerManager() process.Part {
	return component("controller-manager", "kube-controller-manager", network.Control, l.cluster.ControllerManager()...)
}

func (l lab) scheduler() process.Part {
	return component("scheduler", "kube-scheduler", network.Control, l.cluster.Scheduler()...)
}

func (l lab) dns() process.Part {
	return component("dns", "dns", network.Control, l.cluster.Admin(), l.plan.ControlPlane().String()+":53")
}

func (l lab) nodeDir(n network.Node) string { return filepath.Join(l.dir, "nodes", n.Short) }

func (l lab) runtime(n network.Node) process.Part {
	return component("runtime-"+n.Short, "runtime", n.Namespace(), filepath.Join(l.nodeDir(n), "runtime.json"))
}

func (l lab) kubelet(n network.Node) process.Part {
	return component("kubelet-"+n.Short, "kubelet", n.Namespace(), filepath.Join(l.nodeDir(n), "kubelet.json"))
}

func (l lab) proxy(n network.Node) process.Part {
	return component("proxy-"+n.Short, "kube-proxy", n.Namespace(), "--config="+l.proxyConfig(n))
}

func (l lab) proxyConfig(n network.Node) string {
	return filepath.Join(l.nodeDir(n), "proxy.json")
}

// localAWS is the service that speaks AWS' APIs; nil with another endpoint.
func (l lab) localAWS() []process.Part {
	if l.AWSEndpoint != "" {
		return nil
	}
	return []process.Part{{Name: "aws", Args: []string{l.Sluice, "local",
		fmt.Sprintf("--listen=127.0.0.1:%d", l.Ports.AWS), fmt.Sprintf("--dns=127.0.0.1:%d", l.Ports.DNS),
		"--data-dir=" + filepath.Join(l.dir, "aws"), "--seed=" + filepath.Join(l.dir, "seed.yaml")}}}
}

func (l lab) controllerKubeconfig() string { return filepath.Join(l.dir, "controller.kubeconfig") }

// controller is what the lab is for; nil with --controller=none.
func (l lab) controller() []process.Part {
	if l.Controller == "none" {
		return nil
	}
	endpoint := l.endpoint()
	controller := process.Part{Name: "controller",
		Args: []string{l.Sluice, "controller", "--kubeconfig=" + l.controllerKubeconfig(), "--cluster-name=lab",
			"--aws-region=" + network.Region, "--aws-vpc-id=" + l.Inventory.VPC,
			"--enable-leader-election=false", // there is one, and one that was killed would wait for its own lease
			fmt.Sprintf("--metrics-bind-address=127.0.0.1:%d", l.Ports.Metrics),
			fmt.Sprintf("--health-probe-bind-address=127.0.0.1:%d", l.Ports.Health)},
		Env: []string{"AWS_ENDPOINT_URL=" + endpoint.URL, "AWS_REGION=" + network.Region,
			"AWS_ACCESS_KEY_ID=" + endpoint.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + endpoint.SecretAccessKey}}
	if l.AWSEndpoint == "" { // records follow in every hosted zone that local AWS has; another AWS may have none
		controller.Args = append(controller.Args, "--source=service", "--source=ingress", "--source=crd", "--provider=aws", "--policy=sync")
	}
	return []process.Part{controller}
}

// all lists every part, in the order in which they depend on each other.
func (l lab) all() []process.Part {
	parts := append(l.localAWS(), l.etcd(), l.apiserver(), l.controllerManager(), l.scheduler(), l.dns())
	for _, n := range l.nodes {
		parts = append(parts, l.runtime(n), l.kubelet(n), l.proxy(n))
	}
	return append(parts, l.controller()...)
}

// write makes the files that parts are started with.
func (l lab) write() error {
	if err := l.cluster.Prepare(l.nodes); err != nil {
		return err
	}
	pki := l.cluster.PKI()
	for i, n := range l.nodes {
		dir := l.nodeDir(n)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		socket := filepath.Join(dir, "runtime.sock")
		runtime := cri.Config{Node: n.Short, Socket: socket, Dir: filepath.Join(dir, "runtime"), Pods: n.Pods,
			Binary: filepath.Join(filepath.Dir(self()), "lab-image")}
		if err := runtime.Write(filepath.Join(dir, "runtime.json")); err != nil {
			return err
		}
		kubelet := cluster.Kubelet{
			Name: n.Name, IP: n.IP.String(), ProviderID: l.Inventory.Instances[i].ProviderID(n.Zone.Name),
			Labels: map[string]string{
				"topology.kubernetes.io/zone": n.Zone.Name, "topology.kubernetes.io/region": network.Region,
				"failure-domain.beta.kubernetes.io/zone": n.Zone.Name, "failure-domain.beta.kubernetes.io/region": network.Region,
				"node.kubernetes.io/instance-type": aws.InstanceType, "beta.kubernetes.io/instance-type": aws.InstanceType,
				"alpha.eksctl.io/cluster-name": "lab", "alpha.eksctl.io/nodegroup-name": "standard-workers",
			},
			Dir: dir, Socket: socket, Kubeconfig: l.cluster.KubeletKubeconfig(n), ClientCA: pki.Cert("ca"),
			Cert: pki.Cert("kubelet-server-" + n.Short), Key: pki.Key("kubelet-server-" + n.Short),
			DNS: []string{l.cluster.DNSAddress()}, MaxPods: 110,
		}
		if err := kubelet.Write(filepath.Join(dir, "kubelet.json")); err != nil {
			return err
		}
		if err := l.cluster.WriteProxyConfig(n, l.proxyConfig(n)); err != nil {
			return err
		}
	}
	seed, err := aws.Seed(l.plan, l.Inventory, l.nodes)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(l.dir, "seed.yaml"), seed, 0o644)
}
