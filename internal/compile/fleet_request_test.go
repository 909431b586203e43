package compile_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sluicehq/sluice/internal/compile"
	"github.com/sluicehq/sluice/internal/engine/envoy/envoytest"
	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/lb"
)

const requestManifests = `
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: paths, annotations: {kubernetes.io/ingress.class: contour}}
spec:
  rules:
  - host: paths.example.com
    http:
      paths:
      - {path: /foo, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}
      - {path: /exact, pathType: Exact, backend: {service: {name: web, port: {number: 80}}}}
      - {path: "/v[0-9]+/.*", pathType: ImplementationSpecific, backend: {service: {name: web, port: {number: 80}}}}
      - {path: /bar, pathType: ImplementationSpecific, backend: {service: {name: web, port: {number: 80}}}}
  - {host: "*.wild.example.com", http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}
---
apiVersion: projectcontour.io/v1
kind: HTTPProxy
metadata: {name: proxy}
spec:
  virtualhost: {fqdn: proxy.example.com}
  routes:
  - {services: [{name: web, port: 80}]}
  - {conditions: [{prefix: /rewrite}], pathRewritePolicy: {replacePrefix: [{replacement: /to}]}, services: [{name: web, port: 80}]}
  - {conditions: [{prefix: /root}], pathRewritePolicy: {replacePrefix: [{replacement: /}]}, services: [{name: web, port: 80}]}
  - {conditions: [{prefix: /away}], requestRedirectPolicy: {hostname: b.example.com, statusCode: 301, prefix: /there}}
  - {conditions: [{prefix: /fixed}], directResponsePolicy: {statusCode: 418, body: teapot}}
  - {conditions: [{prefix: /denied}], ipDenyPolicy: [{source: Peer, cidr: 127.0.0.0/8}], directResponsePolicy: {statusCode: 200}}
  - {conditions: [{prefix: /denied-away}], ipDenyPolicy: [{source: Peer, cidr: 127.0.0.0/8}], requestRedirectPolicy: {path: /}}
  - {conditions: [{prefix: /limited}], rateLimitPolicy: {local: {requests: 1, unit: hour}}, directResponsePolicy: {statusCode: 200}}
  - {conditions: [{prefix: /header}, {header: {name: x-a, exact: "1"}}], directResponsePolicy: {statusCode: 201}}
  - {conditions: [{prefix: /header}, {header: {name: x-a, notexact: "2", treatMissingAsEmpty: true}}], directResponsePolicy: {statusCode: 202}}
  - {conditions: [{prefix: /header}, {header: {name: x-a, notpresent: true}}, {header: {name: x-b, contains: B, ignoreCase: true}}], directResponsePolicy: {statusCode: 203}}
  - {conditions: [{prefix: /query}, {queryParameter: {name: q, prefix: a}}], directResponsePolicy: {statusCode: 201}}
  - {conditions: [{prefix: /query}, {queryParameter: {name: q, present: true}}], directResponsePolicy: {statusCode: 202}}
  - {conditions: [{prefix: /gone}], services: [{name: gone, port: 80}]}
  - {conditions: [{prefix: /host}], requestHeadersPolicy: {set: [{name: Host, value: inner.example.com}, {name: x-seen, value: "100%"}]}, responseHeadersPolicy: {set: [{name: x-out, value: "%CONTOUR_NAMESPACE%"}]}, services: [{name: web, port: 80}]}
  - {conditions: [{prefix: /cookie}], cookieRewritePolicies: [{name: session, pathRewrite: {value: /new}, secure: true, sameSite: Lax}], services: [{name: web, port: 80}]}
`

// What manifests say is what a real Envoy does.
func TestRequestsGoAsManifestsSay(t *testing.T) {
	server, engine, address := startEnvoy(t)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Set-Cookie", "session=1; Path=/old; HttpOnly")
		w.Header().Add("Set-Cookie", "other=2; Path=/old")
		fmt.Fprintf(w, "%s %s %s", r.Host, r.URL, r.Header.Get("X-Seen"))
	}))
	defer backend.Close()
	port := uint16(backend.Listener.Addr().(*net.TCPAddr).Port)
	documents, problems, err := kube.Read("in.yaml", strings.NewReader(requestManifests), "default")
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	compiled := compile.FleetOf(kube.New(kube.Contents{}.Add(documents)), fleetOptions)
	for _, b := range compiled.Backends() {
		if err := engine.SetEndpoints(b, []lb.Endpoint{{Address: "127.0.0.1", Port: port}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range compiled.Stacks {
		apply(t, engine, s)
	}
	apply(t, engine, marker(0))
	envoytest.Eventually(t, "all is taken", func() error { return answers(t.Context(), address, 0) })
	if refusals := server.Refusals(); len(refusals) > 0 {
		t.Fatal(refusals)
	}
	const paths, proxy = "paths.example.com", "proxy.example.com"
	for _, c := range []struct {
		host, path, header string
		status             int
		want               string // in the answer: its headers, and its body
	}{
		{paths, "/foo", "", 200, "/foo"}, {paths, "/foo/", "", 200, ""}, {paths, "/foo/x?q=1", "", 200, "/foo/x?q=1"}, {paths, "/foobar", "", 404, ""},
		{paths, "/exact", "", 200, ""}, {paths, "/exact/", "", 404, ""}, {paths, "/v1/x", "", 200, ""}, {paths, "/vx/x", "", 404, ""},
		{paths, "/barrier", "", 200, ""}, {paths, "/", "", 404, ""}, {paths, "//foo", "", 200, "/foo"}, {"PATHS.example.com:8080", "/foo", "", 200, ""},
		{"a.wild.example.com", "/", "", 200, ""}, {"A.WILD.example.com:80", "/", "", 200, ""}, {"a.b.wild.example.com", "/", "", 404, ""}, {"wild.example.com", "/", "", 404, ""},
		{"nobody.example.com", "/", "", 404, ""},
		{proxy, "/", "", 200, proxy + " / "},
		{proxy, "/rewrite", "", 200, proxy + " /to "}, {proxy, "/rewrite/x?q=1", "", 200, " /to/x?q=1 "},
		{proxy, "/root", "", 200, " / "}, {proxy, "/root/x", "", 200, " /x "}, {proxy, "/root?q=1", "", 200, " /?q=1 "},
		{proxy, "/away/x", "", 301, "Location: http://b.example.com/there/x"}, {proxy, "/fixed", "", 418, "teapot"},
		{proxy, "/denied", "", 403, ""}, {proxy, "/denied-away", "", 403, ""}, {proxy, "/limited", "", 200, ""}, {proxy, "/limited", "", 429, ""},
		{proxy, "/header", "X-A: 1", 201, ""}, {proxy, "/header", "X-A: 3", 202, ""}, {proxy, "/header", "X-A: 2", 200, ""}, {proxy, "/header", "X-B: abc", 203, ""},
		{proxy, "/query?q=abc", "", 201, ""}, {proxy, "/query?q=b", "", 202, ""}, {proxy, "/query?p=a", "", 200, ""},
		{proxy, "/gone", "", 503, ""},
		{proxy, "/host", "", 200, "inner.example.com /host 100%"}, {proxy, "/host", "", 200, "X-Out: default"},
		{proxy, "/cookie", "", 200, "session=1; Path=/new; HttpOnly; Secure; SameSite=Lax"}, {proxy, "/cookie", "", 200, "other=2; Path=/old\r"},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+c.path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = c.host
		if name, value, ok := strings.Cut(c.header, ": "); ok {
			request.Header.Set(name, value)
		}
		response, err := http.DefaultTransport.RoundTrip(request) // which follows no redirect
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		if err := response.Write(&text); err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != c.status || !strings.Contains(text.String(), c.want) {
			t.Errorf("%s%s %s: got\n%s\nwant %d with %q", c.host, c.path, c.header, text.String(), c.status, c.want)
		}
	}
}
