package lb

import "cmp"

// Object names a Kubernetes object: who asked for a thing, or whom a verdict is about.
type Object struct {
	Kind      string // Ingress, Service, IngressClass …
	Namespace string // empty for cluster-scoped kinds
	Name      string
}

// String is "Ingress default/web", or "IngressClass alb" for a cluster-scoped object.
func (o Object) String() string {
	if o.Namespace == "" {
		return o.Kind + " " + o.Name
	}
	return o.Kind + " " + o.Namespace + "/" + o.Name
}

// Compare orders objects by kind, namespace and name.
func (o Object) Compare(other Object) int {
	return cmp.Or(
		cmp.Compare(o.Kind, other.Kind),
		cmp.Compare(o.Namespace, other.Namespace),
		cmp.Compare(o.Name, other.Name),
	)
}
