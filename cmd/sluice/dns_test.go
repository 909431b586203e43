package main

import (
	"strings"
	"testing"

	"github.com/sluicehq/sluice/internal/dns"
)

func TestFlagsOfDNSThatCannotBe(t *testing.T) {
	t.Setenv("KUBECONFIG", "/nonexistent")
	base := []string{"--source=ingress", "--provider=aws", "--policy=sync"}
	for want, args := range map[string][]string{
		"--source is missing":                      {"--provider=aws", "--policy=sync"},
		"--provider is missing":                    {"--source=ingress", "--policy=sync"},
		"--policy is missing":                      {"--source=ingress", "--provider=aws"},
		`--source is "pod"`:                        append(base, "--source=pod"),
		`--provider is "google"`:                   append(base, "--provider=google"),
		`--policy is "all"`:                        append(base, "--policy=all"),
		`--registry is "dynamodb"`:                 append(base, "--registry=dynamodb"),
		"exclude each other":                       append(base, "--txt-prefix=a", "--txt-suffix=b"),
		"--txt-encrypt-aes-key":                    append(base, "--txt-encrypt-enabled", "--txt-encrypt-aes-key=short"),
		"must end in a slash":                      append(base, "--annotation-prefix=example.com"),
		"needs --fqdn-template":                    append(base, "--ignore-hostname-annotation"),
		"--fqdn-template: \"{{\" is no template":   append(base, "--fqdn-template={{"),
		`--service-type-filter is "Headless"`:      append(base, "--service-type-filter=Headless"),
		"--annotation-filter":                      append(base, "--annotation-filter=a in"),
		"--label-filter":                           append(base, "--label-filter=a in"),
		"--target-net-filter":                      append(base, "--target-net-filter=10.0.0.0"),
		"must be an IPv6 network of 96 bits":       append(base, "--nat64-networks=64:ff9b::/64"),
		"--regex-domain-filter":                    append(base, "--regex-domain-filter=("),
		"zone type \"both\"":                       append(base, "--aws-zone-type=both"),
		`--log-format is "xml"`:                    append(base, "--log-format=xml"),
		"--rfc2136-host and --rfc2136-zone":        {"--source=ingress", "--provider=rfc2136", "--policy=sync"},
		"--rfc2136-tsig-keyname":                   {"--source=ingress", "--provider=rfc2136", "--policy=sync", "--rfc2136-host=127.0.0.1", "--rfc2136-zone=a.example"},
		"--create-ptr cannot be served":            append(base, "--create-ptr"),
		"--compatibility cannot be served: annota": append(base, "--compatibility=mate"),
	} {
		if _, err := run(t, append([]string{"dns"}, args...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", args, err, want)
		}
	}
	out, err := run(t, append([]string{"dns", "--no-create-ptr", "--events", "--txt-cache-interval=1h", "--no-aws-evaluate-target-health", "--metrics-address=0"}, base...)...)
	if err == nil || !strings.Contains(err.Error(), "find the cluster") || strings.Count(out, "a flag has no effect") != 2 {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestFlagsOfDNSMeanWhatExternalDNSMeans: also by variables, with lists of one value a line.
func TestFlagsOfDNSMeanWhatExternalDNSMeans(t *testing.T) {
	t.Setenv("EXTERNAL_DNS_DOMAIN_FILTER", "a.example\nb.example\n")
	t.Setenv("EXTERNAL_DNS_TXT_OWNER_ID", "from-variable")
	t.Setenv("EXTERNAL_DNS_POLICY", "sync")
	var f dnsFlags
	var groups flagGroups
	f.add(&groups, true)
	cmd := newDNSCommand()
	cmd.ResetFlags()
	groups.addTo(cmd)
	addNegations(cmd.Flags())
	if err := cmd.ParseFlags([]string{"--policy=upsert-only", "--no-aws-evaluate-target-health", "--exclude-record-types=aaaa", "--source=crd", "--managed-record-types=A", "--managed-record-types=aaaa", "--managed-record-types=mx"}); err != nil {
		t.Fatal(err)
	}
	if err := fromEnvironment(cmd.Flags()); err != nil {
		t.Fatal(err)
	}
	o, err := f.keeping()
	if err != nil {
		t.Fatal(err)
	}
	if o.Policy != dns.UpsertOnly || o.Ownership.Owner != "from-variable" || o.EvaluateHealth || len(o.Filter.Domains.Include) != 2 {
		t.Errorf("%+v", o)
	}
	if len(o.Types) != 2 || o.Types[0] != dns.A || o.Types[1] != dns.MX {
		t.Errorf("%v", o.Types)
	}
	f.provider = "aws"
	if _, err := f.names(t.Context(), nil, nil); err != nil {
		t.Error(err)
	}
}
