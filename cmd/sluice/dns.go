package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	crmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	externaldnsapi "github.com/sluicehq/sluice/api/externaldns/v1alpha1"
	"github.com/sluicehq/sluice/internal/control"
	"github.com/sluicehq/sluice/internal/dns"
)

// dnsProgram is `sluice dns`: names without load balancers, in the place of ExternalDNS.
type dnsProgram struct {
	dnsFlags
	cluster   controllerFlags // how to reach the cluster
	server    string
	namespace string
	metrics   string
	level     string
	format    string
	once      bool
	dryRun    bool
}

func newDNSCommand() *cobra.Command {
	var p dnsProgram
	cmd := &cobra.Command{
		Use:   "dns",
		Short: "Keep DNS records as Ingresses, Services and DNSEndpoints ask for them",
		Long: `Keeps the records of names in hosted zones, whoever makes the load balancers. Flags are
ExternalDNS's, and so are the variables EXTERNAL_DNS_… that stand for them; those that mean
nothing here are accepted, and logged. Run one of it.`,
		Example: "  sluice dns --source=service --source=ingress --domain-filter=frieza.dev --provider=aws --policy=upsert-only --aws-zone-type=public",
		Args:    cobra.NoArgs,
		PreRunE: func(cmd *cobra.Command, _ []string) error { return fromEnvironment(cmd.Flags()) },
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.run(cmd) },
	}
	var groups flagGroups
	p.add(&groups, true)
	c := groups.in("Process")
	c.StringVar(&p.cluster.kubeconfig, "kubeconfig", "", "file that tells how to reach the cluster; KUBECONFIG or the pod's own account when not given")
	c.StringVar(&p.server, "server", "", "address of the API server, instead of the one of the kubeconfig")
	c.StringVar(&p.namespace, "namespace", "", "the only namespace to watch; all when not given")
	c.BoolVar(&p.once, "once", false, "one pass, then end")
	c.BoolVar(&p.dryRun, "dry-run", false, "say what would be changed and change nothing")
	c.StringVar(&p.metrics, "metrics-address", ":7979", "address of /metrics and /healthz, 0 for none")
	c.StringVar(&p.level, "log-level", "info", "debug, info, warn or error")
	c.StringVar(&p.format, "log-format", "text", "text or json")
	groups.addTo(cmd)
	addOtherDNSFlags(cmd.Flags())
	addNegations(cmd.Flags())
	return cmd
}

func (p dnsProgram) check() error {
	for _, required := range []struct{ flag, value string }{
		{"source", strings.Join(p.sources, "")}, {"provider", p.provider}, {"policy", p.policy},
	} {
		if required.value == "" {
			return fmt.Errorf("--%s is missing", required.flag)
		}
	}
	return nil
}

func (p dnsProgram) run(cmd *cobra.Command) error {
	if err := p.check(); err != nil {
		return err
	}
	logger, err := newDNSLogger(cmd.ErrOrStderr(), p.level, p.format)
	if err != nil {
		return err
	}
	setLibraryLoggers(logger)
	if err := checkOtherDNSFlags(cmd.Flags(), logger); err != nil {
		return err
	}
	p.owner = cmp.Or(p.owner, "default")
	ctx, stop := context.WithCancel(cmd.Context())
	defer stop()
	options, err := p.names(ctx, nil, logger)
	if err != nil {
		return err
	}
	var ended error
	options.DryRun, options.Once, options.Registry = p.dryRun, p.once, crmetrics.Registry
	options.Ended = func(err error) { ended = err; stop() }
	m, err := p.manager(logger)
	if err != nil {
		return err
	}
	if p.dryRun {
		logger.Info("running in dry-run mode. No changes to DNS records will be made.")
	}
	if _, err := control.NewNames(m, options); err != nil {
		return err
	}
	if err := m.Start(ctx); err != nil {
		return err
	}
	return ended
}

// names makes the loop over DNS names, where some source of names is given.
func (f controllerFlags) names(ctx context.Context, m manager.Manager, config aws.Config, logger *slog.Logger) (*control.Names, error) {
	if len(f.dns.sources) == 0 {
		return nil, nil
	}
	flags := f.dns
	flags.owner, flags.policy = cmp.Or(flags.owner, f.cluster), cmp.Or(flags.policy, string(dns.Sync))
	options, err := flags.names(ctx, &config, logger)
	if err != nil {
		return nil, err
	}
	options.Registry = crmetrics.Registry
	return control.NewNames(m, options)
}

// manager connects to the cluster.
func (p dnsProgram) manager(logger *slog.Logger) (manager.Manager, error) {
	kube, err := p.connection()
	if err != nil {
		return nil, err
	}
	scheme := apiruntime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), externaldnsapi.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	grace := 5 * time.Second
	healthz := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "OK") }) // the client is gone otherwise
	m, err := manager.New(kube, manager.Options{
		Scheme: scheme, Cache: control.NamesCacheOptions(p.namespace), Logger: libraryLogger(logger),
		Metrics:                 metricsserver.Options{BindAddress: p.metrics, ExtraHandlers: map[string]http.Handler{"/healthz": healthz}},
		GracefulShutdownTimeout: &grace,
	})
	if err != nil {
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	logger.Info("Created Kubernetes client " + kube.Host)
	return m, nil
}

func (p dnsProgram) connection() (*rest.Config, error) {
	kube, _, err := p.cluster.connection()
	if err != nil && p.server == "" {
		return nil, err
	}
	if err != nil {
		kube = &rest.Config{UserAgent: "sluice/" + version, QPS: -1}
	}
	if p.server != "" {
		kube.Host = p.server
	}
	return kube, nil
}

// newDNSLogger writes lines as ExternalDNS does: levels in lower case, as text or JSON.
func newDNSLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(strings.ToUpper(level))); err != nil {
		return nil, fmt.Errorf("--log-level is %q and must be debug, info, warn or error", level)
	}
	options := &slog.HandlerOptions{Level: l, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.LevelKey {
			a.Value = slog.StringValue(strings.ToLower(a.Value.String()))
		}
		return a
	}}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, fmt.Errorf("--log-format is %q and must be text or json", format)
}
