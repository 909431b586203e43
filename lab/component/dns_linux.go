package component

import (
	"context"
	"fmt"
	"os/signal"
	"strings"
	"syscall"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/clientcmd"
)

// zone is the cluster's domain.
const zone = "cluster.local."

// DNS serves the names of Services on address until it is told to end: A
// records of ClusterIPs, of the ready endpoints of headless Services and of
// their host names, and CNAMEs of external names. There are no SRV and PTR
// records, and names outside of the cluster are refused.
func DNS(kubeconfig, address string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	factory := informers.NewSharedInformerFactory(client, 0)
	names := names{factory.Core().V1().Services().Lister(), factory.Discovery().V1().EndpointSlices().Lister()}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())

	failed := make(chan error, 2)
	for _, protocol := range []string{"udp", "tcp"} {
		server := &dns.Server{Addr: address, Net: protocol, Handler: names}
		go func() { failed <- server.ListenAndServe() }()
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

// names answers from the caches of Services and EndpointSlices.
type names struct {
	services corelisters.ServiceLister
	slices   discoverylisters.EndpointSliceLister
}

// ServeDNS answers one question.
func (n names) ServeDNS(w dns.ResponseWriter, query *dns.Msg) {
	answer := new(dns.Msg).SetReply(query)
	answer.Authoritative = true
	defer func() { _ = w.WriteMsg(answer) }() // who asked may have gone
	if len(query.Question) != 1 {
		answer.Rcode = dns.RcodeFormatError
		return
	}
	question := query.Question[0]
	rest, ours := strings.CutSuffix(strings.ToLower(question.Name), ".svc."+zone)
	if !ours {
		if answer.Rcode = dns.RcodeRefused; dns.IsSubDomain(zone, question.Name) {
			answer.Rcode = dns.RcodeNameError
		}
		return
	}
	labels := strings.Split(rest, ".")
	var host string
	if len(labels) == 3 {
		host, labels = labels[0], labels[1:]
	}
	if len(labels) != 2 {
		answer.Rcode = dns.RcodeNameError
		return
	}
	service, err := n.services.Services(labels[1]).Get(labels[0])
	if err != nil {
		answer.Rcode = dns.RcodeNameError
		return
	}
	header := func(kind uint16) dns.RR_Header {
		return dns.RR_Header{Name: question.Name, Rrtype: kind, Class: dns.ClassINET, Ttl: 5}
	}
	if service.Spec.Type == corev1.ServiceTypeExternalName {
		answer.Answer = append(answer.Answer, &dns.CNAME{Hdr: header(dns.TypeCNAME), Target: dns.Fqdn(service.Spec.ExternalName)})
		return
	}
	addresses := n.addresses(service, host)
	if len(addresses) == 0 && host != "" {
		answer.Rcode = dns.RcodeNameError
		return
	}
	if question.Qtype != dns.TypeA {
		return // the name exists and has no such record
	}
	for _, address := range addresses {
		if record, err := dns.NewRR(fmt.Sprintf("%s 5 IN A %s", question.Name, address)); err == nil {
			answer.Answer = append(answer.Answer, record)
		}
	}
}

func (n names) addresses(service *corev1.Service, host string) []string {
	if service.Spec.ClusterIP != corev1.ClusterIPNone {
		if host != "" || service.Spec.ClusterIP == "" {
			return nil
		}
		return []string{service.Spec.ClusterIP}
	}
	slices, err := n.slices.EndpointSlices(service.Namespace).List(labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: service.Name}))
	if err != nil {
		return nil
	}
	var out []string
	for _, slice := range slices {
		for _, endpoint := range slice.Endpoints {
			ready := endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready || service.Spec.PublishNotReadyAddresses
			if named := endpoint.Hostname != nil && *endpoint.Hostname == host; ready && (host == "" || named) {
				out = append(out, endpoint.Addresses...)
			}
		}
	}
	return out
}
