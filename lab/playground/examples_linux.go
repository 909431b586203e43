package playground

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluicehq/sluice/lab/aws"
)

// sampleLimit bounds the wait for all samples together.
const sampleLimit = 2 * time.Minute

// examples applies the samples and waits until they answer.
func (l lab) examples(ctx context.Context, p *progress, a *api) error {
	objects, err := manifests(filepath.Join(l.root, "examples"), false)
	if err != nil {
		return err
	}
	if len(objects) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, sampleLimit)
	defer cancel()
	err = p.step("samples", func() error {
		if err := a.apply(ctx, objects); err != nil {
			return err
		}
		for _, object := range objects {
			if object.GetKind() == "Deployment" {
				if err := a.available(ctx, object); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return p.step("load balancers", func() error {
		for _, object := range objects {
			if object.GetKind() == "Ingress" || object.GetKind() == "Service" {
				if err := l.answers(ctx, a, object); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func namespace(object *unstructured.Unstructured) string {
	if object.GetNamespace() == "" {
		return corev1.NamespaceDefault
	}
	return object.GetNamespace()
}

// available waits until a Deployment has all its pods.
func (a *api) available(ctx context.Context, object *unstructured.Unstructured) error {
	space, name := namespace(object), object.GetName()
	err := until(ctx, sampleLimit, 200*time.Millisecond, func() (error, bool) {
		deployment, err := a.client.AppsV1().Deployments(space).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err, true
		}
		if !complete(deployment) {
			return fmt.Errorf("%d of %d pods are available", deployment.Status.AvailableReplicas, *deployment.Spec.Replicas), true
		}
		return nil, false
	})
	if err != nil {
		return fmt.Errorf("Deployment %s/%s does not become available: %w; look at: kubectl -n %s describe deployment,pods", space, name, err, space)
	}
	return nil
}

func complete(d *appsv1.Deployment) bool {
	wanted := int32(1)
	if d.Spec.Replicas != nil {
		wanted = *d.Spec.Replicas
	}
	return d.Status.ObservedGeneration >= d.Generation && d.Status.UpdatedReplicas == wanted &&
		d.Status.AvailableReplicas == wanted && d.Status.Replicas == wanted
}

// answers waits until every path of an Ingress, or of a Service with a load balancer of its own, answers 200.
func (l lab) answers(ctx context.Context, a *api, object *unstructured.Unstructured) error {
	kind, space, name := object.GetKind(), namespace(object), object.GetName()
	var step string
	err := until(ctx, sampleLimit, 200*time.Millisecond, func() (error, bool) {
		step = "status"
		sample, err := a.sample(ctx, kind, space, name)
		if err != nil {
			return err, true
		}
		if sample == nil {
			return nil, false
		}
		target, err := l.target(ctx, sample)
		if err != nil {
			return err, true
		}
		for _, probe := range target.probes() {
			step = "traffic"
			if err := get(ctx, "http://"+target.address+probe.path, probe.host); err != nil {
				return err, true
			}
		}
		return nil, false
	})
	switch {
	case err == nil:
		return nil
	case step == "status":
		return fmt.Errorf("%s %s/%s gets no load balancer: %w; look at: kubectl -n %s describe %s %s, and: bin/lab logs controller", kind, space, name, err, space, strings.ToLower(kind), name)
	default:
		return fmt.Errorf("%s %s/%s does not answer: %w; look at: bin/lab logs aws, and: aws elbv2 describe-target-health", kind, space, name, err)
	}
}

// sample is what asks for a load balancer: its name as the status has it, and what can be asked of it.
type sample struct {
	hostname string
	probes   []probe // one without a host asks for the load balancer's name
}

// sample reads an Ingress or a Service; nil for a Service that has no load balancer of its own.
func (a *api) sample(ctx context.Context, kind, space, name string) (*sample, error) {
	if kind == "Ingress" {
		ingress, err := a.client.NetworkingV1().Ingresses(space).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		return ingressSample(ingress), nil
	}
	service, err := a.client.CoreV1().Services(space).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return serviceSample(service), nil
}

// ingressSample asks for the paths of the rules, with the host that each wants.
func ingressSample(ingress *networkingv1.Ingress) *sample {
	var out sample
	for _, found := range ingress.Status.LoadBalancer.Ingress {
		out.hostname = found.Hostname
	}
	for _, rule := range ingress.Spec.Rules {
		if rule.HTTP == nil {
			continue
		}
		for _, path := range rule.HTTP.Paths {
			out.probes = append(out.probes, probe{host: rule.Host, path: strings.TrimSuffix(path.Path, "*")})
		}
	}
	return &out
}

// probedPath is the annotation that names the one path of a Service that surely answers.
const probedPath = "service.beta.kubernetes.io/aws-load-balancer-healthcheck-path"

func serviceSample(service *corev1.Service) *sample {
	path := service.Annotations[probedPath]
	if service.Spec.Type != corev1.ServiceTypeLoadBalancer || path == "" {
		return nil
	}
	out := sample{probes: []probe{{path: path}}}
	for _, found := range service.Status.LoadBalancer.Ingress {
		out.hostname = found.Hostname
	}
	return &out
}

// target is a sample and the load balancer in front of it.
type target struct {
	sample   *sample
	hostname string
	address  string // the load balancer's address; its name with another endpoint
}

// probe is one thing to ask a load balancer for.
type probe struct{ host, path string }

func (l lab) target(ctx context.Context, of *sample) (target, error) {
	if of.hostname == "" {
		return target{}, errors.New("its status has no hostname")
	}
	t := target{sample: of, hostname: of.hostname}
	t.address = t.hostname
	if server := l.dnsServer(); server != "" {
		addresses, err := aws.Resolve(ctx, server, t.hostname)
		if err != nil {
			return target{}, err
		}
		t.address = addresses[0].String()
	}
	return t, nil
}

// probes are what can be asked, each with its host.
func (t target) probes() []probe {
	var out []probe
	for _, p := range t.sample.probes {
		if p.host == "" {
			p.host = t.hostname
		}
		out = append(out, p)
	}
	return out
}

// curl is the command that asks for a probe.
func (t target) curl(p probe) string {
	if p.host == t.hostname {
		return fmt.Sprintf("curl http://%s%s", t.address, p.path)
	}
	return fmt.Sprintf("curl -H 'Host: %s' http://%s%s", p.host, t.address, p.path)
}

// client asks directly, whatever proxies the environment names, and anew each time.
var client = &http.Client{
	Transport: &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext},
	Timeout:   5 * time.Second,
}

// get is nil if the answer is 200.
func get(ctx context.Context, url, host string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if host != "" {
		request.Host = host
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	if response.StatusCode != http.StatusOK {
		if host != "" {
			url += " (Host: " + host + ")"
		}
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}

// summary says how to use the lab: what to export, what is there, what to try.
func (l lab) summary(ctx context.Context, w io.Writer) error {
	fmt.Fprintf(w, "Use it from a shell (or: eval \"$(make env)\"):\n\n%s\n", l.env())
	balancers, err := aws.LoadBalancers(ctx, l.endpoint())
	if err != nil {
		return err
	}
	if len(balancers) > 0 {
		table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
		fmt.Fprintln(table, "LOAD BALANCER\tSCHEME\tSTATE\tADDRESS\tDNS NAME")
		for _, balancer := range balancers {
			address := "-"
			if server := l.dnsServer(); server != "" {
				if found, err := aws.Resolve(ctx, server, balancer.DNSName); err == nil {
					address = found[0].String()
				}
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", balancer.Name, balancer.Scheme, balancer.State, address, balancer.DNSName)
		}
		if err := table.Flush(); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	commands, err := l.commands(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "Try:\n\n    %s\n\n", strings.Join(commands, "\n    "))
	return nil
}

// commands are a few that work when pasted: a request for each Ingress and each
// Service with a load balancer, and a look at AWS.
func (l lab) commands(ctx context.Context) ([]string, error) {
	a, err := l.api()
	if err != nil {
		return nil, err
	}
	ingresses, err := a.client.NetworkingV1().Ingresses("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	services, err := a.client.CoreV1().Services("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var samples []*sample
	for i := range ingresses.Items {
		samples = append(samples, ingressSample(&ingresses.Items[i]))
	}
	for i := range services.Items {
		if found := serviceSample(&services.Items[i]); found != nil {
			samples = append(samples, found)
		}
	}
	var commands []string
	for _, of := range samples {
		found, err := l.target(ctx, of)
		if err != nil {
			continue // not ours, or not ready; the table shows what is
		}
		if probes := found.probes(); len(probes) > 0 {
			commands = append(commands, found.curl(probes[0]))
		}
	}
	if len(commands) == 0 {
		commands = append(commands, "kubectl get nodes,pods -A -o wide")
	}
	return append(commands, "aws elbv2 describe-load-balancers --query 'LoadBalancers[].[LoadBalancerName,DNSName]' --output table"), nil
}
