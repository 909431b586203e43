package bench

import (
	"fmt"
	"runtime"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluicehq/sluice/internal/annot"
	"github.com/sluicehq/sluice/internal/compile"
	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/localaws/localawstest"
)

var options = compile.Options{
	Cluster: localawstest.Cluster, IngressClass: "alb", DefaultScheme: lb.Internal, DefaultTargetType: lb.InstanceTargets,
	TolerateMissingService: true, Features: lb.Features{lb.InstanceTargetsFeature},
}

// BenchmarkCompile compiles 5,000 Ingresses with two paths each on one core, indexing included. Goal: at most 1 s.
func BenchmarkCompile(b *testing.B) {
	const ingresses = 5000
	contents := cluster(ingresses)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	b.ReportAllocs()
	for b.Loop() {
		stacks := compile.Compile(kube.New(contents), options)
		if len(stacks) != ingresses || len(stacks[0].Stack.TargetGroups) != 2 {
			b.Fatalf("%d stacks", len(stacks))
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/5000-ingresses")
}

// BenchmarkCompileOne compiles one of 5,000 stacks from an index that stands, as a change of one Ingress does.
func BenchmarkCompileOne(b *testing.B) {
	objects := kube.New(cluster(5000))
	b.ReportAllocs()
	for b.Loop() {
		if s := compile.Stack(objects, options, "default/web-42", nil); s.Held || s.Stack.Empty() {
			b.Fatal(s.Verdicts)
		}
	}
}

// cluster makes n Ingresses, each with two Services of its own.
func cluster(n int) kube.Contents {
	c := kube.Contents{IngressClasses: []*networkingv1.IngressClass{{
		ObjectMeta: metav1.ObjectMeta{Name: "alb"},
		Spec:       networkingv1.IngressClassSpec{Controller: compile.Controller},
	}}}
	for i := range n {
		class, prefix := "alb", networkingv1.PathTypePrefix
		web := &networkingv1.Ingress{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "default", Name: fmt.Sprintf("web-%d", i), UID: types.UID(fmt.Sprintf("ingress-%d", i)),
				Annotations: map[string]string{
					annot.Prefix + "scheme": "internet-facing", annot.Prefix + "healthcheck-path": "/health", annot.Prefix + "tags": "team=web,stage=test",
				},
			},
			Spec: networkingv1.IngressSpec{IngressClassName: &class},
		}
		rule := networkingv1.IngressRule{Host: fmt.Sprintf("web-%d.example.com", i)}
		rule.HTTP = &networkingv1.HTTPIngressRuleValue{}
		for _, part := range []string{"a", "b"} {
			service := &corev1.Service{
				ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("web-%d-%s", i, part), UID: types.UID(fmt.Sprintf("service-%d-%s", i, part))},
				Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Ports: []corev1.ServicePort{{Port: 80, NodePort: 30080}}},
			}
			c.Services = append(c.Services, service)
			rule.HTTP.Paths = append(rule.HTTP.Paths, networkingv1.HTTPIngressPath{
				Path: "/" + part, PathType: &prefix,
				Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: service.Name, Port: networkingv1.ServiceBackendPort{Number: 80}}},
			})
		}
		web.Spec.Rules = []networkingv1.IngressRule{rule}
		c.Ingresses = append(c.Ingresses, web)
	}
	return c
}
