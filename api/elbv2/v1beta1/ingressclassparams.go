package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// IngressClassParams are settings that an IngressClass imposes on its Ingresses.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,path=ingressclassparams,singular=ingressclassparam
// +kubebuilder:storageversion
// +kubebuilder:printcolumn:name="GROUP-NAME",type="string",JSONPath=".spec.group.name",description="The Ingress Group name"
// +kubebuilder:printcolumn:name="SCHEME",type="string",JSONPath=".spec.scheme",description="The load balancer's scheme"
// +kubebuilder:printcolumn:name="IP-ADDRESS-TYPE",type="string",JSONPath=".spec.ipAddressType",description="The load balancer's address type"
// +kubebuilder:printcolumn:name="AGE",type="date",JSONPath=".metadata.creationTimestamp"
type IngressClassParams struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec IngressClassParamsSpec `json:"spec,omitempty"`
}

// IngressClassParamsList is a list of IngressClassParams.
//
// +kubebuilder:object:root=true
type IngressClassParamsList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []IngressClassParams `json:"items"`
}

// LoadBalancerScheme says who can reach a load balancer.
//
// +kubebuilder:validation:Enum=internal;internet-facing
type LoadBalancerScheme string

// IPAddressType is the address family of a load balancer.
//
// +kubebuilder:validation:Enum=ipv4;dualstack;dualstack-without-public-ipv4
type IPAddressType string

// SubnetID is a subnet's id.
//
// +kubebuilder:validation:Pattern=subnet-[0-9a-f]+
type SubnetID string

// IngressClassParamsSpec is what the class imposes.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.prefixListsIDs) && has(self.PrefixListsIDs))",message="cannot specify both prefixListsIDs and PrefixListsIDs"
type IngressClassParamsSpec struct {
	LoadBalancerName            string                       `json:"loadBalancerName,omitempty"`
	CertificateArn              []string                     `json:"certificateArn,omitempty"`
	NamespaceSelector           *metav1.LabelSelector        `json:"namespaceSelector,omitempty"`
	Group                       *IngressGroup                `json:"group,omitempty"`
	Scheme                      *LoadBalancerScheme          `json:"scheme,omitempty"`
	InboundCIDRs                []string                     `json:"inboundCIDRs,omitempty"`
	SSLPolicy                   string                       `json:"sslPolicy,omitempty"`
	SSLRedirectPort             string                       `json:"sslRedirectPort,omitempty"`
	Subnets                     *SubnetSelector              `json:"subnets,omitempty"`
	IPAddressType               *IPAddressType               `json:"ipAddressType,omitempty"`
	Tags                        []Tag                        `json:"tags,omitempty"`
	TargetType                  *TargetType                  `json:"targetType,omitempty"`
	LoadBalancerAttributes      []Attribute                  `json:"loadBalancerAttributes,omitempty"`
	Listeners                   []Listener                   `json:"listeners,omitempty"`
	MinimumLoadBalancerCapacity *MinimumLoadBalancerCapacity `json:"minimumLoadBalancerCapacity,omitempty"`
	IPAMConfiguration           *IPAMConfiguration           `json:"ipamConfiguration,omitempty"`
	PrefixListsIDsLegacy        []string                     `json:"PrefixListsIDs,omitempty"`
	PrefixListsIDs              []string                     `json:"prefixListsIDs,omitempty"`
	WAFv2ACLArn                 string                       `json:"wafv2AclArn,omitempty"`
	WAFv2ACLName                string                       `json:"wafv2AclName,omitempty"`
}

// IngressGroup names the group of all Ingresses of the class.
type IngressGroup struct {
	Name string `json:"name"`
}

// SubnetSelector selects subnets by ids or by tags.
type SubnetSelector struct {
	// +kubebuilder:validation:MinItems=1
	IDs  []SubnetID          `json:"ids,omitempty"`
	Tags map[string][]string `json:"tags,omitempty"`
}

// Tag is an AWS tag.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Attribute is a load balancer or listener attribute.
type Attribute struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Listener has attributes for one listener.
type Listener struct {
	Protocol           string      `json:"protocol,omitempty"`
	Port               int32       `json:"port,omitempty"`
	ListenerAttributes []Attribute `json:"listenerAttributes,omitempty"`
}

// MinimumLoadBalancerCapacity reserves capacity.
type MinimumLoadBalancerCapacity struct {
	CapacityUnits int32 `json:"capacityUnits"`
}

// IPAMConfiguration picks an IPAM pool.
type IPAMConfiguration struct {
	IPv4IPAMPoolID *string `json:"ipv4IPAMPoolId,omitempty"`
}
