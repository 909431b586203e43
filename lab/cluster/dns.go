package cluster

import "fmt"

// DNSManifest is the Service by which pods find the name server: its address
// is in their resolv.conf. The server is not a pod, so the slice is ours.
func (c Config) DNSManifest() string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system, labels: {k8s-app: kube-dns}}
spec:
  clusterIP: %s
  ports:
  - {name: dns, port: 53, protocol: UDP}
  - {name: dns-tcp, port: 53, protocol: TCP}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: kube-dns-lab
  namespace: kube-system
  labels: {kubernetes.io/service-name: kube-dns, endpointslice.kubernetes.io/managed-by: sluice-lab}
addressType: IPv4
endpoints:
- addresses: [%q]
ports:
- {name: dns, port: 53, protocol: UDP}
- {name: dns-tcp, port: 53, protocol: TCP}
`, c.DNSAddress(), c.Address)
}
