package control

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	contour "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sluicehq/sluice/internal/engine/envoy"
	"github.com/sluicehq/sluice/internal/engine/envoy/ads"
	"github.com/sluicehq/sluice/internal/engine/envoy/envoytest"
)

// fleetWorld is an API server that keeps objects, the fleet's loop, and a real Envoy. Nothing is watched: sync does what
// events would.
type fleetWorld struct {
	*world
	fleet  *Fleet
	status *fleetStatus
	envoy  *envoytest.Envoy
}

func newFleetWorld(t *testing.T) *fleetWorld {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, contour.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	w := &fleetWorld{world: &world{T: t, ctx: t.Context()}}
	w.kube = fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&networkingv1.Ingress{}, &contour.HTTPProxy{}, &corev1.Service{}).Build()
	server := ads.New(slog.New(slog.DiscardHandler))
	engine, err := envoy.New(server, envoy.Options{HTTPAddress: "127.0.0.1", HTTPSAddress: "127.0.0.1"})
	w.check(err)
	w.fleet = newFleet(w.kube, FleetOptions{Engine: engine, Server: server, Service: types.NamespacedName{Namespace: "projectcontour", Name: "envoy"}})
	w.status = newFleetStatus(w.fleet)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	w.check(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, listener, nil) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	w.envoy = envoytest.Start(t, envoy.Bootstrap{XDSHost: "127.0.0.1", XDSPort: uint16(listener.Addr().(*net.TCPAddr).Port)})
	return w
}

func (w *fleetWorld) sync() {
	w.Helper()
	w.check(w.fleet.pass(w.ctx))
	w.fleet.options.Server.Open()
	w.check(w.status.write(w.ctx, w.fleet.state.Load()))
}

// pods makes the endpoints of a Service from as many servers, which answer with their names.
func (w *fleetWorld) pods(service string, names ...string) {
	w.Helper()
	var endpoints strings.Builder
	var port int
	for n, name := range names {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(rw, "%s %s %s %s", name, r.Host, r.URL, r.Header.Get("X-Forwarded-Proto"))
		}))
		_ = s.Listener.Close()
		var err error
		s.Listener, err = net.Listen("tcp", fmt.Sprintf("127.0.7.%d:%d", n+1, port))
		w.check(err)
		port = s.Listener.Addr().(*net.TCPAddr).Port
		s.Start()
		w.Cleanup(s.Close)
		fmt.Fprintf(&endpoints, "- {addresses: [127.0.7.%d]}\n", n+1)
	}
	w.apply(service, fmt.Sprintf(`
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s-1, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [{port: %d}]
endpoints:
%s`, service, port, endpoints.String()))
}

// The hands-on, as a user does it.
func TestHelloPKSIsServedByEnvoy(t *testing.T) {
	w := newFleetWorld(t)
	w.sync()
	plain := w.envoy.Address(t, "ingress_http")
	before := w.until(plain, "hello-pks.example.com", 404)
	if before.Header.Get("Server") != "envoy" || before.ContentLength != 0 {
		t.Errorf("before any Ingress: %v", before)
	}

	w.apply("hello", `
apiVersion: v1
kind: Service
metadata: {name: hello-pks}
spec: {ports: [{port: 8080}]}
---
apiVersion: extensions/v1beta1
kind: Ingress
metadata: {name: hello-pks, annotations: {kubernetes.io/ingress.class: contour}}
spec:
  rules:
  - host: hello-pks.example.com
    http: {paths: [{path: /, backend: {serviceName: hello-pks, servicePort: 8080}}]}
`)
	w.pods("hello-pks", "one", "two")
	w.sync()
	w.until(plain, "hello-pks.example.com", 200)
	seen := map[string]int{}
	for range 10 {
		r := w.until(plain, "hello-pks.example.com", 200)
		if r.Header.Get("X-Envoy-Upstream-Service-Time") == "" || r.Header.Get("Server") != "envoy" {
			t.Errorf("headers %v", r.Header)
		}
		name, _, _ := strings.Cut(r.body, " ")
		seen[name]++
	}
	if seen["one"] != 5 || seen["two"] != 5 {
		t.Errorf("answers by pod %v, want them to alternate", seen)
	}

	certificate, key := envoytest.SelfSigned(t, "hello-pks.example.com")
	w.apply("tls", fmt.Sprintf(`
apiVersion: v1
kind: Secret
metadata: {name: hello-pks-tls}
type: kubernetes.io/tls
stringData:
  tls.crt: %q
  tls.key: %q
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: hello-pks, annotations: {kubernetes.io/ingress.class: contour}}
spec:
  tls: [{hosts: [hello-pks.example.com], secretName: hello-pks-tls}]
  rules:
  - host: hello-pks.example.com
    http: {paths: [{path: /, pathType: ImplementationSpecific, backend: {service: {name: hello-pks, port: {number: 8080}}}}]}
`, certificate, key))
	w.sync()
	secure := w.envoy.Address(t, "ingress_https")
	client := &http.Client{Transport: &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{ServerName: "hello-pks.example.com", InsecureSkipVerify: true},
	}}
	defer client.CloseIdleConnections()
	r := w.eventually(client, "https://"+secure, "hello-pks.example.com:31353", 200)
	if r.ProtoMajor != 2 || !strings.HasSuffix(r.body, "https") {
		t.Errorf("over TLS: %s %q", r.Proto, r.body)
	}
	// Another host on the same connection is sent away: its TLS may be spoken in another way.
	w.eventually(client, "https://"+secure, "other.example.com", 421)
	w.until(plain, "hello-pks.example.com", 200)

	for kind, n := range w.fleet.options.Server.Counts().Refused {
		t.Errorf("Envoy refused %d %s", n, kind)
	}
}

func TestTheFleetsAddressIsShownAndTakenAway(t *testing.T) {
	w := newFleetWorld(t)
	w.apply("ingress", `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  ingressClassName: contour
  rules:
  - {host: a.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: gone, port: {number: 80}}}}]}}
---
apiVersion: v1
kind: Service
metadata: {name: envoy, namespace: projectcontour}
spec: {type: LoadBalancer, ports: [{port: 80}]}
status: {loadBalancer: {ingress: [{hostname: lb.example.com}]}}
`)
	shown := func() string {
		var i networkingv1.Ingress
		w.check(w.kube.Get(w.ctx, client.ObjectKey{Namespace: "default", Name: "web"}, &i))
		return fmt.Sprint(i.Status.LoadBalancer.Ingress)
	}
	service := &corev1.Service{}
	w.check(w.kube.Get(w.ctx, client.ObjectKey{Namespace: "projectcontour", Name: "envoy"}, service))
	service.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{Hostname: "lb.example.com"}}
	w.check(w.kube.Status().Update(w.ctx, service))
	w.sync()
	if got := shown(); !strings.Contains(got, "lb.example.com") {
		t.Errorf("the Ingress shows %s", got)
	}
	service.Status.LoadBalancer.Ingress = nil
	w.check(w.kube.Status().Update(w.ctx, service))
	w.sync()
	w.sync()
	if got := shown(); got != "[]" {
		t.Errorf("the Ingress still shows %s", got)
	}
	var events eventsv1.EventList
	w.check(w.kube.List(w.ctx, &events))
	if len(events.Items) != 1 || events.Items[0].Reason != "ServiceUnresolvedReference" {
		t.Errorf("events %+v, want one about the missing Service", events.Items)
	}
}

type reply struct {
	*http.Response
	body string
}

func (w *fleetWorld) until(address, host string, status int) reply {
	w.Helper()
	return w.eventually(http.DefaultClient, "http://"+address, host, status)
}

func (w *fleetWorld) eventually(c *http.Client, url, host string, status int) reply {
	w.Helper()
	var out reply
	envoytest.Eventually(w, fmt.Sprintf("%s answers %d", host, status), func() error {
		request, err := http.NewRequestWithContext(w.ctx, http.MethodGet, url+"/", http.NoBody)
		if err != nil {
			return err
		}
		request.Host = host
		response, err := c.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err == nil && response.StatusCode != status {
			err = fmt.Errorf("got %s %q", response.Status, body)
		}
		out = reply{response, string(body)}
		return err
	})
	return out
}

func TestHTTPProxiesAreServedAndTold(t *testing.T) {
	w := newFleetWorld(t)
	w.apply("proxies", `
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
---
apiVersion: projectcontour.io/v1
kind: HTTPProxy
metadata: {name: good, generation: 3}
spec:
  virtualhost: {fqdn: good.example.com}
  routes: [{services: [{name: web, port: 80}]}]
---
apiVersion: projectcontour.io/v1
kind: HTTPProxy
metadata: {name: partly}
spec:
  virtualhost: {fqdn: partly.example.com}
  routes:
  - {services: [{name: web, port: 80}]}
  - {conditions: [{prefix: /gone}], services: [{name: gone, port: 80}]}
  - {conditions: [{prefix: /away}], services: [{name: away, port: 80}]}
---
apiVersion: projectcontour.io/v1
kind: HTTPProxy
metadata: {name: lost}
spec: {routes: [{services: [{name: web, port: 80}]}]}
`)
	w.pods("web", "one")
	w.sync()
	plain := w.envoy.Address(t, "ingress_http")
	w.until(plain, "good.example.com", 200)
	w.until(plain, "partly.example.com", 200)
	status := func(name string) contour.HTTPProxyStatus {
		var p contour.HTTPProxy
		w.check(w.kube.Get(w.ctx, client.ObjectKey{Namespace: "default", Name: name}, &p))
		return p.Status
	}
	good := status("good")
	if good.CurrentStatus != "valid" || good.Description != "Valid HTTPProxy" || len(good.Conditions) != 1 ||
		good.Conditions[0].Reason != "Valid" || good.Conditions[0].ObservedGeneration != 3 {
		t.Errorf("good: %+v", good)
	}
	partly := status("partly")
	if partly.CurrentStatus != "invalid" || len(partly.Conditions) != 1 || partly.Conditions[0].Reason != "ErrorPresent" || len(partly.Conditions[0].Errors) != 1 {
		t.Fatalf("partly: %+v", partly)
	}
	if e := partly.Conditions[0].Errors[0]; e.Type != "ServiceError" || e.Reason != "ServiceUnresolvedReference" || strings.Count(e.Message, "there is no such Service") != 2 {
		t.Errorf("partly: %+v", e)
	}
	if lost := status("lost"); lost.CurrentStatus != "orphaned" || lost.Conditions[0].Errors[0].Type != "Orphaned" {
		t.Errorf("lost: %+v", lost)
	}

	// Nothing is written when nothing is new.
	var before, after contour.HTTPProxy
	w.check(w.kube.Get(w.ctx, client.ObjectKey{Namespace: "default", Name: "partly"}, &before))
	w.sync()
	w.check(w.kube.Get(w.ctx, client.ObjectKey{Namespace: "default", Name: "partly"}, &after))
	if before.ResourceVersion != after.ResourceVersion {
		t.Error("a status that says the same was written again")
	}
}
