package annot

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicehq/sluice/internal/lb"
)

var update = flag.Bool("update", false, "rewrite docs/annotations.md")

func TestTheReferencePagesAreOfTheTables(t *testing.T) {
	for page, want := range map[string]string{
		"../../docs/annotations.md":         Reference(),
		"../../docs/dns-annotations.md":     DNSReference(),
		"../../docs/contour-annotations.md": ContourReference(),
	} {
		if *update {
			if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("run make generate (-want +got):\n%s", diff)
		}
	}
}

func TestEveryKeyIsFoundByItsOwnName(t *testing.T) {
	for _, keys := range [][]Key{table, serviceTable} {
		for _, k := range keys {
			name := k.Suffix
			if last := name[len(name)-1]; last == '.' || last == '-' {
				name += "x"
			}
			if found, ok := find(keys, name); !ok || found.Suffix != k.Suffix {
				t.Errorf("%s is found as %q", name, found.Suffix)
			}
		}
	}
}

func TestMapsAreReadAsTheReferenceReadsThem(t *testing.T) {
	for _, c := range []struct {
		value string
		want  []lb.Tag // nil: refused
	}{
		{"", []lb.Tag{}},
		{"a=b", []lb.Tag{{Key: "a", Value: "b"}}},
		{" a = b , c = ", []lb.Tag{{Key: "a", Value: "b"}, {Key: "c"}}},
		{"a=b=c", []lb.Tag{{Key: "a", Value: "b=c"}}},
		{`a=b\,c,d=e`, []lb.Tag{{Key: "a", Value: "b,c"}, {Key: "d", Value: "e"}}},
		{`a=b\\`, []lb.Tag{{Key: "a", Value: `b\`}}},
		{"a=b,", []lb.Tag{{Key: "a", Value: "b,"}}},
		{"a=1,a=2", []lb.Tag{{Key: "a", Value: "2"}}},
		{"a", nil},
		{"=b", nil},
		{"a=b,,c=d", nil},
		{"a=b,c", nil},
	} {
		got, err := parseMap(c.value)
		if (err != nil) != (c.want == nil) {
			t.Errorf("%q: error %v", c.value, err)
		}
		if err == nil && !cmp.Equal(got, c.want) {
			t.Errorf("%q: got %v, want %v", c.value, got, c.want)
		}
	}
}

func TestListenPorts(t *testing.T) {
	for value, want := range map[string][]Listen{
		`[{"HTTP": 80}]`:                {{Port: 80, Protocol: lb.HTTP}},
		`[{"HTTPS":443,"HTTP":80}]`:     {{Port: 80, Protocol: lb.HTTP}, {Port: 443, Protocol: lb.HTTPS}},
		`[{"HTTP": 80}, {"HTTPS": 80}]`: {{Port: 80, Protocol: lb.HTTPS}},
		``:                              nil,
		`[]`:                            nil,
		`{}`:                            nil,
		`[{"HTTP": "80"}]`:              nil,
		`[{"http": 80}]`:                nil,
		`[{"HTTP": 0}]`:                 nil,
		`[{"HTTP": 65536}]`:             nil,
		`[{"HTTP": 80.5}]`:              nil,
		`[{"HTTP": 80}] x`:              nil,
	} {
		got, err := parseListenPorts(value)
		if (err != nil) != (want == nil) || err == nil && !cmp.Equal(got, want) {
			t.Errorf("%q: got %v, %v; want %v", value, got, err, want)
		}
	}
}

// FuzzServiceSettings holds the same for Services.
func FuzzServiceSettings(f *testing.F) {
	for _, k := range serviceTable {
		for _, value := range []string{"", "1", "a=b,c", "10.0.0.0/8", "\x00", "on", "arn:a,b", `{"type":"forward","forwardConfig":{"baseServiceWeight":1}}`, "eipalloc-1"} {
			f.Add(k.Suffix, value)
		}
	}
	f.Fuzz(func(t *testing.T, suffix, value string) {
		service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: "web", Annotations: map[string]string{ServicePrefix + suffix: value},
		}}
		service.Spec.Ports = []corev1.ServicePort{{Name: "http", Port: 80}}
		settings, verdicts := ServiceSettings(service, Defaults{})
		_, more := settings.TargetGroupAttributes(80)
		verdicts = append(verdicts, more...)
		_, more = settings.ListenerAttributes(lb.TCP, 80)
		verdicts = append(verdicts, more...)
		_, _, more = settings.Share(lb.TCP, 80)
		verdicts = append(verdicts, more...)
		_, _, _, more = settings.HealthCheck(true, 31234)
		for _, v := range append(verdicts, more...) {
			if v.Field == "" || v.Problem == "" || v.Fix == "" {
				t.Errorf("a verdict must name field, problem and fix: %+v", v)
			}
		}
		ServiceShares(service)
	})
}

// FuzzSettings holds that whatever stands in an annotation, reading it ends, in settings or in a verdict about it.
func FuzzSettings(f *testing.F) {
	for _, k := range table {
		for _, value := range []string{"", "1", "a=b,c", `[{"HTTP":80}]`, "10.0.0.0/8", "\x00", "internal", `{"type":"forward"}`, `[{"field":"query-string"}]`,
			"arn:aws:acm:a:1:certificate/x", `[{"type":"url-rewrite","urlRewriteConfig":{"rewrites":[{"regex":"(","replace":"$1"}]}}]`,
			`{"issuer":"a","jwksEndpoint":"https://a","additionalClaims":[{"name":"n"}]}`} {
			f.Add(k.Suffix, value)
		}
	}
	f.Fuzz(func(t *testing.T, suffix, value string) {
		ingress := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: "web", Annotations: map[string]string{Prefix + suffix: value},
		}}
		settings, verdicts := IngressSettings(ingress, nil, Defaults{TargetType: lb.InstanceTargets})
		_, _, more := ActionOf(ingress, strings.TrimPrefix(suffix, "actions."))
		_, others := ConditionsOf(ingress, strings.TrimPrefix(suffix, "conditions."))
		_, transforms := TransformsOf(ingress, strings.TrimPrefix(suffix, "transforms."))
		_, _, tokens := TokensOf(ingress)
		_, regex := RegexPaths(ingress)
		verdicts = slices.Concat(verdicts, more, others, transforms, tokens, regex)
		for _, v := range verdicts {
			if v.Field == "" || v.Problem == "" || v.Fix == "" {
				t.Errorf("a verdict must name field, problem and fix: %+v", v)
			}
		}
		if len(verdicts) == 0 && len(settings.Listen) == 0 {
			t.Error("settings without a verdict must be usable")
		}
	})
}
