// Package cluster says what the lab's Kubernetes is made of: keys, certificates
// and kubeconfigs, and the arguments and files that its programs are started
// with. It runs nothing; packages component and node are the programs, network
// and process make what they run in.
package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/sluicehq/sluice/lab/network"
)

// ServiceCIDR is where ClusterIPs come from, as on EKS. It exists only inside
// the lab's namespaces, so it may overlap networks of the machine.
const ServiceCIDR = "10.100.0.0/16"

// Config says where a cluster lives.
type Config struct {
	// Dir is the state directory.
	Dir string
	// Address is the API server's.
	Address netip.Addr
}

// PKI is the cluster's directory of keys.
func (c Config) PKI() PKI { return PKI{Dir: filepath.Join(c.Dir, "pki")} }

// URL is the API server's.
func (c Config) URL() string { return fmt.Sprintf("https://%s:6443", c.Address) }

// Admin is the path of the administrator's kubeconfig, the one users get.
func (c Config) Admin() string { return filepath.Join(c.Dir, "kubeconfig") }

// kubeconfigPath is the path of a component's kubeconfig.
func (c Config) kubeconfigPath(name string) string {
	return filepath.Join(c.Dir, "pki", name+".kubeconfig")
}

// Prepare makes keys, certificates and kubeconfigs. It may be called again,
// and with more nodes.
func (c Config) Prepare(nodes []network.Node) error {
	pki := c.PKI()
	type step func() error
	steps := []step{
		func() error { return pki.CA("ca") },
		func() error { return pki.CA("front-proxy-ca") },
		func() error { return pki.KeyPair("service-account") },
		func() error {
			return pki.Server("apiserver", "ca", []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc",
				"kubernetes.default.svc.cluster.local", "localhost"},
				c.Address.AsSlice(), net.IPv4(10, 100, 0, 1), net.IPv4(127, 0, 0, 1))
		},
		func() error {
			return pki.Client("apiserver-kubelet-client", "ca", "kube-apiserver-kubelet-client", "system:masters")
		},
		func() error { return pki.Client("front-proxy-client", "front-proxy-ca", "front-proxy-client") },
	}
	users := map[string][]string{
		"admin":                   {"kubernetes-admin", "system:masters"},
		"kube-controller-manager": {"system:kube-controller-manager"},
		"kube-scheduler":          {"system:kube-scheduler"},
		"kube-proxy":              {"system:kube-proxy"},
	}
	for _, node := range nodes {
		users["kubelet-"+node.Short] = []string{"system:node:" + node.Name, "system:nodes"}
		steps = append(steps, func() error {
			return pki.Server("kubelet-server-"+node.Short, "ca", []string{node.Name}, node.IP.AsSlice(), net.IPv4(127, 0, 0, 1))
		})
	}
	for name, user := range users {
		steps = append(steps,
			func() error { return pki.Client(name, "ca", user[0], user[1:]...) },
			func() error { return c.Kubeconfig(c.kubeconfigPath(name), name) })
	}
	steps = append(steps, func() error { return c.Kubeconfig(c.Admin(), "admin") })
	for _, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("prepare keys: %w", err)
		}
	}
	return nil
}

// APIServer is kube-apiserver's argument list.
func (c Config) APIServer() []string {
	pki := c.PKI()
	return []string{
		"--etcd-servers=http://127.0.0.1:2379",
		"--bind-address=" + c.Address.String(),
		"--advertise-address=" + c.Address.String(),
		"--secure-port=6443",
		"--tls-cert-file=" + pki.Cert("apiserver"),
		"--tls-private-key-file=" + pki.Key("apiserver"),
		"--client-ca-file=" + pki.Cert("ca"),
		"--kubelet-client-certificate=" + pki.Cert("apiserver-kubelet-client"),
		"--kubelet-client-key=" + pki.Key("apiserver-kubelet-client"),
		"--kubelet-certificate-authority=" + pki.Cert("ca"),
		"--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + filepath.Join(pki.Dir, "service-account.pub"),
		"--service-account-signing-key-file=" + pki.Key("service-account"),
		// The controller's token must outlive the default limit of a day.
		"--service-account-max-token-expiration=8760h",
		"--requestheader-client-ca-file=" + pki.Cert("front-proxy-ca"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-username-headers=X-Remote-User",
		"--proxy-client-cert-file=" + pki.Cert("front-proxy-client"),
		"--proxy-client-key-file=" + pki.Key("front-proxy-client"),
		"--service-cluster-ip-range=" + ServiceCIDR,
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true",
		"--profiling=false",
	}
}

// ControllerManager is kube-controller-manager's argument list. Its default
// controllers are on; those for clouds left Kubernetes long ago.
func (c Config) ControllerManager() []string {
	pki := c.PKI()
	config := c.kubeconfigPath("kube-controller-manager")
	return []string{
		"--kubeconfig=" + config,
		"--authentication-kubeconfig=" + config,
		"--authorization-kubeconfig=" + config,
		"--bind-address=127.0.0.1",
		"--leader-elect=false", // there is one; a new one need not wait for the old one's lease
		"--use-service-account-credentials=true",
		"--service-account-private-key-file=" + pki.Key("service-account"),
		"--root-ca-file=" + pki.Cert("ca"),
		"--cluster-signing-cert-file=" + pki.Cert("ca"),
		"--cluster-signing-key-file=" + pki.Key("ca"),
		"--cluster-name=" + Name,
		"--allocate-node-cidrs=false",
		// It makes this directory; by default far from ours.
		"--flex-volume-plugin-dir=" + filepath.Join(c.Dir, "volume-plugins"),
		"--node-monitor-period=2s",
		"--node-monitor-grace-period=20s",
		"--profiling=false",
	}
}

// Scheduler is kube-scheduler's argument list.
func (c Config) Scheduler() []string {
	config := c.kubeconfigPath("kube-scheduler")
	return []string{
		"--kubeconfig=" + config,
		"--authentication-kubeconfig=" + config,
		"--authorization-kubeconfig=" + config,
		"--bind-address=127.0.0.1",
		"--leader-elect=false",
		"--profiling=false",
	}
}

// DNSAddress is the ClusterIP of the name server, as on EKS.
func (c Config) DNSAddress() string { return "10.100.0.10" }

// WriteProxyConfig writes a node's kube-proxy's configuration file.
func (c Config) WriteProxyConfig(node network.Node, path string) error {
	config := map[string]any{
		"apiVersion":         "kubeproxy.config.k8s.io/v1alpha1",
		"kind":               "KubeProxyConfiguration",
		"mode":               "nftables",
		"hostnameOverride":   node.Name,
		"bindAddress":        node.IP.String(),
		"clusterCIDR":        node.Pods.String(),
		"healthzBindAddress": node.IP.String() + ":10256",
		"metricsBindAddress": "127.0.0.1:10249",
		"clientConnection":   map[string]any{"kubeconfig": c.kubeconfigPath("kube-proxy")},
		// Rules follow endpoints at once: changes here are few.
		"nftables": map[string]any{"minSyncPeriod": "100ms", "syncPeriod": "30s"},
		// The machine's connection table is not a namespace's to resize.
		"conntrack": map[string]any{
			"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s",
			"udpTimeout": "0s", "udpStreamTimeout": "0s",
		},
	}
	raw, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return err
	}
	// kube-proxy ends when its file is written, even with what is in it already.
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, raw) {
		return nil
	}
	return os.WriteFile(path, raw, 0o644)
}

// KubeletKubeconfig is the path of a node's kubelet's kubeconfig.
func (c Config) KubeletKubeconfig(node network.Node) string {
	return c.kubeconfigPath("kubelet-" + node.Short)
}
