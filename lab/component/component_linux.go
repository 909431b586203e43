// Package component is Kubernetes' programs, etcd, kubectl and a small name
// server as functions, for the one binary that is all of them. It is apart from
// package cluster, which says how they are started, so that only what runs them
// links them.
package component

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"

	// What the components' own main packages import for effect.
	_ "k8s.io/client-go/plugin/pkg/client/auth"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"

	"github.com/sluicehq/sluice/lab/cluster"
)

// Run runs one of Kubernetes' programs, or etcd, in this process until
// it ends, and returns its exit code.
func Run(name string, args []string) int {
	var command *cobra.Command
	switch name {
	case "etcd":
		if err := etcd(args[0]); err != nil {
			fmt.Fprintln(os.Stderr, "etcd:", err)
			return 1
		}
		return 0
	case "kube-apiserver":
		command = apiserver.NewAPIServerCommand()
	case "kube-controller-manager":
		command = controllermanager.NewControllerManagerCommand()
	case "kube-scheduler":
		command = scheduler.NewSchedulerCommand()
	case "kube-proxy":
		command = proxy.NewProxyCommand()
	default:
		fmt.Fprintf(os.Stderr, "lab: no component %q\n", name)
		return 1
	}
	command.SetArgs(args)
	return cli.Run(command)
}

// Kubectl is kubectl, for machines that have none; it reads os.Args.
func Kubectl() {
	_, _ = logs.GlogSetter(kubectl.GetLogVerbosity(os.Args)) // kubectl reports a bad -v itself
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err)
	}
}

// etcd serves one member on loopback of the namespace it is started in.
func etcd(dir string) error {
	config := embed.NewConfig()
	config.Name, config.Dir = cluster.Name, dir
	client := url.URL{Scheme: "http", Host: "127.0.0.1:2379"}
	peer := url.URL{Scheme: "http", Host: "127.0.0.1:2380"}
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	// A lab's state is worth less than the seconds that syncing it costs; a
	// killed process loses nothing, only a machine that loses power does.
	config.UnsafeNoFsync = true
	config.LogLevel = "warn"
	config.TickMs, config.ElectionMs = 100, 1000
	// Keep what an hour needs, as kubeadm's and EKS's API servers do by asking.
	config.AutoCompactionMode, config.AutoCompactionRetention = "periodic", "10m"

	server, err := embed.StartEtcd(config)
	if err != nil {
		return err
	}
	defer server.Close()
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	select {
	case <-server.Server.ReadyNotify():
	case <-time.After(time.Minute):
		return errors.New("not ready after a minute")
	}
	select {
	case err := <-server.Err():
		return err
	case <-stop.Done():
		return nil
	}
}
