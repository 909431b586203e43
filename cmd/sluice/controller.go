package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	contour "github.com/projectcontour/contour/apis/projectcontour/v1"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	crlog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	crmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	externaldnsapi "github.com/sluicehq/sluice/api/externaldns/v1alpha1"
	"github.com/sluicehq/sluice/internal/compile"
	"github.com/sluicehq/sluice/internal/control"
	"github.com/sluicehq/sluice/internal/engine/aws"
	"github.com/sluicehq/sluice/internal/lb"
)

type controllerFlags struct {
	cluster        string
	class          string
	region         string
	sslPolicy      string
	authorities    []string
	waf            bool
	classicWAF     bool
	shield         bool
	vpc            string
	vpcTags        map[string]string
	endpoints      map[string]string
	attempts       int
	tags           map[string]string
	external       []string
	throttles      []string
	target         string
	scheme         string
	tolerant       bool
	tolerateAction bool
	namespace      string

	backendGroup    string
	useBackendGroup bool
	manageBackend   bool
	openAllPorts    bool
	maxTargets      int
	interfaceTags   map[string]string
	serviceClass    string

	kubeconfig    string
	metrics       string
	probes        string
	elect         bool
	electionID    string
	electionSpace string

	dns   dnsFlags
	fleet fleetFlags

	stackWorkers   int
	bindingWorkers int
	sync           time.Duration
	audit          time.Duration
	level          string
	config         string
	featureGates   map[string]string
}

func newControllerCommand() *cobra.Command {
	var flags controllerFlags
	cmd := &cobra.Command{
		Use:   "controller",
		Short: "Run the controller",
		Long: `Watches Ingresses and keeps load balancers as they ask. Flags are named as those of the
AWS Load Balancer Controller; those of its flags that mean nothing here are accepted, and
logged. AWS credentials, the region and AWS_ENDPOINT_URL are found as the aws CLI finds them.`,
		Example: "  sluice controller --cluster-name demo --kubeconfig ~/.kube/config",
		Args:    cobra.NoArgs,
		PreRunE: func(cmd *cobra.Command, _ []string) error { return flags.complete(cmd) },
		RunE:    func(cmd *cobra.Command, _ []string) error { return flags.run(cmd) },
	}
	cmd.Flags().SetNormalizeFunc(oldFlagNames)
	flags.groups().addTo(cmd)
	addOldFlags(cmd.Flags())
	return cmd
}

// complete takes what the command line does not say from the configuration file.
func (f controllerFlags) complete(cmd *cobra.Command) error {
	if err := readConfigFile(f.config, cmd.Flags()); err != nil {
		return err
	}
	if !cmd.Flags().Changed("cluster-name") && f.fleet.usesAWS() {
		return errors.New("--cluster-name is missing: it is in the names and tags of everything in AWS")
	}
	return nil
}

// oldFlagNames lets the AWS Load Balancer Controller's shorter names stand for ours.
func oldFlagNames(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	switch name {
	case "metrics-bind-addr":
		name = "metrics-bind-address"
	case "health-probe-bind-addr":
		name = "health-probe-bind-address"
	}
	return pflag.NormalizedName(name)
}

func (f controllerFlags) check() error {
	if err := f.fleet.check(); err != nil {
		return err
	}
	if f.target != string(lb.InstanceTargets) && f.target != string(lb.IPTargets) {
		return fmt.Errorf("--default-target-type is %q and must be instance or ip", f.target)
	}
	if f.scheme != string(lb.Internal) && f.scheme != string(lb.InternetFacing) {
		return fmt.Errorf("--default-load-balancer-scheme is %q and must be internal or internet-facing", f.scheme)
	}
	if f.backendGroup != "" && !strings.HasPrefix(f.backendGroup, "sg-") {
		return fmt.Errorf("--backend-security-group is %q and must be an id, sg-…", f.backendGroup)
	}
	if !f.useBackendGroup && (f.manageBackend || f.backendGroup != "") {
		return errors.New("--backend-security-group and --enable-manage-backend-security-group-rules need --enable-backend-security-group")
	}
	for key := range f.tags {
		if slices.Contains(f.external, key) {
			return fmt.Errorf("tag %q is in both --default-tags and --external-managed-tags", key)
		}
	}
	if _, err := f.limits(); err != nil {
		return err
	}
	if f.maxTargets < 0 {
		return fmt.Errorf("--max-targets-per-target-group is %d and must not be negative", f.maxTargets)
	}
	if f.stackWorkers < 1 || f.bindingWorkers < 1 {
		return errors.New("--ingress-max-concurrent-reconciles and --targetgroupbinding-max-concurrent-reconciles must be at least 1")
	}
	return nil
}

func (f controllerFlags) run(cmd *cobra.Command) error {
	ctx := cmd.Context()
	if err := f.check(); err != nil {
		return err
	}
	on, err := newGates(f.featureGates)
	if err != nil {
		return err
	}
	logger, err := newLogger(cmd.ErrOrStderr(), f.level)
	if err != nil {
		return err
	}
	setLibraryLoggers(logger)
	on.notices(logger)
	oldFlagNotices(cmd.Flags(), logger)
	m, err := f.manager(logger)
	if err != nil {
		return err
	}
	logger.Info("sluice starts", "version", version, "engines", strings.Join(f.fleet.engines, ","))
	if f.fleet.usesAWS() {
		if err := f.startAWS(ctx, m, logger); err != nil {
			return err
		}
	}
	if f.fleet.serves() {
		fleet, err := f.fleet.start(m, logger)
		if err != nil {
			return err
		}
		if err := m.AddReadyzCheck("fleet", fleet.Ready); err != nil {
			return err
		}
	}
	if err := m.AddHealthzCheck("ping", alive); err != nil {
		return err
	}
	if err := m.Start(ctx); err != nil {
		return err
	}
	logger.Info("sluice has stopped")
	return nil
}

// startAWS adds what makes load balancers on AWS to the manager.
func (f controllerFlags) startAWS(ctx context.Context, m manager.Manager, logger *slog.Logger) error {
	config, vpc, err := f.access().open(ctx)
	if err != nil {
		return err
	}
	throttles, err := f.limits()
	if err != nil {
		return err
	}
	engine, err := aws.New(aws.Options{
		Cluster: f.cluster, VPCID: vpc, Config: config, Logger: logger, ExternalTags: f.external, Throttles: throttles,
		CertificateAuthorities: f.authorities, EndpointGroupTags: f.interfaceTags,
		Checkpoints: control.NewCheckpoints(m.GetClient(), m.GetAPIReader(), f.ownNamespace()),
	})
	if err != nil {
		return err
	}
	names, err := f.names(ctx, m, config, logger)
	if err != nil {
		return err
	}
	loop, err := control.New(m, control.Options{
		Names:   names,
		Compile: f.compileOptions(),
		Engine:  engine, Targets: engine, Networking: engine, Mirror: engine,
		VPCID: vpc, Namespace: f.namespace, MaxTargets: f.maxTargets,
		StackWorkers: f.stackWorkers, BindingWorkers: f.bindingWorkers, AuditInterval: f.audit,
		Registry: crmetrics.Registry, Logger: logger,
	})
	if err != nil {
		return err
	}
	logger.Info("AWS is served", "cluster", f.cluster, "region", config.Region, "vpc", vpc)
	return m.AddReadyzCheck("loop", loop.Ready)
}

// compileOptions is what objects mean; the engine's features are set by who has the engine.
func (f controllerFlags) compileOptions() compile.Options {
	return compile.Options{
		Cluster: f.cluster, IngressClass: f.class, DefaultScheme: lb.Scheme(f.scheme), DefaultTargetType: lb.TargetType(f.target),
		DefaultTags: sortedTags(f.tags), TolerateMissingService: f.tolerant, TolerateMissingAction: f.tolerateAction,
		BackendSecurityGroup: f.backendGroup, NoBackendSecurityGroup: !f.useBackendGroup, ManageBackendRules: f.manageBackend,
		OpenAllPorts: f.openAllPorts, TLSPolicy: f.sslPolicy, NoWAF: !f.waf, NoWAFClassic: !f.classicWAF, NoShield: !f.shield, Service: f.serviceOptions(),
	}
}

// serviceOptions is what Services mean.
func (f controllerFlags) serviceOptions() compile.ServiceOptions {
	on, err := newGates(f.featureGates)
	if err != nil {
		on, _ = newGates(nil) // check has told
	}
	return compile.ServiceOptions{
		Off: !on["EnableServiceController"], Class: f.serviceClass, BalancersOnly: on["ServiceTypeLoadBalancerOnly"],
		NoIPTargets: !on["EnableIPTargetType"], MergeTCPUDP: on["EnableTCPUDPListener"], NoSecurityGroups: !on["NLBSecurityGroup"],
		PlainHealthChecks: !on["NLBHealthCheckAdvancedConfig"], ExternalTags: f.external,
	}
}

func (f controllerFlags) access() awsAccess {
	return awsAccess{
		cluster: f.cluster, region: f.region, vpc: f.vpc, vpcTags: f.vpcTags, endpoints: f.endpoints, attempts: f.attempts,
	}
}

// manager connects to the cluster.
func (f controllerFlags) manager(logger *slog.Logger) (manager.Manager, error) {
	kube, namespace, err := f.connection()
	if err != nil {
		return nil, err
	}
	scheme := apiruntime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), elbv2api.AddToScheme(scheme), externaldnsapi.AddToScheme(scheme), contour.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	cache := control.CacheOptions(f.namespace)
	if f.fleet.serves() {
		cache = control.WithFleet(cache)
	}
	cache.SyncPeriod = &f.sync
	grace := 5 * time.Second
	m, err := manager.New(kube, manager.Options{
		Scheme: scheme, Cache: cache, Logger: libraryLogger(logger),
		Metrics: metricsserver.Options{BindAddress: f.metrics}, HealthProbeBindAddress: f.probes,
		LeaderElection: f.elect, LeaderElectionID: f.electionID, LeaderElectionNamespace: cmp.Or(f.electionSpace, namespace),
		LeaderElectionReleaseOnCancel: true, GracefulShutdownTimeout: &grace,
	})
	if err != nil {
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	return m, nil
}

// connection says how to reach the cluster, and which namespace the Lease is in: empty for the pod's own.
func (f controllerFlags) connection() (*rest.Config, string, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.kubeconfig
	kube, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, "", fmt.Errorf("find the cluster: %w", err)
	}
	kube.UserAgent = "sluice/" + version
	kube.QPS = -1 // the API server's own fairness limits us
	namespace := ""
	if _, err := rest.InClusterConfig(); errors.Is(err, rest.ErrNotInCluster) {
		namespace = "kube-system"
	}
	return kube, namespace, nil
}

// limits are those of --aws-api-throttle.
func (f controllerFlags) limits() ([]aws.Throttle, error) {
	var limits []aws.Throttle
	for _, text := range f.throttles {
		limit, err := aws.ParseThrottle(text)
		if err != nil {
			return nil, fmt.Errorf("--aws-api-throttle has %w", err)
		}
		limits = append(limits, limit)
	}
	return limits, nil
}

// ownNamespace is where the controller keeps what is its own: the pod's namespace.
func (f controllerFlags) ownNamespace() string {
	const file = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
	if own, err := os.ReadFile(file); err == nil {
		return strings.TrimSpace(string(own))
	}
	return cmp.Or(f.electionSpace, "kube-system")
}

// setLibraryLoggers has the libraries log as we do, their chatter only at level debug.
func setLibraryLoggers(logger *slog.Logger) {
	l := libraryLogger(logger)
	crlog.SetLogger(l)
	klog.SetLogger(l)
}

func libraryLogger(logger *slog.Logger) logr.Logger {
	return logr.FromSlogHandler(quiet{logger.Handler()})
}

// quiet turns what a library thinks worth knowing into debug output; its warnings and errors stay.
type quiet struct{ slog.Handler }

// Enabled is for levels as they come out.
func (q quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return q.Handler.Enabled(ctx, demoted(level))
}

// Handle passes a record on.
func (q quiet) Handle(ctx context.Context, record slog.Record) error {
	record.Level = demoted(record.Level)
	return q.Handler.Handle(ctx, record)
}

// WithAttrs keeps quiet.
func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(attrs)} }

// WithGroup keeps quiet.
func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }

func demoted(level slog.Level) slog.Level {
	if level < slog.LevelWarn {
		return min(level, slog.LevelDebug)
	}
	return level
}

func sortedTags(tags map[string]string) []lb.Tag {
	var out []lb.Tag
	for key, value := range tags {
		out = append(out, lb.Tag{Key: key, Value: value})
	}
	slices.SortFunc(out, func(a, b lb.Tag) int { return strings.Compare(a.Key, b.Key) })
	return out
}
