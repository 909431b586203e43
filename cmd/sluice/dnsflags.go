package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/sluicehq/sluice/internal/control"
	"github.com/sluicehq/sluice/internal/dns"
	"github.com/sluicehq/sluice/internal/dns/rfc2136"
	"github.com/sluicehq/sluice/internal/dns/route53"
	"github.com/sluicehq/sluice/internal/dns/source"
)

// dnsFlags are ExternalDNS's flags, with its names, defaults and meaning.
type dnsFlags struct {
	sources, domains, excluded, zoneIDs, zoneTags, managed, notManaged  []string
	provider, policy, registry, zoneType, domainRegexp, excludedRegexp  string
	owner, prefix, suffix, wildcard, key, former                        string
	annotationFilter, annotationPrefix, labelFilter                     string
	classes, fqdn, pairs, defaultTargets, nets, excludedNets, nat64     []string
	serviceTypes                                                        []string
	matchParent, evaluateHealth, preferCNAME, preferAlias, encrypt      bool
	ignoreHostname, ignoreRules, ignoreTLS, combine, forceTargets       bool
	publishInternal, publishHostIP, notReady, unschedulable, exposeIPv6 bool
	profiles                                                            []string
	role, roleID                                                        string
	batch, batchBytes, batchValues, attempts                            int
	batchPause, interval, minTTL                                        time.Duration
	server                                                              nameServerFlags
}

// add adds the flags to groups; those that mean something else to the controller only where names are all there is.
func (f *dnsFlags) add(groups *flagGroups, alone bool) {
	d := groups.in("DNS records")
	d.StringArrayVar(&f.sources, "source", nil, "objects that names come from: ingress, service or crd; can be repeated")
	d.StringVar(&f.provider, "provider", "", "where zones are: aws or rfc2136")
	d.StringVar(&f.policy, "policy", "", "sync, upsert-only or create-only")
	d.StringArrayVar(&f.domains, "domain-filter", nil, "domains to serve, with all below; can be repeated")
	d.StringArrayVar(&f.excluded, "exclude-domains", nil, "domains to leave alone; can be repeated")
	d.StringVar(&f.domainRegexp, "regex-domain-filter", "", "regular expression of domains to serve; overrides --domain-filter and --exclude-domains")
	d.StringVar(&f.excludedRegexp, "regex-domain-exclusion", "", "regular expression of domains to leave alone")
	d.StringArrayVar(&f.managed, "managed-record-types", []string{"A", "AAAA", "CNAME"}, "types of records to serve; can be repeated")
	d.StringArrayVar(&f.notManaged, "exclude-record-types", nil, "types of records to leave alone; can be repeated")
	d.DurationVar(&f.interval, "interval", time.Minute, "how often every name is looked at although nothing has changed; that makes no call")
	d.DurationVar(&f.minTTL, "min-ttl", 0, "time to live of records whose object does not say it")

	o := groups.in("Ownership of DNS records")
	o.StringVar(&f.registry, "registry", "txt", "txt, or noop to take everything in the zones for ours")
	o.StringVar(&f.owner, "txt-owner-id", "", "who owns records that are made: default, or the name of the cluster in the controller, when not given")
	o.StringVar(&f.prefix, "txt-prefix", "", "what names of ownership records begin with")
	o.StringVar(&f.suffix, "txt-suffix", "", "what the first label of ownership records ends with")
	o.StringVar(&f.wildcard, "txt-wildcard-replacement", "", "stands for * in names of ownership records")
	o.BoolVar(&f.encrypt, "txt-encrypt-enabled", false, "encrypt ownership records")
	o.StringVar(&f.key, "txt-encrypt-aes-key", "", "32 bytes, as they are or in base64")
	o.StringVar(&f.former, "migrate-from-txt-owner", "", "owner whose records are taken over")

	a := groups.in("Route 53")
	a.StringArrayVar(&f.zoneIDs, "zone-id-filter", nil, "hosted zones by id; can be repeated")
	a.StringVar(&f.zoneType, "aws-zone-type", "", "public or private zones; both when not given")
	a.StringArrayVar(&f.zoneTags, "aws-zone-tags", nil, "hosted zones by tag, key=value or key; can be repeated")
	a.BoolVar(&f.matchParent, "aws-zone-match-parent", false, "also zones above a domain of --domain-filter")
	a.BoolVar(&f.evaluateHealth, "aws-evaluate-target-health", true, "let aliases follow the health of their targets")
	a.BoolVar(&f.preferCNAME, "aws-prefer-cname", false, "make a CNAME where no object asks for an alias")
	a.BoolVar(&f.preferAlias, "prefer-alias", false, "make an alias of every host name")
	a.StringArrayVar(&f.profiles, "aws-profile", nil, "profile of the shared configuration; can be repeated")
	a.StringVar(&f.role, "aws-assume-role", "", "role to assume")
	a.StringVar(&f.roleID, "aws-assume-role-external-id", "", "external id for that role")
	a.IntVar(&f.attempts, "aws-api-retries", 3, "how often a call is tried in all")
	a.IntVar(&f.batch, "aws-batch-change-size", 1000, "changes of one batch")
	a.IntVar(&f.batchBytes, "aws-batch-change-size-bytes", 32000, "bytes of values of one batch")
	a.IntVar(&f.batchValues, "aws-batch-change-size-values", 1000, "values of one batch")
	a.DurationVar(&f.batchPause, "aws-batch-change-interval", time.Second, "pause between batches of a zone")
	f.server.add(groups)
	f.addObjects(groups, alone)
}

// nameServerFlags are for name servers that take updates.
type nameServerFlags struct {
	hosts, zones               []string
	port, batch                int
	insecure, axfr             bool
	keyName, secret, algorithm string
}

func (f *nameServerFlags) add(groups *flagGroups) {
	n := groups.in("Name servers with dynamic updates (RFC 2136)")
	n.StringArrayVar(&f.hosts, "rfc2136-host", nil, "name server; can be repeated")
	n.IntVar(&f.port, "rfc2136-port", 53, "its port")
	n.StringArrayVar(&f.zones, "rfc2136-zone", nil, "zone of the name server; can be repeated")
	n.BoolVar(&f.insecure, "rfc2136-insecure", false, "send updates without a key")
	n.StringVar(&f.keyName, "rfc2136-tsig-keyname", "", "name of the key that updates are signed with")
	n.StringVar(&f.secret, "rfc2136-tsig-secret", "", "the key in base64; better in the variable EXTERNAL_DNS_RFC2136_TSIG_SECRET")
	n.StringVar(&f.algorithm, "rfc2136-tsig-secret-alg", "hmac-sha256", "its algorithm")
	n.BoolVar(&f.axfr, "rfc2136-tsig-axfr", true, "sign transfers of zones too")
	n.IntVar(&f.batch, "rfc2136-batch-change-size", 50, "changes of one update")
}

func (f nameServerFlags) provider() (dns.Provider, error) {
	o := rfc2136.Options{Plain: !f.axfr, Batch: f.batch}
	for _, host := range f.hosts {
		o.Servers = append(o.Servers, net.JoinHostPort(host, strconv.Itoa(f.port)))
	}
	for _, zone := range f.zones {
		name, err := dns.ParseName(zone)
		if err != nil {
			return nil, fmt.Errorf("--rfc2136-zone %q %w", zone, err)
		}
		o.Zones = append(o.Zones, name)
	}
	switch {
	case len(o.Servers) == 0 || len(o.Zones) == 0:
		return nil, errors.New("--provider=rfc2136 needs --rfc2136-host and --rfc2136-zone")
	case f.insecure:
	case f.keyName == "" || f.secret == "":
		return nil, errors.New("--provider=rfc2136 needs --rfc2136-tsig-keyname and --rfc2136-tsig-secret, or --rfc2136-insecure")
	default:
		o.TSIG = &rfc2136.TSIG{Name: f.keyName, Secret: f.secret, Algorithm: f.algorithm}
	}
	return rfc2136.New(o)
}

func (f *dnsFlags) addObjects(groups *flagGroups, alone bool) {
	s := groups.in("Objects that DNS names come from")
	if alone {
		s.StringArrayVar(&f.classes, "ingress-class", nil, "classes of Ingresses; all when not given; can be repeated")
	}
	s.StringVar(&f.annotationFilter, "annotation-filter", "", "selector of objects, on annotations")
	s.StringVar(&f.annotationPrefix, "annotation-prefix", "", "prefix of annotations; both of ExternalDNS's when not given")
	s.StringVar(&f.labelFilter, "label-filter", "", "selector of objects, on labels")
	s.BoolVar(&f.ignoreHostname, "ignore-hostname-annotation", false, "names from templates only")
	s.BoolVar(&f.ignoreRules, "ignore-ingress-rules-spec", false, "no names from rules of Ingresses")
	s.BoolVar(&f.ignoreTLS, "ignore-ingress-tls-spec", false, "no names from TLS of Ingresses")
	s.StringArrayVar(&f.fqdn, "fqdn-template", nil, "template of names for objects without any; can be repeated")
	s.StringArrayVar(&f.pairs, "fqdn-target-template", nil, "template of host:target; can be repeated")
	s.BoolVar(&f.combine, "combine-fqdn-annotation", false, "templates beside annotations")
	s.StringArrayVar(&f.serviceTypes, "service-type-filter", nil, "types of Services; all when not given; can be repeated")
	s.BoolVar(&f.publishInternal, "publish-internal-services", false, "Services of type ClusterIP")
	s.BoolVar(&f.publishHostIP, "publish-host-ip", false, "nodes' addresses for headless Services")
	s.BoolVar(&f.notReady, "always-publish-not-ready-addresses", false, "pods of headless Services that are not ready")
	s.BoolVar(&f.unschedulable, "exclude-unschedulable", true, "leave out cordoned nodes")
	s.BoolVar(&f.exposeIPv6, "expose-internal-ipv6", false, "take nodes' internal IPv6 addresses for public ones")
	s.StringArrayVar(&f.defaultTargets, "default-targets", nil, "targets of objects without any; can be repeated")
	s.BoolVar(&f.forceTargets, "force-default-targets", false, "default targets for all objects")
	s.StringArrayVar(&f.nets, "target-net-filter", nil, "networks of targets; can be repeated")
	s.StringArrayVar(&f.excludedNets, "exclude-target-net", nil, "networks whose targets are left out; can be repeated")
	s.StringArrayVar(&f.nat64, "nat64-networks", nil, "NAT64 networks, whose targets stand for IPv4 ones too; can be repeated")
}

// idleDNSFlags are flags of ExternalDNS that are accepted and change nothing, with the reason.
var idleDNSFlags = []oldFlag{
	{"events", "changes of objects are always followed"},
	{"min-event-sync-interval", "changes of objects are always followed"},
	{"listen-endpoint-events", "changes of endpoints are always followed"},
	{"txt-cache-interval", "zones are always remembered"},
	{"provider-cache-time", "zones are always remembered"},
	{"aws-zones-cache-duration", "zones are always remembered"},
	{"kube-api-qps", "the API server's own fairness limits us"},
	{"kube-api-burst", "the API server's own fairness limits us"},
	{"kube-api-request-timeout", "watches have no limit"},
	{"request-timeout", "watches have no limit"},
	{"crd-source-apiversion", "ExternalDNS ignores it too"},
	{"crd-source-kind", "ExternalDNS ignores it too"},
	{"events-emit", "events are always written"},
	{"gateway-name", "Gateways are not served by this version"},
	{"gateway-namespace", "Gateways are not served by this version"},
	{"gateway-label-filter", "Gateways are not served by this version"},
	{"gateway-listener-sets", "Gateways are not served by this version"},
	{"aws-sd-service-cleanup", "Cloud Map is not served"},
	{"aws-sd-create-tag", "Cloud Map is not served"},
	{"dynamodb-region", "ownership is in TXT records only"},
	{"dynamodb-table", "ownership is in TXT records only"},
	{"crd-registry-namespace", "ownership is in TXT records only"},
	{"pod-source-domain", "pods are no source of names here"},
	{"ignore-non-host-network-pods", "pods are no source of names here"},
}

// refusedDNSFlags would change records, and do not here; so they are refused.
var refusedDNSFlags = map[string]string{
	"compatibility":                          "annotations of other programs are not read",
	"create-ptr":                             "reverse zones are not served",
	"resolve-service-load-balancer-hostname": "load balancers' names are made aliases or CNAMEs",
	"target-template":                        "it is for sources that are not served",
}

var dnsSwitches = []string{"events", "listen-endpoint-events", "gateway-listener-sets", "aws-sd-service-cleanup", "ignore-non-host-network-pods", "create-ptr", "resolve-service-load-balancer-hostname"}

// addOtherDNSFlags has ExternalDNS's other flags accepted, without showing them.
func addOtherDNSFlags(flags *pflag.FlagSet) {
	var ignored string
	add := func(name string) {
		if flags.Lookup(name) != nil {
			return
		}
		flags.StringVar(&ignored, name, "", "")
		f := flags.Lookup(name)
		f.Hidden = true
		if slices.Contains(dnsSwitches, name) {
			f.NoOptDefVal = "true"
			no := flags.VarPF(negation{f.Value}, "no-"+name, "", "")
			no.NoOptDefVal, no.Hidden = "true", true
		}
	}
	for _, f := range idleDNSFlags {
		add(f.name)
	}
	for name := range refusedDNSFlags {
		add(name)
	}
}

// checkOtherDNSFlags refuses what would change records, and logs what changes nothing.
func checkOtherDNSFlags(flags *pflag.FlagSet, logger *slog.Logger) error {
	for name, why := range refusedDNSFlags {
		if f := flags.Lookup(name); f != nil && f.Changed && f.Value.String() != "false" && f.Value.String() != "" {
			return fmt.Errorf("--%s cannot be served: %s", name, why)
		}
	}
	for _, f := range idleDNSFlags {
		if flags.Changed(f.name) {
			logger.Info("a flag has no effect", "flag", "--"+f.name, "because", f.because)
		}
	}
	return nil
}

// names makes the loop's options.
func (f dnsFlags) names(ctx context.Context, base *aws.Config, logger *slog.Logger) (control.NamesOptions, error) {
	sources, err := f.readSources()
	if err != nil {
		return control.NamesOptions{}, err
	}
	options, err := f.keeping()
	if err != nil {
		return control.NamesOptions{}, err
	}
	provider, err := f.zones(ctx, base)
	if err != nil {
		return control.NamesOptions{}, err
	}
	keeper, err := dns.NewKeeper(provider, options)
	if err != nil {
		return control.NamesOptions{}, err
	}
	return control.NamesOptions{
		Keeper: keeper, Sources: sources, Kinds: slices.Compact(slices.Sorted(slices.Values(f.sources))), Policy: options.Policy,
		Interval: f.interval, Status: true, Logger: logger,
	}, nil
}

func (f dnsFlags) zones(ctx context.Context, base *aws.Config) (dns.Provider, error) {
	switch f.provider {
	case "aws", "":
	case "rfc2136":
		return f.server.provider()
	default:
		return nil, fmt.Errorf("--provider is %q and must be aws or rfc2136", f.provider)
	}
	configs, err := f.awsConfigs(ctx, base)
	if err != nil {
		return nil, err
	}
	return route53.New(route53.Options{Configs: configs, Attempts: f.attempts, Pause: f.batchPause}), nil
}

// awsConfigs are one for each profile. Route 53 is the same in all regions, but requests are signed for one.
func (f dnsFlags) awsConfigs(ctx context.Context, base *aws.Config) ([]aws.Config, error) {
	profiles := f.profiles
	if len(profiles) == 0 {
		if base != nil && f.role == "" {
			return []aws.Config{*base}, nil
		}
		profiles = []string{""}
	}
	var configs []aws.Config
	for _, profile := range profiles {
		config, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithSharedConfigProfile(profile))
		if err != nil {
			return nil, fmt.Errorf("find out how to reach AWS: %w", err)
		}
		if config.Region == "" {
			config.Region = "us-east-1"
		}
		if f.role != "" {
			config.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(config), f.role, func(o *stscreds.AssumeRoleOptions) {
				if f.roleID != "" {
					o.ExternalID = &f.roleID
				}
			}))
		}
		configs = append(configs, config)
	}
	return configs, nil
}

// keeping are the options of the Keeper.
func (f dnsFlags) keeping() (dns.KeeperOptions, error) {
	o := dns.KeeperOptions{
		Options: dns.Options{
			Policy: dns.ChangePolicy(f.policy), EvaluateHealth: f.evaluateHealth, PreferCNAME: f.preferCNAME,
			Ownership: dns.Ownership{Owner: f.owner, Prefix: f.prefix, Suffix: f.suffix, Wildcard: f.wildcard, Former: f.former},
		},
		Filter: dns.ZoneFilter{
			IDs: f.zoneIDs, Type: f.zoneType, Tags: f.zoneTags, MatchParent: f.matchParent,
			Domains: dns.Domains{Include: f.domains, Exclude: f.excluded},
		},
		Limits: dns.Limits{Changes: f.batch, Bytes: f.batchBytes, Values: f.batchValues, Pause: f.batchPause},
	}
	if !slices.Contains([]dns.ChangePolicy{dns.Sync, dns.UpsertOnly, dns.CreateOnly}, o.Policy) {
		return o, fmt.Errorf("--policy is %q and must be sync, upsert-only or create-only", f.policy)
	}
	for _, t := range f.managed {
		if t = strings.ToUpper(t); !slices.ContainsFunc(f.notManaged, func(n string) bool { return strings.EqualFold(n, t) }) {
			o.Types = append(o.Types, dns.Type(t))
		}
	}
	if err := f.readOwnership(&o.Ownership); err != nil {
		return o, err
	}
	var err error
	if o.Filter.Domains.IncludeRegexp, err = expression("regex-domain-filter", f.domainRegexp); err != nil {
		return o, err
	}
	o.Filter.Domains.ExcludeRegexp, err = expression("regex-domain-exclusion", f.excludedRegexp)
	return o, err
}

func (f dnsFlags) readOwnership(o *dns.Ownership) error {
	switch {
	case f.registry == "noop":
		o.Owner = ""
		return nil
	case f.registry != "txt":
		return fmt.Errorf("--registry is %q and must be txt or noop: other registries are not served", f.registry)
	case f.prefix != "" && f.suffix != "":
		return errors.New("--txt-prefix and --txt-suffix exclude each other")
	case f.encrypt:
		key, err := dns.ParseKey(f.key)
		if err != nil {
			return fmt.Errorf("--txt-encrypt-aes-key: %w", err)
		}
		o.Key = key
	}
	return nil
}

func expression(flag, text string) (*regexp.Regexp, error) {
	if text == "" {
		return nil, nil
	}
	e, err := regexp.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", flag, err)
	}
	return e, nil
}

// readSources are the options of the sources.
func (f dnsFlags) readSources() (source.Options, error) {
	o := source.Options{
		IngressClasses: f.classes, IgnoreHostnameAnnotation: f.ignoreHostname, IgnoreIngressRules: f.ignoreRules, IgnoreIngressTLS: f.ignoreTLS,
		Combine: f.combine, PublishInternal: f.publishInternal, PublishHostIP: f.publishHostIP, AlwaysPublishNotReady: f.notReady,
		ExcludeUnschedulable: f.unschedulable, ExposeInternalIPv6: f.exposeIPv6, DefaultTargets: f.defaultTargets, ForceDefaultTargets: f.forceTargets,
		PreferAlias: f.preferAlias, MinTTL: int64(f.minTTL.Seconds()),
	}
	for _, s := range f.sources {
		if !slices.Contains([]string{source.Ingress, source.Service, source.CRD}, s) {
			return o, fmt.Errorf("--source is %q and must be ingress, service or crd", s)
		}
	}
	for _, t := range f.serviceTypes {
		kind := corev1.ServiceType(t)
		if !slices.Contains([]corev1.ServiceType{corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeExternalName}, kind) {
			return o, fmt.Errorf("--service-type-filter is %q and must be ClusterIP, NodePort, LoadBalancer or ExternalName", t)
		}
		o.ServiceTypes = append(o.ServiceTypes, kind)
	}
	if f.annotationPrefix != "" {
		if !strings.HasSuffix(f.annotationPrefix, "/") {
			return o, fmt.Errorf("--annotation-prefix is %q and must end in a slash", f.annotationPrefix)
		}
		o.Prefixes = []string{f.annotationPrefix}
	}
	if f.ignoreHostname && len(f.fqdn) == 0 {
		return o, errors.New("--ignore-hostname-annotation needs --fqdn-template")
	}
	return o, f.readLists(&o)
}

func (f dnsFlags) readLists(o *source.Options) (err error) {
	if o.FQDN, err = source.ParseTemplates(f.fqdn); err != nil {
		return fmt.Errorf("--fqdn-template: %w", err)
	}
	if o.Pairs, err = source.ParseTemplates(f.pairs); err != nil {
		return fmt.Errorf("--fqdn-target-template: %w", err)
	}
	if f.annotationFilter != "" {
		selector, err := metav1.ParseToLabelSelector(f.annotationFilter)
		if err != nil {
			return fmt.Errorf("--annotation-filter: %w", err)
		}
		if o.AnnotationFilter, err = metav1.LabelSelectorAsSelector(selector); err != nil {
			return fmt.Errorf("--annotation-filter: %w", err)
		}
	}
	if f.labelFilter != "" {
		if o.LabelFilter, err = labels.Parse(f.labelFilter); err != nil {
			return fmt.Errorf("--label-filter: %w", err)
		}
	}
	for _, l := range []struct {
		flag string
		in   []string
		out  *[]netip.Prefix
	}{
		{"target-net-filter", f.nets, &o.TargetNets}, {"exclude-target-net", f.excludedNets, &o.ExcludeTargetNets}, {"nat64-networks", f.nat64, &o.NAT64},
	} {
		for _, text := range l.in {
			p, err := netip.ParsePrefix(text)
			if err != nil {
				return fmt.Errorf("--%s: %w", l.flag, err)
			}
			if l.flag == "nat64-networks" && (p.Bits() != 96 || p.Addr().Is4()) {
				return fmt.Errorf("--nat64-networks is %q and must be an IPv6 network of 96 bits", text)
			}
			*l.out = append(*l.out, p.Masked())
		}
	}
	return nil
}

// dnsEnvironment begins the variables that stand for flags of ExternalDNS.
const dnsEnvironment = "EXTERNAL_DNS_"

// fromEnvironment sets flags that the command line does not from variables; lists have one value a line.
func fromEnvironment(flags *pflag.FlagSet) error {
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		name := dnsEnvironment + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, ok := os.LookupEnv(name)
		if !ok || f.Changed {
			return
		}
		values := []string{value}
		if f.Value.Type() == "stringArray" {
			values = strings.Split(strings.TrimRight(value, "\n"), "\n")
		}
		for _, v := range values {
			if err := flags.Set(f.Name, v); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		}
	})
	return errors.Join(errs...)
}

// negation is a flag --no-x, which is the opposite of --x.
type negation struct{ of pflag.Value }

// String is empty: it has no state of its own.
func (negation) String() string { return "" }

// Type is a boolean.
func (negation) Type() string { return "bool" }

// Set sets the opposite.
func (n negation) Set(text string) error {
	switch text {
	case "true":
		return n.of.Set("false")
	case "false":
		return n.of.Set("true")
	}
	return fmt.Errorf("%q is neither true nor false", text)
}

// addNegations adds --no-x for every boolean flag, as ExternalDNS has them.
func addNegations(flags *pflag.FlagSet) {
	var booleans []*pflag.Flag
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Value.Type() == "bool" && !strings.HasPrefix(f.Name, "no-") {
			booleans = append(booleans, f)
		}
	})
	for _, f := range booleans {
		no := flags.VarPF(negation{f.Value}, "no-"+f.Name, "", "")
		no.NoOptDefVal, no.Hidden = "true", true
	}
}
