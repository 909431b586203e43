package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/sluicehq/sluice/internal/compile"
	"github.com/sluicehq/sluice/internal/control"
	"github.com/sluicehq/sluice/internal/engine/envoy"
	"github.com/sluicehq/sluice/internal/engine/envoy/ads"
)

// The engines by name.
const (
	awsEngine   = "aws"
	envoyEngine = "envoy"
)

// fleetFlags are those about an Envoy fleet. Those that Contour has too have its names and meaning.
type fleetFlags struct {
	engines []string

	classes   []string
	roots     []string
	addresses []string
	service   string
	namespace string

	xdsHost  string
	xdsPort  uint16
	files    ads.Files
	insecure bool

	options envoy.Options
}

func (f *fleetFlags) addTo(groups *flagGroups) {
	groups.in("Cluster").StringSliceVar(&f.engines, "engine", []string{awsEngine}, "what load balancers are made of: aws, envoy, or both")

	e := groups.in("Envoy")
	e.StringSliceVar(&f.classes, "ingress-class-name", nil, "classes that the fleet serves; contour, and objects without a class, when not given")
	e.StringSliceVar(&f.roots, "root-namespaces", nil, "the only namespaces where an HTTPProxy may have a virtual host; all when not given")
	e.StringSliceVar(&f.addresses, "ingress-status-address", nil, "addresses that served objects show; those of the fleet's Service when not given")
	e.StringVar(&f.service, "envoy-service-name", "envoy", "the fleet's Service")
	e.StringVar(&f.namespace, "envoy-service-namespace", "projectcontour", "namespace of the fleet's Service")
	e.StringVar(&f.xdsHost, "xds-address", "0.0.0.0", "address that Envoys get their configuration from")
	e.Uint16Var(&f.xdsPort, "xds-port", 8001, "port of that address")
	e.StringVar(&f.files.CA, "contour-cafile", "", "file with the CA of Envoys' certificates; it and the next two are read at each handshake")
	e.StringVar(&f.files.Certificate, "contour-cert-file", "", "file with the certificate that Envoys see")
	e.StringVar(&f.files.Key, "contour-key-file", "", "file with its key")
	e.BoolVar(&f.insecure, "insecure", false, "serve Envoys in clear text, without these files")
	e.StringVar(&f.options.HTTPAddress, "envoy-service-http-address", "0.0.0.0", "address where Envoys take HTTP")
	e.Uint16Var(&f.options.HTTPPort, "envoy-service-http-port", 8080, "port where Envoys take HTTP")
	e.StringVar(&f.options.HTTPSAddress, "envoy-service-https-address", "0.0.0.0", "address where Envoys take HTTPS")
	e.Uint16Var(&f.options.HTTPSPort, "envoy-service-https-port", 8443, "port where Envoys take HTTPS")
	e.StringVar(&f.options.HTTPAccessLog, "envoy-http-access-log", "/dev/stdout", "file of Envoys' access log for HTTP, empty for none")
	e.StringVar(&f.options.HTTPSAccessLog, "envoy-https-access-log", "/dev/stdout", "file of Envoys' access log for HTTPS, empty for none")
	e.BoolVar(&f.options.ProxyProtocol, "use-proxy-protocol", false, "expect a PROXY protocol header on connections to Envoys")
	e.Uint32Var(&f.options.TrustedHops, "num-trusted-hops", 0, "proxies in front of the fleet that are believed in x-forwarded-for")
}

func (f fleetFlags) check() error {
	if len(f.engines) == 0 {
		return errors.New("--engine is empty and must be aws, envoy, or both")
	}
	for _, name := range f.engines {
		if name != awsEngine && name != envoyEngine {
			return fmt.Errorf("--engine has %q, and can have aws and envoy", name)
		}
	}
	if !f.serves() {
		return nil
	}
	given := 0
	for _, file := range []string{f.files.CA, f.files.Certificate, f.files.Key} {
		if file != "" {
			given++
		}
	}
	if given != 3 && (given != 0 || !f.insecure) {
		return errors.New("--contour-cafile, --contour-cert-file and --contour-key-file are needed, all three, or --insecure instead")
	}
	return nil
}

// serves says whether there is an Envoy fleet; usesAWS whether there is anything on AWS.
func (f fleetFlags) serves() bool  { return slices.Contains(f.engines, envoyEngine) }
func (f fleetFlags) usesAWS() bool { return slices.Contains(f.engines, awsEngine) }

// start adds the fleet to the manager.
func (f fleetFlags) start(m manager.Manager, logger *slog.Logger) (*control.Fleet, error) {
	server := ads.New(logger)
	engine, err := envoy.New(server, f.options)
	if err != nil {
		return nil, err
	}
	o := control.FleetOptions{
		Compile: compile.FleetOptions{Classes: f.classes, RootNamespaces: f.roots}, Engine: engine, Server: server,
		Address:   net.JoinHostPort(cmp.Or(f.xdsHost, "0.0.0.0"), strconv.Itoa(int(f.xdsPort))),
		Addresses: f.addresses, Service: types.NamespacedName{Namespace: f.namespace, Name: f.service}, Logger: logger,
	}
	if f.files.CA != "" {
		if o.TLS, err = f.files.Config(); err != nil {
			return nil, err
		}
	}
	logger.Info("an Envoy fleet is served", "classes", strings.Join(f.classes, ","), "xds", o.Address, "tls", o.TLS != nil)
	return control.NewFleet(m, o)
}
