// Package node runs the real kubelet of Kubernetes over the lab's runtime.
//
// All of the kubelet that decides anything is its own: pod workers, probes,
// readiness gates, hooks, restarts, volumes, logs, status, leases, eviction
// code. What is exchanged is what looks at or changes the machine: no cgroups
// (the container manager is the kubelet's own stub), machine figures of an
// m5.large instead of cAdvisor's, no writes outside of the node's directory.
package node

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	genericapiserver "k8s.io/apiserver/pkg/server"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"
	"k8s.io/kubernetes/cmd/kubelet/app"
	"k8s.io/kubernetes/cmd/kubelet/app/options"
	"k8s.io/kubernetes/pkg/kubelet"
	"k8s.io/kubernetes/pkg/kubelet/cm"
	"k8s.io/kubernetes/pkg/util/oom"

	"github.com/sluicehq/sluice/lab/cluster"
)

// Run is the kubelet described by the file, until it is told to end.
func Run(path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var k kubeletProcess
	if err := json.Unmarshal(raw, &k); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	server, err := k.server()
	if err != nil {
		return err
	}
	logs.InitLogs()
	defer logs.FlushLogs()
	if err := logsapi.ValidateAndApply(&server.Logging, utilfeature.DefaultFeatureGate); err != nil {
		return err
	}
	ctx := genericapiserver.SetupSignalContext()
	deps, err := k.dependencies(ctx, server)
	if err != nil {
		return err
	}
	return app.Run(ctx, server, deps, utilfeature.DefaultFeatureGate)
}

// kubeletProcess is a description with what follows from it.
type kubeletProcess struct{ cluster.Kubelet }

func (k kubeletProcess) server() (*options.KubeletServer, error) {
	flags := options.NewKubeletFlags()
	flags.RootDirectory = filepath.Join(k.Dir, "kubelet")
	flags.CertDirectory = filepath.Join(k.Dir, "kubelet", "pki")
	flags.KubeConfig = k.Kubeconfig
	flags.HostnameOverride = k.Name
	flags.NodeIP = k.IP
	flags.NodeLabels = k.Labels

	c, err := options.NewKubeletConfiguration()
	if err != nil {
		return nil, err
	}
	c.ContainerRuntimeEndpoint = "unix://" + k.Socket
	c.ProviderID = k.ProviderID
	c.Address, c.Port, c.ReadOnlyPort = k.IP, 10250, 0
	c.HealthzBindAddress, c.HealthzPort = "127.0.0.1", 10248
	c.TLSCertFile, c.TLSPrivateKeyFile = k.Cert, k.Key
	c.Authentication.X509.ClientCAFile = k.ClientCA
	c.MaxPods = k.MaxPods
	c.ClusterDNS, c.ClusterDomain = k.DNS, "cluster.local"
	c.ResolverConfig = "" // names outside of the cluster are not resolved
	c.PodLogsDir = filepath.Join(k.Dir, "pods")
	c.VolumePluginDir = filepath.Join(k.Dir, "kubelet", "volume-plugins")
	// Without cgroups there is nothing to arrange or to enforce.
	c.CgroupsPerQOS, c.CgroupRoot, c.KubeletCgroups, c.EnforceNodeAllocatable = false, "", "", nil
	c.FailCgroupV1, c.FailSwapOn = false, false
	c.ProtectKernelDefaults, c.MakeIPTablesUtilChains = false, false
	c.EnableControllerAttachDetach = false
	// The machine's disk is not the node's: its being full is the user's
	// affair and not a reason to evict samples or delete images.
	c.EvictionHard = map[string]string{}
	c.ImageGCHighThresholdPercent = 100
	c.LocalStorageCapacityIsolation = true
	c.SerializeImagePulls = false
	// Nodes are told of as dead after 20 s (see cluster.ControllerManager).
	c.NodeStatusUpdateFrequency = metav1.Duration{Duration: 4e9}
	c.NodeLeaseDurationSeconds = 20
	c.SyncFrequency = metav1.Duration{Duration: 10e9}
	c.RegistryPullQPS = 0
	c.EventRecordQPS, c.EventBurst = 50, 200
	c.KubeAPIQPS, c.KubeAPIBurst = 100, 200
	return &options.KubeletServer{KubeletFlags: *flags, KubeletConfiguration: *c}, nil
}

func (k kubeletProcess) dependencies(ctx context.Context, server *options.KubeletServer) (*kubelet.Dependencies, error) {
	deps, err := app.UnsecuredDependencies(ctx, server, utilfeature.DefaultFeatureGate)
	if err != nil {
		return nil, err
	}
	// The kubelet links containers' logs into /var/log/containers for
	// collectors of logs; those links go to the node's directory instead.
	logs := filepath.Join(k.Dir, "containers")
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return nil, err
	}
	kubelet.ContainerLogsDir = logs
	deps.OSInterface = fileSystem{logs: logs}
	deps.CAdvisorInterface = machine{name: k.Name}
	deps.ContainerManager = containers{cm.NewStubContainerManager()}
	deps.OOMAdjuster = oom.NewFakeOOMAdjuster()
	return deps, nil
}
