package control

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/yaml"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/compile"
	"github.com/sluicehq/sluice/internal/engine/aws"
	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/localaws/localawstest"
	"github.com/sluicehq/sluice/internal/plan"
)

// world is an API server that keeps objects, a local AWS, and a controller between them. Nothing is watched: sync does
// what events would.
type world struct {
	*testing.T
	ctx    context.Context
	kube   client.Client
	aws    *localawstest.Local
	engine *aws.Engine
	ahead  time.Duration    // of the engine's clock before the real one
	clock  func() time.Time // the engine's, where a test has one
	*Controller
}

func newWorld(t *testing.T) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, elbv2api.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	w := &world{T: t, ctx: t.Context(), aws: localawstest.Start(t)}
	w.kube = fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&networkingv1.Ingress{}, &corev1.Service{}, &elbv2api.TargetGroupBinding{}).Build()
	w.start()
	w.apply("cluster.yaml", `
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: alb}
spec: {controller: ingress.k8s.aws/alb}
---
apiVersion: v1
kind: Node
metadata: {name: a}
spec: {providerID: "aws:///ap-northeast-1a/`+localawstest.Instances[0]+`"}
status: {conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Node
metadata: {name: c}
spec: {providerID: "aws:///ap-northeast-1c/`+localawstest.Instances[1]+`"}
status: {conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, ports: [{name: http, port: 80, targetPort: 8080, nodePort: 30080}]}
`)
	return w
}

// start makes a controller that knows nothing yet, as a new process is.
func (w *world) start() {
	w.Helper()
	engine := newEngine(w)
	w.engine = engine
	w.Controller = newController(w.kube, w.kube, Options{
		Compile: compile.Options{
			Cluster: localawstest.Cluster, IngressClass: "alb", DefaultScheme: lb.Internal, DefaultTargetType: lb.InstanceTargets, TolerateMissingService: true, TolerateMissingAction: true,
		},
		Engine: engine, Targets: engine, Networking: engine, Mirror: engine, VPCID: localawstest.VPC,
	})
}

// newEngine is one that has read what there is.
func newEngine(w *world) *aws.Engine {
	w.Helper()
	engine, err := aws.New(aws.Options{
		Cluster: localawstest.Cluster, VPCID: localawstest.VPC, Config: w.aws.Config,
		Now: func() time.Time {
			if w.clock != nil {
				return w.clock()
			}
			return time.Now().Add(w.ahead)
		},
	})
	w.check(err)
	w.check(engine.Load(w.ctx))
	return engine
}

// followed lets so much time pass that names in DNS have followed a load balancer that was replaced, and works everything.
func (w *world) followed() {
	w.Helper()
	for range 3 {
		w.sync()
		w.ahead += 3 * time.Minute
	}
	w.sync()
}

func (w *world) check(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// apply creates objects, or changes them to what is given.
func (w *world) apply(name, yaml string) {
	w.Helper()
	documents, verdicts, err := kube.Read(name, strings.NewReader(yaml), "default")
	w.check(err)
	if len(verdicts) > 0 {
		w.Fatal(verdicts)
	}
	for _, d := range documents {
		object, ok := d.Object.(client.Object)
		if !ok {
			w.Fatalf("cannot apply %T", d.Object)
		}
		object.SetUID(types.UID("uid-of-" + object.GetName())) // the fake gives none
		was, _ := object.DeepCopyObject().(client.Object)
		if err := w.kube.Get(w.ctx, client.ObjectKeyFromObject(object), was); client.IgnoreNotFound(err) != nil {
			w.Fatal(err)
		} else if err != nil {
			w.check(w.kube.Create(w.ctx, object))
			continue
		}
		object.SetResourceVersion(was.GetResourceVersion())
		object.SetFinalizers(was.GetFinalizers())
		w.check(w.kube.Update(w.ctx, object))
	}
}

func (w *world) ingress(name, annotations, service string) {
	w.Helper()
	w.apply(name, fmt.Sprintf(`
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: %[1]s, annotations: {%[2]s}}
spec:
  ingressClassName: alb
  rules:
  - http: {paths: [{path: /%[1]s, pathType: Prefix, backend: {service: {name: %[3]s, port: {number: 80}}}}]}
`, name, annotations, service))
}

// sync works everything until nothing changes any more, and returns how the last pass over each key ended.
func (w *world) sync() map[string]plan.Status {
	w.Helper()
	for range 8 {
		before := w.state()
		ended := map[string]plan.Status{}
		w.snapshots.changed()
		for id := range w.allStacks() {
			ended[string(id)] = w.guarded(w.ctx, string(id), func() outcome { return w.workStack(w.ctx, id) }).status
		}
		var bindings elbv2api.TargetGroupBindingList
		w.check(w.kube.List(w.ctx, &bindings))
		for i := range bindings.Items {
			key := client.ObjectKeyFromObject(&bindings.Items[i])
			ended["binding "+bindings.Items[i].Spec.ServiceRef.Name] = w.workBinding(w.ctx, key).status
		}
		if w.state() == before {
			return ended
		}
	}
	w.Fatal("it never comes to rest")
	return nil
}

func (w *world) allStacks() map[lb.StackID]bool {
	ids := map[lb.StackID]bool{}
	objects, err := w.snapshots.take(w.ctx)
	w.check(err)
	for _, i := range objects.Ingresses() {
		self := lb.Object{Kind: "Ingress", Namespace: i.Namespace, Name: i.Name}
		for _, id := range compile.StacksUsing(objects.Objects, w.options.Compile, self) {
			ids[id] = true
		}
	}
	for _, s := range objects.Services() {
		for _, id := range compile.StacksUsing(objects.Objects, w.options.Compile, nameOf(s)) {
			ids[id] = true
		}
	}
	for _, id := range w.engine.Stacks() {
		ids[id] = true
	}
	var bindings elbv2api.TargetGroupBindingList
	w.check(w.kube.List(w.ctx, &bindings))
	for i := range bindings.Items {
		if id, ok := stackOfBinding(&bindings.Items[i]); ok {
			ids[id] = true
		}
	}
	return ids
}

// state tells whether anything changed: every object's version, and AWS's calls.
func (w *world) state() string {
	var b strings.Builder
	for _, list := range []client.ObjectList{&networkingv1.IngressList{}, &corev1.ServiceList{}, &elbv2api.TargetGroupBindingList{}, &eventsv1.EventList{}} {
		w.check(w.kube.List(w.ctx, list))
		text, err := yaml.Marshal(list)
		w.check(err)
		b.Write(text)
	}
	fmt.Fprintln(&b, w.aws.Calls())
	return b.String()
}

// calls are those since the last reset, sorted, and reset.
func (w *world) calls() []string {
	calls := slices.Sorted(maps.Keys(w.aws.Calls()))
	w.aws.ResetCalls()
	return calls
}

func (w *world) get(name string) *networkingv1.Ingress {
	w.Helper()
	var ingress networkingv1.Ingress
	w.check(w.kube.Get(w.ctx, types.NamespacedName{Namespace: "default", Name: name}, &ingress))
	return &ingress
}

func (w *world) remove(name string) {
	w.Helper()
	w.check(w.kube.Delete(w.ctx, &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}))
}

// events are "<type> <reason> <object>: <note>" of everything recorded since the last call, oldest first.
func (w *world) events() []string {
	w.Helper()
	var list eventsv1.EventList
	w.check(w.kube.List(w.ctx, &list))
	slices.SortFunc(list.Items, func(a, b eventsv1.Event) int { return a.EventTime.Compare(b.EventTime.Time) })
	var out []string
	for i := range list.Items {
		e := &list.Items[i]
		out = append(out, fmt.Sprintf("%s %s %s: %s", e.Type, e.Reason, e.Regarding.Name, e.Note))
		w.check(w.kube.Delete(w.ctx, e))
	}
	return out
}

// targets are the ids that the only target group of a stack has.
func (w *world) targets(id lb.StackID) []string {
	w.Helper()
	var ids []string
	for _, group := range w.engine.Observe(id).TargetGroups {
		list, _, err := w.engine.Registered(w.ctx, group)
		w.check(err)
		for _, t := range list {
			ids = append(ids, fmt.Sprintf("%s:%d", t.ID, t.Port))
		}
	}
	return ids
}

// pods makes ready pods at these addresses behind Service web.
func (w *world) pods(addresses ...string) {
	w.Helper()
	slice := "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web-1, labels: {kubernetes.io/service-name: web}}\n" +
		"addressType: IPv4\nports: [{name: http, port: 8080}]\nendpoints:\n"
	for _, a := range addresses {
		name := "pod-" + strings.ReplaceAll(a, ".", "-")
		w.apply("pod", "apiVersion: v1\nkind: Pod\nmetadata: {name: "+name+"}\nspec: {nodeName: a}\n")
		slice += "- {addresses: [" + a + "], targetRef: {kind: Pod, name: " + name + "}, conditions: {ready: true}}\n"
	}
	if len(addresses) == 0 {
		slice = strings.TrimSuffix(slice, "endpoints:\n") + "endpoints: []\n"
	}
	w.apply("slice", slice)
}
