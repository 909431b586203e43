package source

import (
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	externaldnsapi "github.com/sluicehq/sluice/api/externaldns/v1alpha1"
)

var update = flag.Bool("update", false, "rewrite the results in testdata")

// settings are the section "options" of a case.
type settings struct {
	Prefixes, IngressClasses, FQDN, Pairs, DefaultTargets  []string
	AnnotationFilter, LabelFilter                          string
	IgnoreHostnameAnnotation, IgnoreRules, IgnoreTLS       bool
	Combine, PublishInternal, PublishHostIP, NotReady      bool
	WithUnschedulable, InternalIPv6, Force, Alias, Managed bool
	ServiceTypes                                           []corev1.ServiceType
	TargetNets, ExcludeTargetNets, NAT64                   []string
	MinTTL                                                 int64
}

func (s settings) options(t *testing.T) Options {
	o := Options{
		Prefixes: s.Prefixes, IngressClasses: s.IngressClasses, IgnoreHostnameAnnotation: s.IgnoreHostnameAnnotation,
		IgnoreIngressRules: s.IgnoreRules, IgnoreIngressTLS: s.IgnoreTLS, Combine: s.Combine, ServiceTypes: s.ServiceTypes,
		PublishInternal: s.PublishInternal, PublishHostIP: s.PublishHostIP, AlwaysPublishNotReady: s.NotReady,
		ExcludeUnschedulable: !s.WithUnschedulable, ExposeInternalIPv6: s.InternalIPv6, DefaultTargets: s.DefaultTargets,
		ForceDefaultTargets: s.Force, PreferAlias: s.Alias, MinTTL: s.MinTTL,
		TargetNets: prefixes(t, s.TargetNets), ExcludeTargetNets: prefixes(t, s.ExcludeTargetNets), NAT64: prefixes(t, s.NAT64),
	}
	var err error
	if o.FQDN, err = ParseTemplates(s.FQDN); err != nil {
		t.Fatal(err)
	}
	if o.Pairs, err = ParseTemplates(s.Pairs); err != nil {
		t.Fatal(err)
	}
	if s.AnnotationFilter != "" {
		selector, err := metav1.ParseToLabelSelector(s.AnnotationFilter)
		if err != nil {
			t.Fatal(err)
		}
		if o.AnnotationFilter, err = metav1.LabelSelectorAsSelector(selector); err != nil {
			t.Fatal(err)
		}
	}
	if s.LabelFilter != "" {
		if o.LabelFilter, err = labels.Parse(s.LabelFilter); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

func prefixes(t *testing.T, texts []string) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

// objects are the manifests of a case.
type objects struct {
	ingresses []*networkingv1.Ingress
	services  []*corev1.Service
	endpoints []*externaldnsapi.DNSEndpoint
	around    Around
}

func read(t *testing.T, manifests []byte) objects {
	var out objects
	for _, document := range bytes.Split(manifests, []byte("\n---\n")) {
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(document, &kind); err != nil {
			t.Fatal(err)
		}
		switch kind.Kind {
		case "Ingress":
			out.ingresses = append(out.ingresses, decode[networkingv1.Ingress](t, document))
		case "Service":
			out.services = append(out.services, decode[corev1.Service](t, document))
		case "DNSEndpoint":
			out.endpoints = append(out.endpoints, decode[externaldnsapi.DNSEndpoint](t, document))
		case "EndpointSlice":
			out.around.Slices = append(out.around.Slices, decode[discoveryv1.EndpointSlice](t, document))
		case "Node":
			out.around.Nodes = append(out.around.Nodes, decode[corev1.Node](t, document))
		default:
			t.Fatalf("kind %q", kind.Kind)
		}
	}
	return out
}

func decode[T any](t *testing.T, document []byte) *T {
	out := new(T)
	if err := yaml.UnmarshalStrict(document, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestCases: objects and options in, endpoints and verdicts out.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(strings.TrimPrefix(file, "testdata/"), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var s settings
			var manifests []byte
			inputs := 0
			for _, f := range archive.Files {
				switch f.Name {
				case "options":
					if err := yaml.UnmarshalStrict(f.Data, &s); err != nil {
						t.Fatal(err)
					}
				case "objects.yaml":
					manifests = f.Data
				default:
					continue
				}
				inputs++
			}
			o := s.options(t)
			in := read(t, manifests)
			before := string(must(yaml.Marshal(in.ingresses))) + string(must(yaml.Marshal(in.services)))
			text := results(o, in, s.Managed)
			if after := string(must(yaml.Marshal(in.ingresses))) + string(must(yaml.Marshal(in.services))); after != before {
				t.Error("an object was changed")
			}
			if *update {
				archive.Files = append(archive.Files[:inputs], txtar.File{Name: "endpoints", Data: []byte(text)})
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if len(archive.Files) != inputs+1 {
				t.Fatal("run with -update and review what it writes")
			}
			if diff := cmp.Diff(string(archive.Files[inputs].Data), text); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func results(o Options, in objects, managed bool) string {
	var b strings.Builder
	show := func(r Read) {
		for _, e := range r.Endpoints {
			fmt.Fprintln(&b, e)
		}
		for _, v := range r.Verdicts {
			fmt.Fprintln(&b, "!", v)
		}
	}
	for _, i := range in.ingresses {
		show(o.Ingress(i, managed))
	}
	for _, s := range in.services {
		show(o.Service(s, in.around, managed))
	}
	for _, e := range in.endpoints {
		show(o.DNSEndpoint(e))
	}
	return b.String()
}

func TestTemplatesThatAreNone(t *testing.T) {
	if _, err := ParseTemplates([]string{"{{.Name"}); err == nil {
		t.Error("it is taken")
	}
	if none, err := ParseTemplates([]string{"", " "}); err != nil || !none.Empty() {
		t.Error(none, err)
	}
}
